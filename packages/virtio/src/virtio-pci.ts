import type { GuestMemory, IoHandler, IoSpace, Lines, LogLevel, Msi, Plain, Size } from '@vm/core';
import { PciFunction, type PciSlot } from '@vm/pci';
import type { Ring } from './chain.ts';
import { PackedRing } from './packed-ring.ts';
import * as spec from './spec.ts';
import { SplitRing } from './split-ring.ts';

/** What a kind of device is, beyond its transport. */
export interface VirtioModel {
  readonly deviceId: number;
  readonly classCode: number;
  readonly features: readonly number[]; // bit numbers below 24
  readonly queues: number;
  readonly config: Uint8Array;
  /** The driver has put requests into a queue, or has just turned the device on. */
  notified(queue: number): void;
  /** Requests that are under way are none of the driver's business any more. */
  reset(): void;
}
export interface VirtioServices {
  readonly mmio: IoSpace;
  readonly lines: Lines;
  readonly msi: Msi;
  readonly dma: GuestMemory;
  log(level: LogLevel, text: string): void;
}
export interface VirtioOptions {
  /** Offer packed rings too; default only split ones. */
  readonly packed?: boolean;
}

interface Queue {
  size: number;
  vector: number;
  readonly addresses: number[]; // low and high words of descriptors, driver area, device area
  ring: Ring | null; // null: not enabled
}

const QUEUE_SIZE = 256;
const WORDS_OF_FEATURES = 2;

/** A virtio device on PCI (4.1): common, notification, ISR and device configuration in one window, MSI-X in another. */
export class VirtioPci implements IoHandler {
  readonly function: PciFunction;
  #status = 0;
  #isr = 0;
  #configVector = spec.NO_VECTOR;
  #selectedQueue = 0;
  #offerSelect = 0;
  #wantSelect = 0;
  readonly #offered: Uint32Array = new Uint32Array(WORDS_OF_FEATURES);
  readonly #wanted: Uint32Array = new Uint32Array(WORDS_OF_FEATURES);
  readonly #queues: Queue[];
  readonly #common: DataView = new DataView(new ArrayBuffer(spec.COMMON_BYTES));
  readonly #model: VirtioModel;
  readonly #services: VirtioServices;
  readonly #backDoor: number; // offset of the capability that reaches the window by configuration space

