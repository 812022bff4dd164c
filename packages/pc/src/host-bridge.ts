import type { Device, DeviceContext, DeviceModule, IoHandler, Plain, Size } from '@vm/core';

export interface HostBridgeConfig {
  /** The guest asked for a reset, of everything or of the processor alone. Called in the middle of a guest instruction. */
  readonly reset: (everything: boolean) => void;
}

// Configuration mechanism #1 (PCI Local Bus Specification 3.0, 3.2.2.3.2).
const ADDRESS_PORT = 0xcf8;
const DATA_PORT = 0xcfc;
const ADDRESS_ENABLE = 0x8000_0000;
const ADDRESS_VALID = 0x80ff_fffc;
const ADDRESS_FUNCTION = 0x00ff_ff00; // bus, device and function

/** Reset control, in the byte after the first of the address register: that one takes only accesses of 4 bytes. */
const RESET_OFFSET = 1;
const RESET_EVERYTHING = 1 << 1;
const RESET_NOW = 1 << 2;

/** Configuration space of the one function there is, 00:00.0, in units of 4 bytes; zeros follow. Nothing in it can be written. */
const HOST_BRIDGE: readonly number[] = [
  0x0d57_8086, // an identifier for bridges of virtual machines: no chip with registers of its own
  0x0000_0006, // reaches memory and may be bus master
  0x0600_0000, // class: host bridge
];

/** The way to PCI configuration space, with a host bridge and nothing behind it, and the reset register of the chipset. */
class HostBridge implements Device {
  #address = 0;
  #resetControl = 0;
  readonly #reset: (everything: boolean) => void;

  constructor(ctx: DeviceContext<'pio'>, config: HostBridgeConfig) {
    this.#reset = config.reset;
    const address: IoHandler = { read: (offset, size) => this.#readAddress(offset, size), write: (offset, size, value) => this.#writeAddress(offset, size, value) };
    const data: IoHandler = { read: (offset, size) => this.#readData(offset, size), write: () => {} };
    ctx.pio.claim('address', 4, address).map(ADDRESS_PORT);
    ctx.pio.claim('data', 4, data).map(DATA_PORT);
  }

  powerUp(): void {
    this.#address = 0;
    this.#resetControl = 0;
  }

  save(): Plain {
    return { address: this.#address, resetControl: this.#resetControl };
  }

  load(state: Plain): void {
    const { address, resetControl } = (state ?? {}) as Readonly<Record<string, Plain>>;
    if (typeof address !== 'number' || typeof resetControl !== 'number') throw new TypeError('host-bridge: address and resetControl expected numbers');
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
    const here = (this.#address & ADDRESS_ENABLE) !== 0 && (this.#address & ADDRESS_FUNCTION) === 0;
    const value = here ? (HOST_BRIDGE[(this.#address & 0xfc) >> 2] ?? 0) : 0xffff_ffff;
    return ((value >>> (offset * 8)) & (size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff)) >>> 0;
  }
}

export const hostBridge: DeviceModule<HostBridgeConfig, 'pio'> = {
  manifest: { abi: 0, id: 'vm.host-bridge', version: '0.0.0', state: 1, needs: ['pio'] },
  create: (ctx, config) => new HostBridge(ctx, config),
};
