/** A walk of the guest's own tables (SDM vol. 3, chapter 4), which remembers what it came by. */
import {
  PAGE_FAULT_FETCH, PAGE_FAULT_PRESENT, PAGE_FAULT_RESERVED, PAGE_FAULT_USER, PAGE_FAULT_WRITE, PTE_ACCESSED, PTE_DIRTY, PTE_LARGE, PTE_NX_HIGH, PTE_PRESENT, PTE_USER,
  PTE_WRITABLE,
} from '@vm/x86';
import { FRAME_BYTES } from './layout.ts';
import type { TableMemory } from './ports.ts';
import {
  ACCESS_ALL, ACCESS_FETCH, ACCESS_USER, ACCESS_WRITE, ANY_FETCH, ANY_USER, ANY_WRITE, MODE_32, MODE_LONG, MODE_MASK, MODE_PAE, ROLE_NX, ROLE_PSE, ROLE_SMEP, rightsOf,
} from './role.ts';

/** A walk that succeeded. Others give the error code of the page fault. */
export const NO_FAULT = -1;
const TWO_20 = 0x10_0000;
/** Bits 52 to 62, which only four levels leave to software (SDM vol. 3, tables 4-8 to 4-11). */
const PAE_RESERVED_HIGH = 0x7ff0_0000;

/** Frame that an entry of 8 bytes names. */
export const wideFrame = (low: number, high: number): number => (high & 0xf_ffff) * TWO_20 + (low >>> 12);
/** Frame of a 4 MiB page: bits 13 to 20 of the entry are physical bits 32 to 39 (PSE-36). */
export const largeFrame32 = (entry: number): number => ((entry >>> 13) & 0xff) * TWO_20 + ((entry >>> 22) << 10);

/** What the access of the levels above becomes with the bits of one more entry. */
export function narrow(access: number, low: number, high: number): number {
  let left = access;
  if ((low & PTE_USER) === 0) left &= ~ACCESS_USER;
  if ((low & PTE_WRITABLE) === 0) left &= ~ACCESS_WRITE;
  if ((high & PTE_NX_HIGH) !== 0) left &= ~ACCESS_FETCH;
  return left;
}

export class GuestWalk {
  readonly #memory: TableMemory;
  readonly #physicalHigh: number; // frame bits of a high half that do not exist
  /** By level, the last being 1: frame of the table, what the levels above it leave, and the entry. */
  readonly table: Float64Array = new Float64Array(5);
  readonly access: Uint8Array = new Uint8Array(5);
  readonly #at: Float64Array = new Float64Array(5);
  readonly #low: Uint32Array = new Uint32Array(5);
  /** First level that is read from memory, and the level of the entry that maps the page. */
  top = 0;
  leaf = 0;
  /** Of the piece of 4096 bytes that was asked for. */
  frame = 0;
  leafAccess = 0;
  rights = 0;
  #wanted = 0;

  constructor(memory: TableMemory, physicalBits: number) {
    this.#memory = memory;
    this.#physicalHigh = ~((1 << (physicalBits - 32)) - 1) & 0xf_ffff;
  }

  /**
   * From `roots`: the frame of the root table, or of the four page directories of PAE with -1 where the pointer is not present.
   * NO_FAULT, or the error code; nothing in memory is changed.
   */
  run(role: number, roots: Float64Array, low: number, high: number, need: number): number {
    this.#wanted = (need & ANY_WRITE) !== 0 ? PTE_ACCESSED | PTE_DIRTY : PTE_ACCESSED;
    const mode = role & MODE_MASK;
    return mode === MODE_32 ? this.#run32(role, roots[0] as number, low, need) : this.#runWide(role, mode, roots, low, high, need);
  }

