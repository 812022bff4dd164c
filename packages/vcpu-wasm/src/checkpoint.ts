/** What takes a processor back to where it stood: its state, and the old bytes of its stores since. */
import * as state from './cpu-state.ts';
import type { StateView } from './state-view.ts';

/** All that instructions of a block change lies before. */
export const CHECKPOINT_BYTES: number = state.MTRR_END;
const MOST_STORES = 1024;
const WIDEST_STORE = 16;

export class Checkpoint {
  /** Instructions retired then. */
  retired = 0;
  #stores = 0;
  readonly #places = new Uint32Array(MOST_STORES);
  readonly #lengths = new Uint8Array(MOST_STORES);
  readonly #old = new Uint8Array(MOST_STORES * WIDEST_STORE);
  readonly #saved = new Uint8Array(CHECKPOINT_BYTES);
  readonly #view: DataView = new DataView(this.#saved.buffer);
  readonly #s: StateView;

  constructor(s: StateView) { this.#s = s; }

  take(retired: number): void {
    const { u8, at } = this.#s;
    this.#saved.set(u8.subarray(at, at + CHECKPOINT_BYTES));
    this.retired = retired;
    this.#stores = 0;
  }
  word(offset: number): number { return this.#view.getUint32(offset, true); }

  get hasStores(): boolean { return this.#stores > 0; }
  get isFull(): boolean { return this.#stores === MOST_STORES; }

  /** Stores `bytes` from offset `from` of the linear memory to `to`. False: they were there already. */
  store(to: number, from: number, bytes: number): boolean {
    const { u8 } = this.#s;
    const i = this.#stores++;
    this.#places[i] = to;
    this.#lengths[i] = bytes;
    let changes = false;
    for (let at = 0; at < bytes; at++) {
      const old = u8[to + at]!;
      this.#old[i * WIDEST_STORE + at] = old;
      changes ||= old !== u8[from + at];
    }
    u8.copyWithin(to, from, from + bytes);
    return changes;
  }

  /** The processor is where it was, but for its budget. */
  restore(): void {
    const { u8, at } = this.#s;
    for (let i = this.#stores - 1; i >= 0; i--) u8.set(this.#old.subarray(i * WIDEST_STORE, i * WIDEST_STORE + this.#lengths[i]!), this.#places[i]!);
    u8.set(this.#saved, at);
    this.#stores = 0;
  }
}
