/** Page walks in all paging modes (SDM vol. 3, chapter 4), with accessed and dirty bits. */
import {
  CR0_PG, CR0_WP, CR4_PAE, CR4_PSE, CR4_SMAP, CR4_SMEP, EFER_LMA, EFER_NXE, FLAG_AC, PAGE_FAULT_FETCH, PAGE_FAULT_PRESENT, PAGE_FAULT_RESERVED, PAGE_FAULT_USER,
  PAGE_FAULT_WRITE, PTE_ACCESSED, PTE_DIRTY, PTE_FRAME_HIGH, PTE_LARGE, PTE_NX_HIGH, PTE_PRESENT, PTE_USER, PTE_WRITABLE, VECTOR_GP, VECTOR_PF, VECTOR_SS,
} from '@vm/x86';
import type { Ram } from '@vm/core/engine';
import { FETCH_SUPERVISOR, FETCH_USER, READ_OPEN, READ_SUPERVISOR, READ_USER, RIGHT_HUGE, RIGHT_LARGE, WRITE_OPEN, WRITE_SUPERVISOR, WRITE_USER } from '@vm/shadow-mmu';
import * as state from './cpu-state.ts';
import type { ShadowPaging } from './shadow-paging.ts';
import type { StateView } from './state-view.ts';
import type { Tlb } from './tlb.ts';
import { UOP_SEGMENT } from './uop.ts';

export const READ = 0;
export const WRITE = 1;
export const FETCH = 2;
export type Access = typeof READ | typeof WRITE | typeof FETCH;

/** Physical address width that CPUID reports; frame bits above it are reserved. */
export const PHYSICAL_BITS = 40;
export const RESERVED_FRAME_HIGH: number = PTE_FRAME_HIGH & ~((1 << (PHYSICAL_BITS - 32)) - 1);
/** Bits 52 to 62 of an entry, which only four levels leave to software (SDM vol. 3, tables 4-8 to 4-11). */
export const PAE_RESERVED_HIGH = 0x7ff0_0000;
/** Bits 1, 2 and 5 to 8 of a page-directory pointer. */
const DIRECTORY_POINTER_RESERVED = 0x1e6;
/** Below the frame of an entry for 2 MiB or 1 GiB, above the bit that chooses the memory type. */
export const LARGE_RESERVED = 0x001f_e000;
const HUGE_RESERVED = 0x3fff_e000;
/** In an entry of 4 bytes for 4 MiB: bits 13 to 20 are bits 32 to 39 of the address (PSE-36), bit 21 is reserved. */
export const LARGE_RESERVED_32 = 0x003f_e000;
const TWO_32 = 0x1_0000_0000;
/** SDM vol. 1, section 3.3.7.1: bits 47 to 63 are all equal. */
export const isCanonical = (high: number): boolean => high >> 15 === 0 || high >> 15 === -1;
const RSP = 4;

export class PageWalk {
  readonly #state: StateView;
  readonly #ram: Ram;
  readonly #tlb: Tlb;
  readonly #raise: (vector: number, errorCode: number) => never;
  readonly #lowBytes: number;
  readonly #lowOffset: number;
  /** Result of the last translation: guest-physical address, and its offset in the linear memory or -1. */
  physical = 0;
  offset = -1;
  /** Whether the page may be written at this privilege without another walk. */
  writable = false;
  /** The translation may be kept until the guest gives it up. */
  cachable = true;
  /** Shadow tables, which are asked first. */
  shadow: ShadowPaging | null = null;
  /** A walk that would have to set an accessed or dirty bit raises in its place: nothing is changed. */
  isQuiet = false;
  /** The access is the processor's own, to a table or a stack that a gate names. */
  #implicit = false;

  constructor(view: StateView, ram: Ram, tlb: Tlb, raise: (vector: number, errorCode: number) => never) {
    this.#state = view;
    this.#ram = ram;
    this.#tlb = tlb;
    this.#raise = raise;
    const low = ram.ranges[0];
    this.#lowBytes = low !== undefined && low.gpa === 0 ? low.bytes : 0;
    this.#lowOffset = low !== undefined ? low.offset : 0;
  }

  /** Offset of a physical address in the linear memory, -1 outside RAM. */
  ramOffset(physical: number): number {
    if (physical < this.#lowBytes) return this.#lowOffset + physical;
    return this.#ram.offsetOf(physical);
  }
  #pageFault(low: number, high: number, errorCode: number): never {
    this.#state.set64(state.CR2, low, high);
    return this.#raise(VECTOR_PF, errorCode);
  }

