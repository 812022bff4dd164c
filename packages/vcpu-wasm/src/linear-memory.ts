/**
 * Linear memory of one processor: page walks, the TLBs, and the slow paths behind them (SDM vol. 3, chapter 4).
 *
 * Addresses are pairs of unsigned 32-bit halves, physical addresses are numbers below 2^52.
 */
import {
  CR0_AM, CR0_PG, CR0_WP, CR4_PAE, CR4_PSE, CR4_SMEP, EFER_LMA, EFER_NXE, FLAG_AC, PAGE_FAULT_FETCH, PAGE_FAULT_PRESENT, PAGE_FAULT_RESERVED,
  PAGE_FAULT_USER, PAGE_FAULT_WRITE, PTE_ACCESSED, PTE_DIRTY, PTE_FRAME_HIGH, PTE_LARGE, PTE_NX_HIGH, PTE_PRESENT, PTE_USER,
  PTE_WRITABLE, VECTOR_AC, VECTOR_GP, VECTOR_PF,
} from '@vm/x86';
import type { IoBus, InterruptPort, Ram } from '@vm/core/engine';
import type { Size } from '@vm/core';
import { PAGE_CODE, PAGE_READ_ONLY } from '@vm/core/exit';
import * as state from './cpu-state.ts';
import type { StateView } from './state-view.ts';
import type { GuestFault } from './guest-fault.ts';

export const READ = 0;
export const WRITE = 1;
export const FETCH = 2;
export type Access = typeof READ | typeof WRITE | typeof FETCH;

const TWO_32 = 0x1_0000_0000;
/** Physical address width that CPUID reports; frame bits above it are reserved. */
export const PHYSICAL_BITS = 40;
const RESERVED_FRAME_HIGH = PTE_FRAME_HIGH & ~((1 << (PHYSICAL_BITS - 32)) - 1);
const EMPTY = 0xffff_ffff;
/** Tags: bits 3-11 generation, bit 2 user, bits 0-1 code size of fetches. */
const GENERATION_SHIFT = 3;
const LAST_GENERATION = 510;
const TAG_USER = 4;
/** Matches no entry: all data accesses take the slow path. */
const NO_TAG = 0xffe;
const CHECK_WATCH = 1;
const CHECK_ALIGNMENT = 2;

/** What data breakpoints need to know of accesses. */
export interface DataWatch {
  watchesPage(low: number, high: number): boolean;
  noteAccess(low: number, high: number, bytes: number, write: boolean): boolean;
}

export class LinearMemory {
  readonly #state: StateView;
  readonly #ram: Ram;
  readonly #mmio: IoBus;
  readonly #interrupts: InterruptPort;
  readonly #fault: GuestFault;
  readonly #lowBytes: number;
  readonly #lowOffset: number;
  /** Watched data, when there is any. */
  #watch: DataWatch | null = null;
  readonly #wide = new DataView(new ArrayBuffer(16));
  #generation = 0;
  #modeIndex = 0;

  /** Result of the last translation: guest-physical address, and its offset in the linear memory or -1. */
  physical = 0;
  offset = -1;
  /** What the last walk found: whether the page may be written at this privilege without another walk. */
  #writable = false;
  /** Linear range that large pages have been cached from; INVLPG inside it flushes all, as their pieces are not tracked. */
  #largeLow = Number.POSITIVE_INFINITY;
  #largeHigh = 0;

  // Counters.
  readMisses = 0;
  writeMisses = 0;
  fetchMisses = 0;
  flushes = 0;
  deviceAccesses = 0;

  constructor(view: StateView, ram: Ram, mmio: IoBus, interrupts: InterruptPort, fault: GuestFault) {
    this.#state = view;
    this.#ram = ram;
    this.#mmio = mmio;
    this.#interrupts = interrupts;
    this.#fault = fault;
    const low = ram.ranges[0];
    this.#lowBytes = low !== undefined && low.gpa === 0 ? low.bytes : 0;
    this.#lowOffset = low !== undefined ? low.offset : 0;
    this.clear();
  }

  /** Offset of a physical address in the linear memory, -1 outside RAM. */
  ramOffset(physical: number): number {
    if (physical < this.#lowBytes) return this.#lowOffset + physical;
    return this.#ram.offsetOf(physical);
  }

  // ---- Faults ------------------------------------------------------------------------------------------------------

  raise(vector: number, errorCode: number): never {
    this.#fault.vector = vector;
    this.#fault.errorCode = errorCode;
    throw this.#fault;
  }
  #pageFault(low: number, high: number, errorCode: number): never {
    this.#state.set64(state.CR2, low, high);
    return this.raise(VECTOR_PF, errorCode);
  }

