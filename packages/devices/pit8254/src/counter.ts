/** What a counter saves: plain numbers. */
export interface CounterState {
  readonly mode: number;
  readonly access: number;
  readonly bcd: number;
  readonly gate: number;
  readonly period: number;
  readonly start: number;
  readonly nextPeriod: number;
  readonly nextStart: number;
  readonly frozen: number;
  readonly lowByte: number;
  readonly writeHigh: number;
  readonly readHigh: number;
  readonly latch: number;
  readonly statusLatch: number;
}

export const COUNTER_FIELDS: readonly (keyof CounterState)[] = [
  'mode', 'access', 'bcd', 'gate', 'period', 'start', 'nextPeriod', 'nextStart', 'frozen', 'lowByte', 'writeHigh', 'readHigh', 'latch', 'statusLatch',
];

const LOW = 1;
const HIGH = 2;

/**
 * One counter of an 8254 (Intel 82C54 data sheet). It never counts: it knows the clock tick at which its count was loaded
 * and computes count, output and the next edge from the tick that it is asked about.
 */
export class Counter {
  #mode = 0;
  #access = LOW | HIGH;
  #bcd = 0;
  #gate: number;
  #period = 0; // 0: no count written since the control word
  #start = Infinity; // tick at which the count was loaded; Infinity: it waits for its gate
  #nextPeriod = 0; // modes 2 and 3: a count written meanwhile, loaded at the tick nextStart
  #nextStart = Infinity;
  #frozen = -1; // ticks counted when the gate fell
  #lowByte = 0;
  #writeHigh = 0; // the next byte written is the high one
  #readHigh = 0;
  #latch = -1;
  #statusLatch = -1;

  constructor(gate: 0 | 1) {
    this.#gate = gate;
  }

  reset(gate: 0 | 1): void {
    this.control(LOW | HIGH, 0, 0);
    this.#gate = gate;
  }

  /** A control word other than the latch command. */
  control(access: number, mode: number, bcd: number): void {
    this.#access = access;
    this.#mode = mode > 5 ? mode - 4 : mode;
    this.#bcd = bcd;
    this.#period = 0;
    this.#start = Infinity;
    this.#nextPeriod = 0;
    this.#nextStart = Infinity;
    this.#frozen = -1;
    this.#writeHigh = 0;
    this.#readHigh = 0;
    this.#latch = -1;
    this.#statusLatch = -1;
  }

