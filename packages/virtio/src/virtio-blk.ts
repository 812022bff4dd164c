import type { BlockBackend, Device, DeviceContext, DeviceModule, Plain } from '@vm/core';
import type { PciSlot } from '@vm/pci';
import { type Chain, gather, type Ring, scatter } from './chain.ts';
import * as spec from './spec.ts';
import { VirtioPci, type VirtioModel } from './virtio-pci.ts';

export interface VirtioBlkConfig {
  readonly slot: PciSlot;
  /** Name of the disk among the machine's blocks. */
  readonly block: string;
  /** Up to 20 ASCII characters; default: the device's name. */
  readonly serial?: string;
  /** Offer packed rings too. */
  readonly packed?: boolean;
}

type BlkContext = DeviceContext<'mmio' | 'lines' | 'msi' | 'dma' | 'host'>;

const CLASS_STORAGE = 0x01_8000;
const MOST_SEGMENTS = 254; // beside header and status
const MOST_REQUEST_BYTES = 16 << 20;
const MOST_WAITING_BYTES = 64 << 20; // of host memory for requests under way
const MOST_RANGE_SECTORS = 1 << 22;
const RANGE_BYTES = 16;
const QUEUE = 0;

/** Block device (5.2) with one queue. */
class VirtioBlk implements Device, VirtioModel {
  readonly deviceId: number = spec.BLOCK_DEVICE;
  readonly classCode: number = CLASS_STORAGE;
  readonly features: readonly number[];
  readonly queues = 1;
  readonly config: Uint8Array = new Uint8Array(60);
  #era = 0; // grows with each reset: whatever was under way before is forgotten
  #waitingBytes = 0;
  #reissue: readonly number[] = [];
  readonly #underWay = new Set<Chain>();
  readonly #disk: BlockBackend;
  readonly #sectors: number;
  readonly #serial: Uint8Array;
  readonly #transport: VirtioPci;
  readonly #ctx: BlkContext;

