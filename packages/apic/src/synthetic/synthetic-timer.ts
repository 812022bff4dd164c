import type { ApicClock } from '../local-apic-timer.ts';
import { FIRST_LEGAL_VECTOR } from '../spec.ts';
import { HAS_DIRECT_TIMERS, STIMER_AUTO_ENABLE, STIMER_DIRECT, STIMER_ENABLE, STIMER_PERIODIC, STIMER_VALID } from './spec.ts';

/** Reference time counts units of 100 nanoseconds since power-up (TLFS, 12.4). */
export const NANOS_PER_UNIT = 100;
/** Floor of periods, as that of the local APIC's timer: 50 microseconds. */
const SHORTEST_PERIOD = 500;
const MOST_COUNT = 2 ** 53;

export interface SyntheticTimerPorts {
  readonly clock: ApicClock;
  /** Puts the message that it is time into the slot of a source. False: the slot is full, and `retry` is called when it may be empty. */
  place(source: number, expiration: number): boolean;
  /** An interrupt of a timer in direct mode. */
  raise(vector: number): void;
}

export interface SyntheticTimerState {
  readonly config: number;
  readonly countLow: number;
  readonly countHigh: number;
  readonly expiration: number; // -1: none
  readonly waiting: boolean;
}

/** One of the four timers of a processor (TLFS, 12.3): periodic or one-shot, by message or by an interrupt of its own. */
export class SyntheticTimer {
  #config = 0;
  #countLow = 0;
  #countHigh = 0;
  #expiration = -1; // reference time
  #waiting = false; // for an empty slot
  readonly #timer: { arm(due: number): void; disarm(): void };
  readonly #ports: SyntheticTimerPorts;
  readonly #valid: number;

  constructor(ports: SyntheticTimerPorts, features: number) {
    this.#ports = ports;
    this.#valid = (features & HAS_DIRECT_TIMERS) === 0 ? STIMER_VALID & ~(STIMER_DIRECT | 0xff0) : STIMER_VALID;
    this.#timer = ports.clock.timer(() => this.#expire());
  }

  reset(): void {
    this.#config = 0;
    this.#countLow = 0;
    this.#countHigh = 0;
    this.#cancel();
  }

  get config(): number {
    return this.#config;
  }

  get count(): readonly [low: number, high: number] {
    return [this.#countLow, this.#countHigh];
  }

  get source(): number {
    return (this.#config >>> 16) & 0xf;
  }

  get waiting(): boolean {
    return this.#waiting;
  }

  /** False: reserved bits. */
  setConfig(low: number, high: number): boolean {
    if (high !== 0 || (low & ~this.#valid) !== 0) return false;
    this.#cancel(); // a message that was not placed yet included
    this.#config = this.#isAddressed(low) ? low : low & ~STIMER_ENABLE;
    this.#start();
    return true;
  }

  setCount(low: number, high: number): void {
    this.#cancel();
    this.#countLow = low;
    this.#countHigh = high;
    if ((low === 0 && high === 0) || !this.#isAddressed(this.#config)) this.#config &= ~STIMER_ENABLE;
    else if ((this.#config & STIMER_AUTO_ENABLE) !== 0) this.#config |= STIMER_ENABLE;
    this.#start();
  }

  /** The slot of its source may have become empty. */
  retry(): void {
    if (this.#waiting && (this.#config & STIMER_ENABLE) !== 0) this.#deliver();
  }

  save(): SyntheticTimerState {
    return { config: this.#config, countLow: this.#countLow, countHigh: this.#countHigh, expiration: this.#expiration, waiting: this.#waiting };
  }

  load(state: SyntheticTimerState): void {
    this.#cancel();
    this.#config = state.config & this.#valid;
    this.#countLow = state.countLow;
    this.#countHigh = state.countHigh;
    this.#expiration = state.expiration;
    this.#waiting = state.waiting;
    if (this.#expiration >= 0 && !this.#waiting) this.#timer.arm(this.#expiration * NANOS_PER_UNIT);
  }

  /** Source 0 belongs to the hypervisor's own messages (TLFS, 12.3.1); a vector below 16 there is not. */
  #isAddressed(config: number): boolean {
    return (config & STIMER_DIRECT) !== 0 ? ((config >>> 4) & 0xff) >= FIRST_LEGAL_VECTOR : ((config >>> 16) & 0xf) !== 0;
  }

  #now(): number {
    return Math.floor(this.#ports.clock.now() / NANOS_PER_UNIT);
  }

  #period(): number {
    return Math.min(MOST_COUNT, this.#countHigh * 0x1_0000_0000 + this.#countLow);
  }

  #cancel(): void {
    this.#expiration = -1;
    this.#waiting = false;
    this.#timer.disarm();
  }

  /** A timer that is enabled with the count 0 stays so, and waits for a count. */
  #start(): void {
    const count = this.#period();
    if ((this.#config & STIMER_ENABLE) === 0 || count === 0) return;
    const now = this.#now();
    this.#expiration = (this.#config & STIMER_PERIODIC) === 0 ? count : now + Math.max(count, SHORTEST_PERIOD);
    if (this.#expiration <= now) this.#expire();
    else this.#timer.arm(this.#expiration * NANOS_PER_UNIT);
  }

  #expire(): void {
    if (this.#expiration < 0) return;
    if ((this.#config & STIMER_DIRECT) !== 0) {
      const vector = (this.#config >>> 4) & 0xff;
      this.#goOn();
      this.#ports.raise(vector);
    } else this.#deliver();
  }

  /** One message at most is outstanding; it is the one that is due. Enabled until it lies in the slot. */
  #deliver(): void {
    this.#waiting = false; // others that wait are tried again meanwhile
    if (this.#ports.place(this.source, this.#expiration)) this.#goOn();
    else this.#waiting = true;
  }

  #goOn(): void {
    if ((this.#config & STIMER_PERIODIC) === 0) {
      this.#config &= ~STIMER_ENABLE;
      this.#expiration = -1;
      return;
    }
    const period = Math.max(this.#period(), SHORTEST_PERIOD);
    const missed = Math.max(0, Math.floor((this.#now() - this.#expiration) / period)); // they are skipped, in phase
    this.#expiration += (missed + 1) * period;
    this.#timer.arm(this.#expiration * NANOS_PER_UNIT);
  }
}
