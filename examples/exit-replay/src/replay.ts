/** Gives the exits of a trace to trap compounding. There is no guest and no device: how far apart the exits are is what the trace says. */
import type { Size } from '@vm/core';
import type { AccessQueue, IoBus } from '@vm/core/engine';
import { type CompoundOptions, ENDED_BUDGET, ENDED_COUNT, ENDED_TRAP, type Ending, type Executor, TrapCompound } from '@vm/trap-compound';
import type { Exit } from './trace.ts';

/** In units of an exit. */
const WEIGHTS = { handoff: 200, block: 8, trap: 2, between: 0.25 };
/** Devices that would be elsewhere, by their ports; all memory is one more. */
const DEVICES: readonly (readonly [first: number, last: number])[] = [[0x40, 0x43], [0x60, 0x64], [0x70, 0x71], [0x1f0, 0x1f7], [0x2f8, 0x2ff], [0x3f8, 0x3ff], [0xcf8, 0xcff]];
const LONGEST_LIST = 64;

export interface ReplayResult {
  readonly exits: number;
  readonly spared: number;
  readonly blocks: number;
  /** Instructions that blocks did and that would not have trapped. */
  readonly between: number;
  /** Accesses to devices that are elsewhere, and the hand-overs that they took. */
  readonly accesses: number;
  readonly handoffs: number;
}

export function replay(trace: readonly Exit[], options: CompoundOptions): ReplayResult {
  const compound = new TrapCompound(options, WEIGHTS);
  const player = new TracePlayer(trace, compound);
  while (!player.isAtEnd) {
    const key = player.step();
    const limits = compound.trapped(key);
    if (limits === null) player.handOver();
    else compound.finish(key, limits, player);
  }
  player.handOver();
  const { traps, spared, blocks, between, list } = compound;
  return { exits: traps, spared, blocks, between, accesses: list.accesses, handoffs: list.lists };
}

class TracePlayer implements Executor {
  done = 0;
  trapped = false;
  #at = 0;
  #walked = 0; // instructions since the last exit
  readonly #trace: readonly Exit[];
  readonly #compound: TrapCompound;
  readonly #queues = new Map<string, AccessQueue>();
  readonly #bus: IoBus = { read: () => 0, write: () => undefined, readWide: () => undefined, writeWide: () => undefined, enqueue: () => undefined };

  constructor(trace: readonly Exit[], compound: TrapCompound) {
    this.#trace = trace;
    this.#compound = compound;
  }

  get isAtEnd(): boolean { return this.#at === this.#trace.length; }

  /** The next exit; instructions that access the same register stand for one. */
  step(): number {
    const exit = this.#trace[this.#at++]!;
    this.#walked = 0;
    this.#access(exit);
    return (exit.address * 2 + (exit.isWrite ? 1 : 0)) >>> 0;
  }

  begin(): void { this.#walked = 0; }

  run(most: number): Ending {
    this.done = 0;
    this.trapped = false;
    if (this.isAtEnd) return ENDED_BUDGET;
    const left = this.#trace[this.#at]!.distance - this.#walked;
    if (left > most) {
      this.#walked += most;
      this.done = most;
      return ENDED_COUNT;
    }
    this.done = Math.max(1, left);
    this.trapped = true;
    this.step();
    return ENDED_TRAP;
  }

  end(): boolean {
    this.handOver();
    return true;
  }

  handOver(): void {
    const { list } = this.#compound;
    list.flush(0);
    list.commit();
  }

  #access({ isWrite, isPort, address, bytes }: Exit): void {
    const { list, handoff } = this.#compound;
    const name = isPort ? DEVICES.findIndex(([first, last]) => address >= first && address <= last) : DEVICES.length;
    if (name < 0) return this.handOver();
    const queue = this.#queueOf(String(name));
    if (!list.takes(queue)) this.handOver();
    list.put(this.#bus, queue, isWrite, address, bytes satisfies Size, 0, 0);
    if (!isWrite || handoff === 'each') this.handOver();
  }
  #queueOf(name: string): AccessQueue {
    const queue = this.#queues.get(name) ?? { most: LONGEST_LIST, sharesMemory: false, told: false, run: (count: number) => count, result: () => 0 };
    this.#queues.set(name, queue);
    return queue;
  }
}
