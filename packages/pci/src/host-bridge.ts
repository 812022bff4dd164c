import type { Device, DeviceContext, DeviceModule, IoHandler, Plain, Size } from '@vm/core';
import type { PciBus } from './pci-bus.ts';
import { PciFunction } from './pci-function.ts';
import { COMMAND, COMMAND_MASTER, COMMAND_MEMORY } from './spec.ts';

export interface HostBridgeConfig {
  /** The bus behind it; it takes slot 0 itself. */
  readonly bus: PciBus;
  /** The guest asked for a reset, of everything or of the processor alone. Called in the middle of a guest instruction. */
  readonly reset: (everything: boolean) => void;
}

// Configuration mechanism #1 (PCI Local Bus Specification 3.0, 3.2.2.3.2).
const ADDRESS_PORT = 0xcf8;
const DATA_PORT = 0xcfc;
const ADDRESS_ENABLE = 0x8000_0000;
const ADDRESS_VALID = 0x80ff_fffc;

/** Reset control, in the byte after the first of the address register: that one takes only accesses of 4 bytes. */
const RESET_OFFSET = 1;
const RESET_EVERYTHING = 1 << 1;
const RESET_NOW = 1 << 2;

/** The way to PCI configuration space, with the host bridge at 00:00.0, and the reset register of the chipset. */
class HostBridge implements Device {
  #address = 0;
  #resetControl = 0;
  readonly #bus: PciBus;
  readonly #function: PciFunction;
  readonly #reset: (everything: boolean) => void;

  constructor(ctx: DeviceContext<'pio'>, config: HostBridgeConfig) {
    this.#bus = config.bus;
    this.#reset = config.reset;
    // An identifier for bridges of virtual machines: no chip with registers of its own.
    this.#function = new PciFunction(config.bus.root, {}, { vendor: 0x8086, device: 0x0d57, classCode: 0x06_0000, registers: [{ offset: COMMAND, value: COMMAND_MEMORY | COMMAND_MASTER, writable: 0 }] });
    const address: IoHandler = { read: (offset, size) => this.#readAddress(offset, size), write: (offset, size, value) => this.#writeAddress(offset, size, value) };
    const data: IoHandler = { read: (offset, size) => this.#readData(offset, size), write: (offset, size, value) => this.#writeData(offset, size, value) };
    ctx.pio.claim('address', 4, address).map(ADDRESS_PORT);
    ctx.pio.claim('data', 4, data).map(DATA_PORT);
  }

  powerUp(): void {
    this.#address = 0;
    this.#resetControl = 0;
    this.#function.reset();
  }

  save(): Plain {
    return { address: this.#address, resetControl: this.#resetControl, function: this.#function.save() };
  }

  load(state: Plain): void {
    const { address, resetControl, function: own } = (state ?? {}) as Readonly<Record<string, Plain>>;
    if (typeof address !== 'number' || typeof resetControl !== 'number') throw new TypeError('host-bridge: address and resetControl expected numbers');
    this.#function.load(own ?? null);
    this.#address = (address & ADDRESS_VALID) >>> 0;
    this.#resetControl = resetControl & 0xff;
  }

  #readAddress(offset: number, size: Size): number {
    if (size === 4) return this.#address;
    if (size === 1 && offset === RESET_OFFSET) return this.#resetControl;
    return size === 1 ? 0xff : 0xffff;
  }

  #writeAddress(offset: number, size: Size, value: number): void {
    if (size === 4) this.#address = (value & ADDRESS_VALID) >>> 0;
    if (size !== 1 || offset !== RESET_OFFSET) return;
    const rises = (value & ~this.#resetControl & RESET_NOW) !== 0;
    this.#resetControl = value;
    if (rises) this.#reset((value & RESET_EVERYTHING) !== 0);
  }

  #readData(offset: number, size: Size): number {
    if ((this.#address & ADDRESS_ENABLE) === 0) return size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
    return this.#bus.readConfig((this.#address & ~ADDRESS_ENABLE) | offset, size);
  }

  #writeData(offset: number, size: Size, value: number): void {
    if ((this.#address & ADDRESS_ENABLE) !== 0) this.#bus.writeConfig((this.#address & ~ADDRESS_ENABLE) | offset, size, value);
  }
}

export const hostBridge: DeviceModule<HostBridgeConfig, 'pio'> = {
  manifest: { abi: 1, id: 'vm.host-bridge', version: '0.0.0', state: 2, needs: ['pio'] },
  create: (ctx, config) => new HostBridge(ctx, config),
};