  write(byte: number, tick: number): void {
    if (this.#access === LOW) this.#load(byte, tick);
    else if (this.#access === HIGH) this.#load(byte << 8, tick);
    else if (this.#writeHigh === 0) {
      this.#lowByte = byte;
      this.#writeHigh = 1;
      if (this.#mode === 0) {
        this.#period = 0; // the first of two bytes stops the counting in mode 0
        this.#start = Infinity;
      }
    } else {
      this.#writeHigh = 0;
      this.#load(this.#lowByte | (byte << 8), tick);
    }
  }

  read(tick: number): number {
    if (this.#statusLatch >= 0) {
      const status = this.#statusLatch;
      this.#statusLatch = -1;
      return status;
    }
    const count = this.#latch >= 0 ? this.#latch : this.#encode(this.count(tick));
    const high = this.#access === HIGH || (this.#access === (LOW | HIGH) && this.#readHigh === 1);
    if (this.#access === (LOW | HIGH)) this.#readHigh ^= 1;
    if (high || this.#access === LOW) this.#latch = -1;
    return high ? count >>> 8 : count & 0xff;
  }

  latchCount(tick: number): void {
    if (this.#latch < 0) this.#latch = this.#encode(this.count(tick)); // a second latch before the read changes nothing
  }

  latchStatus(tick: number): void {
    if (this.#statusLatch >= 0) return;
    this.#settle(tick);
    const waits = this.#period === 0 || tick < this.#start || this.#nextPeriod > 0;
    this.#statusLatch = (this.isHigh(tick) ? 0x80 : 0) | (waits ? 0x40 : 0) | (this.#access << 4) | (this.#mode << 1) | this.#bcd;
  }

  get gate(): number {
    return this.#gate;
  }

  setGate(gate: number, tick: number): void {
    if (gate === this.#gate) return;
    this.#settle(tick);
    this.#gate = gate;
    if (this.#period === 0) return;
    if (gate === 1) {
      if (this.#mode === 0 || this.#mode === 4) {
        // A count that is not even loaded yet starts when it is.
        if (this.#frozen >= 0) this.#start = Math.max(tick, this.#start + this.#frozen) - this.#frozen;
        this.#frozen = -1;
      } else {
        this.#start = tick + 1; // a trigger
      }
    } else if (this.#mode === 0 || this.#mode === 4) {
      this.#frozen = Math.max(0, tick - this.#start);
    } else if (this.#mode === 2 || this.#mode === 3) {
      this.#start = Infinity;
    }
  }

  /** The count as a number; BCD counts too. */
  count(tick: number): number {
    this.#settle(tick);
    if (this.#period === 0) return 0;
    const wrap = this.#bcd === 1 ? 10_000 : 0x1_0000;
    if (this.#start === Infinity || tick < this.#start) return this.#period % wrap;
    const ticks = this.#ticks(tick);
    if (this.#mode === 2) return (this.#period - (ticks % this.#period)) % wrap;
    if (this.#mode === 3) {
      const half = (this.#period + 1) >>> 1;
      const phase = ticks % this.#period;
      const even = this.#period & ~1; // odd counts start from the even number below
      return Math.max(even - 2 * (phase < half ? phase : phase - half), 0) % wrap;
    }
    return (((this.#period - ticks) % wrap) + wrap) % wrap;
  }

  isHigh(tick: number): boolean {
    this.#settle(tick);
    const counts = this.#period > 0 && tick >= this.#start;
    if (this.#mode === 0) return counts && this.#ticks(tick) >= this.#period;
    if (!counts) return true;
    const ticks = this.#ticks(tick);
    switch (this.#mode) {
      case 1: return ticks >= this.#period;
      case 2: return ticks % this.#period !== this.#period - 1;
      case 3: return ticks % this.#period < (this.#period + 1) >>> 1;
      default: return ticks !== this.#period; // 4 and 5: low for one tick
    }
  }

  /** Does the output only ever fall for one tick at a time? */
  get pulses(): boolean {
    return this.#mode === 2 || this.#mode >= 4;
  }

  /** The tick after `tick` at which the output rises next, Infinity if it does not. */
  nextRise(tick: number): number {
    this.#settle(tick);
    if (this.#period === 0 || this.#start === Infinity || this.#frozen >= 0) return Infinity;
    const ticks = Math.max(0, tick - this.#start);
    let rise: number;
    if (this.#mode === 2 || this.#mode === 3) {
      rise = this.#start + (Math.floor(ticks / this.#period) + 1) * this.#period;
      if (this.#nextStart < rise) rise = this.#nextStart;
    } else {
      rise = this.#start + this.#period + (this.#mode >= 4 ? 1 : 0);
    }
    return rise > tick ? rise : Infinity;
  }

  /** The tick after `tick` at which a square wave falls next, Infinity in other modes: their falls carry no meaning. */
  nextFall(tick: number): number {
    this.#settle(tick);
    if (this.#mode !== 3 || this.#period === 0 || this.#start === Infinity) return Infinity;
    const half = (this.#period + 1) >>> 1;
    const ticks = Math.max(0, tick - this.#start);
    const wave = this.#start + Math.floor(ticks / this.#period) * this.#period;
    return wave + half > tick ? wave + half : wave + this.#period + half;
  }

  save(): CounterState {
    const finite = (tick: number): number => (tick === Infinity ? -1 : tick);
    return {
      mode: this.#mode, access: this.#access, bcd: this.#bcd, gate: this.#gate, period: this.#period, start: finite(this.#start),
      nextPeriod: this.#nextPeriod, nextStart: finite(this.#nextStart), frozen: this.#frozen, lowByte: this.#lowByte,
      writeHigh: this.#writeHigh, readHigh: this.#readHigh, latch: this.#latch, statusLatch: this.#statusLatch,
    };
  }

  load(state: CounterState): void {
    this.#mode = Math.min(state.mode & 7, 5);
    this.#access = (state.access & 3) || LOW;
    this.#bcd = state.bcd & 1;
    this.#gate = state.gate & 1;
    this.#period = Math.min(state.period & 0x1_ffff, this.#bcd === 1 ? 10_000 : 0x1_0000);
    this.#start = state.start < 0 ? Infinity : Math.floor(state.start);
    this.#nextPeriod = Math.min(state.nextPeriod & 0x1_ffff, 0x1_0000);
    this.#nextStart = state.nextStart < 0 || this.#nextPeriod === 0 ? Infinity : Math.floor(state.nextStart);
    this.#frozen = state.frozen < 0 ? -1 : Math.floor(state.frozen);
    this.#lowByte = state.lowByte & 0xff;
    this.#writeHigh = state.writeHigh & 1;
    this.#readHigh = state.readHigh & 1;
    this.#latch = state.latch < 0 ? -1 : state.latch & 0xffff;
    this.#statusLatch = state.statusLatch < 0 ? -1 : state.statusLatch & 0xff;
  }

  #ticks(tick: number): number {
    return this.#frozen >= 0 ? this.#frozen : tick - this.#start;
  }

  /** Loads the count that waited for the end of the period. */
  #settle(tick: number): void {
    if (tick < this.#nextStart) return;
    this.#period = this.#nextPeriod;
    this.#start = this.#nextStart;
    this.#nextPeriod = 0;
    this.#nextStart = Infinity;
  }

  #load(value: number, tick: number): void {
    this.#settle(tick);
    const period = this.#decode(value);
    const runs = this.#period > 0 && this.#start !== Infinity;
    const isWave = this.#mode === 2 || this.#mode === 3;
    if (isWave && runs && this.#period > 0) {
      this.#nextPeriod = period;
      this.#nextStart = this.#start + (Math.floor(Math.max(0, tick - this.#start) / this.#period) + 1) * this.#period;
      return;
    }
    this.#period = period;
    if (this.#mode === 1 || this.#mode === 5) return; // loaded by the next trigger
    this.#start = tick + 1;
    this.#frozen = -1;
    if (this.#gate === 0) {
      if (isWave) this.#start = Infinity;
      else this.#frozen = 0;
    }
  }

  #decode(value: number): number {
    if (this.#bcd === 0) return value === 0 ? 0x1_0000 : value;
    const digits = (value >>> 12) * 1000 + ((value >>> 8) & 0xf) * 100 + ((value >>> 4) & 0xf) * 10 + (value & 0xf);
    return digits === 0 ? 10_000 : Math.min(digits, 10_000);
  }

  #encode(count: number): number {
    if (this.#bcd === 0) return count & 0xffff;
    return (Math.floor(count / 1000) % 10 << 12) | (Math.floor(count / 100) % 10 << 8) | (Math.floor(count / 10) % 10 << 4) | count % 10;
  }
}
