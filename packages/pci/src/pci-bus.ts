import type { Size } from '@vm/core';
import type { PciFunction } from './pci-function.ts';
import * as spec from './spec.ts';

/** A place on the bus, as a function sees it. */
export interface PciSlot {
  /** Machine pins of an interrupt pin, 1 to 4. */
  wiresOf(interruptPin: number): readonly number[];
  plug(fn: PciFunction): void;
}

export interface PciBusConfig {
  /** Inputs of an I/O APIC for PIRQA to PIRQD, which the ACPI tables name; default 16 to 19. */
  readonly pins?: readonly number[];
  /** Inputs of the 8259 pair for the same, which the interrupt line registers name; default 10, 11, 10, 11. */
  readonly legacyPins?: readonly number[];
}

/** Where windows are put before a kernel begins, as firmware does it. */
export interface PciRanges {
  readonly ports: number;
  readonly portsEnd: number;
  readonly memory: number;
  readonly memoryEnd: number;
}

const SLOTS = 32;
const FUNCTIONS = 8;

/** Bus 0: up to 32 slots with 8 functions each. */
export class PciBus {
  /** 00:00.0, for the host bridge. */
  readonly root: PciSlot;
  readonly #functions: (PciFunction | null)[] = Array.from({ length: SLOTS * FUNCTIONS }, () => null);
  readonly #given = new Set<number>();
  readonly #pins: readonly number[];
  readonly #legacyPins: readonly number[];

  constructor(config: PciBusConfig = {}) {
    this.#pins = config.pins ?? [16, 17, 18, 19];
    this.#legacyPins = config.legacyPins ?? [10, 11, 10, 11];
    this.root = this.slot(0);
  }

  /** A slot and function for a device; each is given once. A device that is made anew takes the place of its former self. */
  slot(slot: number, fn: number = 0): PciSlot {
    if (!Number.isInteger(slot) || slot < 0 || slot >= SLOTS || !Number.isInteger(fn) || fn < 0 || fn >= FUNCTIONS) throw new RangeError(`pci: expected a slot of 0 to 31 and a function of 0 to 7, got ${slot}.${fn}`);
    const at = slot * FUNCTIONS + fn;
    if (this.#given.has(at)) throw new RangeError(`pci: 00:${slot.toString(16).padStart(2, '0')}.${fn} is taken`);
    this.#given.add(at);
    return {
      wiresOf: (interruptPin) => [this.#pins[this.route(slot, interruptPin)]!, this.#legacyPins[this.route(slot, interruptPin)]!],
      plug: (one) => void (this.#functions[at] = one),
    };
  }

  /** Takes out whatever is in a slot; configuration space reads ones there. With `reuse`, the slot may be given again. */
  unplug(slot: number, reuse: boolean): void {
    for (let at = slot * FUNCTIONS; at < (slot + 1) * FUNCTIONS; at++) {
      this.#functions[at] = null;
      if (reuse) this.#given.delete(at);
    }
  }

  /** The first slot from `first` on that nobody has; null: all are taken. */
  findFree(first: number): number | null {
    for (let slot = first; slot < SLOTS; slot++) if (!this.#given.has(slot * FUNCTIONS)) return slot;
    return null;
  }

  /** PIRQ, 0 to 3, of a slot's interrupt pin, 1 to 4: pins are shifted from slot to slot. */
  route(slot: number, interruptPin: number): number {
    return (slot + interruptPin - 1) & 3;
  }

  /** `address` as in the address register of configuration mechanism 1, with the offset in its low byte. All-ones: nobody there. */
  readConfig(address: number, size: Size): number {
    const fn = this.#find(address);
    if (fn === null) return size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
    const value = fn.readConfig(address & 0xff, size);
    const offset = address & 0xff;
    // Whether a slot has several functions is for its first one to say.
    if (((address >>> 8) & 7) !== 0 || offset > spec.HEADER_TYPE || offset + size <= spec.HEADER_TYPE || !this.#hasMore(address)) return value;
    return (value | (spec.HEADER_MULTIFUNCTION << (8 * (spec.HEADER_TYPE - offset)))) >>> 0;
  }

  writeConfig(address: number, size: Size, value: number): void {
    this.#find(address)?.writeConfig(address & 0xff, size, value);
  }

  /** Places all windows and opens them, and fills the interrupt line registers, as firmware leaves a machine. */
  configure(ranges: PciRanges): void {
    let ports = ranges.ports;
    let memory = ranges.memory;
    const take = (from: number, bytes: number): number => Math.ceil(from / bytes) * bytes;
    this.#functions.forEach((fn, at) => {
      if (fn === null) return;
      let command = 0;
      for (const { index, space, bytes } of fn.windows) {
        const base = take(space === 'ports' ? ports : memory, bytes);
        if (base + bytes > (space === 'ports' ? ranges.portsEnd : ranges.memoryEnd)) continue; // stays closed
        if (space === 'ports') ports = base + bytes;
        else memory = base + bytes;
        fn.writeConfig(spec.BARS + 4 * index, 4, base);
        command |= space === 'ports' ? spec.COMMAND_PORTS : spec.COMMAND_MEMORY;
      }
      if (fn.interruptPin > 0) fn.writeConfig(spec.INTERRUPT_LINE, 1, this.#legacyPins[this.route(at >> 3, fn.interruptPin)]!);
      if (command !== 0) fn.writeConfig(spec.COMMAND, 2, command | fn.readConfig(spec.COMMAND, 2));
    });
  }

  #find(address: number): PciFunction | null {
    if ((address & 0x00ff_0000) !== 0) return null; // other buses
    return this.#functions[(address >>> 8) & 0xff]!;
  }

  #hasMore(address: number): boolean {
    const first = (address >>> 8) & 0xf8;
    for (let i = 1; i < FUNCTIONS; i++) if (this.#functions[first + i] !== null) return true;
    return false;
  }
}
