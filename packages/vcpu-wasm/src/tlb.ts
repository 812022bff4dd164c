/**
 * The three translation look-aside buffers that generated code reads, from the side that fills and empties them.
 *
 * An entry answers when its compare word equals page | tag; the tag names a generation, the privilege and, for fetches,
 * the code size. Dropping everything is a new generation; the arrays are overwritten only when those run out.
 */
import { CR0_AM, CR4_SMAP, FLAG_AC } from '@vm/x86';
import type { FirstLevel } from '@vm/shadow-mmu';
import * as state from './cpu-state.ts';
import { REACH_OPEN, REACH_SUPERVISOR, REACH_USER } from './data-reach.ts';
import type { Ram } from '@vm/core/engine';
import type { StateView } from './state-view.ts';
import { codeMapPlace, largePart, tlbPlace } from './tlb-place.ts';

const EMPTY = 0xffff_ffff;
/** Tags: bits 3-11 generation, bit 2 user, bits 0-1 code size of fetches; bit 0 of data, user pages are open to the supervisor although SMAP is on. */
const GENERATION_SHIFT = 3;
const LAST_GENERATION = 510;
export const TAG_USER = 4;
export const TAG_OPEN = 1;
/** Matches no entry: all data accesses take the slow path. */
export const NO_TAG = 0xffe;

const SLOT_WORDS: number = state.TLB_STRIDE / 4;
/** In words from the beginning of a slot. */
const WRITE: number = state.WRITE_TLB / 4, NEXT: number = state.WRITER_NEXT / 4, PREVIOUS: number = state.WRITER_PREVIOUS / 4, LIST: number = state.WRITER_LIST / 4;
const TLBS = [state.READ_TLB, state.WRITE_TLB, state.FETCH_TLB] as const;
const TLB_OF_WRITES = 1, TLB_OF_FETCHES = 2;
const CODE_SIZES: readonly number[] = [16, 32, 64]; // by the tag of a fetch
const TAG_OF_CODE_SIZE = 3;
const TAG_WITHOUT_GENERATION = 7;
/** A saved entry: number of the TLB, low half of the compare word without the generation, high half, page of RAM; 4 bytes each. */
const SAVED_ENTRY_BYTES = 16;
/** Before them: a word that says how they are laid out (older ones begin with bytes of 0 or 1), and which parts of the address space have large pages. */
const SAVED_LAYOUT = 2;
const SAVED_PARTS_BYTES: number = 2 * state.LARGE_PARTS;
const SAVED_HEAD_BYTES: number = 4 + SAVED_PARTS_BYTES;
/** Spreads tags over the windows. */
const GOLDEN = 0x9e37_79b1;
/** The windows of one tag, so far apart. */
const BASES = [state.BASE_USER, state.BASE_SUPERVISOR, state.BASE_OPEN] as const;
const BASES_APART: number = Math.floor(state.TLB_WINDOWS / BASES.length);

export class Tlb implements FirstLevel {
  readonly #state: StateView;
  /** Shadow tables choose the tags: a tag is an address space, and none is used again before everything was dropped. */
  #hasForeignTags = false;
  #generation = 0;
  /** Generated code may answer misses of fetches where it knows the page's decoded code. */
  knowsCode = true;
  /** Data accesses are to be checked for alignment now. */
  checksAlignment = false;
  /** Of the processor's own accesses, whatever the program may do. */
  supervisorTag = 0;
  /** Generated code may not answer misses of data accesses. */
  #asks = false;
  flushes = 0;

  constructor(view: StateView) {
    this.#state = view;
    this.dropAll();
    this.updateTags();
  }

