import type { Clock, Line, Lines } from './abi.ts';

/** What one device can do to the machine by itself: its timers and its lines end when it has failed. */
export class FaultFence {
  #tripped = false;
  readonly #lines: Line[] = [];
  readonly #report: (where: string, error: unknown) => void;

  /** `report` hears of the first failure outside of the registers; it is expected to trip the fence. */
  constructor(report: (where: string, error: unknown) => void) {
    this.#report = report;
  }

  get tripped(): boolean {
    return this.#tripped;
  }

  clock(clock: Clock): Clock {
    return { now: () => clock.now(), timer: (fire) => clock.timer((due) => this.#guard('timer', () => fire(due))) };
  }

  lines(lines: Lines): Lines {
    return {
      connect: (pin) => {
        const line = lines.connect(pin);
        this.#lines.push(line);
        const set = (high: boolean): void => {
          if (!this.#tripped) line.set(high);
        };
        return { set };
      },
    };
  }

  /** A level that nobody lowers any more would interrupt for ever. */
  trip(): void {
    this.#tripped = true;
    for (const line of this.#lines) line.set(false);
  }

  #guard(where: string, work: () => void): void {
    if (this.#tripped) return;
    try {
      work();
    } catch (error) {
      this.#report(where, error);
    }
  }
}