  constructor(slot: PciSlot, services: VirtioServices, model: VirtioModel, options: VirtioOptions = {}) {
    this.#model = model;
    this.#services = services;
    this.#queues = Array.from({ length: model.queues }, () => ({ size: QUEUE_SIZE, vector: spec.NO_VECTOR, addresses: [0, 0, 0, 0, 0, 0], ring: null }));
    const features = [...model.features, spec.FEATURE_INDIRECT, spec.FEATURE_EVENT_INDEX, spec.FEATURE_VERSION_1, ...(options.packed === true ? [spec.FEATURE_PACKED] : [])];
    for (const bit of features) this.#offered[bit >> 5]! |= 1 << (bit & 31);
    this.function = new PciFunction(slot, services, {
      vendor: spec.VENDOR,
      device: spec.FIRST_DEVICE + model.deviceId,
      subsystemVendor: spec.VENDOR,
      subsystem: spec.FIRST_DEVICE + model.deviceId,
      revision: 1,
      classCode: model.classCode,
      interruptPin: 1,
      bars: [{ index: spec.WINDOW, space: 'memory', bytes: spec.WINDOW_BYTES, handler: this }],
      msix: { bar: spec.MSIX_WINDOW, vectors: model.queues + 1 },
      capabilities: [
        capability(spec.CAPABILITY_COMMON, spec.COMMON_PAGE, spec.COMMON_BYTES),
        capability(spec.CAPABILITY_ISR, spec.ISR_PAGE, 1),
        capability(spec.CAPABILITY_DEVICE, spec.DEVICE_PAGE, Math.max(4, model.config.length)),
        capability(spec.CAPABILITY_NOTIFY, spec.NOTIFY_PAGE, spec.NOTIFY_STEP * model.queues, spec.NOTIFY_STEP),
        capability(spec.CAPABILITY_PCI, 0, 0, 0),
      ],
      registers: backDoorRegisters(),
      readConfig: (offset, size) => this.#readBackDoor(offset, size),
      wroteConfig: (offset, size, value) => this.#writeBackDoor(offset, size, value),
    });
    this.#backDoor = this.function.capabilityOffsets[4]!;
    if (this.#backDoor !== BACK_DOOR) throw new RangeError('virtio: the capabilities have moved');
  }

  /** The queue may be used: it is enabled, and the device runs. */
  ring(queue: number): Ring | null {
    if ((this.#status & spec.STATUS_DRIVER_OK) === 0 || (this.#status & spec.STATUS_NEEDS_RESET) !== 0 || !this.function.isMaster) return null;
    return this.#queues[queue]?.ring ?? null;
  }

  accepted(bit: number): boolean {
    return ((this.#wanted[bit >> 5]! >>> (bit & 31)) & 1) !== 0;
  }

  /** After requests were pushed: interrupts if the driver wants it, and looks whether its ring was in order. */
  settle(queue: number): void {
    const one = this.#queues[queue]!;
    if (one.ring === null) return;
    if (one.ring.fault !== null) this.#break(`queue ${queue}: ${one.ring.fault}`);
    if (one.ring.takeInterrupt()) this.#interrupt(spec.ISR_QUEUE, one.vector);
  }

  powerUp(): void {
    this.function.reset();
    this.#reset();
  }

  read(offset: number, size: Size): number {
    const at = offset % spec.PAGE_BYTES;
    switch (Math.floor(offset / spec.PAGE_BYTES)) {
      case spec.COMMON_PAGE: return at + size > spec.COMMON_BYTES ? 0 : this.#readCommon(at, size);
      case spec.ISR_PAGE: return at === 0 ? this.#takeIsr() : 0;
      case spec.DEVICE_PAGE: return readBytes(this.#model.config, at, size);
      default: return 0;
    }
  }

  write(offset: number, size: Size, value: number): void {
    const at = offset % spec.PAGE_BYTES;
    switch (Math.floor(offset / spec.PAGE_BYTES)) {
      case spec.COMMON_PAGE: return this.#writeCommon(at, size, value);
      case spec.NOTIFY_PAGE: return this.#notify(Math.floor(at / spec.NOTIFY_STEP));
      default: // what is there can only be read
    }
  }

  save(): Plain {
    const { save: queues } = { save: this.#queues.map(({ size, vector, addresses, ring }) => ({ size, vector, addresses: [...addresses], indices: ring === null ? null : [...ring.save()], fault: ring?.fault ?? null })) };
    return {
      function: this.function.save(), status: this.#status, isr: this.#isr, configVector: this.#configVector, selectedQueue: this.#selectedQueue,
      offerSelect: this.#offerSelect, wantSelect: this.#wantSelect, wanted: [...this.#wanted], queues,
    };
  }

  /** The state is hostile. Throws TypeError. */
  load(state: Plain): void {
    const fields = (state ?? {}) as Readonly<Record<string, Plain>>;
    const number = (from: Readonly<Record<string, Plain>>, name: string, most: number): number => {
      const value = from[name];
      if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > most) throw new TypeError(`virtio: ${name} expected a number up to ${most}`);
      return value;
    };
    const numbers = (value: Plain | undefined, count: number): number[] => {
      if (!Array.isArray(value) || value.length !== count || value.some((one) => typeof one !== 'number' || !Number.isInteger(one) || one < 0 || one > 0xffff_ffff)) throw new TypeError(`virtio: expected ${count} numbers`);
      return [...(value as number[])];
    };
    const { queues } = fields;
    if (!Array.isArray(queues) || queues.length !== this.#queues.length) throw new TypeError(`virtio: expected ${this.#queues.length} queues`);
    const wanted = numbers(fields['wanted'], WORDS_OF_FEATURES);
    const status = number(fields, 'status', 0xff);
    this.function.load(fields['function'] ?? null);
    this.#status = status;
    this.#isr = number(fields, 'isr', 3);
    this.#configVector = number(fields, 'configVector', 0xffff);
    this.#selectedQueue = number(fields, 'selectedQueue', 0xffff);
    this.#offerSelect = number(fields, 'offerSelect', 0xffff_ffff);
    this.#wantSelect = number(fields, 'wantSelect', 0xffff_ffff);
    wanted.forEach((word, i) => (this.#wanted[i] = word & this.#offered[i]!));
    queues.forEach((one, i) => {
      const saved = (one ?? {}) as Readonly<Record<string, Plain>>;
      const queue = this.#queues[i]!;
      queue.size = number(saved, 'size', QUEUE_SIZE) || QUEUE_SIZE;
      queue.vector = number(saved, 'vector', 0xffff);
      numbers(saved['addresses'], 6).forEach((word, j) => (queue.addresses[j] = word));
      queue.ring = null;
      const { indices, fault } = saved;
      if (indices === null || indices === undefined) return;
      if (!Array.isArray(indices)) throw new TypeError('virtio: indices expected a list');
      this.#enable(queue);
      (queue.ring as Ring | null)?.load(numbers(indices, indices.length));
      if (typeof fault === 'string') this.#status |= spec.STATUS_NEEDS_RESET;
    });
  }

  #reset(): void {
    this.#status = 0;
    this.#isr = 0;
    this.#configVector = spec.NO_VECTOR;
    this.#selectedQueue = 0;
    this.#offerSelect = 0;
    this.#wantSelect = 0;
    this.#wanted.fill(0);
    for (const queue of this.#queues) {
      queue.size = QUEUE_SIZE;
      queue.vector = spec.NO_VECTOR;
      queue.addresses.fill(0);
      queue.ring = null;
    }
    this.function.setInterrupt(false);
    this.#model.reset();
  }

  #readCommon(at: number, size: Size): number {
    const view = this.#common;
    const queue = this.#queues[this.#selectedQueue];
    view.setUint32(spec.COMMON_DEVICE_FEATURE_SELECT, this.#offerSelect, true);
    view.setUint32(spec.COMMON_DEVICE_FEATURE, this.#offered[this.#offerSelect] ?? 0, true);
    view.setUint32(spec.COMMON_DRIVER_FEATURE_SELECT, this.#wantSelect, true);
    view.setUint32(spec.COMMON_DRIVER_FEATURE, this.#wanted[this.#wantSelect] ?? 0, true);
    view.setUint16(spec.COMMON_CONFIG_VECTOR, this.#configVector, true);
    view.setUint16(spec.COMMON_QUEUES, this.#queues.length, true);
    view.setUint8(spec.COMMON_STATUS, this.#status);
    view.setUint8(spec.COMMON_GENERATION, 0); // nothing of the configuration ever changes
    view.setUint16(spec.COMMON_QUEUE_SELECT, this.#selectedQueue, true);
    view.setUint16(spec.COMMON_QUEUE_SIZE, queue?.size ?? 0, true);
    view.setUint16(spec.COMMON_QUEUE_VECTOR, queue?.vector ?? spec.NO_VECTOR, true);
    view.setUint16(spec.COMMON_QUEUE_ENABLE, queue !== undefined && queue.ring !== null ? 1 : 0, true);
    view.setUint16(spec.COMMON_QUEUE_NOTIFY_OFFSET, queue === undefined ? 0 : this.#selectedQueue, true);
    for (let i = 0; i < 6; i++) view.setUint32(spec.COMMON_QUEUE_DESCRIPTORS + 4 * i, queue?.addresses[i] ?? 0, true);
    return size === 4 ? view.getUint32(at, true) : size === 2 ? view.getUint16(at, true) : view.getUint8(at);
  }

  /** Fields take accesses of their own size; addresses, of 8 bytes, take them in halves (4.1.3.1). */
  #writeCommon(at: number, size: Size, value: number): void {
    const queue = this.#queues[this.#selectedQueue];
    if (at >= spec.COMMON_QUEUE_DESCRIPTORS && at < spec.COMMON_QUEUE_NOTIFY_DATA) {
      if (size === 4 && at % 4 === 0 && queue !== undefined && queue.ring === null) queue.addresses[(at - spec.COMMON_QUEUE_DESCRIPTORS) / 4] = value;
      return;
    }
    switch (at * 8 + size) {
      case spec.COMMON_DEVICE_FEATURE_SELECT * 8 + 4: this.#offerSelect = value; break;
      case spec.COMMON_DRIVER_FEATURE_SELECT * 8 + 4: this.#wantSelect = value; break;
      case spec.COMMON_DRIVER_FEATURE * 8 + 4:
        if (this.#wantSelect < WORDS_OF_FEATURES && (this.#status & spec.STATUS_FEATURES_OK) === 0) this.#wanted[this.#wantSelect] = value;
        break;
      case spec.COMMON_CONFIG_VECTOR * 8 + 2: this.#configVector = this.#checkVector(value); break;
      case spec.COMMON_STATUS * 8 + 1: this.#writeStatus(value); break;
      case spec.COMMON_QUEUE_SELECT * 8 + 2: this.#selectedQueue = value; break;
      case spec.COMMON_QUEUE_SIZE * 8 + 2:
        if (queue !== undefined && queue.ring === null && value > 0 && value <= QUEUE_SIZE) queue.size = value;
        break;
      case spec.COMMON_QUEUE_VECTOR * 8 + 2:
        if (queue !== undefined) queue.vector = this.#checkVector(value);
        break;
      case spec.COMMON_QUEUE_ENABLE * 8 + 2:
        if (queue !== undefined && queue.ring === null && value === 1) this.#enable(queue);
        break;
      default: // what is there can only be read
    }
  }

  #writeStatus(value: number): void {
    if (value === 0) return this.#reset();
    const wasRunning = (this.#status & spec.STATUS_DRIVER_OK) !== 0;
    let next = value | (this.#status & spec.STATUS_NEEDS_RESET);
    if ((next & ~this.#status & spec.STATUS_FEATURES_OK) !== 0) {
      const excess = this.#wanted.some((word, i) => (word & ~this.#offered[i]!) !== 0);
      if (excess || !this.accepted(spec.FEATURE_VERSION_1)) next &= ~spec.STATUS_FEATURES_OK; // the driver looks whether it stays (3.1.1)
    }
    if ((next & spec.STATUS_FEATURES_OK) === 0) next &= ~spec.STATUS_DRIVER_OK;
    this.#status = next;
    if (!wasRunning && (next & spec.STATUS_DRIVER_OK) !== 0) this.#queues.forEach((_queue, i) => this.#notify(i));
  }

  #checkVector(value: number): number {
    return value < this.#queues.length + 1 ? value : spec.NO_VECTOR;
  }

  #enable(queue: Queue): void {
    const packed = this.accepted(spec.FEATURE_PACKED);
    if (!packed && (queue.size & (queue.size - 1)) !== 0) return this.#break(`a split ring of ${queue.size} descriptors`);
    const [descriptors, driver, device] = [0, 2, 4].map((i) => queue.addresses[i]! + (queue.addresses[i + 1]! & 0xf_ffff) * 2 ** 32) as [number, number, number];
    const place = { size: queue.size, descriptors, driver, device, eventIndex: this.accepted(spec.FEATURE_EVENT_INDEX), indirect: this.accepted(spec.FEATURE_INDIRECT) };
    queue.ring = packed ? new PackedRing(this.#services.dma, place) : new SplitRing(this.#services.dma, place);
  }

  #notify(queue: number): void {
    if (this.ring(queue) === null) return;
    this.#model.notified(queue);
    this.settle(queue);
  }

  /** The driver broke the rules: nothing is touched any more until it resets the device (2.1.2). */
  #break(why: string): void {
    if ((this.#status & spec.STATUS_NEEDS_RESET) !== 0) return;
    this.#services.log('info', `needs a reset: ${why}`);
    this.#status |= spec.STATUS_NEEDS_RESET;
    if ((this.#status & spec.STATUS_DRIVER_OK) !== 0) this.#interrupt(spec.ISR_CONFIG, this.#configVector);
  }

  #interrupt(cause: number, vector: number): void {
    if (this.function.usesMsix) return this.function.notify(vector);
    this.#isr |= cause;
    this.function.setInterrupt(true);
  }

  #takeIsr(): number {
    const isr = this.#isr;
    this.#isr = 0;
    this.function.setInterrupt(false);
    return isr;
  }

  /** The window by way of configuration space, for firmware without memory windows (4.1.4.9). */
  #readBackDoor(offset: number, size: Size): number | undefined {
    if (offset !== this.#backDoor + 16) return undefined;
    const [bar, at, length] = this.#backDoorTarget();
    return length === size && at % size === 0 ? this.function.readWindow(bar, at, size) : undefined;
  }

  #writeBackDoor(offset: number, size: Size, value: number): void {
    if (offset !== this.#backDoor + 16) return;
    const [bar, at, length] = this.#backDoorTarget();
    if (length === size && at % size === 0) this.function.writeWindow(bar, at, size, value);
  }

  #backDoorTarget(): readonly [bar: number, at: number, length: number] {
    const at = this.#backDoor;
    return [this.function.readConfig(at + 4, 1), this.function.readConfig(at + 8, 4), this.function.readConfig(at + 12, 4)];
  }
}

const BACK_DOOR = 0x40 + 16 * 3 + 20;

function backDoorRegisters(): { offset: number; value: number; writable: number }[] {
  return [4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19].map((i) => ({ offset: BACK_DOOR + i, value: 0, writable: 0xff }));
}

/** struct virtio_pci_cap (4.1.4), without its first two bytes. `more` stands behind it. */
function capability(kind: number, page: number, length: number, ...more: readonly number[]): { id: number; body: readonly number[] } {
  const bytes = 16 + 4 * more.length;
  const body = new DataView(new ArrayBuffer(bytes - 2));
  body.setUint8(0, bytes);
  body.setUint8(1, kind);
  body.setUint8(2, kind === spec.CAPABILITY_PCI ? 0 : spec.WINDOW);
  body.setUint32(6, page * spec.PAGE_BYTES, true);
  body.setUint32(10, length, true);
  more.forEach((word, i) => body.setUint32(14 + 4 * i, word, true));
  return { id: 0x09, body: Array.from(new Uint8Array(body.buffer)) };
}

function readBytes(bytes: Uint8Array, at: number, size: Size): number {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}