  constructor(ctx: BlkContext, config: VirtioBlkConfig) {
    this.#ctx = ctx;
    this.#disk = ctx.host.block(config.block);
    this.#sectors = Math.floor(this.#disk.bytes / spec.SECTOR_BYTES);
    this.#serial = Uint8Array.from({ length: spec.BLOCK_ID_BYTES }, (_, i) => (config.serial ?? ctx.name).charCodeAt(i) & 0x7f);
    const stores = [spec.BLOCK_FLUSH, spec.BLOCK_DISCARD, spec.BLOCK_WRITE_ZEROES];
    this.features = [spec.BLOCK_SEG_MAX, spec.BLOCK_SIZE, ...(this.#disk.writable ? stores : [spec.BLOCK_READ_ONLY])];
    this.#writeConfig();
    this.#transport = new VirtioPci(config.slot, ctx, this, { packed: config.packed === true });
  }

  powerUp(): void {
    this.#transport.powerUp();
  }

  /** What was under way when the machine was saved begins anew: requests may be done twice before they are told to be done. */
  start(): void {
    const ring = this.#transport.ring(QUEUE);
    for (const position of this.#reissue) {
      const chain = ring?.at(position) ?? null;
      if (chain !== null) this.#begin(ring!, chain);
    }
    this.#reissue = [];
    this.#transport.settle(QUEUE);
  }

  reset(): void {
    this.#era++;
    this.#waitingBytes = 0;
    this.#reissue = [];
    this.#underWay.clear();
  }

  save(): Plain {
    return { transport: this.#transport.save(), underWay: Array.from(this.#underWay, ({ position }) => position) };
  }

  load(state: Plain): void {
    const { transport, underWay } = (state ?? {}) as Readonly<Record<string, Plain>>;
    if (!Array.isArray(underWay) || underWay.length > 256 || underWay.some((one) => typeof one !== 'number' || !Number.isInteger(one) || one < 0 || one > 0xffff)) throw new TypeError('virtio-blk: underWay expected positions');
    this.#transport.load(transport ?? null);
    this.reset();
    this.#reissue = underWay as readonly number[];
  }

  notified(): void {
    const ring = this.#transport.ring(QUEUE);
    while (ring !== null && this.#waitingBytes < MOST_WAITING_BYTES) {
      const chain = ring.pop();
      if (chain === null) return;
      this.#begin(ring, chain);
    }
  }

  #begin(ring: Ring, chain: Chain): void {
    // Without a place for the status there is nothing to be said; otherwise the last byte tells how it went.
    if (chain.writableBytes === 0) return ring.push(chain, 0);
    let work: Uint8Array | Promise<Uint8Array | null>;
    try {
      work = this.#execute(chain);
    } catch (error) {
      return this.#answer(ring, chain, null, this.#statusOf(error));
    }
    // What needs no disk is answered now, at this instruction of every run.
    if (work instanceof Uint8Array) return this.#answer(ring, chain, work, spec.BLOCK_OK);
    const era = this.#era;
    const bytes = chain.readableBytes + chain.writableBytes;
    this.#waitingBytes += bytes;
    this.#underWay.add(chain);
    void work.then((data) => ({ data, status: spec.BLOCK_OK }), (error: unknown) => ({ data: null, status: this.#statusOf(error) })).then(({ data, status }) => {
      if (era !== this.#era) return;
      this.#underWay.delete(chain);
      this.#answer(ring, chain, data, status);
      const held = this.#waitingBytes >= MOST_WAITING_BYTES;
      this.#waitingBytes -= bytes;
      if (held) this.notified();
      this.#transport.settle(QUEUE);
    });
  }

  #answer(ring: Ring, chain: Chain, data: Uint8Array | null, status: number): void {
    const { dma } = this.#ctx;
    if (data !== null) scatter(dma, chain.writable, 0, data);
    scatter(dma, chain.writable, chain.writableBytes - 1, Uint8Array.of(status));
    ring.push(chain, (data?.length ?? 0) + 1);
  }

  #statusOf(error: unknown): number {
    if (error instanceof Refusal) return error.status;
    this.#ctx.log('warn', `the disk failed: ${error instanceof Error ? error.message : String(error)}`);
    return spec.BLOCK_IO_ERROR;
  }

  /** Begins a request at once: what the driver gets, or a promise of it where the disk is asked. Throws Refusal at what it should not have asked. */
  #execute(chain: Chain): Uint8Array | Promise<Uint8Array | null> {
    const { dma } = this.#ctx;
    if (chain.readableBytes < spec.BLOCK_HEADER_BYTES || chain.readableBytes + chain.writableBytes > MOST_REQUEST_BYTES) throw new Refusal(spec.BLOCK_IO_ERROR);
    const header = new DataView(new ArrayBuffer(spec.BLOCK_HEADER_BYTES));
    gather(dma, chain.readable, 0, new Uint8Array(header.buffer));
    const [sent, wanted] = [chain.readableBytes - spec.BLOCK_HEADER_BYTES, chain.writableBytes - 1];
    const high = header.getUint32(12, true);
    const sector = high >= 0x10_0000 ? Infinity : header.getUint32(8, true) + high * 2 ** 32;
    const take = (): Uint8Array => {
      const data = new Uint8Array(sent);
      gather(dma, chain.readable, spec.BLOCK_HEADER_BYTES, data);
      return data;
    };
    switch (header.getUint32(0, true)) {
      case spec.REQUEST_READ:
        return this.#read(sector, this.#check(sector, wanted));
      case spec.REQUEST_WRITE:
        if (!this.#disk.writable) throw new Refusal(spec.BLOCK_IO_ERROR);
        this.#check(sector, sent);
        return this.#write(sector, take());
      case spec.REQUEST_FLUSH:
        return nothing(this.#disk.flush());
      case spec.REQUEST_GET_ID:
        return this.#serial.slice(0, wanted);
      case spec.REQUEST_DISCARD: {
        const { at, bytes } = this.#range(take(), false);
        return nothing(this.#disk.discard(at, bytes));
      }
      case spec.REQUEST_WRITE_ZEROES: {
        const { at, bytes } = this.#range(take(), true);
        return nothing(this.#disk.writeZeroes(at, bytes));
      }
      default:
        throw new Refusal(spec.BLOCK_UNSUPPORTED);
    }
  }

  async #read(sector: number, bytes: number): Promise<Uint8Array> {
    const into = new Uint8Array(bytes);
    await this.#disk.read(sector * spec.SECTOR_BYTES, into);
    return into;
  }

  async #write(sector: number, data: Uint8Array): Promise<null> {
    await this.#disk.write(sector * spec.SECTOR_BYTES, data);
    // A driver that does not know flushes takes every write for final (5.2.6.2).
    if (!this.#transport.accepted(spec.BLOCK_FLUSH)) await this.#disk.flush();
    return null;
  }

  #check(sector: number, bytes: number): number {
    if (bytes % spec.SECTOR_BYTES !== 0 || sector + bytes / spec.SECTOR_BYTES > this.#sectors) throw new Refusal(spec.BLOCK_IO_ERROR);
    return bytes;
  }

  /** Bytes that struct virtio_blk_discard_write_zeroes names: sector, count, flags. */
  #range(list: Uint8Array, mayUnmap: boolean): { readonly at: number; readonly bytes: number } {
    if (!this.#disk.writable || list.length === 0) throw new Refusal(spec.BLOCK_IO_ERROR);
    if (list.length !== RANGE_BYTES) throw new Refusal(list.length % RANGE_BYTES === 0 ? spec.BLOCK_UNSUPPORTED : spec.BLOCK_IO_ERROR);
    const view = new DataView(list.buffer);
    const sector = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
    const count = view.getUint32(8, true);
    const flags = view.getUint32(12, true);
    if ((flags & ~1) !== 0 || (flags !== 0 && !mayUnmap)) throw new Refusal(spec.BLOCK_UNSUPPORTED);
    if (count > MOST_RANGE_SECTORS) throw new Refusal(spec.BLOCK_IO_ERROR);
    return { at: sector * spec.SECTOR_BYTES, bytes: this.#check(sector, count * spec.SECTOR_BYTES) };
  }

  /** struct virtio_blk_config (5.2.4). */
  #writeConfig(): void {
    const view = new DataView(this.config.buffer);
    view.setUint32(0x00, this.#sectors >>> 0, true);
    view.setUint32(0x04, Math.floor(this.#sectors / 2 ** 32), true);
    view.setUint32(0x0c, MOST_SEGMENTS, true);
    view.setUint32(0x14, spec.SECTOR_BYTES, true);
    view.setUint32(0x24, MOST_RANGE_SECTORS, true);
    view.setUint32(0x28, 1, true); // ranges of a discard
    view.setUint32(0x2c, 8, true); // best alignment
    view.setUint32(0x30, MOST_RANGE_SECTORS, true);
    view.setUint32(0x34, 1, true);
    view.setUint8(0x38, 1); // zeroes may be holes
  }
}

/** What the driver should not have asked. */
const nothing = (work: Promise<void>): Promise<null> => work.then(() => null);

class Refusal extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`status ${status}`);
    this.status = status;
  }
}

/** A disk on virtio: read, write, flush, discard, write zeroes, get identifier. */
export const virtioBlk: DeviceModule<VirtioBlkConfig, 'mmio' | 'lines' | 'msi' | 'dma' | 'host'> = {
  manifest: { abi: 1, id: 'vm.virtio-blk', version: '0.0.0', state: 1, needs: ['mmio', 'lines', 'msi', 'dma', 'host'], wants: ['hot-remove'] },
  create: (ctx, config) => new VirtioBlk(ctx, config),
};