  #errorCode(role: number, need: number): number {
    let error = (need & ANY_USER) !== 0 ? PAGE_FAULT_USER : 0;
    if ((need & ANY_WRITE) !== 0) error |= PAGE_FAULT_WRITE;
    if ((need & ANY_FETCH) !== 0 && (role & (ROLE_NX | ROLE_SMEP)) !== 0) error |= PAGE_FAULT_FETCH;
    return error;
  }

  #runWide(role: number, mode: number, roots: Float64Array, low: number, high: number, need: number): number {
    const error = this.#errorCode(role, need);
    const reservedHigh = this.#physicalHigh | (mode === MODE_PAE ? PAE_RESERVED_HIGH : 0) | ((role & ROLE_NX) === 0 ? PTE_NX_HIGH : 0);
    let level = mode === MODE_LONG ? 4 : 2;
    let table = mode === MODE_LONG ? roots[0] as number : roots[low >>> 30] as number;
    if (table < 0) return error;
    let access = ACCESS_ALL;
    this.top = level;
    for (;;) {
      const index = level === 4 ? (high >>> 7) & 511 : level === 3 ? ((high << 2) | (low >>> 30)) & 511 : level === 2 ? (low >>> 21) & 511 : (low >>> 12) & 511;
      const at = table * FRAME_BYTES + index * 8;
      const entry = this.#memory.read32(at);
      if ((entry & PTE_PRESENT) === 0) return error;
      const entryHigh = this.#memory.read32(at + 4);
      if (isReservedWide(level, entry, entryHigh, reservedHigh)) return error | PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED;
      this.#visit(level, table, at, entry, access);
      access = narrow(access, entry, entryHigh);
      if (level === 1 || (entry & PTE_LARGE) !== 0) {
        let frame = wideFrame(entry, entryHigh);
        if (level === 2) frame = frame - (frame % 512) + ((low >>> 12) & 511);
        else if (level === 3) frame = frame - (frame % 0x4_0000) + ((low >>> 12) & 0x3_ffff);
        return this.#finish(role, level, frame, access, entry, need, error);
      }
      table = wideFrame(entry, entryHigh);
      level--;
    }
  }

  #run32(role: number, root: number, low: number, need: number): number {
    const error = this.#errorCode(role, need);
    this.top = 2;
    const at = root * FRAME_BYTES + (low >>> 22) * 4;
    const directory = this.#memory.read32(at);
    if ((directory & PTE_PRESENT) === 0) return error;
    this.#visit(2, root, at, directory, ACCESS_ALL);
    const access = narrow(ACCESS_ALL, directory, 0);
    if ((directory & PTE_LARGE) !== 0 && (role & ROLE_PSE) !== 0) {
      if ((directory & 0x0020_0000) !== 0) return error | PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED;
      return this.#finish(role, 2, largeFrame32(directory) + ((low >>> 12) & 0x3ff), access, directory, need, error);
    }
    const table = directory >>> 12;
    const entryAt = table * FRAME_BYTES + ((low >>> 12) & 0x3ff) * 4;
    const entry = this.#memory.read32(entryAt);
    if ((entry & PTE_PRESENT) === 0) return error;
    this.#visit(1, table, entryAt, entry, access);
    return this.#finish(role, 1, entry >>> 12, narrow(access, entry, 0), entry, need, error);
  }

  #visit(level: number, table: number, at: number, entry: number, access: number): void {
    this.table[level] = table;
    this.#at[level] = at;
    this.#low[level] = entry;
    this.access[level] = access;
  }
  #finish(role: number, level: number, frame: number, access: number, entry: number, need: number, error: number): number {
    // What the page allows once the bits are set that this access sets.
    const allowed = rightsOf(role, access, true);
    if ((allowed & need) === 0) return error | PAGE_FAULT_PRESENT;
    this.leaf = level;
    this.frame = frame;
    this.leafAccess = access;
    this.dirty = (entry & PTE_DIRTY) !== 0 || (this.#wanted & PTE_DIRTY) !== 0;
    this.rights = this.dirty ? allowed : rightsOf(role, access, false);
    return NO_FAULT;
  }
  dirty = false;

  /** Sets the accessed bits of all entries and the dirty bit of the last. False: an entry has changed, walk again. */
  setBits(): boolean {
    for (let level = this.top; level >= this.leaf; level--) {
      const entry = this.#low[level] as number;
      const wanted = level === this.leaf ? this.#wanted : PTE_ACCESSED;
      if ((entry & wanted) !== wanted && !this.#memory.setBits(this.#at[level] as number, entry, wanted)) return false;
    }
    return true;
  }
  /** Was the frame one of the tables? */
  visited(frame: number): boolean {
    for (let level = this.top; level >= this.leaf; level--) if (this.table[level] === frame) return true;
    return false;
  }
  /** Frame bits of a high half that are reserved, with those that a mode adds. */
  reservedHigh(role: number): number {
    return this.#physicalHigh | ((role & MODE_MASK) === MODE_PAE ? PAE_RESERVED_HIGH : 0) | ((role & ROLE_NX) === 0 ? PTE_NX_HIGH : 0);
  }
}

/** Reserved bits of a present entry of 8 bytes. */
export function isReservedWide(level: number, low: number, high: number, reservedHigh: number): boolean {
  if ((high & reservedHigh) !== 0) return true;
  if (level === 1 || (low & PTE_LARGE) === 0) return false;
  return level === 4 || (low & (level === 2 ? 0x001f_e000 : 0x3fff_e000)) !== 0;
}
