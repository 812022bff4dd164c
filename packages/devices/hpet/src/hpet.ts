import type { Clock, Device, DeviceContext, DeviceModule, IoHandler, Plain, Size } from '@vm/core';
import { HpetTimer } from './hpet-timer.ts';
import * as spec from './spec.ts';

export interface HpetConfig {
  readonly base?: number; // default 0xfed00000
  /** Inputs of the I/O APIC that its timers can be routed to; default 20 to 23. */
  readonly pins?: readonly number[];
}

const TWO_32 = 2 ** 32;

/** A counter that only goes up, and three comparators of it. */
class Hpet implements Device, IoHandler {
  #enabled = false;
  #status = 0; // level-triggered interrupts that have not been cleared
  #low = 0; // the counter at #since
  #high = 0;
  #since = 0; // machine time
  #nowLow = 0; // the counter when it was last looked at
  #nowHigh = 0;
  readonly #clock: Clock;
  readonly #timers: readonly HpetTimer[];

  constructor(ctx: DeviceContext<'mmio' | 'lines' | 'clock'>, { base = 0xfed0_0000, pins = [20, 21, 22, 23] }: HpetConfig) {
    this.#clock = ctx.clock;
    this.#timers = Array.from({ length: spec.TIMERS }, (_, i) => new HpetTimer({
      timer: ctx.clock.timer(() => this.#fire(i)),
      lines: new Map(pins.map((pin) => [pin, ctx.lines.connect(pin)])),
      after: (ticks) => this.#after(ticks),
    }));
    ctx.mmio.claim('registers', spec.REGISTER_BYTES, this, [4]).map(base);
  }

  powerUp(): void {
    this.#enabled = false;
    this.#status = 0;
    this.#low = this.#high = this.#since = 0;
    for (const timer of this.#timers) timer.reset();
  }

  read(offset: number, _size: Size): number {
    this.#sample();
    return this.#read(offset);
  }

  /** Both halves of the counter belong to one moment. */
  readWide(offset: number, bytes: number, into: DataView): void {
    this.#sample();
    for (let i = 0; i < bytes; i += 4) into.setUint32(i, this.#read(offset + i), true);
  }

  write(offset: number, _size: Size, value: number): void {
    this.#sample();
    if (offset === spec.CONFIG) this.#enable((value & spec.CONFIG_ENABLE) !== 0);
    else if (offset === spec.STATUS) this.#clear(value);
    else if ((offset & ~4) === spec.COUNTER) this.#set(offset !== spec.COUNTER, value);
    else if (offset >= spec.TIMER_BASE) this.#writeTimer(offset - spec.TIMER_BASE, value);
  }

  writeWide(offset: number, bytes: number, from: DataView): void {
    for (let i = 0; i < bytes; i += 4) this.write(offset + i, 4, from.getUint32(i, true));
  }

  save(): Plain {
    return { enabled: this.#enabled, status: this.#status, low: this.#low, high: this.#high, since: this.#since, timers: this.#timers.map((timer) => timer.save()) };
  }

  load(state: Plain): void {
    const { enabled, status, low, high, since, timers } = (state ?? {}) as Readonly<Record<string, Plain>>;
    const numbers = [status, low, high].every((value) => typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < TWO_32);
    if (typeof enabled !== 'boolean' || !numbers || typeof since !== 'number' || !Number.isFinite(since) || since < 0 || since > this.#clock.now()) throw new TypeError('hpet: expected a counter that ran until now');
    if (!Array.isArray(timers) || timers.length !== spec.TIMERS) throw new TypeError(`hpet: expected ${spec.TIMERS} timers`);
    this.#timers.forEach((timer, i) => timer.load((timers as readonly Plain[])[i]!));
    this.#enabled = enabled;
    [this.#low, this.#high, this.#since] = [low as number, high as number, since];
    this.#status = (status as number) & ((1 << spec.TIMERS) - 1);
    this.#timers.forEach((timer, i) => timer.drive(this.#isHigh(i)));
  }

  #read(offset: number): number {
    switch (offset) {
      case spec.ID: return spec.HPET_ID;
      case spec.PERIOD: return spec.PERIOD_FS;
      case spec.CONFIG: return this.#enabled ? spec.CONFIG_ENABLE : 0;
      case spec.STATUS: return this.#status;
      case spec.COUNTER: return this.#nowLow;
      case spec.COUNTER + 4: return this.#nowHigh;
      default: return offset < spec.TIMER_BASE ? 0 : this.#readTimer(offset - spec.TIMER_BASE);
    }
  }

  #readTimer(at: number): number {
    const timer = this.#timers[Math.floor(at / spec.TIMER_STRIDE)];
    if (timer === undefined) return 0;
    switch (at % spec.TIMER_STRIDE) {
      case spec.TIMER_CONFIG: return timer.config;
      case spec.TIMER_ROUTES: return timer.routes;
      case spec.TIMER_COMPARATOR: return timer.low;
      case spec.TIMER_COMPARATOR + 4: return timer.high;
      default: return 0;
    }
  }

  #writeTimer(at: number, value: number): void {
    const index = Math.floor(at / spec.TIMER_STRIDE);
    const timer = this.#timers[index];
    if (timer === undefined) return;
    const register = at % spec.TIMER_STRIDE;
    if (register === spec.TIMER_CONFIG) timer.configure(value);
    else if ((register & ~4) === spec.TIMER_COMPARATOR) timer.compare(register !== spec.TIMER_COMPARATOR, value);
    else return;
    if (!timer.level) this.#status &= ~(1 << index);
    timer.drive(this.#isHigh(index));
    if (this.#enabled) timer.arm(this.#nowLow, this.#nowHigh, false);
  }

  #enable(enabled: boolean): void {
    if (enabled === this.#enabled) return;
    [this.#low, this.#high, this.#since] = [this.#nowLow, this.#nowHigh, this.#clock.now()];
    this.#enabled = enabled;
    for (const [i, timer] of this.#timers.entries()) {
      if (enabled) timer.arm(this.#nowLow, this.#nowHigh, false);
      else timer.disarm();
      timer.drive(this.#isHigh(i));
    }
  }

  #clear(ones: number): void {
    this.#status &= ~ones;
    this.#timers.forEach((timer, i) => timer.drive(this.#isHigh(i)));
  }

  /** The counter can be written while it stands (2.3.7). */
  #set(high: boolean, value: number): void {
    if (this.#enabled) return;
    if (high) this.#high = value;
    else this.#low = value;
  }

  #isHigh(index: number): boolean {
    return this.#enabled && (this.#status & (1 << index)) !== 0;
  }

  #fire(index: number): void {
    const timer = this.#timers[index]!;
    this.#sample();
    timer.advance(this.#nowLow, this.#nowHigh);
    if (timer.level) {
      this.#status |= 1 << index;
      timer.drive(true);
    } else timer.pulse();
    timer.arm(this.#nowLow, this.#nowHigh, true);
  }

  #after(ticks: number): number {
    const now = this.#clock.now();
    return this.#since + (Math.floor((now - this.#since) / spec.NANOS_PER_TICK) + ticks) * spec.NANOS_PER_TICK;
  }

  /** HOT. */
  #sample(): void {
    const ticks = this.#enabled ? Math.floor((this.#clock.now() - this.#since) / spec.NANOS_PER_TICK) : 0;
    const sum = this.#low + (ticks % TWO_32);
    this.#nowLow = sum >>> 0;
    this.#nowHigh = (this.#high + Math.floor(ticks / TWO_32) + (sum >= TWO_32 ? 1 : 0)) >>> 0;
  }
}

/** The high precision event timers of a PC. */
export const hpet: DeviceModule<HpetConfig, 'mmio' | 'lines' | 'clock'> = {
  manifest: { abi: 1, id: 'vm.hpet', version: '0.0.0', state: 1, needs: ['mmio', 'lines', 'clock'] },
  create: (ctx, config) => new Hpet(ctx, config),
};
