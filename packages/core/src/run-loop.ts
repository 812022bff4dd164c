import type { LogLevel, Nanos } from './abi.ts';
import { type ClockKind, MachineClock } from './clock.ts';
import { EXIT_BUDGET, EXIT_HALT, EXIT_POLL, EXIT_REQUEST, EXIT_SHUTDOWN } from './exit.ts';
import type { HostPort } from './host-port.ts';
import type { Runner } from './processor-turns.ts';

/** Why a machine came to a stop by itself. */
export type StopReason = 'aborted' | 'failed' | 'faulted' | 'power-off' | 'reset' | 'shutdown';

const SLICE_NANOS = 1e6; // between two looks at the host's events
const SHORTEST_SLEEP_NANOS = 1e6; // the host's timers cannot do less; for shorter waits the thread rests
const LONGEST_SLEEP_NANOS = 60e9;
const FIRST_RATE = 0.02; // instructions a nanosecond, until measured
const MOST_RATE = 4; // a coarse clock of the host must not make slices endless
const SHORT_POLLS = 100; // looks at the host's events before the thread sleeps between them
const LEAST_BUDGET = 256; // instructions, where real time decides: less would be lost in the calls around them

/** Runs the processors in slices: timers fire between runs of instructions, the host's events are served between slices. */
export class RunLoop {
  readonly clock: MachineClock;
  #vcpu: Runner | null = null;
  #slices = 0;
  #busy = 0;
  #halts = 0;
  #polls = 0; // in a row
  #rate = FIRST_RATE;
  #started = false;
  #inSlice = false;
  #inRun = false;
  #scheduled = false; // a call of #turn is on its way
  #asleep = false;
  #alarm: unknown = null; // host timer that ends the sleep
  #stopping = false;
  #yielding = false;
  #reason: StopReason | null = null;
  readonly #parked: (() => void)[] = [];
  readonly #host: HostPort;
  readonly #nanosPerInstruction: number; // 0: real time
  readonly #onStop: (reason: StopReason) => void;
  readonly #log: (level: LogLevel, text: string) => void;
  readonly #turn = (): void => this.#slice();

