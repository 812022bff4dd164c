import type { Clock, Device, DeviceContext, DeviceModule, IoHandler, Line, Plain, Size, Timer } from '@vm/core';
import * as spec from './spec.ts';
import { decodeTime, encodeTime, nextAlarm } from './wall-time.ts';

export interface RtcMc146818Config {
  /** The time at power-up, in milliseconds since 1970 UTC. */
  readonly startMs: number;
  /** The host's time. A clock that was saved is put forward by what has passed there; absent: it goes on where it was. */
  readonly wallClock?: () => number; // milliseconds since 1970
  readonly pin?: number; // default 8
  /** What the memory from 0x0e on holds at power-up; default zeros. The century is kept by the clock. */
  readonly memory?: Readonly<Record<number, number>>;
}

const SECOND_NS = 1e9;

/**
 * The real-time clock. The time is a second of the calendar and the machine time at which it began; registers, flags and
 * the update bit are computed when they are looked at, and a timer runs only for an interrupt that is enabled.
 */
class RtcMc146818 implements Device, IoHandler {
  #index = 0;
  #a = 0x26;
  #b: number = spec.B_24_HOURS;
  #flags = 0;
  #second = 0; // seconds since 1970 ...
  #secondNs = 0; // ... that began at this machine time
  #collectedNs = 0; // flags are set for everything that happened up to here
  readonly #bytes: Uint8Array = new Uint8Array(spec.BYTES); // the time bytes are valid only while the clock stands still
  readonly #line: Line;
  readonly #clock: Clock;
  readonly #timer: Timer;
  readonly #config: RtcMc146818Config;

  constructor(ctx: DeviceContext<'pio' | 'lines' | 'clock'>, config: RtcMc146818Config) {
    this.#config = config;
    this.#clock = ctx.clock;
    this.#line = ctx.lines.connect(config.pin ?? 8);
    this.#timer = ctx.clock.timer(() => this.#collect());
    ctx.pio.claim('registers', 2, this, [1]).map(0x70);
  }

