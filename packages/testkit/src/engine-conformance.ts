/** Runs programs on engines and writes down what passes between them and the machine: two engines are the same when their records are. */
import { createMachine, device, type DeviceModule, type Engine, type FabricServices, type InterruptFabric, type InterruptPort, type Machine, type Plain, type StopReason, type Vcpu } from '@vm/core';
import { CR0_ET, CR0_NE, CR0_PE, CR0_PG, CR0_WP, CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_PAE, CR4_PSE, EFER_LMA, EFER_LME, type EntryState, type SegmentState } from '@vm/x86';
import { assembleProgram, CODE, DATA, DATA_PORT, DEVICE, END_PORT, type EngineMode, type EngineProgram, LATER_PORT, MAPPED, RAISE_PORT, STACK, TASK_SELECTOR } from './engine-programs.ts';

/** An engine whose processors begin where a loader says. */
export type EngineUnderTest = Engine<Vcpu & { loadBootState(state: EntryState): void }>;

const RAM_BYTES = 4 << 20;
const TABLES = 0x1000, TASK = 0x6200, GDT = 0x6000, IDT = 0xb000;
const PRESENT = 3, USER = 7, READ_ONLY = 5, LARGE = 0x87;
const LATER_NANOS = 200_000;
const READY_AFTER = 20; // reads
const APIC_BASE = 0xfee0_0900;
const APIC_BASE_MSR = 0x1b;

/** One line for each access, interrupt and end, then the registers. */
export async function recordProgram(engine: EngineUnderTest, program: EngineProgram, mode: EngineMode): Promise<readonly string[]> {
  const lines: string[] = [];
  const wires = new Wires(lines);
  const { bytes, gates } = assembleProgram(program, mode);
  const warn = (level: string, text: string): void => void (level === 'warn' && lines.push(`# ${text}`));
  const late: { stop: (reason: StopReason) => void } = { stop: () => undefined };
  await using machine = await createMachine({
    engine, ramBytes: RAM_BYTES, interrupts: wires.connect, log: (_source, level, text) => warn(level, text),
    devices: [device('recorder', recorder, { lines, raise: (vector) => wires.raise(vector), end: () => late.stop('power-off') })],
    load: ({ memory, vcpu }) => {
      memory.copyIn(CODE, bytes);
      writeTables((at, value) => memory.write(at, 4, value >>> 0), mode, gates);
      vcpu.loadBootState(entryOf(mode));
    },
  });
  late.stop = (reason) => machine.requestStop(reason);
  await machine.powerUp();
  const reason = await machine.stopped();
  lines.push(`stopped: ${reason}`);
  await machine.pause();
  if (reason === 'power-off') lines.push(...registersOf(machine), `data ${hashOf(machine)}`);
  return lines;
}

/** Where the records of two engines part, or null. */
export function firstParting(one: readonly string[], other: readonly string[]): string | null {
  for (let i = 0; i < Math.max(one.length, other.length); i++) {
    if (one[i] !== other[i]) return `line ${i + 1}: ${JSON.stringify(one[i] ?? 'nothing')} and ${JSON.stringify(other[i] ?? 'nothing')}, after ${JSON.stringify(one.slice(Math.max(0, i - 3), i))}`;
  }
  return null;
}

interface RecorderConfig {
  readonly lines: string[];
  readonly raise: (vector: number) => void;
  readonly end: () => void;
}

