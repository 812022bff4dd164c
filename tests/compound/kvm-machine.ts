import { createHash } from 'node:crypto';
import { createMachine, device, type DeviceModule, type InterruptFabric, type Machine, type Size } from '@vm/core';
import type { AccessQueue } from '@vm/core/engine';
import { EXIT_BUDGET, EXIT_HALT } from '@vm/core/exit';
import { prepareEntry } from '@vm/pc';
import type { CompoundOptions } from '@vm/trap-compound';
import { kvmEngine, type KvmEngineOptions, type KvmVcpu } from '@vm/vcpu-kvm';
import { lentEngine } from '@vm/vcpu-wasm';
import type { EntryState } from '@vm/x86';
import { PLAIN_PORTS, PORTS, WINDOW } from './queued-device.ts';
import { DATA, ENTRY, FAULT_HANDLER, GATES, INTERRUPT_HANDLER, VECTOR } from './random-traps.ts';

/** Modes that KVM has on every host where it has any. */
export type KvmMode = 'real' | 'protected' | 'long';
/** Below the first 64 KiB, for real mode. */
export const REAL = { entry: 0x8000, data: 0x4000, interrupt: 0x7000, fault: 0x7100 } as const;
const CODE_SELECTOR = 0x10;
const RUNS = 4000;

export interface SeenUnderKvm {
  readonly trace: readonly string[];
  readonly registers: string;
  readonly memory: string;
  readonly ended: boolean;
}
interface Sight { readonly trace: string[]; pending: boolean; signal(): void }

/** A processor of KVM and two devices whose every answer depends on all that was done before; with blocks behind exits, or without. */
export class KvmTrapMachine implements AsyncDisposable {
  readonly machine: Machine<KvmVcpu>;
  readonly #board: Sight;

  private constructor(machine: Machine<KvmVcpu>, board: Sight) {
    this.machine = machine;
    this.#board = board;
  }

  /** `lists`: one of the devices takes accesses in lists, as one in a worker does. */
  static async create(processor: KvmEngineOptions, compound: CompoundOptions | null, lists: boolean = false): Promise<KvmTrapMachine> {
    const board: Sight = { trace: [], pending: false, signal: () => undefined };
    const machine = await createMachine<KvmVcpu>({
      engine: kvmEngine({ ...processor, ...(compound === null ? {} : { lent: lentEngine({ ...processor, compound }) }) }),
      ramBytes: 4 << 20,
      interrupts: (services) => ((board.signal = () => services.signal(0)), oneLine(board)),
      devices: [device('queued', chaining('queued', board, PORTS, WINDOW, lists)), device('plain', chaining('plain', board, PLAIN_PORTS, 0, false))],
      load: ({ memory }) => void memory.copyIn(ENTRY, Uint8Array.of(0xf4)),
    });
    await machine.powerUp();
    await machine.pause();
    return new KvmTrapMachine(machine, board);
  }

  /** Of the 2 MiB pages that long mode begins with, guest-physical. */
  directory(): number {
    const { memory } = this.machine;
    let table = prepareEntry(memory, { bits: 64, rip: ENTRY }).cr3;
    for (let level = 0; level < 2; level++) table = memory.read(table, 4) & ~0xfff;
    return table;
  }

  get blocks(): number { return new Map(this.machine.vcpu.counts()).get('compound.blocks') ?? 0; }
  get takenBack(): number { return new Map(this.machine.vcpu.counts()).get('compound.takenBack') ?? 0; }

  /** To the first HLT, in runs of so many instructions; `between` them. */
  run(program: Uint8Array, mode: KvmMode, handlers: { readonly interrupt: Uint8Array; readonly fault: Uint8Array }, instructions: number, between: (vcpu: KvmVcpu) => void = () => undefined): SeenUnderKvm {
    const { memory, vcpu } = this.machine;
    const { trace } = this.#board;
    trace.length = 0;
    this.#board.pending = false;
    const isReal = mode === 'real';
    const [entry, data, interrupt, fault] = isReal ? [REAL.entry, REAL.data, REAL.interrupt, REAL.fault] : [ENTRY, DATA, INTERRUPT_HANDLER, FAULT_HANDLER];
    const dataBytes = isReal ? 0x2000 : 0x1_0000;
    memory.copyIn(entry, program);
    memory.copyIn(interrupt, handlers.interrupt);
    memory.copyIn(fault, handlers.fault);
    memory.copyIn(data, new Uint8Array(dataBytes).fill(0x5a));
    this.#writeGate(mode, VECTOR, interrupt);
    this.#writeGate(mode, 0, fault);
    vcpu.loadBootState(isReal ? realEntry(entry) : { ...prepareEntry(memory, { bits: mode === 'long' ? 64 : 32, rip: ENTRY }), idt: { base: GATES, limit: 0xfff } });
    let ended = false;
    for (let i = 0; i < RUNS && !ended; i++) {
      const exit = vcpu.run(instructions);
      ended = exit === EXIT_HALT;
      between(vcpu);
      if (!ended && exit !== EXIT_BUDGET) throw new Error(`exit ${exit}`);
    }
    const { rows, wide, rflags } = vcpu.inspect();
    const seen = new Uint8Array(dataBytes);
    memory.copyOut(data, seen);
    return {
      trace: [...trace], ended, registers: `${Buffer.from(rows.general).toString('hex')} ${wide.rip.toString(16)} ${(rflags & ~FLAGS_OF_NOBODY).toString(16)}`,
      memory: createHash('sha256').update(seen).digest('hex'),
    };
  }

