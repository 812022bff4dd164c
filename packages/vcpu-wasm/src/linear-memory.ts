/**
 * Linear memory of one processor as generated code meets it when the TLBs do not answer.
 *
 * Addresses are pairs of unsigned 32-bit halves, physical addresses are numbers below 2^52.
 */
import { CR0_PG, EFER_LMA, VECTOR_AC } from '@vm/x86';
import type { IoBus, InterruptPort, Ram } from '@vm/core/engine';
import type { Size } from '@vm/core';
import { PAGE_CODE, PAGE_READ_ONLY } from '@vm/core/exit';
import * as state from './cpu-state.ts';
import type { GuestFault } from './guest-fault.ts';
import { PageWalk, READ, WRITE } from './page-walk.ts';
import type { Access } from './page-walk.ts';
import type { ShadowPaging, ShadowTables } from './shadow-paging.ts';
import type { StateView } from './state-view.ts';
import { Tlb } from './tlb.ts';

/** What data breakpoints need to know of accesses. */
export interface DataWatch {
  watchesPage(low: number, high: number): boolean;
  noteAccess(low: number, high: number, bytes: number, write: boolean): boolean;
}

const NO_FRAME = 0xffff_ffff;
/** In a tag: what it answers is not what a supervisor's implicit access may do. */

export class LinearMemory {
  readonly #state: StateView;
  readonly #ram: Ram;
  readonly #mmio: IoBus;
  readonly #interrupts: InterruptPort;
  readonly #fault: GuestFault;
  /** Watched data, when there is any. */
  #watch: DataWatch | null = null;
  readonly #wide = new DataView(new ArrayBuffer(16));
  readonly tlb: Tlb;
  readonly walk: PageWalk;

  // Counters.
  readMisses = 0;
  writeMisses = 0;
  fetchMisses = 0;
  deviceAccesses = 0;

