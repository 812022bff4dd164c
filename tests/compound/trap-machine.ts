import { createHash } from 'node:crypto';
import { createMachine, device, type InterruptFabric, type Machine } from '@vm/core';
import { EXIT_HALT } from '@vm/core/exit';
import { prepareEntry } from '@vm/pc';
import type { CompoundOptions } from '@vm/trap-compound';
import { type TranslatorMode, wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';
import { type Board, PLAIN_PORTS, PORTS, summing, WINDOW } from './queued-device.ts';
import { DATA, DEBUG_HANDLER, debugHandler, ENTRY, FAULT_HANDLER, faultHandler, GATES, INTERRUPT_HANDLER, interruptHandler, VECTOR } from './random-traps.ts';

const CODE_SELECTOR = 0x10;
const MOST_INSTRUCTIONS = 200_000;

/** All that a program and its devices have seen of a run. */
export interface SeenRun {
  readonly trace: readonly string[];
  readonly retired: number;
  readonly registers: string;
  readonly memory: string;
  readonly interrupts: number;
  readonly ended: boolean;
}

/** A processor, two devices and an interrupt line, all under the virtual clock. */
export class TrapMachine implements AsyncDisposable {
  readonly machine: Machine<WasmVcpu>;
  readonly #bits: 32 | 64;
  readonly #board: { trace: string[]; pending: boolean };

  private constructor(machine: Machine<WasmVcpu>, bits: 32 | 64, board: { trace: string[]; pending: boolean }) {
    this.machine = machine;
    this.#bits = bits;
    this.#board = board;
  }

  static async create(bits: 32 | 64, compound: CompoundOptions | undefined, translator: TranslatorMode, sharesMemory: boolean): Promise<TrapMachine> {
    const board = { trace: [] as string[], pending: false };
    let signal = (): void => {};
    const wiring: Board = { trace: board.trace, interrupt: () => ((board.pending = true), signal()) };
    const machine = await createMachine<WasmVcpu>({
      engine: wasmEngine({ translator, ...(compound === undefined ? {} : { compound }) }),
      ramBytes: 4 << 20,
      clock: { kind: 'virtual', nanosPerInstruction: 10 },
      interrupts: (services) => ((signal = () => services.signal(0)), oneLine(board)),
      devices: [device('queued', summing('queued', wiring, PORTS, WINDOW, true, sharesMemory)), device('plain', summing('plain', wiring, PLAIN_PORTS, 0, false, true))],
      load: ({ memory }) => void memory.copyIn(ENTRY, Uint8Array.of(0xf4)),
    });
    await machine.powerUp();
    await machine.pause();
    return new TrapMachine(machine, bits, board);
  }

  /** In runs of the lengths that `slice` gives, to the end. */
  run(program: Uint8Array, slice: () => number): SeenRun {
    const { memory, vcpu, clock } = this.machine;
    const { trace } = this.#board;
    trace.length = 0;
    this.#board.pending = false;
    memory.copyIn(ENTRY, program);
    memory.copyIn(INTERRUPT_HANDLER, interruptHandler(this.#bits));
    memory.copyIn(FAULT_HANDLER, faultHandler(this.#bits));
    memory.copyIn(DEBUG_HANDLER, debugHandler(this.#bits));
    memory.writeWindow(DATA, 0x1_0000)!.fill(0x5a);
    memory.commit(DATA, 0x1_0000);
    this.#writeGate(VECTOR, INTERRUPT_HANDLER);
    this.#writeGate(0, FAULT_HANDLER);
    this.#writeGate(1, DEBUG_HANDLER);
    vcpu.loadBootState({ ...prepareEntry(memory, { bits: this.#bits, rip: ENTRY }), idt: { base: GATES, limit: 0xfff } });
    const begin = vcpu.retired;
    const since = clock.now();
    let ended = false;
    // What the machine's own loop does, but for the host.
    const time = clock as unknown as { fireDue(): void; nextDue: number; thaw(): void; freeze(): void };
    time.thaw();
    while (!ended && vcpu.retired - begin < MOST_INSTRUCTIONS) {
      time.fireDue();
      const due = Math.max(1, Math.ceil((time.nextDue - clock.now()) / 10));
      ended = vcpu.run(Math.min(due, slice())) === EXIT_HALT;
    }
    time.freeze();
    const { state } = vcpu;
    const registers = createHash('sha256').update(state.u8.subarray(state.at, state.at + 0x80)).update(`${state.get(0xe8)} ${vcpu.flags.other() & 0x200}`);
    return {
      trace: trace.map((one) => one.replace(/ (\d+) /, (_all, at: string) => ` ${Number(at) - since} `)), retired: vcpu.retired - begin, registers: registers.digest('hex'),
      memory: createHash('sha256').update(memory.readWindow(DATA, 0x1_0000)!).digest('hex'), interrupts: vcpu.interrupts, ended,
    };
  }

  #writeGate(vector: number, offset: number): void {
    const { memory } = this.machine;
    const at = GATES + vector * (this.#bits === 64 ? 16 : 8);
    memory.write(at, 4, ((CODE_SELECTOR << 16) | (offset & 0xffff)) >>> 0);
    memory.write(at + 4, 4, ((offset & 0xffff_0000) | 0x8e00) >>> 0);
    if (this.#bits !== 64) return;
    memory.write(at + 8, 4, 0);
    memory.write(at + 12, 4, 0);
  }

  [Symbol.asyncDispose](): Promise<void> { return this.machine[Symbol.asyncDispose](); }
}

function oneLine(board: { pending: boolean }): InterruptFabric {
  return {
    port: () => ({
      isPending: () => board.pending, acknowledge: () => ((board.pending = false), VECTOR), window: () => -1, readRegister: () => 0, writeRegister: () => undefined,
      readModelRegister: () => false, low: 0, high: 0, writeModelRegister: () => false, priority: 0,
    }),
    message: () => undefined, external: () => undefined, reset: () => undefined,
  };
}