  // ---- Tags --------------------------------------------------------------------------------------------------------

  /** Drops every cached translation. */
  flush(): void {
    this.flushes++;
    if (this.#generation === LAST_GENERATION) {
      this.clear();
      return;
    }
    this.#generation++;
    this.#largeLow = Number.POSITIVE_INFINITY;
    this.#largeHigh = 0;
    this.updateTags();
  }
  /** Overwrites the arrays as well. */
  clear(): void {
    const from = (this.#state.at + state.READ_TLB) >>> 2;
    this.#state.u32.fill(EMPTY, from, from + ((3 * state.TLB_ENTRIES * state.TLB_STRIDE) >>> 2));
    this.#generation = 0;
    this.#largeLow = Number.POSITIVE_INFINITY;
    this.#largeHigh = 0;
    this.updateTags();
  }
  /** To be called when the privilege level, the code size or RFLAGS.AC changes. */
  updateTags(): void {
    const s = this.#state;
    // While alignment is checked no translation answers in generated code (SDM vol. 3, section 6.15, #AC).
    const aligned = s.get(state.CPL) === 3 && (s.get(state.CR0) & CR0_AM) !== 0 && (s.get(state.FLAGS_OTHER) & FLAG_AC) !== 0;
    this.#slow = (this.#slow & ~CHECK_ALIGNMENT) | (aligned ? CHECK_ALIGNMENT : 0);
    const tag = (this.#generation << GENERATION_SHIFT) | (this.#state.get(state.CPL) === 3 ? TAG_USER : 0);
    this.#state.set64(state.DATA_TAG, aligned ? NO_TAG : tag, 0);
    this.#state.set64(state.FETCH_TAG, tag | this.#modeIndex, 0);
  }
  /** 16, 32 or 64: the default code size, which distinguishes decoded code. */
  setCodeSize(bits: number): void {
    this.#modeIndex = bits === 64 ? 2 : bits === 32 ? 1 : 0;
    this.updateTags();
  }

  invalidatePage(low: number, high: number): void {
    const address = high * TWO_32 + low;
    if (address >= this.#largeLow && address <= this.#largeHigh) {
      this.flush();
      return;
    }
    const at = this.#entry(low);
    for (const tlb of [state.READ_TLB, state.WRITE_TLB, state.FETCH_TLB]) {
      const index = (at + tlb) >>> 2;
      if (this.#state.u32[index + 1] === high && (((this.#state.u32[index] as number) ^ low) & 0xffff_f000) === 0) {
        this.#state.u32[index] = EMPTY;
        this.#state.u32[index + 1] = EMPTY;
      }
    }
  }
  /** Takes away the right to write to a page without asking; called when it becomes code. */
  revokeWrites(pageOffset: number): void {
    const u32 = this.#state.u32;
    let index = (this.#state.at + state.WRITE_TLB) >>> 2;
    for (let i = 0; i < state.TLB_ENTRIES; i++, index += 4) {
      if (((((u32[index] as number) & 0xffff_f000) + (u32[index + 2] as number)) >>> 0) === pageOffset && u32[index] !== EMPTY) {
        u32[index] = EMPTY;
        u32[index + 1] = EMPTY;
      }
    }
  }
  #entry(low: number): number { return this.#state.at + ((low >>> 8) & ((state.TLB_ENTRIES - 1) * state.TLB_STRIDE)); }
  #fill(tlb: number, tagField: number, low: number, high: number, pageOffset: number, extra: number): void {
    const u32 = this.#state.u32;
    const index = (this.#entry(low) + tlb) >>> 2;
    const page = low & 0xffff_f000;
    u32[index] = page | this.#state.get(tagField);
    u32[index + 1] = high;
    u32[index + 2] = pageOffset - page;
    u32[index + 3] = extra;
  }
  /** Makes the fetch TLB answer for the page last translated. */
  fillFetch(low: number, high: number, pageOffset: number, codePage: number): void {
    this.#fill(state.FETCH_TLB, state.FETCH_TAG, low, high, pageOffset, codePage);
  }

  // ---- Translation -------------------------------------------------------------------------------------------------

  /**
   * Translates one linear address; `physical` and `offset` hold the result. Raises #PF (or #GP, #SS for a non-canonical
   * address). `supervisor` is for the processor's own accesses to descriptor tables and task-state segments.
   */
  translate(low: number, high: number, access: Access, supervisor = false): void {
    const s = this.#state;
    const cr0 = s.get(state.CR0);
    if ((cr0 & CR0_PG) === 0) {
      this.physical = low;
      this.#writable = true;
      this.offset = this.ramOffset(low);
      return;
    }
    const user = !supervisor && s.get(state.CPL) === 3;
    const efer = s.get(state.EFER);
    let error = user ? PAGE_FAULT_USER : 0;
    if (access === WRITE) error |= PAGE_FAULT_WRITE;
    if (access === FETCH && ((efer & EFER_NXE) !== 0 || (s.get(state.CR4) & CR4_SMEP) !== 0)) error |= PAGE_FAULT_FETCH;
    if ((efer & EFER_LMA) !== 0) {
      // SDM vol. 1, section 3.3.7.1: bits 47 to 63 are all equal.
      const top = high >> 15;
      if (top !== 0 && top !== -1) this.raise(VECTOR_GP, 0);
      this.#walk64(low, high, access, user, error, cr0, efer, 4, s.number(state.CR3));
    } else if ((s.get(state.CR4) & CR4_PAE) !== 0) this.#walk64(low, 0, access, user, error, cr0, efer, 3, s.get(state.CR3));
    else this.#walk32(low, access, user, error, cr0);
  }

  #walk64(low: number, high: number, access: Access, user: boolean, error: number, cr0: number, efer: number, levels: number, cr3: number): void {
    const u32 = this.#state.u32;
    const write = access === WRITE;
    const nxReserved = (efer & EFER_NXE) === 0;
    let table = levels === 4 ? cr3 - (cr3 % 4096) : (cr3 & 0xffff_ffe0) >>> 0;
    let allUser = PTE_USER;
    let allWritable = PTE_WRITABLE;
    let noExecute = false;
    // Entries visited, for the accessed bits, which are set only when the access is allowed.
    let at4 = -1, at3 = -1, at2 = -1;
    for (let level = levels; level >= 1; level--) {
      const index = level === 4 ? (high >>> 7) & 0x1ff : level === 3 ? ((high << 2) | (low >>> 30)) & (levels === 4 ? 0x1ff : 3) : level === 2 ? (low >>> 21) & 0x1ff : (low >>> 12) & 0x1ff;
      const at = this.ramOffset(table + index * 8);
      if (at < 0) this.#pageFault(low, high, error);
      const entryLow = u32[at >>> 2] as number;
      const entryHigh = u32[(at >>> 2) + 1] as number;
      if ((entryLow & PTE_PRESENT) === 0) this.#pageFault(low, high, error);
      const directory = levels === 3 && level === 3; // a PAE page-directory pointer has no rights
      const large = (entryLow & PTE_LARGE) !== 0 && (level === 2 || (level === 3 && levels === 4));
      if (((entryHigh & RESERVED_FRAME_HIGH) !== 0) || (nxReserved && (entryHigh & PTE_NX_HIGH) !== 0)
        || (level === 4 && (entryLow & PTE_LARGE) !== 0)
        || (large && (entryLow & (level === 2 ? 0x001f_e000 : 0x3fff_e000)) !== 0)) this.#pageFault(low, high, error | PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED);
      if (!directory) {
        allUser &= entryLow;
        allWritable &= entryLow;
        noExecute ||= (entryHigh & PTE_NX_HIGH) !== 0;
      }
      if (level === 1 || large) {
        this.#check(low, high, access, user, error, cr0, allUser !== 0, allWritable !== 0, noExecute);
        const dirty = (entryLow & PTE_DIRTY) !== 0;
        const wanted = PTE_ACCESSED | (write ? PTE_DIRTY : 0);
        if ((entryLow & wanted) !== wanted) this.#setBits(at, entryLow | wanted);
        if (at4 >= 0) this.#setAccessed(at4);
        if (at3 >= 0) this.#setAccessed(at3);
        if (at2 >= 0) this.#setAccessed(at2);
        this.#writable = (dirty || write) && (allWritable !== 0 || (!user && (cr0 & CR0_WP) === 0));
        const frameHigh = (entryHigh & PTE_FRAME_HIGH) * TWO_32;
        if (large) {
          const mask = level === 2 ? 0x001f_ffff : 0x3fff_ffff;
          this.physical = frameHigh + (((entryLow & ~mask) | (low & mask & 0xffff_f000)) >>> 0) + (low & 0xfff);
          this.#noteLarge(low, high, mask);
        } else this.physical = frameHigh + (((entryLow & 0xffff_f000) | (low & 0xfff)) >>> 0);
        this.offset = this.ramOffset(this.physical);
        return;
      }
      if (level === 4) at4 = at;
      else if (level === 3) { if (!directory) at3 = at; } else at2 = at;
      table = (entryHigh & PTE_FRAME_HIGH) * TWO_32 + ((entryLow & 0xffff_f000) >>> 0);
    }
  }

  #walk32(low: number, access: Access, user: boolean, error: number, cr0: number): void {
    const u32 = this.#state.u32;
    const write = access === WRITE;
    const directoryAt = this.ramOffset(((this.#state.get(state.CR3) & 0xffff_f000) >>> 0) + (low >>> 22) * 4);
    if (directoryAt < 0) this.#pageFault(low, 0, error);
    const directory = u32[directoryAt >>> 2] as number;
    if ((directory & PTE_PRESENT) === 0) this.#pageFault(low, 0, error);
    const large = (directory & PTE_LARGE) !== 0 && (this.#state.get(state.CR4) & CR4_PSE) !== 0;
    let at = directoryAt;
    let entry = directory;
    if (!large) {
      at = this.ramOffset(((directory & 0xffff_f000) >>> 0) + ((low >>> 12) & 0x3ff) * 4);
      if (at < 0) this.#pageFault(low, 0, error);
      entry = u32[at >>> 2] as number;
      if ((entry & PTE_PRESENT) === 0) this.#pageFault(low, 0, error);
    } else if ((directory & 0x0020_0000) !== 0) this.#pageFault(low, 0, error | PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED);
    const writable = (directory & entry & PTE_WRITABLE) !== 0;
    this.#check(low, 0, access, user, error, cr0, (directory & entry & PTE_USER) !== 0, writable, false);
    const wanted = PTE_ACCESSED | (write ? PTE_DIRTY : 0);
    if ((entry & wanted) !== wanted) this.#setBits(at, entry | wanted);
    if (!large) this.#setAccessed(directoryAt);
    this.#writable = ((entry & PTE_DIRTY) !== 0 || write) && (writable || (!user && (cr0 & CR0_WP) === 0));
    if (large) {
      // PSE-36: bits 13 to 20 of the entry are physical bits 32 to 39.
      this.physical = ((directory >>> 13) & 0xff) * TWO_32 + (((directory & 0xffc0_0000) | (low & 0x003f_ffff)) >>> 0);
      this.#noteLarge(low, 0, 0x003f_ffff);
    } else this.physical = ((entry & 0xffff_f000) | (low & 0xfff)) >>> 0;
    this.offset = this.ramOffset(this.physical);
  }

  /** Rights of a present translation; SDM vol. 3, section 4.6. */
  #check(low: number, high: number, access: Access, user: boolean, error: number, cr0: number, userPage: boolean, writable: boolean, noExecute: boolean): void {
    if (user ? !userPage || (access === WRITE && !writable) : access === WRITE && !writable && (cr0 & CR0_WP) !== 0) this.#pageFault(low, high, error | PAGE_FAULT_PRESENT);
    if (access === FETCH && (noExecute || (!user && userPage && (this.#state.get(state.CR4) & CR4_SMEP) !== 0))) this.#pageFault(low, high, error | PAGE_FAULT_PRESENT);
  }
  /** Accessed and dirty bits are stores too: the page may hold code, or be watched. */
  #setBits(at: number, entry: number): void {
    this.#state.u32[at >>> 2] = entry;
    const attributes = this.#ram.attributesOffset + ((at - this.#ram.base) >>> 12);
    if (this.#state.u8[attributes] !== 0) this.#ram.written(at, 4);
  }
  #setAccessed(at: number): void {
    const entry = this.#state.u32[at >>> 2] as number;
    if ((entry & PTE_ACCESSED) === 0) this.#setBits(at, entry | PTE_ACCESSED);
  }
  #noteLarge(low: number, high: number, mask: number): void {
    const first = high * TWO_32 + ((low & ~mask) >>> 0);
    if (first < this.#largeLow) this.#largeLow = first;
    if (first + mask > this.#largeHigh) this.#largeHigh = first + mask;
  }

  /** Translates for data and lets the TLBs answer from now on. */
  #translateData(low: number, high: number, write: boolean, supervisor: boolean): void {
    this.translate(low, high, write ? WRITE : READ, supervisor);
    if (supervisor) return; // the tag in force may be the user's
    const offset = this.offset;
    if ((this.#slow & CHECK_ALIGNMENT) !== 0 || offset < 0 || this.#isWindow(this.physical)) return;
    if (this.#watch !== null && this.#watch.watchesPage(low, high)) return;
    const page = offset - (offset & 4095);
    this.#fill(state.READ_TLB, state.DATA_TAG, low, high, page, 0);
    if (this.#writable && ((this.#state.u8[this.#ram.attributesOffset + ((page - this.#ram.base) >>> 12)] as number) === 0)) {
      this.#fill(state.WRITE_TLB, state.DATA_TAG, low, high, page, 0);
    }
  }
  #isWindow(physical: number): boolean {
    const window = this.#interrupts.window();
    return physical >= window && physical < window + 4096 && window >= 0;
  }

  // ---- Slow paths of generated code: values go through VALUE ---------------------------------------------------------

  load(low: number, high: number, bytes: number, supervisor = false): void {
    if (this.#slow !== 0 && !supervisor) this.#checkData(low, high, bytes, false);
    if ((low & 4095) + bytes > 4096) { this.#loadAcross(low, high, bytes, supervisor); return; }
    this.readMisses++;
    this.#translateData(low, high, false, supervisor);
    this.#read(bytes, this.#state.at + state.VALUE);
  }
  /** As load, but the page is proved writable. */
  loadForUpdate(low: number, high: number, bytes: number): void {
    if (this.#slow !== 0) this.#checkData(low, high, bytes, true);
    if ((low & 4095) + bytes > 4096) {
      this.#probeAcross(low, high);
      this.#loadAcross(low, high, bytes, false);
      return;
    }
    this.writeMisses++;
    this.#translateData(low, high, true, false);
    this.#read(bytes, this.#state.at + state.VALUE);
  }
  store(low: number, high: number, bytes: number, supervisor = false): void {
    if (this.#slow !== 0 && !supervisor) this.#checkData(low, high, bytes, true);
    if ((low & 4095) + bytes > 4096) { this.#storeAcross(low, high, bytes, supervisor); return; }
    this.writeMisses++;
    this.#translateData(low, high, true, supervisor);
    this.#write(bytes, this.#state.at + state.VALUE);
  }

  /** What the slow paths look at: CHECK_WATCH, CHECK_ALIGNMENT. */
  #slow = 0;
  #onWatched: () => void = () => undefined;

  /** Watches data for breakpoints; `hit` is called when an access touches it. */
  watchData(watch: DataWatch | null, hit: () => void): void {
    this.#watch = watch;
    this.#onWatched = hit;
    this.#slow = (this.#slow & ~CHECK_WATCH) | (watch === null ? 0 : CHECK_WATCH);
    this.flush();
  }
  #checkData(low: number, high: number, bytes: number, write: boolean): void {
    if ((this.#slow & CHECK_ALIGNMENT) !== 0 && (low & (Math.min(bytes, 8) - 1)) !== 0) this.raise(VECTOR_AC, 0);
    if (this.#watch !== null && this.#watch.noteAccess(low, high, bytes, write)) this.#onWatched();
  }

  /** Translates the page after the one of the address. */
  #translateNext(low: number, high: number, access: Access, supervisor: boolean): void {
    const nextLow = ((low & 0xffff_f000) + 4096) >>> 0;
    const carry = nextLow === 0 && (this.#state.get(state.EFER) & EFER_LMA) !== 0;
    this.translate(nextLow, carry ? (high + 1) >>> 0 : high, access, supervisor);
  }
  #probeAcross(low: number, high: number): void {
    this.translate(low, high, WRITE);
    this.#translateNext(low, high, WRITE, false);
  }
  #loadAcross(low: number, high: number, bytes: number, supervisor: boolean): void {
    // Both pages are translated before a device sees anything.
    const first = 4096 - (low & 4095);
    this.translate(low, high, READ, supervisor);
    const firstPhysical = this.physical;
    const firstOffset = this.offset;
    this.#translateNext(low, high, READ, supervisor);
    const nextPhysical = this.physical;
    const nextOffset = this.offset;
    const value = this.#state.at + state.VALUE;
    for (let i = 0; i < bytes; i++) {
      this.physical = i < first ? firstPhysical + i : nextPhysical + i - first;
      this.offset = i < first ? (firstOffset < 0 ? -1 : firstOffset + i) : nextOffset < 0 ? -1 : nextOffset + i - first;
      this.#state.u8[value + i] = this.#readByte();
    }
    if (bytes < 8) for (let i = bytes; i < 8; i++) this.#state.u8[value + i] = 0;
  }
  #storeAcross(low: number, high: number, bytes: number, supervisor: boolean): void {
    const first = 4096 - (low & 4095);
    this.translate(low, high, WRITE, supervisor);
    const firstPhysical = this.physical;
    const firstOffset = this.offset;
    this.#translateNext(low, high, WRITE, supervisor);
    const nextPhysical = this.physical;
    const nextOffset = this.offset;
    const value = this.#state.at + state.VALUE;
    for (let i = 0; i < bytes; i++) {
      this.physical = i < first ? firstPhysical + i : nextPhysical + i - first;
      this.offset = i < first ? (firstOffset < 0 ? -1 : firstOffset + i) : nextOffset < 0 ? -1 : nextOffset + i - first;
      this.#write(1, value + i);
    }
  }

  #readByte(): number {
    if (this.offset >= 0 && !this.#isWindow(this.physical)) return this.#state.u8[this.offset] as number;
    this.deviceAccesses++;
    return this.#isWindow(this.physical) ? this.#interrupts.readRegister(this.physical & 4095, 1) : this.#mmio.read(this.physical, 1);
  }
  /** Reads `bytes` at `physical` into the linear memory at `to`, zero-extended to 8. */
  #read(bytes: number, to: number): void {
    const { view, u8 } = this.#state;
    if (this.offset >= 0 && !this.#isWindow(this.physical)) {
      const from = this.offset;
      if (bytes === 8) { view.setInt32(to, view.getInt32(from, true), true); view.setInt32(to + 4, view.getInt32(from + 4, true), true); return; }
      if (bytes > 8) { u8.copyWithin(to, from, from + bytes); return; }
      const value = bytes === 4 ? view.getInt32(from, true) : bytes === 2 ? view.getUint16(from, true) : u8[from] as number;
      view.setInt32(to, value, true);
      view.setInt32(to + 4, 0, true);
      return;
    }
    this.deviceAccesses++;
    if (this.#isWindow(this.physical)) {
      const value = bytes <= 4 ? this.#interrupts.readRegister(this.physical & 4095, bytes as Size) : 0xffff_ffff;
      view.setInt32(to, value, true);
      view.setInt32(to + 4, 0, true);
    } else if (bytes <= 4) {
      view.setInt32(to, this.#mmio.read(this.physical, bytes as Size), true);
      view.setInt32(to + 4, 0, true);
    } else {
      this.#mmio.readWide(this.physical, bytes, this.#wide);
      for (let i = 0; i < bytes; i++) u8[to + i] = this.#wide.getUint8(i);
    }
  }
  /** Writes `bytes` from the linear memory at `from` to `physical`. */
  #write(bytes: number, from: number): void {
    const { u8 } = this.#state;
    if (this.offset >= 0 && !this.#isWindow(this.physical)) {
      const to = this.offset;
      const attributes = u8[this.#ram.attributesOffset + ((to - this.#ram.base) >>> 12)] as number;
      if ((attributes & PAGE_READ_ONLY) !== 0) return;
      for (let i = 0; i < bytes; i++) u8[to + i] = u8[from + i] as number;
      if (attributes !== 0) this.#ram.written(to, bytes);
      return;
    }
    this.deviceAccesses++;
    if (this.#isWindow(this.physical)) {
      if (bytes <= 4) this.#interrupts.writeRegister(this.physical & 4095, bytes as Size, this.#value(from, bytes));
    } else if (bytes <= 4) this.#mmio.write(this.physical, bytes as Size, this.#value(from, bytes));
    else {
      for (let i = 0; i < bytes; i++) this.#wide.setUint8(i, u8[from + i] as number);
      this.#mmio.writeWide(this.physical, bytes, this.#wide);
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
  unmarkCode(pageOffset: number): void {
    const at = this.#ram.attributesOffset + ((pageOffset - this.#ram.base) >>> 12);
    this.#state.u8[at] = (this.#state.u8[at] as number) & ~PAGE_CODE;
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

