import type { Line, Plain, Timer } from '@vm/core';
import * as spec from './spec.ts';

const TWO_32 = 2 ** 32;
const LEAST_PERIOD = 1000; // ticks between two interrupts: a period of a few would leave the guest no time
const FAR = 2 ** 50; // ticks: 130 days, when somebody will have looked again

/** What a timer is part of. */
export interface TimerServices {
  readonly timer: Timer;
  readonly lines: ReadonlyMap<number, Line>; // by pin
  /** Machine time after so many ticks from now on. */
  readonly after: (ticks: number) => number;
}

/** One comparator. Values of 64 bits are two halves: doubles would lose the lowest bits of large ones. */
export class HpetTimer {
  #config: number = spec.PERIODIC_CAPABLE | spec.SIZE_64;
  #low = 0xffff_ffff;
  #high = 0xffff_ffff;
  #periodLow = 0;
  #periodHigh = 0;
  readonly #services: TimerServices;

  constructor(services: TimerServices) {
    this.#services = services;
  }

  get level(): boolean {
    return (this.#config & spec.LEVEL) !== 0;
  }

  get low(): number {
    return this.#low;
  }

  get high(): number {
    return this.#high;
  }

  get config(): number {
    return this.#config & ~spec.SET_VALUE;
  }

  get routes(): number {
    let mask = 0;
    for (const pin of this.#services.lines.keys()) mask |= 1 << pin;
    return mask >>> 0;
  }

  reset(): void {
    this.#config = spec.PERIODIC_CAPABLE | spec.SIZE_64;
    this.#low = this.#high = 0xffff_ffff;
    this.#periodLow = this.#periodHigh = 0;
    this.#services.timer.disarm();
    this.drive(false);
  }

  configure(value: number): void {
    const route = (value & spec.ROUTE_MASK) >>> spec.ROUTE_SHIFT;
    const kept = this.#services.lines.has(route) ? value & spec.ROUTE_MASK : this.#config & spec.ROUTE_MASK; // others do not stick
    this.drive(false);
    this.#config = spec.PERIODIC_CAPABLE | spec.SIZE_64 | kept | (value & spec.TIMER_WRITABLE) | ((value & spec.PERIODIC) === 0 ? 0 : value & spec.SET_VALUE);
    if ((value & spec.MODE_32) !== 0) this.#high = this.#periodHigh = 0;
  }

  /** Half of the comparator; in periodic mode of the period, and of the comparator only when that was asked for (2.3.9.2.2). */
  compare(high: boolean, value: number): void {
    if (high && (this.#config & spec.MODE_32) !== 0) return;
    const periodic = (this.#config & spec.PERIODIC) !== 0;
    if (!periodic || (this.#config & spec.SET_VALUE) !== 0) {
      if (high) this.#high = value;
      else this.#low = value;
    }
    if (!periodic) return;
    if (high) this.#periodHigh = value;
    else this.#periodLow = value;
    if (high || (this.#config & spec.MODE_32) !== 0) this.#config &= ~spec.SET_VALUE;
  }

  /** Waits for the next match; `matched`: the present one is over. */
  arm(counterLow: number, counterHigh: number, matched: boolean): void {
    const ticks = this.#distance(counterLow, counterHigh);
    const cycle = (this.#config & spec.MODE_32) !== 0 ? TWO_32 : Infinity;
    const wait = !matched ? ticks : ticks === 0 ? cycle : Math.max(ticks, LEAST_PERIOD);
    if (wait > FAR) this.#services.timer.disarm();
    else this.#services.timer.arm(this.#services.after(wait));
  }

  disarm(): void {
    this.#services.timer.disarm();
  }

  /** In periodic mode the comparator moves past the counter, however much time has passed. */
  advance(counterLow: number, counterHigh: number): void {
    if ((this.#config & spec.PERIODIC) === 0) return;
    const narrow = (this.#config & spec.MODE_32) !== 0;
    const period = narrow ? this.#periodLow : this.#periodHigh * TWO_32 + this.#periodLow;
    if (period === 0) return;
    const past = narrow ? (counterLow - this.#low) >>> 0 : difference(counterLow, counterHigh, this.#low, this.#high);
    const step = (Math.floor(past / period) + 1) * period;
    const sum = this.#low + (step % TWO_32);
    this.#low = sum >>> 0;
    if (!narrow) this.#high = (this.#high + Math.floor(step / TWO_32) + (sum >= TWO_32 ? 1 : 0)) >>> 0;
  }

  drive(high: boolean): void {
    this.#line?.set(high && (this.#config & spec.ENABLE) !== 0);
  }

  pulse(): void {
    this.drive(true);
    this.drive(false);
  }

  save(): Plain {
    return { config: this.#config, low: this.#low, high: this.#high, periodLow: this.#periodLow, periodHigh: this.#periodHigh, due: this.#services.timer.due === Infinity ? null : this.#services.timer.due };
  }

  /** Throws TypeError. */
  load(state: Plain): void {
    const fields = (state ?? {}) as Readonly<Record<string, Plain>>;
    const [config, low, high, periodLow, periodHigh] = ['config', 'low', 'high', 'periodLow', 'periodHigh'].map((name) => {
      const value = fields[name];
      if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value >= TWO_32) throw new TypeError(`hpet: ${name} of a timer expected 32 bits`);
      return value;
    }) as [number, number, number, number, number];
    const { due = null } = fields;
    if (due !== null && (typeof due !== 'number' || !Number.isFinite(due))) throw new TypeError('hpet: due of a timer expected a time');
    this.configure(config);
    if (due === null) this.#services.timer.disarm();
    else this.#services.timer.arm(due);
    const narrow = (config & spec.MODE_32) !== 0;
    [this.#low, this.#high, this.#periodLow, this.#periodHigh] = [low, narrow ? 0 : high, periodLow, narrow ? 0 : periodHigh];
  }

  get #line(): Line | undefined {
    return this.#services.lines.get((this.#config & spec.ROUTE_MASK) >>> spec.ROUTE_SHIFT);
  }

  #distance(counterLow: number, counterHigh: number): number {
    if ((this.#config & spec.MODE_32) !== 0) return (this.#low - counterLow) >>> 0;
    return difference(this.#low, this.#high, counterLow, counterHigh);
  }
}

/** a - b modulo 2**64; inexact where it is so large that nobody waits for it. */
function difference(aLow: number, aHigh: number, bLow: number, bHigh: number): number {
  return ((aHigh - bHigh - (aLow < bLow ? 1 : 0)) >>> 0) * TWO_32 + ((aLow - bLow) >>> 0);
}