  constructor(host: HostPort, kind: ClockKind, onStop: (reason: StopReason) => void, log: (level: LogLevel, text: string) => void) {
    this.#host = host;
    this.#nanosPerInstruction = kind.kind === 'virtual' ? kind.nanosPerInstruction : 0;
    this.#onStop = onStop;
    this.#log = log;
    // Whole nanoseconds keep all sums below exact, and so the same on every host.
    if (kind.kind === 'virtual' && !(Number.isInteger(kind.nanosPerInstruction) && kind.nanosPerInstruction > 0)) {
      throw new RangeError(`nanosPerInstruction: expected a positive integer, got ${kind.nanosPerInstruction}`);
    }
    this.clock = new MachineClock(() => this.#source(), (due) => this.#expectTimer(due));
  }

  get slices(): number { return this.#slices; }

  /** Real time spent in slices, in nanoseconds. */
  get busy(): Nanos { return this.#busy; }

  /** The processor runs, or is about to. */
  get started(): boolean { return this.#started; }

  get halts(): number { return this.#halts; }

  attach(vcpu: Runner): void { this.#vcpu = vcpu; }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#stopping = false;
    this.#reason = null;
    this.clock.thaw();
    this.#schedule();
  }

  /** Resolves when the processor is parked: at once, except when called by a device in the middle of an instruction. */
  park(): Promise<void> {
    const parked = new Promise<void>((resolve) => this.#parked.push(resolve));
    this.#leave();
    return parked;
  }

  /** Parks, and says why. The first reason counts. */
  stop(reason: StopReason): void {
    if (!this.#started) return;
    this.#reason ??= reason;
    this.#leave();
  }

  /** Ends the present slice after the present instruction: whoever waits for the host's events is served before the next one. */
  yield(): void {
    this.#yielding = true;
    if (this.#inRun) this.#vcpu!.stopAfter(0);
  }

  /** Something may have become pending. */
  wake(): void {
    if (!this.#asleep) return;
    this.#asleep = false;
    this.#host.cancel(this.#alarm);
    this.#schedule();
  }

  #source(): Nanos {
    return this.#nanosPerInstruction === 0 ? this.#host.now() : this.#vcpu === null ? 0 : this.#vcpu.retired * this.#nanosPerInstruction;
  }

  #slice(): void {
    this.#scheduled = false;
    if (!this.#started) return;
    this.#asleep = false;
    this.#yielding = false;
    this.#inSlice = true;
    this.#slices++;
    const vcpu = this.#vcpu!;
    const begin = this.#host.now();
    const retired = vcpu.retired;
    let wait = 0;
    try {
      do {
        this.clock.fireDue();
        if (!this.#stopping && !this.#yielding) wait = this.#run(vcpu);
      } while (wait === 0 && !this.#stopping && !this.#yielding && this.#host.now() - begin < SLICE_NANOS);
    } catch (error) {
      this.#log('warn', `the machine cannot go on: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      this.stop('failed');
    }
    this.#inRun = false;
    this.#inSlice = false;
    this.#measure(this.#polls > 0 ? 0 : vcpu.retired - retired, this.#host.now() - begin);
    if (this.#stopping) this.#finish();
    else if (wait >= SHORTEST_SLEEP_NANOS && !this.#yielding) this.#sleep(wait);
    else {
      if (wait > 0 && !this.#yielding) this.#host.rest?.(wait);
      this.#schedule();
    }
  }

  /** Returns how long there is nothing to do. HOT. */
  #run(vcpu: Runner): Nanos {
    const budget = this.#budget();
    this.#inRun = true;
    const exit = vcpu.run(budget);
    this.#inRun = false;
    if (exit === EXIT_POLL && this.#nanosPerInstruction === 0) return this.#poll();
    this.#polls = 0;
    if (exit === EXIT_BUDGET || exit === EXIT_REQUEST || exit === EXIT_POLL) return 0;
    if (exit === EXIT_HALT) return this.#idle();
    this.stop(exit === EXIT_SHUTDOWN ? 'shutdown' : 'failed');
    return 0;
  }

  /** Instructions until the next timer, and not many more than fit a slice. */
  #budget(): number {
    const most = Math.max(LEAST_BUDGET, Math.floor(this.#rate * SLICE_NANOS));
    const gap = this.clock.nextDue - this.clock.now();
    return gap === Infinity ? most : Math.min(most, this.#instructionsIn(gap));
  }

  #instructionsIn(gap: Nanos): number {
    if (this.#nanosPerInstruction > 0) return Math.max(1, Math.ceil(gap / this.#nanosPerInstruction));
    return Math.max(LEAST_BUDGET, Math.ceil(gap * this.#rate));
  }

  /** The processor waits. Virtual time goes straight to the next timer; real time has to be waited for. */
  #idle(): Nanos {
    this.#halts++;
    const gap = this.clock.nextDue - this.clock.now();
    if (gap <= 0) return 0;
    if (this.#nanosPerInstruction === 0 || gap === Infinity) return gap;
    this.clock.skip(Math.ceil(gap));
    return 0;
  }

  /** The processor asks a device again and again. What it waits for may come without a signal to it: the host's events are served, soon first, then in the host's own time. */
  #poll(): Nanos {
    const gap = Math.min(SHORTEST_SLEEP_NANOS, this.clock.nextDue - this.clock.now());
    if (++this.#polls > SHORT_POLLS && gap > 0) return gap;
    this.#yielding = true;
    return 0;
  }

  /** A device armed a timer that is due before all others. */
  #expectTimer(due: Nanos): void {
    if (this.#inRun) {
      const gap = due - this.clock.now();
      this.#vcpu!.stopAfter(gap <= 0 ? 0 : this.#instructionsIn(gap));
    } else this.wake();
  }

  #measure(instructions: number, nanos: Nanos): void {
    this.#busy += nanos;
    if (instructions >= LEAST_BUDGET && nanos > 0) this.#rate += 0.25 * (Math.min(instructions / nanos, MOST_RATE) - this.#rate);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#host.soon(this.#turn);
  }

  #sleep(nanos: Nanos): void {
    this.#asleep = true;
    if (nanos !== Infinity) this.#alarm = this.#host.later(Math.min(nanos, LONGEST_SLEEP_NANOS), this.#turn);
  }

  #leave(): void {
    this.#stopping = true;
    if (this.#inRun) this.#vcpu!.stopAfter(0);
    if (!this.#inSlice) this.#finish();
  }

  #finish(): void {
    if (this.#asleep) this.#host.cancel(this.#alarm);
    this.#asleep = false;
    this.#inSlice = true; // what a device is asked on the way out may stop the machine too
    if (this.#started) this.#vcpu?.park?.();
    this.#inSlice = false;
    if (this.#started) this.clock.freeze();
    this.#started = false;
    this.#stopping = false;
    const reason = this.#reason;
    this.#reason = null;
    for (const resolve of this.#parked.splice(0)) resolve();
    if (reason !== null) this.#onStop(reason);
  }
}
