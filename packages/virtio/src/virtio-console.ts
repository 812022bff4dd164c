import type { Device, DeviceContext, DeviceModule, Plain } from '@vm/core';
import type { PciSlot } from '@vm/pci';
import { gather, scatter } from './chain.ts';
import * as spec from './spec.ts';
import { VirtioPci, type VirtioModel } from './virtio-pci.ts';

/** The host's end of a console. */
export interface ConsoleEnd {
  /** Bytes for the guest: how many it took. None before it has opened the port. */
  receive(bytes: Uint8Array): number;
  /** The guest has opened the port, and loses nothing of what it is sent. */
  readonly listening: boolean;
}
export interface VirtioConsoleConfig {
  readonly slot: PciSlot;
  /** What the guest has sent; the bytes are the host's to keep. */
  readonly output: (bytes: Uint8Array) => void;
  /** There is room again after `receive` took less than it was given, or the guest has just opened the port. */
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
const PORT = 0;
/** What the device has to tell, a bit each, in the order in which a driver expects it. */
const TOLD = [spec.CONTROL_DEVICE_ADD, spec.CONTROL_CONSOLE_PORT, spec.CONTROL_PORT_OPEN];
const MOST_OWED = 7;

/**
 * Console device with one port (5.3). A driver that knows of several ports says when it has opened the one that there is; of another
 * nobody knows more than that it runs.
 */
class VirtioConsole implements Device, VirtioModel {
  readonly deviceId: number = spec.CONSOLE_DEVICE;
  readonly classCode: number = CLASS_OTHER;
  readonly features: readonly number[] = [spec.CONSOLE_SIZE, spec.CONSOLE_MULTIPORT];
  readonly queues = 4;
  readonly config: Uint8Array = new Uint8Array(12);
  #starved = true; // whoever has bytes waits to be told
  #opened = false; // by a driver that knows of several ports
  #owed = 0; // bits of TOLD that the driver had no buffer for
  readonly #message: Uint8Array = new Uint8Array(spec.CONTROL_BYTES);
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
    const isListening = (): boolean => this.#isListening();
    config.connect?.({
      receive: (bytes) => this.#receive(bytes),
      get listening() {
        return isListening();
      },
    });
  }

  powerUp(): void {
    this.#transport.powerUp();
  }

  reset(): void {
    this.#starved = true;
    this.#opened = false;
    this.#owed = 0;
  }

  save(): Plain {
    return { transport: this.#transport.save(), starved: this.#starved, opened: this.#opened, owed: this.#owed };
  }

  load(state: Plain): void {
    const { transport = null, starved, opened, owed } = (state ?? {}) as Readonly<Record<string, Plain>>;
    if (typeof starved !== 'boolean' || typeof opened !== 'boolean') throw new TypeError('virtio-console: starved and opened expected booleans');
    if (typeof owed !== 'number' || !Number.isInteger(owed) || owed < 0 || owed > MOST_OWED) throw new TypeError(`virtio-console: owed expected a number up to ${MOST_OWED}`);
    this.#transport.load(transport);
    this.#starved = starved;
    this.#opened = opened;
    this.#owed = owed;
  }

  notified(queue: number): void {
    switch (queue) {
      case spec.CONSOLE_TRANSMIT: return this.#transmit();
      case spec.CONSOLE_CONTROL_RECEIVE: return this.#tell(this.#owed);
      case spec.CONSOLE_CONTROL_TRANSMIT: return this.#listen();
      default: if (this.#starved) this.#callReady();
    }
  }

  #isListening(): boolean {
    if (this.#transport.ring(spec.CONSOLE_RECEIVE) === null) return false;
    return this.#opened || !this.#transport.accepted(spec.CONSOLE_MULTIPORT);
  }

  #callReady(): void {
    this.#starved = false;
    this.#config.ready?.();
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

  /** Control messages of the driver (5.3.6.2). */
  #listen(): void {
    const ring = this.#transport.ring(spec.CONSOLE_CONTROL_TRANSMIT);
    const message = this.#message;
    for (let i = 0; ring !== null && i < MOST_BUFFERS; i++) {
      const chain = ring.pop();
      if (chain === null) return;
      const whole = chain.readableBytes >= spec.CONTROL_BYTES;
      if (whole) gather(this.#ctx.dma, chain.readable, 0, message);
      ring.push(chain, 0);
      if (whole) this.#hear(new DataView(message.buffer));
    }
  }

  #hear(message: DataView): void {
    const [event, value] = [message.getUint16(4, true), message.getUint16(6, true)];
    if (event === spec.CONTROL_DEVICE_READY && value === 1) return this.#tell(1); // of no port
    if (message.getUint32(0, true) !== PORT) return;
    if (event === spec.CONTROL_PORT_READY && value === 1) this.#tell(MOST_OWED & ~1);
    else if (event === spec.CONTROL_PORT_OPEN) {
      this.#opened = value === 1;
      if (this.#opened) this.#callReady();
    }
  }

  /** Tells it now, or when the driver has buffers for it. */
  #tell(more: number): void {
    this.#owed |= more;
    const ring = this.#transport.ring(spec.CONSOLE_CONTROL_RECEIVE);
    for (let i = 0; ring !== null && i < TOLD.length; i++) {
      if ((this.#owed & (1 << i)) === 0) continue;
      const chain = ring.pop();
      if (chain === null) break;
      this.#owed &= ~(1 << i);
      const view = new DataView(this.#message.buffer);
      view.setUint32(0, PORT, true);
      view.setUint16(4, TOLD[i]!, true);
      view.setUint16(6, 1, true);
      const part = this.#message.subarray(0, chain.writableBytes);
      scatter(this.#ctx.dma, chain.writable, 0, part);
      ring.push(chain, part.length);
    }
    this.#transport.settle(spec.CONSOLE_CONTROL_RECEIVE);
  }

  #receive(bytes: Uint8Array): number {
    const ring = this.#isListening() ? this.#transport.ring(spec.CONSOLE_RECEIVE) : null;
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
  manifest: { abi: 1, id: 'vm.virtio-console', version: '0.0.0', state: 2, needs: ['mmio', 'lines', 'msi', 'dma'], wants: ['hot-remove'] },
  create: (ctx, config) => new VirtioConsole(ctx, config),
};