  /**
   * Translates one linear address; `physical` and `offset` hold the result. Raises #PF (or #GP, #SS for a non-canonical
   * address). `supervisor` is for the processor's own accesses to descriptor tables and task-state segments.
   */
  translate(low: number, high: number, access: Access, supervisor = false): void {
    const s = this.#state;
    const cr0 = s.get(state.CR0);
    if ((cr0 & CR0_PG) === 0) {
      this.physical = low;
      this.cachable = true;
      this.writable = true;
      this.offset = this.ramOffset(low);
      return;
    }
    if (this.shadow !== null) {
      this.#shadowed(this.shadow, low, high, access, supervisor);
      return;
    }
    this.#implicit = supervisor;
    const user = !supervisor && s.get(state.CPL) === 3;
    const efer = s.get(state.EFER);
    let error = user ? PAGE_FAULT_USER : 0;
    if (access === WRITE) error |= PAGE_FAULT_WRITE;
    const cr4 = s.get(state.CR4);
    if (access === FETCH && (((efer & EFER_NXE) !== 0 && (cr4 & CR4_PAE) !== 0) || (cr4 & CR4_SMEP) !== 0)) error |= PAGE_FAULT_FETCH;
    if ((efer & EFER_LMA) !== 0) {
      if (!isCanonical(high)) this.#raise(this.#isStackAccess(low, high) ? VECTOR_SS : VECTOR_GP, 0);
      this.#walk64(low, high, access, user, error, cr0, efer, 4, s.number(state.CR3));
    } else if ((cr4 & CR4_PAE) !== 0) this.#walk64(low, 0, access, user, error, cr0, efer, 3, 0);
    else this.#walk32(low, access, user, error, cr0);
  }

