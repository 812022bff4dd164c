import type { Size } from '@vm/core';
import type { AccessQueue, IoBus } from '@vm/core/engine';

/** Accesses that a list has room for. */
export const MOST_ACCESSES = 64;

/**
 * Accesses of a block, in program order: those that were made since the processor could last be taken back to where it stood, and behind
 * them those that are still to be handed over, all to one device. When the device stops early, those that are done are answers for
 * instructions that are done again.
 */
export class HandoffList {
  #count = 0;
  #made = 0;
  #answered = 0; // by `answer`, or never to be asked for
  #queue: AccessQueue | null = null;
  readonly #most: number;
  readonly #isWrite = new Uint8Array(MOST_ACCESSES);
  readonly #addresses = new Float64Array(MOST_ACCESSES);
  readonly #sizes = new Uint8Array(MOST_ACCESSES);
  readonly #values = new Float64Array(MOST_ACCESSES);
  /** The last access of the last list did more than answer: what comes behind it may be otherwise. */
  told = false;
  lists = 0;
  accesses = 0;

  constructor(most: number = MOST_ACCESSES) { this.#most = most; }

  /** Hand-overs that were spared so far. */
  get spared(): number { return this.accesses - this.lists; }
  /** Nothing is in it: neither accesses that wait nor answers. */
  get isEmpty(): boolean { return this.#count === 0; }
  /** Accesses that wait to be handed over. */
  get waiting(): number { return this.#count - this.#made; }
  /** Those that wait are for a device that may look at RAM. */
  get isForMemory(): boolean { return this.waiting > 0 && this.#queue!.sharesMemory; }
  /** An access may be put behind those that wait. */
  takes(queue: AccessQueue): boolean { return this.waiting === 0 ? this.#count < this.#most : this.#queue === queue && this.#count < Math.min(this.#most, queue.most); }
  /** As many as a list to `queue` may have. */
  mostOf(queue: AccessQueue): number { return Math.min(this.#most, queue.most); }

  /** Puts an access behind those that wait; `takes` has said that it may. */
  put(bus: IoBus, queue: AccessQueue, isWrite: boolean, address: number, size: Size, value: number, now: number): void {
    this.#queue = queue;
    bus.enqueue!(this.waiting, address, size, isWrite, value, now);
    this.#note(isWrite, address, size, value);
  }

  /** An access that was made by itself. */
  noteMade(isWrite: boolean, address: number, size: Size, value: number): void {
    this.#note(isWrite, address, size, value);
    this.#made = this.#count;
  }

  /** Hands over what waits; `now`: as far as the processor has come. False: the device stopped before the last of them; those that are not done are forgotten. */
  flush(now: number): boolean {
    const { waiting } = this;
    this.told = false;
    if (waiting === 0) return true;
    const queue = this.#queue!;
    const done = queue.run(waiting, now);
    this.lists++;
    this.accesses += done;
    for (let i = 0; i < done; i++) if (this.#isWrite[this.#made + i] === 0) this.#values[this.#made + i] = queue.result(i);
    this.#made += done;
    const stands = this.#made === this.#count;
    this.#count = this.#made;
    this.told = queue.told;
    return stands;
  }

  /** What the newest access has read. */
  get newest(): number { return this.#values[this.#count - 1]!; }

  /** The processor cannot be taken back before this point any more. */
  commit(): void {
    this.#count = 0;
    this.#made = 0;
    this.#answered = 0;
  }

  /** The processor can be taken back to here, which is behind what waits so far: nobody will ask for that again. */
  begin(): void { this.#answered = this.#count; }

  /** Answers that are still to be taken. */
  get answers(): number { return this.#made - this.#answered; }

  /** What an access gave that is done already. Throws when it is not the next of them: the processor did something else than before. */
  answer(isWrite: boolean, address: number, size: Size, value: number): number {
    const at = this.#answered++;
    if ((this.#isWrite[at] === 1) !== isWrite || this.#addresses[at] !== address || this.#sizes[at] !== size || (isWrite && this.#values[at] !== value)) {
      throw new Error(`an access of ${size} at ${address.toString(16)} in place of one of ${this.#sizes[at]!} at ${this.#addresses[at]!.toString(16)}`);
    }
    if (this.#answered === this.#made) {
      const last = this.#values[at]!;
      this.commit();
      return last;
    }
    return this.#values[at]!;
  }

  #note(isWrite: boolean, address: number, size: Size, value: number): void {
    const at = this.#count++;
    this.#isWrite[at] = isWrite ? 1 : 0;
    this.#addresses[at] = address;
    this.#sizes[at] = size;
    this.#values[at] = value;
  }
}
