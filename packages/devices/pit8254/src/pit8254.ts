import type { Clock, Device, DeviceContext, DeviceModule, IoHandler, Line, Plain, Size, Timer } from '@vm/core';
import { Counter, COUNTER_FIELDS, type CounterState } from './counter.ts';

export interface Pit8254Config {
  readonly pin?: number; // of counter 0; default 0
}

/** Input clock of a PC's timer: a twelfth of 14.31818 MHz. */
export const PIT_HZ = 1_193_182;

const TICKS_PER_NS = PIT_HZ / 1e9;
const REFRESH_TICKS = 18; // counter 1 asks for a memory refresh every 15 microseconds
const CONTROL = 3;
const READ_BACK = 3;
// Port 0x61 of a PC (system control port B).
const PORT_B_GATE = 1 << 0;
const PORT_B_VALID = 0x0f;
const PORT_B_REFRESH = 1 << 4;
const PORT_B_OUT2 = 1 << 5;

/** The timer of a PC: counter 0 interrupts, counter 1 would refresh memory, counter 2 drives the speaker. */
class Pit8254 implements Device, IoHandler {
  #portB = 0;
  readonly #counters: readonly [Counter, Counter, Counter] = [new Counter(1), new Counter(1), new Counter(0)];
  readonly #line: Line;
  readonly #clock: Clock;
  readonly #timer: Timer;

  constructor(ctx: DeviceContext<'pio' | 'lines' | 'clock'>, config: Pit8254Config) {
    this.#clock = ctx.clock;
    this.#line = ctx.lines.connect(config.pin ?? 0);
    this.#timer = ctx.clock.timer(() => this.#edge());
    ctx.pio.claim('counters', 4, this, [1]).map(0x40);
    ctx.pio.claim('port-b', 1, { read: () => this.#readPortB(), write: (_offset, _size, value) => this.#writePortB(value) }, [1]).map(0x61);
  }

  powerUp(): void {
    this.#counters[0].reset(1);
    this.#counters[1].reset(1);
    this.#counters[2].reset(0);
    this.#portB = 0;
    this.#follow(this.#tick());
  }

  read(offset: number, _size: Size): number {
    return offset === CONTROL ? 0xff : this.#counters[offset]!.read(this.#tick());
  }

  write(offset: number, _size: Size, value: number): void {
    const tick = this.#tick();
    if (offset === CONTROL) this.#control(value, tick);
    else this.#counters[offset]!.write(value, tick);
    if (offset === 0 || (offset === CONTROL && value < 0x40)) this.#follow(tick);
  }

  save(): Plain {
    return { portB: this.#portB, counters: this.#counters.map((counter) => ({ ...counter.save() })) };
  }

  load(state: Plain): void {
    const { portB, counters } = (state ?? {}) as { readonly portB?: Plain; readonly counters?: Plain };
    if (typeof portB !== 'number' || !Array.isArray(counters) || counters.length !== 3) throw new TypeError('pit8254: expected { portB: number, counters: 3 }');
    for (const counter of counters as readonly Plain[]) {
      const fields = (counter ?? {}) as Readonly<Record<string, Plain>>;
      for (const field of COUNTER_FIELDS) if (!Number.isFinite(fields[field])) throw new TypeError(`pit8254: ${field} expected a number`);
    }
    this.#portB = portB & PORT_B_VALID;
    this.#counters.forEach((counter, index) => counter.load(counters[index] as unknown as CounterState));
    this.#follow(this.#tick());
  }

  #tick(): number {
    return Math.floor(this.#clock.now() * TICKS_PER_NS);
  }

  #control(value: number, tick: number): void {
    const select = value >>> 6;
    if (select === READ_BACK) {
      for (let i = 0; i < 3; i++) {
        if ((value & (2 << i)) === 0) continue;
        if ((value & 0x20) === 0) this.#counters[i]!.latchCount(tick);
        if ((value & 0x10) === 0) this.#counters[i]!.latchStatus(tick);
      }
      return;
    }
    const access = (value >>> 4) & 3;
    if (access === 0) this.#counters[select]!.latchCount(tick);
    else this.#counters[select]!.control(access, (value >>> 1) & 7, value & 1);
  }

  #readPortB(): number {
    const tick = this.#tick();
    const refresh = Math.floor(tick / REFRESH_TICKS) % 2 === 1 ? PORT_B_REFRESH : 0; // firmware and old kernels wait for it to toggle
    return this.#portB | refresh | (this.#counters[2].isHigh(tick) ? PORT_B_OUT2 : 0);
  }

  #writePortB(value: number): void {
    this.#portB = value & PORT_B_VALID;
    this.#counters[2].setGate(value & PORT_B_GATE, this.#tick());
  }

  #edge(): void {
    // A pulse is low for one tick only, and nobody looks there: both its edges are made at its end.
    if (this.#counters[0].pulses) this.#line.set(false);
    this.#follow(this.#tick());
  }

  /** Sets the line to the output of counter 0 and waits for its next edge. */
  #follow(tick: number): void {
    const counter = this.#counters[0];
    this.#line.set(counter.pulses || counter.isHigh(tick));
    const next = Math.min(counter.nextRise(tick), counter.nextFall(tick));
    if (next === Infinity) this.#timer.disarm();
    else this.#timer.arm(timeOfTick(next));
  }
}

/** The first nanosecond of a tick. */
function timeOfTick(tick: number): number {
  const ns = Math.ceil(tick / TICKS_PER_NS);
  return Math.floor(ns * TICKS_PER_NS) < tick ? ns + 1 : ns;
}

/** The interval timer 8254 with port 0x61. */
export const pit8254: DeviceModule<Pit8254Config, 'pio' | 'lines' | 'clock'> = {
  manifest: { abi: 1, id: 'vm.pit8254', version: '0.0.0', state: 1, needs: ['pio', 'lines', 'clock'] },
  create: (ctx, config) => new Pit8254(ctx, config),
};