/** A device whose answers follow from how often it was asked. */
const recorder: DeviceModule<RecorderConfig, 'pio' | 'mmio' | 'clock'> = {
  manifest: { abi: 1, id: 'vm.engine-recorder', version: '0.0.0', state: 0, needs: ['pio', 'mmio', 'clock'] },
  create: ({ pio, mmio, clock }, { lines, raise, end }) => {
    let asked = 0;
    const answer = (size: number): number => (Math.imul(++asked, 0x9e37_79b1) >>> 0) % 2 ** (size * 8);
    const hex = (value: number): string => value.toString(16);
    const note = (what: string, at: number, size: number, value: number): number => (lines.push(`${what} ${hex(at)} ${size} ${hex(value)}`), value);
    let waiting = 0;
    const later = clock.timer(() => raise(waiting));
    pio.claim('data', 8, { read: (offset, size) => note('in', DATA_PORT + offset, size, answer(size)), write: (offset, size, value) => void note('out', DATA_PORT + offset, size, value) }).map(DATA_PORT);
    let reads = 0;
    pio.claim('ready', 1, { read: () => (++reads < READY_AFTER ? 0 : note('ready', DATA_PORT + 8, 1, 0x80)), write: () => undefined }, [1]).map(DATA_PORT + 8);
    pio.claim('raise', 1, { read: () => 0, write: (_offset, _size, vector) => (lines.push(`raise ${hex(vector)}`), raise(vector)) }, [1]).map(RAISE_PORT);
    pio.claim('later', 1, { read: () => 0, write: (_offset, _size, vector) => (lines.push(`later ${hex(vector)}`), (waiting = vector), later.arm(clock.now() + LATER_NANOS)) }, [1]).map(LATER_PORT);
    pio.claim('end', 1, { read: () => 0, write: () => end() }, [1]).map(END_PORT);
    mmio.claim('memory', 4096, { read: (offset, size) => note('read', offset, size, answer(size)), write: (offset, size, value) => void note('write', offset, size, value) }).map(DEVICE);
    return {};
  },
};

/** Interrupts of one processor in the order in which they were raised. */
class Wires {
  readonly #waiting: number[] = [];
  readonly #lines: string[];
  #services: FabricServices | null = null;

  constructor(lines: string[]) {
    this.#lines = lines;
  }

  raise(vector: number): void {
    this.#waiting.push(vector);
    this.#services!.signal(0);
  }