  #writeGate(mode: KvmMode, vector: number, offset: number): void {
    const { memory } = this.machine;
    if (mode === 'real') return void memory.write(vector * 4, 4, offset);
    const at = GATES + vector * (mode === 'long' ? 16 : 8);
    memory.write(at, 4, ((CODE_SELECTOR << 16) | (offset & 0xffff)) >>> 0);
    memory.write(at + 4, 4, ((offset & 0xffff_0000) | 0x8e00) >>> 0);
    if (mode !== 'long') return;
    memory.write(at + 8, 4, 0);
    memory.write(at + 12, 4, 0);
  }

  [Symbol.asyncDispose](): Promise<void> { return this.machine[Symbol.asyncDispose](); }
}

/** RF is of the last fault alone. */
const FLAGS_OF_NOBODY = 0x1_0000;

function realEntry(rip: number): EntryState {
  const segment = (attributes: number) => ({ selector: 0, base: 0, limit: 0xffff, attributes });
  return {
    rip, rflags: 2, rax: 0, rbx: 0, rsi: 0, rsp: 0x3ff0, cs: segment(0x9b00), data: segment(0x9300), tr: segment(0x8b00), ldtr: { selector: 0, base: 0, limit: 0, attributes: 0 },
    gdt: { base: 0, limit: 0 }, idt: { base: 0, limit: 0x3ff }, cr0: 0x10, cr3: 0, cr4: 0, efer: 0,
  };
}

/** Remembers all that was done to it, and answers by that; an odd value in register 4 raises the line. The time is not part of it. */
function chaining(name: string, board: Sight, ports: number, window: number, lists: boolean): DeviceModule<void, 'pio' | 'mmio'> {
  return {
    manifest: { abi: 1, id: `test.${name}`, version: '0.0.0', state: 0, needs: ['pio', 'mmio'] },
    create: ({ pio, mmio }) => {
      const access = (isWrite: boolean, offset: number, size: number, value: number): number => {
        const register = offset % 8;
        let sum = 0;
        for (const part of [board.trace.length, isWrite ? 1 : 0, register, size, value]) sum = (Math.imul(sum ^ part, 0x0100_0193) + 0x9e37) >>> 0;
        const answer = size === 4 ? sum : sum & (size === 2 ? 0xffff : 0xff);
        board.trace.push(`${name} ${isWrite ? 'write' : 'read'} ${register} ${size} ${isWrite ? value : answer}`);
        if (isWrite && register === 4 && value % 2 === 1) {
          board.pending = true;
          board.signal();
        }
        return answer;
      };
      const list: { offset: number; size: Size; isWrite: boolean; value: number }[] = [];
      let told = false;
      const queue: AccessQueue = {
        most: 16, sharesMemory: false,
        get told() { return told; },
        run: (count) => {
          const before = board.pending;
          for (let i = 0; i < count; i++) {
            const one = list[i]!;
            one.value = access(one.isWrite, one.offset, one.size, one.value);
            told = board.pending && !before;
            if (told) return i + 1;
          }
          return count;
        },
        result: (index) => list[index]!.value,
      };
      const taking = lists ? { queue, enqueue: (index: number, offset: number, size: Size, isWrite: boolean, value: number) => void (list[index] = { offset, size, isWrite, value }) } : {};
      const handler = { ...taking, read: (offset: number, size: number) => access(false, offset, size, 0), write: (offset: number, size: number, value: number) => void access(true, offset, size, value) };
      pio.claim('ports', 8, handler).map(ports);
      if (window > 0) mmio.claim('window', 4096, handler).map(window);
      return {};
    },
  };
}

function oneLine(board: Sight): InterruptFabric {
  return {
    port: () => ({
      isPending: () => board.pending, acknowledge: () => ((board.pending = false), VECTOR), window: () => -1, readRegister: () => 0, writeRegister: () => undefined,
      readModelRegister: () => false, low: 0, high: 0, writeModelRegister: () => false, priority: 0,
    }),
    message: () => undefined, external: () => undefined, reset: () => undefined,
  };
}
