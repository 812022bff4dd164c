import type { Device, DeviceContext, DeviceModule, IoHandler, LineSink, Plain, Size } from '@vm/core';
import { IoApic, type IoApicState } from './io-apic.ts';
import { IOAPIC_SELECT } from './spec.ts';

/** The bus to the local APICs, which says how many of them took a message. `ApicBus` fits. */
export interface IoApicBus {
  send(destination: number, command: number): number;
  listen(listener: { endOfInterrupt(vector: number): void; accepting(): void }): void;
}

export interface IoApicConfig {
  readonly bus: IoApicBus;
  readonly base?: number; // default 0xfec00000
  readonly version?: 0x11 | 0x20; // default 0x11; 0x20 has a register for ends of interrupts
  /** Machine pin -> input. Default: pin 0, the timer of ISA, arrives at input 2; other pins under their own number. */
  readonly inputs?: Readonly<Record<number, number>>;
}

class IoApicDevice implements Device, IoHandler, LineSink {
  readonly #chip: IoApic;
  readonly #inputs: Int8Array;

  constructor(ctx: DeviceContext<'mmio' | 'controller'>, config: IoApicConfig) {
    this.#chip = new IoApic(config.bus, config.version);
    this.#inputs = new Int8Array(this.#chip.pins).fill(-1);
    const inputs = config.inputs ?? { 0: 2 };
    for (let pin = 0; pin < this.#chip.pins; pin++) this.#inputs[pin] = inputs[pin] ?? (Object.values(inputs).includes(pin) ? -1 : pin);
    // The end of an interrupt reaches the chip over the ABI, like any controller.
    config.bus.listen({ endOfInterrupt: () => {}, accepting: () => this.#chip.retry() });
    ctx.controller.attach(0, this.#chip.pins, this);
    ctx.mmio.claim('registers', 0x1000, this).map(config.base ?? 0xfec0_0000);
  }

  powerUp(): void {
    this.#chip.reset();
  }

  save(): Plain {
    return { ...this.#chip.save() };
  }

  load(state: Plain): void {
    this.#chip.load(checkState(state));
  }

  setLine(pin: number, high: boolean): void {
    const input = this.#inputs[pin] ?? -1;
    if (input >= 0) this.#chip.setLine(input, high);
  }

  endOfInterrupt(vector: number): void {
    this.#chip.endOfInterrupt(vector);
  }

  /** The index is a byte; all else is double words. */
  read(offset: number, size: Size): number {
    return size === 4 || offset === IOAPIC_SELECT ? this.#chip.read(offset) : 0;
  }

  write(offset: number, size: Size, value: number): void {
    if (size === 4 || offset === IOAPIC_SELECT) this.#chip.write(offset, value);
  }
}

function checkState(state: Plain): IoApicState {
  const { id, select, low, high, lines } = (state ?? {}) as Partial<Record<keyof IoApicState, Plain>>;
  const isList = (list: Plain | undefined, type: 'number' | 'boolean'): boolean => Array.isArray(list) && list.every((item) => typeof item === type);
  if (typeof id !== 'number' || typeof select !== 'number' || !isList(low, 'number') || !isList(high, 'number') || !isList(lines, 'boolean')) {
    throw new TypeError('io-apic: expected { id, select: number, low, high: number[], lines: boolean[] }');
  }
  return { id, select, low: low as number[], high: high as number[], lines: lines as boolean[] };
}

/** The I/O APIC: machine pins 0 to 23, registers at 0xfec00000. */
export const ioApic: DeviceModule<IoApicConfig, 'mmio' | 'controller'> = {
  manifest: { abi: 1, id: 'vm.io-apic', version: '0.0.0', state: 1, needs: ['mmio', 'controller'] },
  create: (ctx, config) => new IoApicDevice(ctx, config),
};
