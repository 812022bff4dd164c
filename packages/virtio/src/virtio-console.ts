import type { Device, DeviceContext, DeviceModule, Plain } from '@vm/core';
import type { PciSlot } from '@vm/pci';
import { gather, scatter } from './chain.ts';
import * as spec from './spec.ts';
import { VirtioPci, type VirtioModel } from './virtio-pci.ts';

/** The host's end of a console. */
export interface ConsoleEnd {
  /** Bytes for the guest: how many it took. */
  receive(bytes: Uint8Array): number;
}
export interface VirtioConsoleConfig {
  readonly slot: PciSlot;
  /** What the guest has sent; the bytes are the host's to keep. */
  readonly output: (bytes: Uint8Array) => void;
  /** There is room again after `receive` took less than it was given. */
  readonly ready?: () => void;
  /** Hands out the host's end, once, when the device is made. */
  readonly connect?: (end: ConsoleEnd) => void;
  readonly columns?: number; // default 80
  readonly rows?: number; // default 25
  readonly packed?: boolean;
}

const CLASS_OTHER = 0x07_8000; // communication controller, other
const MOST_BYTES = 1 << 16; // taken from one buffer; the rest of it is dropped
const MOST_BUFFERS = 256; // a notification

/** Console device with one port (5.3). */
class VirtioConsole implements Device, VirtioModel {
  readonly deviceId: number = spec.CONSOLE_DEVICE;
  readonly classCode: number = CLASS_OTHER;
  readonly features: readonly number[] = [spec.CONSOLE_SIZE];
  readonly queues = 2;
  readonly config: Uint8Array = new Uint8Array(12);
  #starved = false; // the host has bytes, and the guest had no buffer
  readonly #transport: VirtioPci;
  readonly #ctx: DeviceContext<'mmio' | 'lines' | 'msi' | 'dma'>;
  readonly #config: VirtioConsoleConfig;

  constructor(ctx: DeviceContext<'mmio' | 'lines' | 'msi' | 'dma'>, config: VirtioConsoleConfig) {
    this.#ctx = ctx;
    this.#config = config;
    const view = new DataView(this.config.buffer);
    view.setUint16(0, config.columns ?? 80, true);
    view.setUint16(2, config.rows ?? 25, true);
    view.setUint32(4, 1, true); // ports
    this.#transport = new VirtioPci(config.slot, ctx, this, { packed: config.packed === true });
    config.connect?.({ receive: (bytes) => this.#receive(bytes) });
  }

  powerUp(): void {
    this.#transport.powerUp();
    this.#starved = false;
  }

  reset(): void {
    this.#starved = false;
  }

  save(): Plain {
    return { transport: this.#transport.save(), starved: this.#starved };
  }

  load(state: Plain): void {
    const { transport = null, starved } = (state ?? {}) as Readonly<Record<string, Plain>>;
    if (typeof starved !== 'boolean') throw new TypeError('virtio-console: starved expected a boolean');
    this.#transport.load(transport);
    this.#starved = starved;
  }

  notified(queue: number): void {
    if (queue === spec.CONSOLE_TRANSMIT) this.#transmit();
    else if (this.#starved) {
      this.#starved = false;
      this.#config.ready?.();
    }
  }

  #transmit(): void {
    const ring = this.#transport.ring(spec.CONSOLE_TRANSMIT);
    for (let i = 0; ring !== null && i < MOST_BUFFERS; i++) {
      const chain = ring.pop();
      if (chain === null) return;
      const bytes = new Uint8Array(Math.min(chain.readableBytes, MOST_BYTES));
      gather(this.#ctx.dma, chain.readable, 0, bytes);
      ring.push(chain, 0);
      if (bytes.length > 0) this.#config.output(bytes);
    }
  }

  #receive(bytes: Uint8Array): number {
    const ring = this.#transport.ring(spec.CONSOLE_RECEIVE);
    let taken = 0;
    for (let i = 0; ring !== null && taken < bytes.length && i < MOST_BUFFERS; i++) {
      const chain = ring.pop();
      if (chain === null) break;
      const part = bytes.subarray(taken, taken + chain.writableBytes);
      scatter(this.#ctx.dma, chain.writable, 0, part);
      ring.push(chain, part.length);
      taken += part.length;
    }
    if (taken > 0) this.#transport.settle(spec.CONSOLE_RECEIVE);
    if (taken < bytes.length) this.#starved = true;
    return taken;
  }
}

/** A console on virtio: one port, which is the first console of its guest. */
export const virtioConsole: DeviceModule<VirtioConsoleConfig, 'mmio' | 'lines' | 'msi' | 'dma'> = {
  manifest: { abi: 1, id: 'vm.virtio-console', version: '0.0.0', state: 1, needs: ['mmio', 'lines', 'msi', 'dma'], wants: ['hot-remove'] },
  create: (ctx, config) => new VirtioConsole(ctx, config),
};
