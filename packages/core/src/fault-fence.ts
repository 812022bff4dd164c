import type { Clock, Controller, Line, Lines, LineSink, Timer } from './abi.ts';
import type { MachineClock } from './clock.ts';

/** What one device can do to the machine by itself: its timers and its lines end when it has failed. */
export class FaultFence {
  tripped = false;
  readonly #lines: Line[] = [];
  readonly #timers: Timer[] = [];
  readonly #report: (where: string, error: unknown) => void;

  /** `report` hears of a failure outside of the registers; it is expected to trip the fence. */
  constructor(report: (where: string, error: unknown) => void) {
    this.#report = report;
  }

  clock(clock: MachineClock): Clock {
    const guard = (fire: (due: number) => void, due: number): void => {
      try {
        if (!this.tripped) fire(due);
      } catch (error) {
        this.#report('timer', error);
      }
    };
    const make = (fire: (due: number) => void): Timer => {
      const timer = clock.timer((due) => guard(fire, due));
      this.#timers.push(timer);
      return timer;
    };
    return { now: () => clock.now(), timer: make };
  }

  /** The inputs of an interrupt controller: whoever raises a line is not to blame for what it does with it. */
  controller({ intr, attach }: Controller): Controller {
    this.#lines.push(intr);
    return { intr: { set: (high) => intr.set(high && !this.tripped) }, attach: (first, pins, sink) => attach(first, pins, this.#guardSink(sink)) };
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

  /** A level that nobody lowers any more would interrupt for ever. False: it has before. */
  trip(): boolean {
    if (this.tripped) return false;
    this.tripped = true;
    for (const line of this.#lines) line.set(false);
    return true;
  }

  /** The device has gone. */
  end(clock: MachineClock): void {
    this.trip();
    for (const timer of this.#timers.splice(0)) clock.drop(timer);
  }

  /** No closure is made when a line moves. */
  #guardSink(sink: LineSink): LineSink {
    const setLine = (pin: number, high: boolean): void => {
      try {
        if (!this.tripped) sink.setLine(pin, high);
      } catch (error) {
        this.#report('input', error);
      }
    };
    const acknowledge = (): number => {
      try {
        return this.tripped ? -1 : sink.acknowledge!();
      } catch (error) {
        this.#report('input', error);
        return -1;
      }
    };
    const endOfInterrupt = (vector: number): void => {
      try {
        if (!this.tripped) sink.endOfInterrupt!(vector);
      } catch (error) {
        this.#report('input', error);
      }
    };
    return { setLine, ...(sink.acknowledge === undefined ? {} : { acknowledge }), ...(sink.endOfInterrupt === undefined ? {} : { endOfInterrupt }) };
  }
}
