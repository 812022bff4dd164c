import type { Clock, Line, Lines } from './abi.ts';

/** What one device can do to the machine by itself: its timers and its lines end when it has failed. */
export class FaultFence {
  tripped = false;
  readonly #lines: Line[] = [];
  readonly #report: (where: string, error: unknown) => void;

  /** `report` hears of a failure outside of the registers; it is expected to trip the fence. */
  constructor(report: (where: string, error: unknown) => void) {
    this.#report = report;
  }

  clock(clock: Clock): Clock {
    const guard = (fire: (due: number) => void, due: number): void => {
      try {
        if (!this.tripped) fire(due);
      } catch (error) {
        this.#report('timer', error);
      }
    };
    return { now: () => clock.now(), timer: (fire) => clock.timer((due) => guard(fire, due)) };
  }

  lines(lines: Lines): Lines {
    return {
      connect: (pin) => {
        const line = lines.connect(pin);
        this.#lines.push(line);
        return { set: (high) => line.set(high && !this.tripped) };
      },
    };
  }

  /** A level that nobody lowers any more would interrupt for ever. */
  trip(): void {
    this.tripped = true;
    for (const line of this.#lines) line.set(false);
  }
}