  /** Drops every cached translation. */
  flush(): void {
    this.flushes++;
    if (this.#hasForeignTags) this.dropAll();
    else if (this.#generation === LAST_GENERATION) this.clear();
    else {
      this.#generation++;
      this.#forgetLarge();
      this.updateTags();
    }
  }
  /** Overwrites the arrays as well. */
  clear(): void {
    this.dropAll();
    if (!this.#hasForeignTags) this.#generation = 0;
    this.updateTags();
  }

  // ---- For shadow tables -------------------------------------------------------------------------------------------------

  useTag(tag: number): void {
    this.#hasForeignTags = true;
    this.#generation = tag;
    this.updateTags();
  }
  dropAll(): void {
    const { u32, at } = this.#state;
    const first = (at + state.TLB_SLOT_ARRAY) >>> 2;
    u32.fill(EMPTY, first, first + state.TLB_SLOTS * SLOT_WORDS);
    u32.fill(0, (at + state.WRITERS) >>> 2, ((at + state.WRITERS) >>> 2) + state.WRITER_PARTS);
    this.#forgetLarge();
  }
  dropPage(low: number, high: number): void { this.invalidatePage(low, high); }
  /** Where frames lie in the linear memory; -1: they are no RAM. */
  offsetOfFrame: (frame: number) => number = () => -1;
  revokeWrites(frames: Uint32Array, count: number): void {
    for (let i = 0; i < count; i++) {
      const offset = this.offsetOfFrame(frames[i] as number);
      if (offset >= 0) this.revokeWritesTo(offset);
    }
  }

  // ---- Tags ----------------------------------------------------------------------------------------------------------------

  /** To be called when the privilege level, the code size, CR0.AM, CR4.SMAP or RFLAGS.AC changes. */
  updateTags(): void {
    const s = this.#state;
    const user = s.get(state.CPL) === 3;
    // While alignment is checked no translation answers in generated code (SDM vol. 3, section 6.15, #AC).
    this.checksAlignment = user && (s.get(state.CR0) & CR0_AM) !== 0 && (s.get(state.FLAGS_OTHER) & FLAG_AC) !== 0;
    this.supervisorTag = this.#generation << GENERATION_SHIFT;
    const tag = this.supervisorTag | (user ? TAG_USER : 0);
    const open = !user && (s.get(state.CR4) & CR4_SMAP) !== 0 && (s.get(state.FLAGS_OTHER) & FLAG_AC) !== 0;
    s.set64(state.DATA_TAG, this.checksAlignment ? NO_TAG : open ? tag | TAG_OPEN : tag, 0);
    s.set64(state.FETCH_TAG, tag | this.#codeSize, 0);
    const window = this.#hasForeignTags ? Math.imul(this.#generation, GOLDEN) >>> 20 : 0;
    for (let i = 0; i < BASES.length; i++) s.set(state.TLB_BASES + i * 4, s.at + state.TLB_SLOT_ARRAY + ((window + i * BASES_APART) % state.TLB_WINDOWS) * state.TLB_STRIDE);
    const reach = user ? REACH_USER : open ? REACH_OPEN : REACH_SUPERVISOR;
    s.set(state.TLB_BASE, s.get(state.TLB_BASES + reach.base));
    const asks = this.#asks || this.checksAlignment;
    s.set(state.SHADOW_READ_NEED, asks ? 0 : reach.read);
    s.set(state.SHADOW_WRITE_NEED, asks ? 0 : reach.write);
  }
  /** Every miss of a data access has to come here, because something is watched. */
  setAsking(asks: boolean): void {
    this.#asks = asks;
    this.updateTags();
  }
  /** 16, 32 or 64: the default code size, which distinguishes decoded code. */
  setCodeSize(bits: number): void {
    this.#state.set(state.FETCH_TAG, CODE_SIZES.indexOf(bits));
    this.updateTags();
  }
  /** It stands in the tag alone: generated code, which enters handlers and returns from them, changes it too. */
  get #codeSize(): number { return this.#state.get(state.FETCH_TAG) & TAG_OF_CODE_SIZE; }

  // ---- What goes -----------------------------------------------------------------------------------------------------------

  invalidatePage(low: number, high: number): void {
    const s = this.#state;
    const parts = largeParts(low, high);
    if (s.u8[s.at + parts.large] !== 0 || s.u8[s.at + parts.huge] !== 0) {
      this.#dropLarge(parts);
      return;
    }
    for (const base of BASES) {
      const at = s.get(state.TLB_BASES + base) + tlbPlace(low);
      for (const tlb of TLBS) {
        const index = (at + tlb) >>> 2;
        if (s.u32[index + 1] === high && (((s.u32[index] as number) ^ low) & 0xffff_f000) === 0) this.#drop(index);
      }
    }
  }
  /** Takes away the right to write to a page without asking; called when it becomes code. */
  revokeWritesTo(pageOffset: number): void {
    const { u32 } = this.#state;
    for (let slot = u32[this.#writers(pageOffset)] as number; slot !== 0;) {
      const index = slot >>> 2;
      const next = u32[index + NEXT] as number;
      const page = this.#pageOf(index + WRITE);
      if (page === pageOffset) this.#drop(index + WRITE);
      if (page === pageOffset || page < 0) this.#leaveWriters(index);
      slot = next;
    }
  }
  #drop(index: number): void {
    this.#state.u32[index] = EMPTY;
    this.#state.u32[index + 1] = EMPTY;
  }
  /** Where the page of the entry at this index lies; -1 when it is empty. */
  #pageOf(index: number): number {
    const u32 = this.#state.u32;
    return u32[index] === EMPTY ? -1 : (((u32[index] as number) & 0xffff_f000) + (u32[index + 2] as number)) >>> 0;
  }

  /** Of data accesses now: the program's, or the processor's own to descriptor tables and stacks. */
  dataTag(supervisor: boolean): number { return supervisor ? this.supervisorTag : this.#state.get(state.DATA_TAG); }
  /** Where the address lies in the linear memory, when the TLB answers for data there; -1 otherwise. */
  find(tlb: typeof state.READ_TLB | typeof state.WRITE_TLB | typeof state.FETCH_TLB, low: number, high: number, tag: number): number {
    const { u32 } = this.#state;
    const index = (this.#entry(low) + tlb) >>> 2;
    if (u32[index] !== (((low & 0xffff_f000) | tag) >>> 0) || u32[index + 1] !== high) return -1;
    return (low + (u32[index + 2] as number)) >>> 0;
  }

  // ---- What comes ----------------------------------------------------------------------------------------------------------

  #entry(low: number): number { return this.#state.get(state.TLB_BASE) + tlbPlace(low); }
  /** Index of the entry. */
  #fill(tlb: number, tag: number, low: number, high: number, pageOffset: number, extra: number): number {
    const u32 = this.#state.u32;
    const index = (this.#entry(low) + tlb) >>> 2;
    const page = low & 0xffff_f000;
    u32[index] = page | tag;
    u32[index + 1] = high;
    u32[index + 2] = pageOffset - page;
    u32[index + 3] = extra;
    return index;
  }
  /** Each makes one array answer for the page that holds the address and lies at `pageOffset` of the linear memory. */
  fillRead(low: number, high: number, pageOffset: number, tag: number): void { this.#fill(state.READ_TLB, tag, low, high, pageOffset, 0); }
  fillWrite(low: number, high: number, pageOffset: number, tag: number): void {
    const index = this.#fill(state.WRITE_TLB, tag, low, high, pageOffset, 0);
    this.#noteWriter(index - WRITE, pageOffset);
  }
  fillFetch(low: number, high: number, pageOffset: number, codePage: number): void {
    this.#fill(state.FETCH_TLB, this.#state.get(state.FETCH_TAG), low, high, pageOffset, codePage);
    if (!this.knowsCode) return;
    const { u32, at } = this.#state;
    const key = pageOffset + this.#codeSize;
    const index = (at + state.CODE_MAPS + codeMapPlace(pageOffset)) >>> 2;
    u32[index] = key;
    u32[index + 1] = codePage;
  }
  /** All decoded code is gone, and its maps will be used for other pages. */
  forgetCode(): void {
    const { u32, at } = this.#state;
    const first = (at + state.CODE_MAPS) >>> 2;
    u32.fill(0, first, first + (state.CODE_MAP_COUNT * state.CODE_MAP_BYTES) / 4);
    this.flush();
  }
  /** Index of the list of slots whose write entries lead to such pages. */
  #writers(pageOffset: number): number { return ((this.#state.at + state.WRITERS) >>> 2) + ((pageOffset >>> 12) & (state.WRITER_PARTS - 1)); }
  /** The slot at an index is in that list now, as generated code does it. */
  #noteWriter(index: number, pageOffset: number): void {
    const { u32 } = this.#state;
    const list = this.#writers(pageOffset);
    if (u32[index + LIST] === list * 4) return;
    if (u32[index + LIST] !== EMPTY) this.#leaveWriters(index);
    const first = u32[list] as number;
    u32[index + NEXT] = first;
    u32[index + PREVIOUS] = 0;
    u32[index + LIST] = list * 4;
    if (first !== 0) u32[(first >>> 2) + PREVIOUS] = index * 4;
    u32[list] = index * 4;
  }
  #leaveWriters(index: number): void {
    const { u32 } = this.#state;
    const next = u32[index + NEXT] as number;
    const previous = u32[index + PREVIOUS] as number;
    u32[previous === 0 ? (u32[index + LIST] as number) >>> 2 : (previous >>> 2) + NEXT] = next;
    if (next !== 0) u32[(next >>> 2) + PREVIOUS] = previous;
    u32[index + LIST] = EMPTY;
  }

  // ---- Large pages -----------------------------------------------------------------------------------------------------------

  /** An entry holds a piece of a large page, of 1 GiB if it is `huge`: INVLPG of another piece is about it too. */
  noteLarge(low: number, high: number, huge: boolean): void {
    const parts = largeParts(low, high);
    this.#state.u8[this.#state.at + (huge ? parts.huge : parts.large)] = 1;
  }
  #forgetLarge(): void {
    const { u8, at } = this.#state;
    u8.fill(0, at + state.LARGE_PAGES, at + state.HUGE_PAGES + state.LARGE_PARTS);
  }
  /** Everything that may be a piece of the large page, under every tag. */
  #dropLarge({ large, huge }: LargeParts): void {
    const s = this.#state;
    const isHuge = s.u8[s.at + huge] !== 0;
    for (const tlb of TLBS) {
      const first = (s.at + state.TLB_SLOT_ARRAY + tlb) >>> 2;
      for (let slot = 0; slot < state.TLB_SLOTS; slot++) {
        const index = first + slot * SLOT_WORDS;
        if (s.u32[index] === EMPTY) continue;
        const parts = largeParts(s.u32[index] as number, s.u32[index + 1] as number);
        if (parts.large === large || (isHuge && parts.huge === huge)) this.#drop(index);
      }
    }
    s.u8[s.at + large] = 0;
    s.u8[s.at + huge] = 0;
  }

  // ---- For a saved machine -------------------------------------------------------------------------------------------------

  /** What answers now; null where shadow tables choose the tags: what they hold is not saved. */
  save(ram: Ram): Uint8Array | null {
    if (this.#hasForeignTags) return null;
    const { u8, u32, at } = this.#state;
    const words: number[] = [];
    TLBS.forEach((tlb, number) => {
      for (let slot = 0, index = (at + state.TLB_SLOT_ARRAY + tlb) >>> 2; slot < state.TLB_SLOTS; slot++, index += SLOT_WORDS) {
        const low = u32[index] as number;
        if (low === EMPTY || (low & 0xfff) >>> GENERATION_SHIFT !== this.#generation) continue;
        words.push(number, (low & (0xffff_f000 | TAG_WITHOUT_GENERATION)) >>> 0, u32[index + 1] as number, (this.#pageOf(index) - ram.base) / 4096);
      }
    });
    const bytes = new Uint8Array(SAVED_HEAD_BYTES + words.length * 4);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, SAVED_LAYOUT, true);
    bytes.set(u8.subarray(at + state.LARGE_PAGES, at + state.LARGE_PAGES + SAVED_PARTS_BYTES), 4);
    words.forEach((word, i) => view.setUint32(SAVED_HEAD_BYTES + i * 4, word, true));
    return bytes;
  }
  /** Of a processor that has just been reset. What does not fit this machine is left out: a translation may always be walked for again. */
  load(bytes: Uint8Array, ram: Ram, mapOf: (offset: number, mode: number) => number): void {
    const { u8, u32, at } = this.#state;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (this.#hasForeignTags || bytes.length < SAVED_HEAD_BYTES || view.getUint32(0, true) !== SAVED_LAYOUT) return;
    u8.set(bytes.subarray(4, SAVED_HEAD_BYTES), at + state.LARGE_PAGES);
    for (let from = SAVED_HEAD_BYTES; from + SAVED_ENTRY_BYTES <= bytes.length; from += SAVED_ENTRY_BYTES) {
      const [number, low, high, page] = [0, 4, 8, 12].map((field) => view.getUint32(from + field, true)) as [number, number, number, number];
      const tlb = TLBS[number];
      if (tlb === undefined || page >= ram.bytes / 4096 || (low & 0xfff & ~TAG_WITHOUT_GENERATION) !== 0) continue;
      if (number === TLB_OF_WRITES && u8[ram.attributesOffset + page] !== 0) continue;
      const offset = ram.base + page * 4096;
      const size = CODE_SIZES[low & 3];
      const map = number !== TLB_OF_FETCHES || size === undefined ? 0 : mapOf(offset, size);
      if (number === TLB_OF_FETCHES && map === 0) continue;
      const base = (low & TAG_USER) !== 0 ? state.BASE_USER : number !== TLB_OF_FETCHES && (low & TAG_OPEN) !== 0 ? state.BASE_OPEN : state.BASE_SUPERVISOR;
      const index = (this.#state.get(state.TLB_BASES + base) + tlbPlace(low) + tlb) >>> 2;
      u32[index] = (low | (this.#generation << GENERATION_SHIFT)) >>> 0;
      u32[index + 1] = high;
      u32[index + 2] = offset - (low & 0xffff_f000);
      u32[index + 3] = map;
      if (number === TLB_OF_WRITES) this.#noteWriter(index - WRITE, offset);
    }
  }
}

interface LargeParts { readonly large: number; readonly huge: number }
/** The bytes for the parts of the address space that an address lies in. */
function largeParts(low: number, high: number): LargeParts {
  return {
    large: state.LARGE_PAGES + largePart(low >>> state.LARGE_SHIFT, high),
    huge: state.HUGE_PAGES + largePart((high << 2) | (low >>> state.HUGE_SHIFT), high),
  };
}