  readonly connect = (services: FabricServices): InterruptFabric => {
    this.#services = services;
    const port: InterruptPort = {
      isPending: () => this.#waiting.length > 0,
      acknowledge: () => {
        const vector = this.#waiting.shift() ?? -1;
        this.#lines.push(`interrupt ${vector.toString(16)}`);
        return vector;
      },
      window: () => -1, readRegister: () => 0, writeRegister: () => undefined,
      readModelRegister: (index) => index === APIC_BASE_MSR, low: APIC_BASE, high: 0, writeModelRegister: (index) => index === APIC_BASE_MSR, priority: 0,
    };
    return { port: () => port, message: () => undefined, external: () => undefined, reset: () => void this.#waiting.splice(0) };
  };
}

/** Descriptors of flat segments for both rings and a task, gates, and page tables. */
function writeTables(put: (at: number, value: number) => void, mode: EngineMode, gates: ReadonlyMap<number, number>): void {
  if (mode === 'real') {
    for (const [vector, at] of gates) put(vector * 4, at);
    return;
  }
  const isLong = mode === 'long';
  const code = isLong ? 0x00af_9b00 : 0x00cf_9b00;
  const descriptors: readonly (readonly [low: number, high: number])[] = [[0, 0], [0xffff, code], [0xffff, 0x00cf_9300], [0, 0], [0xffff, 0x00cf_fb00], [0xffff, 0x00cf_f300], [0xffff, 0x00af_fb00], [0, 0], [0x67 | (TASK << 16), 0x0000_8900], [0, 0]];
  descriptors.forEach(([low, high], i) => (put(GDT + i * 8, low), put(GDT + i * 8 + 4, high)));
  put(TASK + 4, STACK - 0x200); // the stack of ring 0, in both layouts of a task
  if (!isLong) put(TASK + 8, 0x10);
  for (const [vector, at] of gates) {
    const gate = IDT + vector * (isLong ? 16 : 8);
    put(gate, (0x08 << 16) | (at & 0xffff));
    put(gate + 4, (at & 0xffff_0000) | 0xee00); // an interrupt gate that programs may call
  }
  if (mode === 'protected') return;
  const wide = mode !== 'paging';
  const entry = (table: number, index: number, value: number): void => put(table + index * (wide ? 8 : 4), value);
  const [top, pointers, low, high, pages] = [TABLES, TABLES + 0x1000, TABLES + 0x2000, TABLES + 0x3000, TABLES + 0x4000];
  if (wide) {
    const first = mode === 'pae' ? top : pointers;
    if (isLong) entry(top, 0, pointers | USER);
    entry(first, 0, low | (mode === 'pae' ? 1 : USER));
    entry(first, 3, high | (mode === 'pae' ? 1 : USER));
    for (const part of [0, 1]) entry(low, part, (part << 21) | LARGE);
    entry(low, MAPPED >>> 21, pages | USER);
    entry(high, (DEVICE & 0x3fff_ffff) >>> 21, (DEVICE | LARGE) >>> 0);
  } else {
    entry(top, 0, LARGE);
    entry(top, MAPPED >>> 22, pages | USER);
    entry(top, DEVICE >>> 22, (DEVICE | LARGE) >>> 0);
  }
  entry(pages, 0, DATA | PRESENT);
  entry(pages, 2, DATA | (READ_ONLY & ~4));
}

function entryOf(mode: EngineMode): EntryState {
  const [isReal, isLong, pages] = [mode === 'real', mode === 'long', mode !== 'real' && mode !== 'protected'];
  const limit = isReal ? 0xffff : 0xffff_ffff;
  const segment = (selector: number, attributes: number): SegmentState => ({ selector, base: 0, limit, attributes });
  return {
    rip: CODE, rflags: 2, rax: 0, rbx: 0, rsi: 0, rsp: STACK,
    cs: isReal ? segment(0, 0x9b00) : segment(8, isLong ? 0xa0_9b00 : 0xc0_9b00), data: isReal ? segment(0, 0x9300) : segment(16, 0xc0_9300),
    tr: isReal ? { selector: 0, base: 0, limit: 0xffff, attributes: 0x8b00 } : { selector: TASK_SELECTOR, base: TASK, limit: 0x67, attributes: 0x8b00 }, ldtr: { selector: 0, base: 0, limit: 0, attributes: 0 },
    gdt: { base: GDT, limit: 0x4f }, idt: { base: isReal ? 0 : IDT, limit: isReal ? 0x3ff : 0xfff },
    cr0: (CR0_ET | CR0_NE | (isReal ? 0 : CR0_PE) | (pages ? CR0_PG | CR0_WP : 0)) >>> 0, cr3: pages ? TABLES : 0,
    cr4: CR4_OSFXSR | CR4_OSXMMEXCPT | (mode === 'paging' ? CR4_PSE : mode === 'pae' || isLong ? CR4_PAE : 0), efer: isLong ? EFER_LME | EFER_LMA : 0,
  };
}

const COMPARED = ['rip', 'cr0', 'cr2', 'cr3', 'cr4', 'efer', 'gdtBase', 'gdtLimit', 'idtBase', 'idtLimit', 'star', 'lstar', 'pat', 'dr6', 'dr7'] as const;
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'tr'] as const;
/** Of RFLAGS those that no instruction leaves undefined, and without RF, which a hypervisor lets stand. */
const SYSTEM_FLAGS = 0x0024_7702;

/** What a saved processor says, without what is not the guest's to see. */
function registersOf(machine: Pick<Machine, 'vcpu'>): string[] {
  const saved = machine.vcpu.save!() as Readonly<Record<string, Plain>>;
  const wide = (name: string): string => `${name} ${BigInt.asUintN(64, saved[name] as bigint).toString(16)}`;
  const row = (name: string): string => `${name} ${Array.from(saved[name] as Uint8Array, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
  const segments = SEGMENTS.map((name) => {
    const { selector, attributes, base, limit } = saved[name] as { readonly selector: number; readonly attributes: number; readonly base: bigint; readonly limit: number };
    return attributes === 0 ? `${name} ${selector.toString(16)}, which cannot be used` : `${name} ${selector.toString(16)} ${base.toString(16)} ${limit.toString(16)}`;
  });
  return [...COMPARED.map(wide), row('general'), row('vectors'), ...segments, `flags ${((saved['rflags'] as number) & SYSTEM_FLAGS).toString(16)}`, `cpl ${saved['cpl'] as number}`];
}

function hashOf({ memory }: Pick<Machine, 'memory'>): string {
  const page = new Uint8Array(4096);
  memory.copyOut(DATA, page);
  return page.reduce((sum, byte) => (Math.imul(sum, 31) + byte) >>> 0, 7).toString(16);
}
