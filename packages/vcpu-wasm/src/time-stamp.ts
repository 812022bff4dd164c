/** The time-stamp counter: machine time at a constant rate of one tick a nanosecond (SDM vol. 3, section 18.17). */
import * as state from './cpu-state.ts';
import type { StateView } from './state-view.ts';

export const TSC_HZ = 1_000_000_000;
const TWO_32 = 0x1_0000_0000;

export class TimeStamp {
  readonly #state: StateView;
  readonly #now: () => number;
  low = 0;
  high = 0;

  constructor(view: StateView, now: () => number) {
    this.#state = view;
    this.#now = now;
  }
  /** Machine time, which the counter is made of. */
  now(): number { return this.#now(); }
  /** The counter, in `low` and `high`. */
  read(): void {
    const ticks = Math.floor(this.#now());
    const high = Math.floor(ticks / TWO_32); // and no remainder, which takes far longer
    const sum = ticks - high * TWO_32 + this.#state.get(state.TSC_OFFSET);
    this.low = sum >>> 0;
    this.high = (high + this.#state.high(state.TSC_OFFSET) + (sum >= TWO_32 ? 1 : 0)) >>> 0;
  }
  write(low: number, high: number): void {
    this.#state.set64(state.TSC_OFFSET, 0, 0);
    this.read();
    const difference = low - this.low;
    this.#state.set64(state.TSC_OFFSET, difference >>> 0, (high - this.high - (difference < 0 ? 1 : 0)) >>> 0);
  }
}
