/** Interrupts of a guest under KVM: with the local APIC's model, where they are exits, and with the kernel's interrupt chip. */
import { ApicBus, createApicFabric } from '@vm/apic';
import { createMachine, device, type DeviceModule } from '@vm/core';
import { prepareEntry } from '@vm/pc';
import { type InterruptChipKind, kvmEngine, kvmLacks, type KvmVcpu } from '@vm/vcpu-kvm';
import { type Assembler, CONDITION_NE, createAssembler, mem, r32, r8, RAX, RBX, RCX } from '@vm/x86';
import { pairedRow, type Row, row } from './registry.ts';

const ENTRY = 0x10_0000, IDT = 0x11_0000, VECTOR = 0x51, PORT = 0x60;
const [APIC, EOI, SVR, ICR, LVT_TIMER, INITIAL, DIVIDE] = [0xfee0_0000, 0xb0, 0xf0, 0x300, 0x320, 0x380, 0x3e0];
const TO_SELF = 0x4_4000 | VECTOR;
const TICK_NANOS = 20_000;
const apic = (register: number) => mem(4, { base: RBX, displacement: register });

interface Source {
  readonly name: string;
  /** What a round does before it halts. */
  write(code: Assembler): void;
}
const SOURCES: readonly Source[] = [
  { name: 'an interrupt that a guest sends itself', write: (code) => void code.mov(apic(ICR), TO_SELF) },
  { name: `a timer of ${TICK_NANOS / 1000} us that a guest halts for`, write: (code) => void code.mov(apic(INITIAL), TICK_NANOS) },
];

export async function interruptRows(quick: boolean): Promise<Row[]> {
  const runs = quick ? 3 : 15;
  const rounds = quick ? 100 : 1000;
  const rows: Row[] = [];
  for (const source of SOURCES) {
    for (const threads of [false, true]) {
      const [model, kernel] = [[] as Run[], [] as Run[]];
      for (let i = 0; i <= runs; i++) {
        model.push(await run(source, 'model', threads, rounds));
        kernel.push(await run(source, 'kernel', threads, rounds));
      }
      model.shift(); // V8 compiles
      kernel.shift();
      const name = `${source.name}, ${threads ? 'in a thread' : 'in the machine\'s thread'}`;
      rows.push(
        row(`${name}: exits, chip of the kernel`, 'an interrupt', 1, kernel.at(-1)!.exits, { name: 'model', value: model.at(-1)!.exits }),
        pairedRow(`${name}: time, chip of the kernel`, 'ns', kernel.map(({ nanos }) => nanos), model.map(({ nanos }) => nanos), 'model'),
      );
    }
  }
  return rows;
}

interface Run { readonly nanos: number; readonly exits: number } // an interrupt

async function run(source: Source, interruptChip: InterruptChipKind, threads: boolean, rounds: number): Promise<Run> {
  const code = createAssembler(64, { origin: ENTRY }).mov(r32(RBX), APIC | 0).mov(r32(RAX), 0x1ff).mov(apic(SVR), r32(RAX)).mov(apic(DIVIDE), 0xb).mov(apic(LVT_TIMER), VECTOR).lidt(mem(0, { label: 'table' }));
  code.out(PORT, r8(RAX)).mov(r32(RCX), rounds).label('round').cli();
  source.write(code);
  code.sti().hlt().dec(r32(RCX)).jcc(CONDITION_NE, 'round').out(PORT, r8(RAX)).label('rest').hlt().jmp('rest');
  code.label('handler').mov(apic(EOI), 0).size(8).iret().align(8).label('table').data(0xff, 0x0f).dataAddress('table at', 8).label('table at');
  const bytes = code.bytes();
  new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(code.offsetOf('table')! + 2, BigInt(IDT), true);
  const handler = ENTRY + code.offsetOf('handler')!;
  const marks: (readonly [milliseconds: number, exits: number])[] = [];
  const late: { vcpu: KvmVcpu | null; end: () => void } = { vcpu: null, end: () => undefined };
  const ended = new Promise<void>((resolve) => (late.end = resolve));
  const marked: DeviceModule<void, 'pio'> = {
    manifest: { abi: 1, id: 'bench.mark', version: '0.0.0', state: 0, needs: ['pio'] },
    create: ({ pio }) => {
      pio.claim('mark', 1, { read: () => 0, write: () => {
        marks.push([performance.now(), exitsOf(late.vcpu!)]);
        if (marks.length === 2) late.end();
      } }, [1]).map(PORT);
      return {};
    },
  };
  const cpuModel = 'x86-64-v1';
  await using machine = await createMachine<KvmVcpu>({
    engine: kvmEngine({ cpuModel, cpuWithout: kvmLacks({ cpuModel }), threads, interruptChip }), ramBytes: 2 << 20, interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [device('mark', marked)],
    load: ({ memory, vcpu }) => {
      memory.copyIn(ENTRY, bytes);
      memory.copyIn(IDT + VECTOR * 16, new Uint8Array(new Uint32Array([(0x10 << 16) | (handler & 0xffff), (handler & 0xffff_0000) | 0x8e00, 0, 0]).buffer));
      vcpu.loadBootState(prepareEntry(memory, { bits: 64, rip: ENTRY }));
    },
  });
  late.vcpu = machine.vcpu;
  await machine.powerUp();
  await ended;
  const [[begin, before], [end, after]] = marks as [readonly [number, number], readonly [number, number]];
  return { nanos: ((end - begin) * 1e6) / rounds, exits: (after - before - 1) / rounds };
}

function exitsOf(vcpu: KvmVcpu): number {
  let sum = 0;
  for (const [name, count] of vcpu.counts()) if (name.startsWith('exits.')) sum += count;
  return sum;
}
