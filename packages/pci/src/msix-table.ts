import type { IoHandler, Msi, Size } from '@vm/core';
import { MSIX_ENTRY_BYTES, MSIX_ENTRY_MASKED } from './spec.ts';

export const MSIX_REGION_BYTES = 4096;
export const MSIX_PENDING_OFFSET = 0x800;
export const MSIX_MOST_VECTORS = 64;

/** Vectors of a function and their pending bits, as a region of memory (PCI 3.0, 6.8.2): the table at 0, pending bits at 0x800. */
export class MsixTable implements IoHandler {
  readonly vectors: number;
  #enabled = false;
  #masked = false;
  readonly #entries: DataView;
  readonly #pending: Uint8Array;
  readonly #msi: Msi;

  constructor(vectors: number, msi: Msi) {
    if (!Number.isInteger(vectors) || vectors < 1 || vectors > MSIX_MOST_VECTORS) throw new RangeError(`expected 1 to ${MSIX_MOST_VECTORS} vectors, got ${vectors}`);
    this.vectors = vectors;
    this.#entries = new DataView(new ArrayBuffer(vectors * MSIX_ENTRY_BYTES));
    this.#pending = new Uint8Array(MSIX_MOST_VECTORS / 8);
    this.#msi = msi;
    this.reset();
  }

  reset(): void {
    this.#enabled = false;
    this.#masked = false;
    this.#pending.fill(0);
    for (let i = 0; i < this.#entries.byteLength; i += 4) this.#entries.setUint32(i, 0, true);
    for (let vector = 0; vector < this.vectors; vector++) this.#entries.setUint32(vector * MSIX_ENTRY_BYTES + 12, MSIX_ENTRY_MASKED, true);
  }

  /** What the message control register says. */
  control(enabled: boolean, masked: boolean): void {
    this.#enabled = enabled;
    this.#masked = masked;
    this.#sendPending();
  }

  /** Sends the message of a vector, or notes it while it is masked. Numbers beyond the table are dropped. */
  notify(vector: number): void {
    if (!this.#enabled || vector >= this.vectors) return;
    if (this.#masked || this.#isMasked(vector)) this.#pending[vector >> 3]! |= 1 << (vector & 7);
    else this.#send(vector);
  }

  read(offset: number, size: Size): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + this.#byteAt(offset + i);
    return value;
  }

  write(offset: number, size: Size, value: number): void {
    const end = this.#entries.byteLength;
    // Entries take their four words; parts of a word are undefined by 6.8.2, and here merged.
    for (let i = 0; i < size; i++) if (offset + i < end) this.#entries.setUint8(offset + i, (value >>> (8 * i)) & 0xff);
    if (offset < end) this.#sendPending();
  }

  save(): { readonly entries: Uint8Array; readonly pending: Uint8Array } {
    return { entries: new Uint8Array(this.#entries.buffer.slice(0)), pending: this.#pending.slice() };
  }

  /** Takes what `save` gave, of the same number of vectors; sends nothing. */
  load(entries: Uint8Array, pending: Uint8Array): void {
    if (entries.length !== this.#entries.byteLength || pending.length !== this.#pending.length) throw new TypeError('msix: the table has another size');
    new Uint8Array(this.#entries.buffer).set(entries);
    this.#pending.set(pending);
    for (let vector = this.vectors; vector < MSIX_MOST_VECTORS; vector++) this.#pending[vector >> 3]! &= ~(1 << (vector & 7));
  }

  #byteAt(offset: number): number {
    if (offset < this.#entries.byteLength) return this.#entries.getUint8(offset);
    return this.#pending[offset - MSIX_PENDING_OFFSET] ?? 0;
  }

  #isMasked(vector: number): boolean {
    return (this.#entries.getUint32(vector * MSIX_ENTRY_BYTES + 12, true) & MSIX_ENTRY_MASKED) !== 0;
  }

  #sendPending(): void {
    if (!this.#enabled || this.#masked) return;
    for (let vector = 0; vector < this.vectors; vector++) {
      const bit = 1 << (vector & 7);
      if ((this.#pending[vector >> 3]! & bit) === 0 || this.#isMasked(vector)) continue;
      this.#pending[vector >> 3]! &= ~bit;
      this.#send(vector);
    }
  }

  #send(vector: number): void {
    const at = vector * MSIX_ENTRY_BYTES;
    this.#msi.send(this.#entries.getUint32(at, true) + this.#entries.getUint32(at + 4, true) * 2 ** 32, this.#entries.getUint32(at + 8, true));
  }
}
