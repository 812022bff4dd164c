import type { Clock, Nanos, Timer } from './abi.ts';

/**
 * Where machine time comes from. `host` follows real time. `virtual` counts retired instructions, so that the same inputs
 * give the same run on every host.
 */
export type ClockKind = { readonly kind: 'host' } | { readonly kind: 'virtual'; readonly nanosPerInstruction: number };

const MOST_FIRES = 4096; // per call, so that a timer which re-arms in the past cannot keep the host's events waiting

/** Machine time and the timers of all devices. */
export class MachineClock implements Clock {
  #offset = 0; // machine time minus source time, while running
  #frozenAt = 0; // machine time while not running
  #running = false;
  #fires = 0;
  #next: DeviceTimer | null = null;
  #nextDue: Nanos = Infinity;
  readonly #timers: DeviceTimer[] = [];
  readonly #source: () => Nanos;
  readonly #onEarlier: (due: Nanos) => void;

  /** `onEarlier` hears of a timer that is due before all others. */
  constructor(source: () => Nanos, onEarlier: (due: Nanos) => void) {
    this.#source = source;
    this.#onEarlier = onEarlier;
  }

  /** HOT: the guest's TSC is made from it. */
  now(): Nanos {
    return this.#running ? this.#source() + this.#offset : this.#frozenAt;
  }

  timer(fire: (due: Nanos) => void): Timer {
    const timer = new DeviceTimer(fire, this);
    this.#timers.push(timer);
    return timer;
  }

  /** Takes back a timer whose device has gone. */
  drop(timer: Timer): void {
    timer.disarm();
    const at = this.#timers.indexOf(timer as DeviceTimer);
    if (at >= 0) this.#timers.splice(at, 1);
  }

  get nextDue(): Nanos {
    return this.#nextDue;
  }

  get fires(): number {
    return this.#fires;
  }

  freeze(): void {
    this.#frozenAt = this.now();
    this.#running = false;
  }

  /** Goes on from a moment of a saved machine. Only while frozen. */
  set(nanos: Nanos): void {
    this.#frozenAt = nanos;
  }

  thaw(): void {
    this.#offset = this.#frozenAt - this.#source();
    this.#running = true;
  }

  /** Time passes in which no instruction retires. */
  skip(nanos: Nanos): void {
    this.#offset += nanos;
  }

  /** Fires what is due, earliest first, equals in the order of creation. */
  fireDue(): void {
    for (let i = 0; i < MOST_FIRES; i++) {
      const timer = this.#next;
      if (timer === null || this.#nextDue > this.now()) return;
      this.#fires++;
      timer.fire();
    }
  }

  /** A timer moved. */
  moved(timer: DeviceTimer): void {
    if (timer.due < this.#nextDue) {
      this.#next = timer;
      this.#nextDue = timer.due;
      this.#onEarlier(timer.due);
    } else if (timer === this.#next || timer.due === this.#nextDue) this.#findNext();
  }

  #findNext(): void {
    this.#next = null;
    this.#nextDue = Infinity;
    for (const timer of this.#timers) {
      if (timer.due >= this.#nextDue) continue;
      this.#next = timer;
      this.#nextDue = timer.due;
    }
  }
}

class DeviceTimer implements Timer {
  #due: Nanos = Infinity;
  readonly #fire: (due: Nanos) => void;
  readonly #clock: MachineClock;

  constructor(fire: (due: Nanos) => void, clock: MachineClock) {
    this.#fire = fire;
    this.#clock = clock;
  }

  get due(): Nanos {
    return this.#due;
  }

  arm(due: Nanos): void {
    if (Number.isNaN(due)) throw new RangeError('timer: expected a time, got NaN');
    this.#due = due;
    this.#clock.moved(this);
  }

  disarm(): void {
    if (this.#due !== Infinity) this.arm(Infinity);
  }

  fire(): void {
    const due = this.#due;
    this.disarm();
    this.#fire(due);
  }
}
