import type { Clock, Device, DeviceContext, DeviceModule, IoHandler, Line, Plain, Size, Timer } from '@vm/core';
import * as spec from './spec.ts';

/** The buttons on the case, and what other parts of the board have to tell. */
export interface AcpiButtons {
  /** Asks the guest to shut down. */
  press(): void;
  /** A general-purpose event, 0 to 15: the guest runs the method _E00 to _E0F of the ACPI tables. */
  raise(event: number): void;
}

export interface AcpiPmConfig {
  readonly base?: number; // default 0x600
  readonly pin?: number; // of the system control interrupt; default 9
  /** Sleep type that means power off; default 5. */
  readonly offType?: number;
  /** The guest turned the machine off. Called in the middle of a guest instruction. */
  readonly powerOff: () => void;
  /** Hands out the buttons, once, when the device is made. */
  readonly connect?: (buttons: AcpiButtons) => void;
}

const TICKS_PER_NS = spec.PM_TIMER_HZ / 1e9;

/** Fixed ACPI hardware without a legacy mode: SCI_EN is always set, there is no SMI command port to set it with. */
class AcpiPm implements Device, IoHandler {
  #status = 0;
  #enable = 0;
  #control: number = spec.SCI_ENABLE;
  #events = 0; // general-purpose ones: status
  #wanted = 0; // and which of them interrupt
  #halves = 0; // changes of timer bit 23 that the status bit has seen
  readonly #line: Line;
  readonly #clock: Clock;
  readonly #timer: Timer;
  readonly #config: AcpiPmConfig;

  constructor(ctx: DeviceContext<'pio' | 'lines' | 'clock'>, config: AcpiPmConfig) {
    this.#config = config;
    this.#clock = ctx.clock;
    this.#line = ctx.lines.connect(config.pin ?? 9);
    this.#timer = ctx.clock.timer(() => this.#update());
    ctx.pio.claim('block', spec.BLOCK_BYTES, this).map(config.base ?? 0x600);
    config.connect?.({ press: () => this.#press(), raise: (event) => this.#raise(event) });
  }

  powerUp(): void {
    this.#status = 0;
    this.#enable = 0;
    this.#control = spec.SCI_ENABLE;
    this.#events = 0;
    this.#wanted = 0;
    this.#halves = this.#countHalves();
    this.#update();
  }

  read(offset: number, size: Size): number {
    const at = offset & ~3;
    let value = 0;
    if (at === spec.EVENT) {
      this.#update();
      value = (this.#status | (this.#enable << 16)) >>> 0;
    } else if (at === spec.CONTROL) {
      value = this.#control;
    } else if (at === spec.EVENTS) {
      value = (this.#events | (this.#wanted << 16)) >>> 0;
    } else {
      value = this.#ticks() % 0x100_0000;
    }
    value >>>= (offset & 3) * 8;
    return size === 4 ? value : value & (size === 2 ? 0xffff : 0xff);
  }

  write(offset: number, size: Size, value: number): void {
    const shift = (offset & 3) * 8;
    const mask = size === 4 ? 0xffff_ffff : ((1 << (size * 8)) - 1) << shift;
    const placed = value << shift;
    if ((offset & ~3) === spec.EVENT) {
      this.#update();
      this.#status &= ~(placed & mask & 0xffff); // ones clear
      const enable = (placed & mask) | ((this.#enable << 16) & ~mask);
      this.#enable = (enable >>> 16) & spec.ENABLE_VALID;
      this.#update();
    } else if ((offset & ~3) === spec.CONTROL) {
      this.#writeControl((placed & mask) | (this.#control & ~mask));
    } else if ((offset & ~3) === spec.EVENTS) {
      this.#events &= ~(placed & mask & 0xffff); // ones clear
      this.#wanted = (((placed & mask) | ((this.#wanted << 16) & ~mask)) >>> 16) & 0xffff;
      this.#signal();
    }
  }

  save(): Plain {
    return { status: this.#status, enable: this.#enable, control: this.#control, events: this.#events, wanted: this.#wanted, halves: this.#halves };
  }

  load(state: Plain): void {
    const fields = (state ?? {}) as Readonly<Record<string, Plain>>;
    const number = (name: string, absent?: number): number => {
      const value = fields[name] ?? absent;
      if (typeof value !== 'number' || !Number.isFinite(value)) throw new TypeError(`acpi-pm: ${name} expected a number`);
      return value;
    };
    const [status, enable, control, halves] = [number('status'), number('enable'), number('control'), number('halves')];
    this.#status = status & spec.STATUS_VALID;
    this.#enable = enable & spec.ENABLE_VALID;
    this.#control = (control & spec.CONTROL_KEPT) | spec.SCI_ENABLE;
    this.#events = number('events', 0) & 0xffff; // state 1 had none
    this.#wanted = number('wanted', 0) & 0xffff;
    this.#halves = halves;
    this.#signal(); // what has come since is noticed when it would have been
  }

  #ticks(): number {
    return Math.floor(this.#clock.now() * TICKS_PER_NS);
  }

  #countHalves(): number {
    return Math.floor(this.#ticks() / spec.TIMER_HALF);
  }

  #press(): void {
    this.#status |= spec.POWER_BUTTON;
    this.#update();
  }

  #raise(event: number): void {
    this.#events |= 1 << (event & 15);
    this.#signal();
  }

  #writeControl(value: number): void {
    this.#control = (value & spec.CONTROL_KEPT) | spec.SCI_ENABLE;
    if ((value & spec.SLEEP_ENABLE) === 0) return;
    // Other sleep states are not offered by the tables, so nothing asks for them.
    if (((value >>> spec.SLEEP_TYPE_SHIFT) & 7) === (this.#config.offType ?? 5)) this.#config.powerOff();
  }

  #update(): void {
    const halves = this.#countHalves();
    if (halves !== this.#halves) this.#status |= spec.TIMER_OVERFLOW;
    this.#halves = halves;
    this.#signal();
  }

  #signal(): void {
    this.#line.set((this.#status & this.#enable) !== 0 || (this.#events & this.#wanted) !== 0);
    if ((this.#enable & ~this.#status & spec.TIMER_OVERFLOW) === 0) this.#timer.disarm();
    else this.#timer.arm(Math.ceil(((this.#halves + 1) * spec.TIMER_HALF) / TICKS_PER_NS) + 1); // one later, so that rounding never fires early
  }
}

/** ACPI fixed hardware: PM1 event and control, PM timer, and 16 general-purpose events. */
export const acpiPm: DeviceModule<AcpiPmConfig, 'pio' | 'lines' | 'clock'> = {
  manifest: { abi: 1, id: 'vm.acpi-pm', version: '0.0.0', state: 2, oldestState: 1, needs: ['pio', 'lines', 'clock'] },
  create: (ctx, config) => new AcpiPm(ctx, config),
};
