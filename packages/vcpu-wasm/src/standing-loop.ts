/**
 * A loop that asks a device and does nothing else: what a turn of it changes is tried, not read out of its instructions. When a turn
 * leaves all that the program has as it was, so does every other one, until a timer, the host or another processor changes something.
 */
import { ENDED_TRAP, type Ending, type Executor, type Limits } from '@vm/trap-compound';
import * as state from './cpu-state.ts';
import type { StateView } from './state-view.ts';

const WORDS = state.MTRR_END / 4;
const COUNTED: readonly number[] = [state.BUDGET / 4, state.BUDGET_HELD / 4];
const MOST_TURNS = 3; // until one leaves everything as it was
/** Of a turn, in instructions. */
export const LONGEST_TURN: Limits = { window: 64, gap: 63 };

export class StandingLoop {
  /** A turn is tried. */
  isTried = false;
  #disturbed = false;
  readonly #before = new Uint32Array(WORDS);
  readonly #now: Uint32Array;
  readonly #s: StateView;

  constructor(s: StateView) {
    this.#s = s;
    this.#now = new Uint32Array(s.u8.buffer, s.at, WORDS);
  }

  /** The turn has changed memory or a device, or has read what may not stay as it is. */
  disturb(): void { this.#disturbed = true; }

  /** Instructions of a turn, by an executor that has begun; 0: it is no such loop. */
  turn(executor: Executor): number {
    this.isTried = true;
    this.#disturbed = false;
    try {
      for (let turns = 0; turns < MOST_TURNS; turns++) {
        this.#before.set(this.#now);
        const rip = this.#s.get(state.RIP);
        let done = 0;
        let ending: Ending;
        do {
          ending = executor.run(LONGEST_TURN.window - done);
          done += executor.done;
        } while (ending === ENDED_TRAP && this.#s.get(state.RIP) !== rip && done < LONGEST_TURN.window);
        if (ending !== ENDED_TRAP || this.#disturbed) return 0;
        if (this.#isBack()) return done;
      }
      return 0;
    } finally {
      this.isTried = false;
    }
  }

  /** Budgets do not count. */
  #isBack(): boolean {
    for (const word of COUNTED) this.#before[word] = this.#now[word]!;
    return this.#before.every((value, word) => value === this.#now[word]);
  }
}
