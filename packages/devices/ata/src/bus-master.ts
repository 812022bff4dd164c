import type { GuestMemory, Plain } from '@vm/core';
import * as spec from './spec.ts';

export interface BusMasterPorts {
  readonly dma: GuestMemory;
  /** May the function use memory? */
  isAllowed(): boolean;
  /** The guest has started it, for a transfer to memory or from it. */
  started(toMemory: boolean): void;
  stopped(): void;
}

/** The bus master of one channel: a table in memory says where data goes. */
export class BusMaster {
  #command = 0;
  #status = 0;
  #table = 0;
  readonly #ports: BusMasterPorts;

  constructor(ports: BusMasterPorts) {
    this.#ports = ports;
  }

  get isStarted(): boolean {
    return (this.#command & spec.MASTER_START) !== 0;
  }

  get toMemory(): boolean {
    return (this.#command & spec.MASTER_TO_MEMORY) !== 0;
  }

  reset(): void {
    this.#command = 0;
    this.#status = 0;
    this.#table = 0;
  }

  readByte(offset: number): number {
    if (offset === spec.MASTER_COMMAND) return this.#command;
    if (offset === spec.MASTER_STATUS) return this.#status;
    return offset >= spec.MASTER_TABLE ? (this.#table >>> (8 * (offset - spec.MASTER_TABLE))) & 0xff : 0;
  }

  writeByte(offset: number, value: number): void {
    if (offset === spec.MASTER_STATUS) {
      this.#status = (this.#status & ~spec.MASTER_CAPABLE & ~(value & (spec.MASTER_ERROR | spec.MASTER_INTERRUPT))) | (value & spec.MASTER_CAPABLE);
    } else if (offset >= spec.MASTER_TABLE) {
      const shift = 8 * (offset - spec.MASTER_TABLE);
      this.#table = (((this.#table & ~(0xff << shift)) | (value << shift)) & ~3) >>> 0;
    } else if (offset === spec.MASTER_COMMAND) this.#writeCommand(value);
  }

  /** The channel interrupts. */
  noteInterrupt(): void {
    this.#status |= spec.MASTER_INTERRUPT;
  }

  /** The transfer is over: not active if the table ends with it. */
  finish(complete: boolean, failed: boolean): void {
    if (complete || failed) this.#status &= ~spec.MASTER_ACTIVE;
    if (failed) this.#status |= spec.MASTER_ERROR;
  }

  /** Copies between `data` and the memory of the table. `fits`: the table is exactly as long; null: it is too short, or names what is no RAM. */
  transfer(data: Uint8Array, toMemory: boolean): { readonly fits: boolean } | null {
    const { dma, isAllowed } = this.#ports;
    if (!isAllowed()) return null;
    let done = 0;
    for (let entry = 0; entry < spec.TABLE_BYTES / spec.TABLE_ENTRY_BYTES; entry++) {
      const at = this.#table + entry * spec.TABLE_ENTRY_BYTES;
      const word = dma.read(at + 4, 4);
      const bytes = Math.min((word & 0xfffe) === 0 ? 0x1_0000 : word & 0xfffe, data.length - done);
      const part = data.subarray(done, done + bytes);
      const gpa = (dma.read(at, 4) & ~1) >>> 0;
      if (bytes > 0 && !(toMemory ? dma.copyIn(gpa, part) : dma.copyOut(gpa, part))) return null;
      done += bytes;
      const last = (word & spec.TABLE_LAST) !== 0;
      if (done === data.length) return { fits: last };
      if (last) return null;
    }
    return null;
  }

  save(): Plain {
    return { command: this.#command, status: this.#status, table: this.#table };
  }

  load(state: Plain): void {
    const { command, status, table } = (state ?? {}) as Readonly<Record<string, Plain>>;
    if (typeof command !== 'number' || typeof status !== 'number' || typeof table !== 'number') throw new TypeError('ata: command, status and table expected numbers');
    this.#command = command & (spec.MASTER_START | spec.MASTER_TO_MEMORY);
    this.#status = status & 0x67;
    this.#table = (table & ~3) >>> 0;
  }

  #writeCommand(value: number): void {
    const before = this.#command;
    this.#command = value & (spec.MASTER_START | spec.MASTER_TO_MEMORY);
    const started = (this.#command & ~before & spec.MASTER_START) !== 0;
    const stopped = (before & ~this.#command & spec.MASTER_START) !== 0;
    if (started) {
      this.#status |= spec.MASTER_ACTIVE;
      this.#ports.started(this.toMemory);
    } else if (stopped) {
      this.#status &= ~spec.MASTER_ACTIVE;
      this.#ports.stopped();
    }
  }
}