  /** Through the shadow tables, which walk and set the bits themselves. */
  #shadowed({ processor }: ShadowPaging, low: number, high: number, access: Access, supervisor: boolean): void {
    const s = this.#state;
    const long = (s.get(state.EFER) & EFER_LMA) !== 0;
    if (long && !isCanonical(high)) this.#raise(this.#isStackAccess(low, high) ? VECTOR_SS : VECTOR_GP, 0);
    const user = !supervisor && s.get(state.CPL) === 3;
    const open = !user && !supervisor && (s.get(state.FLAGS_OTHER) & FLAG_AC) !== 0 && (s.get(state.CR4) & CR4_SMAP) !== 0;
    const write = user ? WRITE_USER : open ? WRITE_OPEN : WRITE_SUPERVISOR;
    const need = access === WRITE ? write : access === READ ? (user ? READ_USER : open ? READ_OPEN : READ_SUPERVISOR) : user ? FETCH_USER : FETCH_SUPERVISOR;
    const error = processor.translate(low, long ? high : 0, need);
    if (error >= 0) this.#pageFault(low, long ? high : 0, error);
    this.physical = processor.frame * 4096 + (low & 4095);
    this.offset = this.ramOffset(this.physical);
    this.writable = (processor.rights & write) !== 0;
    this.cachable = processor.rights !== 0;
    if ((processor.rights & RIGHT_LARGE) !== 0) this.#tlb.noteLarge(low, long ? high : 0, false);
    if ((processor.rights & RIGHT_HUGE) !== 0) this.#tlb.noteLarge(low, long ? high : 0, true);
  }

  /** For an access that goes on at the next page: that one has to be at an address too, before anything is translated. */
  requireCanonicalEnd(low: number, high: number): void {
    if (low < 0xffff_f000 || (this.#state.get(state.EFER) & EFER_LMA) === 0) return;
    if (isCanonical(high) && !isCanonical((high + 1) >>> 0)) this.#raise(this.#isStackAccess(low, high) ? VECTOR_SS : VECTOR_GP, 0);
  }
  /** Does the running instruction reach a non-canonical address through the stack? */
  #isStackAccess(low: number, high: number): boolean {
    const s = this.#state;
    if (s.u8[s.get(state.CURRENT_UOP) + UOP_SEGMENT] === state.SS) return true;
    // An implicit access lies at the stack pointer or just below it.
    const below = (s.gpr(RSP) - low) | 0;
    return below >= 0 && below <= 16 && ((s.gprHigh(RSP) - (s.gpr(RSP) < low ? 1 : 0)) >>> 0) === high;
  }

  #walk64(low: number, high: number, access: Access, user: boolean, error: number, cr0: number, efer: number, levels: number, cr3: number): void {
    const u32 = this.#state.u32;
    const write = access === WRITE;
    const nxReserved = (efer & EFER_NXE) === 0;
    const reservedHigh = levels === 4 ? RESERVED_FRAME_HIGH : RESERVED_FRAME_HIGH | PAE_RESERVED_HIGH;
    let table = cr3 - (cr3 % 4096);
    let allUser = PTE_USER;
    let allWritable = PTE_WRITABLE;
    let noExecute = false;
    // Entries visited, for the accessed bits, which are set only when the access is allowed.
    let at4 = -1, at3 = -1, at2 = -1;
    for (let level = levels; level >= 1; level--) {
      const index = level === 4 ? (high >>> 7) & 0x1ff : level === 3 ? ((high << 2) | (low >>> 30)) & (levels === 4 ? 0x1ff : 3) : level === 2 ? (low >>> 21) & 0x1ff : (low >>> 12) & 0x1ff;
      const directory = levels === 3 && level === 3; // PAE: one of the four registers, without rights
      const at = directory ? this.#state.at + state.PDPTE + index * 8 : this.ramOffset(table + index * 8);
      if (at < 0) this.#pageFault(low, high, error);
      const entryLow = u32[at >>> 2] as number;
      const entryHigh = u32[(at >>> 2) + 1] as number;
      if ((entryLow & PTE_PRESENT) === 0) this.#pageFault(low, high, error);
      const large = (entryLow & PTE_LARGE) !== 0 && (level === 2 || (level === 3 && levels === 4));
      if ((entryHigh & reservedHigh) !== 0 || (nxReserved && (entryHigh & PTE_NX_HIGH) !== 0)
        || (level === 4 && (entryLow & PTE_LARGE) !== 0)
        || (large && (entryLow & (level === 2 ? LARGE_RESERVED : HUGE_RESERVED)) !== 0)) this.#pageFault(low, high, error | PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED);
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
        this.writable = (dirty || write) && (allWritable !== 0 || (!user && (cr0 & CR0_WP) === 0));
        const frameHigh = (entryHigh & PTE_FRAME_HIGH) * TWO_32;
        if (large) {
          const mask = level === 2 ? 0x001f_ffff : 0x3fff_ffff;
          this.physical = frameHigh + (((entryLow & ~mask) | (low & mask & 0xffff_f000)) >>> 0) + (low & 0xfff);
          this.#tlb.noteLarge(low, high, level === 3);
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
    this.writable = ((entry & PTE_DIRTY) !== 0 || write) && (writable || (!user && (cr0 & CR0_WP) === 0));
    if (large) {
      // PSE-36: bits 13 to 20 of the entry are physical bits 32 to 39.
      this.physical = ((directory >>> 13) & 0xff) * TWO_32 + (((directory & 0xffc0_0000) | (low & 0x003f_ffff)) >>> 0);
      this.#tlb.noteLarge(low, 0, false);
    } else this.physical = ((entry & 0xffff_f000) | (low & 0xfff)) >>> 0;
    this.offset = this.ramOffset(this.physical);
  }

  /**
   * Loads the page-directory pointers of PAE paging from the table at `root` (SDM vol. 3, section 4.4.1). False when one is
   * present with reserved bits set; nothing is changed then.
   */
  loadDirectoryPointers(root: number): boolean {
    const { u32 } = this.#state;
    const to = (this.#state.at + state.PDPTE) >>> 2;
    const entries: number[] = [];
    for (let i = 0; i < 4; i++) {
      const at = this.ramOffset(((root & 0xffff_ffe0) >>> 0) + i * 8);
      const low = at < 0 ? 0 : u32[at >>> 2] as number;
      const high = at < 0 ? 0 : u32[(at >>> 2) + 1] as number;
      if ((low & PTE_PRESENT) !== 0 && ((low & DIRECTORY_POINTER_RESERVED) !== 0 || high >>> (PHYSICAL_BITS - 32) !== 0)) return false;
      entries.push(low, high);
    }
    entries.forEach((word, i) => { u32[to + i] = word; });
    return true;
  }

  /** Rights of a present translation; SDM vol. 3, section 4.6. */
  #check(low: number, high: number, access: Access, user: boolean, error: number, cr0: number, userPage: boolean, writable: boolean, noExecute: boolean): void {
    if (user ? !userPage || (access === WRITE && !writable) : access === WRITE && !writable && (cr0 & CR0_WP) !== 0) this.#pageFault(low, high, error | PAGE_FAULT_PRESENT);
    if (access !== FETCH && !user && userPage && this.#isShut()) this.#pageFault(low, high, error | PAGE_FAULT_PRESENT);
    if (access === FETCH && (noExecute || (!user && userPage && (this.#state.get(state.CR4) & CR4_SMEP) !== 0))) this.#pageFault(low, high, error | PAGE_FAULT_PRESENT);
  }
  /** SMAP: the supervisor reaches user pages only while AC says so, and never implicitly (SDM vol. 3, section 4.6.1). */
  #isShut(): boolean {
    return (this.#state.get(state.CR4) & CR4_SMAP) !== 0 && (this.#implicit || (this.#state.get(state.FLAGS_OTHER) & FLAG_AC) === 0);
  }
  /** Accessed and dirty bits are stores too: the page may hold code, or be watched. */
  #setBits(at: number, entry: number): void {
    if (this.isQuiet) this.#raise(VECTOR_PF, 0);
    this.#state.u32[at >>> 2] = entry;
    const attributes = this.#ram.attributesOffset + ((at - this.#ram.base) >>> 12);
    if (this.#state.u8[attributes] !== 0) this.#ram.written(at, 4);
  }
  #setAccessed(at: number): void {
    const entry = this.#state.u32[at >>> 2] as number;
    if ((entry & PTE_ACCESSED) === 0) this.#setBits(at, entry | PTE_ACCESSED);
  }
}