  get ram(): Ram { return this.#ram; }

  /** Shadow tables behind the TLB; null: there are none. */
  get shadow(): ShadowPaging | null { return this.walk.shadow; }

  constructor(view: StateView, ram: Ram, mmio: IoBus, interrupts: InterruptPort, fault: GuestFault) {
    this.#state = view;
    this.#ram = ram;
    this.#mmio = mmio;
    this.#interrupts = interrupts;
    this.#fault = fault;
    this.tlb = new Tlb(view);
    this.walk = new PageWalk(view, ram, this.tlb, (vector, errorCode) => this.raise(vector, errorCode));
    this.#describeRam();
  }
  /** For the generated code that answers misses. */
  #describeRam(): void {
    const s = this.#state;
    const low = this.#ram.ranges[0];
    const high = this.#ram.ranges[1];
    if (low !== undefined && low.gpa === 0) {
      s.set(state.LOW_FRAMES, low.bytes / 4096);
      s.set(state.LOW_OFFSET, low.offset);
    }
    if (high !== undefined) {
      s.set(state.HIGH_FRAME, high.gpa / 4096);
      s.set(state.HIGH_FRAMES, high.bytes / 4096);
      s.set(state.HIGH_OFFSET, high.offset);
    }
    s.set(state.ATTRIBUTES, this.#ram.attributesOffset);
    s.set(state.RAM_BASE, this.#ram.base);
    this.#noteWindow();
  }
  #noteWindow(): void {
    const window = this.#interrupts.window();
    this.#state.set(state.WINDOW_FRAME, window < 0 ? NO_FRAME : Math.floor(window / 4096));
  }
  /** The registers of the interrupt controller may be at another address. */
  windowMoved(): void {
    this.#noteWindow();
    this.tlb.flush();
  }

  useShadow(tables: ShadowTables, index: number): void {
    this.tlb.offsetOfFrame = (frame) => this.walk.ramOffset(frame * 4096);
    this.walk.shadow = tables.processor(index, this.#state, this.tlb);
  }

  // ---- What the guest does to its translations -----------------------------------------------------------------------

  /** CR3 was written. */
  rootChanged(): void {
    if (this.walk.shadow === null) this.tlb.flush();
    else this.walk.shadow.switched();
  }
  /** Control registers changed what translations mean, or all were given up. */
  pagingChanged(): void {
    if (this.walk.shadow === null) this.tlb.flush();
    else this.walk.shadow.changed();
  }
  invalidatePage(low: number, high: number): void {
    if (this.walk.shadow === null) this.tlb.invalidatePage(low, high);
    else this.walk.shadow.invalidatePage(low, high);
  }
  /** All registers are new. */
  forgetTranslations(): void {
    this.walk.shadow?.forget();
    this.tlb.clear();
    this.#noteWindow();
  }

  // ---- Faults ------------------------------------------------------------------------------------------------------

  raise(vector: number, errorCode: number): never {
    this.#fault.vector = vector;
    this.#fault.errorCode = errorCode;
    throw this.#fault;
  }
  // ---- Translation -------------------------------------------------------------------------------------------------

  /** Translates for data and lets the TLBs answer from now on. */
  #translateData(low: number, high: number, write: boolean, supervisor: boolean): void {
    this.walk.translate(low, high, write ? WRITE : READ, supervisor);
    const offset = this.walk.offset;
    if (this.tlb.checksAlignment || offset < 0 || !this.walk.cachable || this.#isWindow(this.walk.physical)) return;
    if (this.#watch !== null && this.#watch.watchesPage(low, high)) return;
    const page = offset - (offset & 4095);
    const tag = this.tlb.dataTag(supervisor);
    this.tlb.fillRead(low, high, page, tag);
    if (this.walk.writable && ((this.#state.u8[this.#ram.attributesOffset + ((page - this.#ram.base) >>> 12)] as number) === 0)) {
      if (this.walk.shadow !== null && (this.#state.get(state.CR0) & CR0_PG) === 0) this.walk.shadow.noteUnpagedRight(this.walk.physical);
      this.tlb.fillWrite(low, high, page, tag);
    }
  }
  #isWindow(physical: number): boolean {
    const window = this.#interrupts.window();
    return physical >= window && physical < window + 4096 && window >= 0;
  }

  /** Where `bytes` at the address lie in the linear memory, when they lie in one page that the TLB answers for; -1 otherwise. */
  hostOffset(low: number, high: number, bytes: number, write: boolean, supervisor = false): number {
    if ((low & 4095) + bytes > 4096 || this.#isChecked()) return -1;
    return this.tlb.find(write ? state.WRITE_TLB : state.READ_TLB, low, high, this.tlb.dataTag(supervisor));
  }

  // ---- Slow paths of generated code: values go through VALUE ---------------------------------------------------------

  /** `size` is the number of bytes, with state.ANY_ALIGNMENT where no address is misaligned for the instruction. */
  load(low: number, high: number, size: number, supervisor = false): void {
    if (this.#isChecked() && !supervisor) this.#checkData(low, high, size, false);
    const bytes = size & ~state.ANY_ALIGNMENT;
    if ((low & 4095) + bytes > 4096) { this.#across(low, high, bytes, READ, supervisor); return; }
    this.walk.offset = this.hostOffset(low, high, bytes, false, supervisor);
    if (this.walk.offset >= 0) {
      this.#readRam(bytes, this.#state.at + state.VALUE);
      return;
    }
    this.readMisses++;
    this.#translateData(low, high, false, supervisor);
    this.#read(bytes, this.#state.at + state.VALUE);
  }
  /** As load, but the page is proved writable. */
  loadForUpdate(low: number, high: number, size: number): void {
    if (this.#isChecked()) this.#checkData(low, high, size, true);
    const bytes = size & ~state.ANY_ALIGNMENT;
    if ((low & 4095) + bytes > 4096) {
      this.#probeAcross(low, high);
      this.#across(low, high, bytes, READ, false);
      return;
    }
    this.writeMisses++;
    this.#translateData(low, high, true, false);
    this.#read(bytes, this.#state.at + state.VALUE);
  }
  store(low: number, high: number, size: number, supervisor = false): void {
    if (this.#isChecked() && !supervisor) this.#checkData(low, high, size, true);
    const bytes = size & ~state.ANY_ALIGNMENT;
    if ((low & 4095) + bytes > 4096) { this.#across(low, high, bytes, WRITE, supervisor); return; }
    const offset = this.hostOffset(low, high, bytes, true, supervisor);
    if (offset >= 0) {
      this.#state.u8.copyWithin(offset, this.#state.at + state.VALUE, this.#state.at + state.VALUE + bytes);
      return;
    }
    this.writeMisses++;
    this.#translateData(low, high, true, supervisor);
    this.#write(bytes, this.#state.at + state.VALUE);
  }

  #isChecked(): boolean { return this.#watch !== null || this.tlb.checksAlignment; }
  #onWatched: () => void = () => undefined;

  /** Watches data for breakpoints; `hit` is called when an access touches it. */
  watchData(watch: DataWatch | null, hit: () => void): void {
    this.#watch = watch;
    this.#onWatched = hit;
    this.tlb.setAsking(watch !== null);
    this.tlb.flush();
  }
  #checkData(low: number, high: number, size: number, write: boolean): void {
    const bytes = size & ~state.ANY_ALIGNMENT;
    if (this.tlb.checksAlignment && bytes === size && (low & (Math.min(bytes, 8) - 1)) !== 0) this.raise(VECTOR_AC, 0);
    if (this.#watch !== null && this.#watch.noteAccess(low, high, bytes, write)) this.#onWatched();
  }

  /** Translates the page after the one of the address. */
  #translateNext(low: number, high: number, access: Access, supervisor: boolean): void {
    const nextLow = ((low & 0xffff_f000) + 4096) >>> 0;
    const carry = nextLow === 0 && (this.#state.get(state.EFER) & EFER_LMA) !== 0;
    this.walk.translate(nextLow, carry ? (high + 1) >>> 0 : high, access, supervisor);
  }
  #probeAcross(low: number, high: number): void {
    this.walk.requireCanonicalEnd(low, high);
    this.walk.translate(low, high, WRITE);
    this.#translateNext(low, high, WRITE, false);
  }
  /** An access to two pages, byte by byte between VALUE and memory. Both are translated before a device sees anything. */
  #across(low: number, high: number, bytes: number, access: Access, supervisor: boolean): void {
    const { walk } = this;
    const first = 4096 - (low & 4095);
    walk.requireCanonicalEnd(low, high);
    walk.translate(low, high, access, supervisor);
    const firstPhysical = walk.physical;
    const firstOffset = walk.offset;
    this.#translateNext(low, high, access, supervisor);
    const nextPhysical = walk.physical;
    const nextOffset = walk.offset;
    const value = this.#state.at + state.VALUE;
    for (let i = 0; i < bytes; i++) {
      const inFirst = i < first;
      const offset = inFirst ? firstOffset : nextOffset;
      const at = inFirst ? i : i - first;
      walk.physical = (inFirst ? firstPhysical : nextPhysical) + at;
      walk.offset = offset < 0 ? -1 : offset + at;
      if (access === WRITE) this.#write(1, value + i);
      else this.#state.u8[value + i] = this.#readByte();
    }
    if (access === READ) for (let i = bytes; i < 8; i++) this.#state.u8[value + i] = 0;
  }

  #readByte(): number {
    if (this.walk.offset >= 0 && !this.#isWindow(this.walk.physical)) return this.#state.u8[this.walk.offset] as number;
    this.deviceAccesses++;
    return this.#isWindow(this.walk.physical) ? this.#interrupts.readRegister(this.walk.physical & 4095, 1) : this.#mmio.read(this.walk.physical, 1);
  }
  /** Reads `bytes` at `physical` into the linear memory at `to`, zero-extended to 8. */
  #readRam(bytes: number, to: number): void {
    const { view, u8 } = this.#state;
    const from = this.walk.offset;
    if (bytes === 8) { view.setInt32(to, view.getInt32(from, true), true); view.setInt32(to + 4, view.getInt32(from + 4, true), true); return; }
    if (bytes > 8) { u8.copyWithin(to, from, from + bytes); return; }
    const value = bytes === 4 ? view.getInt32(from, true) : bytes === 2 ? view.getUint16(from, true) : u8[from] as number;
    view.setInt32(to, value, true);
    view.setInt32(to + 4, 0, true);
  }
  #read(bytes: number, to: number): void {
    const { view, u8 } = this.#state;
    if (this.walk.offset >= 0 && !this.#isWindow(this.walk.physical)) {
      this.#readRam(bytes, to);
      return;
    }
    this.deviceAccesses++;
    if (this.#isWindow(this.walk.physical)) {
      const value = bytes <= 4 ? this.#interrupts.readRegister(this.walk.physical & 4095, bytes as Size) : 0xffff_ffff;
      view.setInt32(to, value, true);
      view.setInt32(to + 4, 0, true);
    } else if (bytes <= 4) {
      view.setInt32(to, this.#mmio.read(this.walk.physical, bytes as Size), true);
      view.setInt32(to + 4, 0, true);
    } else {
      this.#mmio.readWide(this.walk.physical, bytes, this.#wide);
      for (let i = 0; i < bytes; i++) u8[to + i] = this.#wide.getUint8(i);
    }
  }
  /** Writes `bytes` from the linear memory at `from` to `physical`. */
  #write(bytes: number, from: number): void {
    const { u8 } = this.#state;
    if (this.walk.offset >= 0 && !this.#isWindow(this.walk.physical)) {
      const to = this.walk.offset;
      const attributes = u8[this.#ram.attributesOffset + ((to - this.#ram.base) >>> 12)] as number;
      if ((attributes & PAGE_READ_ONLY) !== 0) return;
      for (let i = 0; i < bytes; i++) u8[to + i] = u8[from + i] as number;
      if (attributes !== 0) this.#ram.written(to, bytes);
      return;
    }
    this.deviceAccesses++;
    if (this.#isWindow(this.walk.physical)) {
      if (bytes <= 4) this.#interrupts.writeRegister(this.walk.physical & 4095, bytes as Size, this.#value(from, bytes));
    } else if (bytes <= 4) this.#mmio.write(this.walk.physical, bytes as Size, this.#value(from, bytes));
    else {
      for (let i = 0; i < bytes; i++) this.#wide.setUint8(i, u8[from + i] as number);
      this.#mmio.writeWide(this.walk.physical, bytes, this.#wide);
    }
  }
  #value(at: number, bytes: number): number {
    const { view } = this.#state;
    return bytes === 4 ? view.getUint32(at, true) : bytes === 2 ? view.getUint16(at, true) : view.getUint8(at);
  }

  /** Marks a page as code in its attribute byte. */
  markCode(pageOffset: number): void {
    const at = this.#ram.attributesOffset + ((pageOffset - this.#ram.base) >>> 12);
    this.#state.u8[at] = (this.#state.u8[at] as number) | PAGE_CODE;
  }

  // ---- The processor's own accesses (descriptor tables, stacks of exception delivery) ---------------------------------

  load32(low: number, high: number, supervisor: boolean): number {
    this.load(low, high, 4, supervisor);
    return this.#state.get(state.VALUE);
  }
  load16(low: number, high: number, supervisor: boolean): number {
    this.load(low, high, 2, supervisor);
    return this.#state.get(state.VALUE);
  }
  /** The value is in VALUE. */
  load64(low: number, high: number, supervisor: boolean): void { this.load(low, high, 8, supervisor); }
  storeValue(low: number, high: number, bytes: number, valueLow: number, valueHigh: number, supervisor: boolean): void {
    this.#state.set64(state.VALUE, valueLow, valueHigh);
    this.store(low, high, bytes, supervisor);
  }
}