  powerUp(why: 'cold' | 'reset' | 'restore'): void {
    this.#index = 0;
    this.#flags = 0;
    if (why === 'reset') {
      this.#b &= ~(spec.B_PERIODIC | spec.B_ALARM | spec.B_UPDATE | spec.B_SQUARE_WAVE); // the battery keeps the rest
    } else {
      this.#a = 0x26;
      this.#b = spec.B_24_HOURS;
      this.#bytes.fill(0);
      for (const [at, byte] of Object.entries(this.#config.memory ?? {})) this.#bytes[Number(at)] = byte;
      const now = this.#clock.now();
      this.#second = Math.floor(this.#config.startMs / 1000);
      this.#secondNs = now - (this.#config.startMs - this.#second * 1000) * 1e6;
      this.#collectedNs = now;
    }
    this.#collect();
  }

  read(offset: number, _size: Size): number {
    if (offset === 0) return 0xff; // the index port is write-only
    const index = this.#index;
    if (index <= spec.YEAR || index === spec.CENTURY) {
      if (this.#runs()) encodeTime(this.#now(), this.#b, this.#bytes);
      return this.#bytes[index]!;
    }
    switch (index) {
      case spec.REGISTER_A: return this.#a | (this.#isUpdating() ? spec.A_UPDATING : 0);
      case spec.REGISTER_B: return this.#b;
      case spec.REGISTER_C: {
        this.#collect();
        const flags = this.#flags | ((this.#flags & this.#b & spec.C_FLAGS) !== 0 ? spec.C_INTERRUPT : 0);
        this.#flags = 0; // reading clears
        this.#signal();
        return flags;
      }
      case spec.REGISTER_D: return spec.D_POWER_GOOD;
      default: return this.#bytes[index]!;
    }
  }

  write(offset: number, _size: Size, value: number): void {
    if (offset === 0) {
      this.#index = value & (spec.BYTES - 1); // bit 7 masks NMIs, of which this machine has none
      return;
    }
    const index = this.#index;
    if (index === spec.REGISTER_C || index === spec.REGISTER_D) return;
    this.#collect();
    if (index === spec.REGISTER_A) {
      this.#change(value & ~spec.A_UPDATING, this.#b);
    } else if (index === spec.REGISTER_B) {
      this.#change(this.#a, (value & spec.B_SET) !== 0 ? value & ~spec.B_UPDATE : value); // SET clears UIE (data sheet, register B)
    } else if ((index <= spec.YEAR && !isAlarm(index)) || index === spec.CENTURY) {
      if (this.#runs()) encodeTime(this.#now(), this.#b, this.#bytes);
      this.#bytes[index] = value;
      if (this.#runs()) this.#setTime(this.#secondNs + Math.floor((this.#clock.now() - this.#secondNs) / SECOND_NS) * SECOND_NS);
    } else {
      this.#bytes[index] = value;
    }
    this.#collect();
  }

  save(): Plain {
    return {
      index: this.#index, a: this.#a, b: this.#b, flags: this.#flags, second: this.#second, secondNs: this.#secondNs,
      collectedNs: this.#collectedNs, bytes: this.#bytes.slice(), wallMs: this.#config.wallClock?.() ?? null,
    };
  }

  load(state: Plain): void {
    const fields = (state ?? {}) as Readonly<Record<string, Plain>>;
    const number = (name: string): number => {
      const value = fields[name];
      if (typeof value !== 'number' || !Number.isFinite(value)) throw new TypeError(`rtc-mc146818: ${name} expected a number`);
      return value;
    };
    const { bytes, wallMs = null } = fields;
    if (wallMs !== null && (typeof wallMs !== 'number' || !Number.isFinite(wallMs))) throw new TypeError('rtc-mc146818: wallMs expected a number');
    if (!(bytes instanceof Uint8Array) || bytes.length !== spec.BYTES) throw new TypeError('rtc-mc146818: bytes expected 128 bytes');
    const [index, a, b, flags, second, secondNs, collectedNs] = ['index', 'a', 'b', 'flags', 'second', 'secondNs', 'collectedNs'].map(number) as [number, number, number, number, number, number, number];
    if (Math.abs(second) > 8e12) throw new RangeError('rtc-mc146818: second expected a calendar time');
    this.#index = index & (spec.BYTES - 1);
    this.#a = a & 0x7f;
    this.#b = b & 0xff;
    this.#flags = flags & spec.C_FLAGS;
    this.#second = Math.floor(second);
    this.#secondNs = secondNs;
    this.#collectedNs = Math.min(collectedNs, this.#clock.now());
    this.#bytes.set(bytes);
    if (wallMs !== null && this.#config.wallClock !== undefined) this.#putForward(this.#config.wallClock() - wallMs);
    this.#signal();
  }

  /** By whole seconds, so that the phase stays; nothing of what would have happened meanwhile is told. */
  #putForward(ms: number): void {
    if (ms > 0 && this.#runs()) this.#second += Math.floor(ms / 1000);
  }

  /** Neither SET nor a reset of the divider holds the clock. */
  #runs(): boolean {
    return (this.#b & spec.B_SET) === 0 && (this.#a & spec.A_DIVIDER_RESET) !== spec.A_DIVIDER_RESET;
  }

  #now(): number {
    return this.#second + Math.floor((this.#clock.now() - this.#secondNs) / SECOND_NS);
  }

  #isUpdating(): boolean {
    const intoSecond = (this.#clock.now() - this.#secondNs) % SECOND_NS;
    return this.#runs() && intoSecond >= SECOND_NS - spec.UPDATE_NS;
  }

  #setTime(secondNs: number): void {
    const second = decodeTime(this.#bytes, this.#b);
    if (Number.isNaN(second)) return;
    this.#second = second;
    this.#secondNs = secondNs;
    this.#collectedNs = this.#clock.now();
  }

  /** Registers A and B decide whether the clock runs and how its bytes read. */
  #change(a: number, b: number): void {
    const ran = this.#runs();
    const now = this.#clock.now();
    if (ran) encodeTime(this.#now(), this.#b, this.#bytes);
    const resets = (this.#a & spec.A_DIVIDER_RESET) === spec.A_DIVIDER_RESET;
    const phase = (now - this.#secondNs) % SECOND_NS;
    this.#a = a;
    this.#b = b;
    if (ran || !this.#runs()) return;
    // The first update comes half a second after the divider is released; SET alone keeps the phase.
    this.#setTime(resets ? now - SECOND_NS / 2 : now - phase);
  }

  #periodNs(): number {
    const rate = this.#a & spec.A_RATE;
    if (rate === 0) return Infinity;
    return (SECOND_NS / 32768) * 2 ** (rate < 3 ? rate + 6 : rate - 1); // rates 1 and 2 repeat 8 and 9 (data sheet, table 5)
  }

  /** Sets the flags of everything that happened until now. */
  #collect(): void {
    const now = this.#clock.now();
    const before = this.#collectedNs;
    this.#collectedNs = now;
    const period = this.#periodNs();
    const passed = (step: number): boolean => Math.floor((now - this.#secondNs) / step) > Math.floor((before - this.#secondNs) / step);
    if (period !== Infinity && passed(period)) this.#flags |= spec.B_PERIODIC;
    if (this.#runs() && passed(SECOND_NS)) {
      this.#flags |= spec.B_UPDATE;
      const last = this.#second + Math.floor((before - this.#secondNs) / SECOND_NS);
      if (nextAlarm(last, this.#bytes, this.#b) <= this.#now()) this.#flags |= spec.B_ALARM;
    }
    this.#signal();
  }

  /** Sets the line, and the timer to the next event that would raise it. */
  #signal(): void {
    this.#line.set((this.#flags & this.#b & spec.C_FLAGS) !== 0);
    let due = Infinity;
    const wanted = this.#b & ~this.#flags;
    const period = this.#periodNs();
    const next = (step: number): number => this.#secondNs + (Math.floor((this.#collectedNs - this.#secondNs) / step) + 1) * step;
    if ((wanted & spec.B_PERIODIC) !== 0 && period !== Infinity) due = next(period);
    if ((wanted & spec.B_UPDATE) !== 0 && this.#runs()) due = Math.min(due, next(SECOND_NS));
    if ((wanted & spec.B_ALARM) !== 0 && this.#runs()) {
      due = Math.min(due, this.#secondNs + (nextAlarm(this.#second + Math.floor((this.#collectedNs - this.#secondNs) / SECOND_NS), this.#bytes, this.#b) - this.#second) * SECOND_NS);
    }
    if (due === Infinity) this.#timer.disarm();
    else this.#timer.arm(Math.ceil(due));
  }
}

function isAlarm(index: number): boolean {
  return index === spec.SECONDS_ALARM || index === spec.MINUTES_ALARM || index === spec.HOURS_ALARM;
}

/** The real-time clock MC146818A with 114 bytes of memory at ports 0x70 and 0x71. */
export const rtcMc146818: DeviceModule<RtcMc146818Config, 'pio' | 'lines' | 'clock'> = {
  manifest: { abi: 1, id: 'vm.rtc-mc146818', version: '0.0.0', state: 1, needs: ['pio', 'lines', 'clock'] },
  create: (ctx, config) => new RtcMc146818(ctx, config),
};
