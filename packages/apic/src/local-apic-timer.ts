import { TIMER_DIVIDE_VALID, TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE } from './spec.ts';

/** What the timer needs of the machine's clock. `core`'s Clock fits. */
export interface ApicClock {
  now(): number;
  timer(fire: (due: number) => void): { arm(due: number): void; disarm(): void };
}

export interface ApicTimerOptions {
  readonly clock: ApicClock;
  readonly expired: () => void;
  /** Input clock before the divider; default 1 GHz. */
  readonly hz?: number;
  /** Rate of the guest's time-stamp counter, which reads 0 at machine time 0; default 1 GHz. */
  readonly tscHz?: number;
  /** Floor of the periodic mode, which would otherwise let a guest keep the host busy; default 50 microseconds. */
  readonly shortestPeriodNs?: number;
}

export interface ApicTimerState {
  readonly mode: number;
  readonly divide: number;
  readonly initial: number;
  readonly due: number;
  readonly deadlineLow: number;
  readonly deadlineHigh: number;
}

/**
 * The timer of a local APIC (SDM vol. 3, 12.5.4): a count that is never counted. The machine time of expiry is kept and
 * the current count is computed when it is read.
 */
export class LocalApicTimer {
  #mode: number = TIMER_ONE_SHOT;
  #divide = 0;
  #initial = 0;
  #due = Infinity;
  #deadlineLow = 0; // of the guest's TSC; all 0 = disarmed
  #deadlineHigh = 0;
  readonly #clock: ApicClock;
  readonly #timer: { arm(due: number): void; disarm(): void };
  readonly #expired: () => void;
  readonly #nsPerTick: number;
  readonly #tscPerNs: number;
  readonly #shortestPeriodNs: number;

  constructor(options: ApicTimerOptions) {
    this.#clock = options.clock;
    this.#expired = options.expired;
    this.#nsPerTick = 1e9 / (options.hz ?? 1e9);
    this.#tscPerNs = (options.tscHz ?? 1e9) / 1e9;
    this.#shortestPeriodNs = options.shortestPeriodNs ?? 50_000;
    this.#timer = options.clock.timer((due) => this.#fire(due));
  }

  reset(): void {
    this.#mode = TIMER_ONE_SHOT;
    this.#divide = 0;
    this.#initial = 0;
    this.#forgetDeadline();
    this.#disarm();
  }

  get divide(): number {
    return this.#divide;
  }

  get initial(): number {
    return this.#initial;
  }

  /** Halves of the armed deadline, 0 when disarmed or in another mode. */
  get deadlineLow(): number {
    return this.#deadlineLow;
  }

  get deadlineHigh(): number {
    return this.#deadlineHigh;
  }

  current(): number {
    if (this.#mode === TIMER_TSC_DEADLINE || this.#due === Infinity) return 0;
    const counts = Math.ceil((this.#due - this.#clock.now()) / this.#nsPerCount());
    return Math.max(0, Math.min(counts, this.#initial));
  }

  setMode(mode: number): void {
    if (mode === this.#mode) return;
    const crossesDeadline = mode >= TIMER_TSC_DEADLINE || this.#mode >= TIMER_TSC_DEADLINE;
    this.#mode = mode;
    if (!crossesDeadline) return; // one-shot and periodic keep counting; an expired one-shot stays expired
    this.#initial = 0;
    this.#forgetDeadline();
    this.#disarm();
  }

  setDivide(value: number): void {
    const counts = this.current();
    this.#divide = value & TIMER_DIVIDE_VALID;
    if (counts > 0) this.#arm(this.#clock.now() + counts * this.#nsPerCount());
  }

  setInitial(value: number): void {
    if (this.#mode >= TIMER_TSC_DEADLINE) return;
    this.#initial = value >>> 0;
    if (value === 0) this.#disarm();
    else this.#arm(this.#clock.now() + this.#initial * this.#nsPerCount());
  }

  /** Zero disarms; a value in the past expires at once. Ignored outside the TSC-deadline mode. */
  setDeadline(low: number, high: number): void {
    if (this.#mode !== TIMER_TSC_DEADLINE) return;
    this.#deadlineLow = low >>> 0;
    this.#deadlineHigh = high >>> 0;
    const tsc = this.#deadlineHigh * 0x1_0000_0000 + this.#deadlineLow; // inexact only where nobody waits for it
    const due = tsc === 0 ? Infinity : tsc / this.#tscPerNs;
    // Not by the clock, which looks for what is due once in a while: before the next instruction.
    if (due <= this.#clock.now()) {
      this.#timer.disarm();
      this.#fire(due);
    } else if (tsc === 0) this.#disarm();
    else this.#arm(due);
  }

  save(): ApicTimerState {
    return { mode: this.#mode, divide: this.#divide, initial: this.#initial, due: this.#due === Infinity ? -1 : this.#due, deadlineLow: this.#deadlineLow, deadlineHigh: this.#deadlineHigh };
  }

  load(state: ApicTimerState): void {
    this.#mode = state.mode & 3;
    this.#divide = state.divide & TIMER_DIVIDE_VALID;
    this.#initial = state.initial >>> 0;
    this.#deadlineLow = state.deadlineLow >>> 0;
    this.#deadlineHigh = state.deadlineHigh >>> 0;
    if (state.due >= 0) this.#arm(state.due);
    else this.#disarm();
  }

  #nsPerCount(): number {
    // Bits 3, 1 and 0 give 2, 4, ... 128 and, all set, 1 (SDM vol. 3, figure 12-10).
    const code = ((this.#divide & 8) >>> 1) | (this.#divide & 3);
    return this.#nsPerTick * (1 << ((code + 1) & 7));
  }

  #arm(due: number): void {
    this.#due = due;
    this.#timer.arm(due);
  }

  #disarm(): void {
    this.#due = Infinity;
    this.#timer.disarm();
  }

  #forgetDeadline(): void {
    this.#deadlineLow = 0;
    this.#deadlineHigh = 0;
  }

  #fire(due: number): void {
    this.#due = Infinity;
    this.#forgetDeadline();
    if (this.#mode === TIMER_PERIODIC && this.#initial > 0) {
      const period = Math.max(this.#initial * this.#nsPerCount(), this.#shortestPeriodNs);
      // Whole periods that passed unseen are skipped: the interrupt would have coalesced, and the phase is kept.
      const behind = Math.max(0, Math.floor((this.#clock.now() - due) / period));
      this.#arm(due + (behind + 1) * period);
    }
    this.#expired();
  }
}
