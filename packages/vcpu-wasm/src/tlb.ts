/**
 * The three translation look-aside buffers that generated code reads, from the side that fills and empties them.
 *
 * An entry answers when its compare word equals page | tag; the tag names a generation, the privilege and, for fetches,
 * the code size. Dropping everything is a new generation; the arrays are overwritten only when those run out.
 */
import { CR0_AM, CR4_SMAP, FLAG_AC } from '@vm/x86';
import type { FirstLevel } from '@vm/shadow-mmu';
import * as state from './cpu-state.ts';
import type { Ram } from '@vm/core/engine';
import type { StateView } from './state-view.ts';

const TWO_32 = 0x1_0000_0000;
const EMPTY = 0xffff_ffff;
/** Tags: bits 3-11 generation, bit 2 user, bits 0-1 code size of fetches; bit 0 of data, user pages are open to the supervisor although SMAP is on. */
const GENERATION_SHIFT = 3;
const LAST_GENERATION = 510;
const TAG_USER = 4;
export const TAG_OPEN = 1;
/** Matches no entry: all data accesses take the slow path. */
const NO_TAG = 0xffe;

const ARRAYS: readonly number[] = [state.READ_TLB, state.WRITE_TLB, state.FETCH_TLB];
const WRITE_ARRAY = 1, FETCH_ARRAY = 2;
const CODE_SIZES: readonly number[] = [16, 32, 64]; // by the tag of a fetch
const TAG_WITHOUT_GENERATION = 7;
/** A saved entry: array, low half of the compare word without the generation, high half, page of RAM; 4 bytes each. */
const SAVED_ENTRY_BYTES = 16;
const SAVED_RANGE_BYTES = 16;

/** From so many frames on it is cheaper to look once at everything. */
const MANY_FRAMES = 3;

export class Tlb implements FirstLevel {
  readonly #state: StateView;
  /** Shadow tables choose the tags: a tag is an address space, and none is used again before everything was dropped. */
  #hasForeignTags = false;
  #generation = 0;
  #modeIndex = 0;
  #largeLow = Number.POSITIVE_INFINITY;
  #largeHigh = 0;
  /** Data accesses are to be checked for alignment now. */
  checksAlignment = false;
  flushes = 0;

  constructor(view: StateView) {
    this.#state = view;
  }

  /** Drops every cached translation. */
  flush(): void {
    this.flushes++;
    if (this.#hasForeignTags) {
      this.dropAll();
      return;
    }
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
    const from = (this.#state.at + state.READ_TLB) >>> 2;
    this.#state.u32.fill(EMPTY, from, from + ((3 * state.TLB_ENTRIES * state.TLB_STRIDE) >>> 2));
    this.#largeLow = Number.POSITIVE_INFINITY;
    this.#largeHigh = 0;
  }
  dropPage(low: number, high: number): void { this.invalidatePage(low, high); }
  /** Where frames lie in the linear memory; -1: they are no RAM. */
  offsetOfFrame: (frame: number) => number = () => -1;
  revokeWrites(frames: Uint32Array, count: number): void {
    if (count < MANY_FRAMES) {
      for (let i = 0; i < count; i++) this.revokeWritesTo(this.offsetOfFrame(frames[i] as number));
      return;
    }
    const offsets = new Set<number>();
    for (let i = 0; i < count; i++) offsets.add(this.offsetOfFrame(frames[i] as number));
    const u32 = this.#state.u32;
    let index = (this.#state.at + state.WRITE_TLB) >>> 2;
    for (let i = 0; i < state.TLB_ENTRIES; i++, index += 4) {
      if (u32[index] === EMPTY || !offsets.has((((u32[index] as number) & 0xffff_f000) + (u32[index + 2] as number)) >>> 0)) continue;
      u32[index] = EMPTY;
      u32[index + 1] = EMPTY;
    }
  }
  /** To be called when the privilege level, the code size, CR0.AM, CR4.SMAP or RFLAGS.AC changes. */
  updateTags(): void {
    const s = this.#state;
    const user = s.get(state.CPL) === 3;
    // While alignment is checked no translation answers in generated code (SDM vol. 3, section 6.15, #AC).
    this.checksAlignment = user && (s.get(state.CR0) & CR0_AM) !== 0 && (s.get(state.FLAGS_OTHER) & FLAG_AC) !== 0;
    const tag = (this.#generation << GENERATION_SHIFT) | (user ? TAG_USER : 0);
    const open = !user && (s.get(state.CR4) & CR4_SMAP) !== 0 && (s.get(state.FLAGS_OTHER) & FLAG_AC) !== 0;
    s.set64(state.DATA_TAG, this.checksAlignment ? NO_TAG : open ? tag | TAG_OPEN : tag, 0);
    s.set64(state.FETCH_TAG, tag | this.#modeIndex, 0);
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
  revokeWritesTo(pageOffset: number): void {
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
  /** Each makes one array answer for the page that holds the address and lies at `pageOffset` of the linear memory. */
  fillRead(low: number, high: number, pageOffset: number): void { this.#fill(state.READ_TLB, state.DATA_TAG, low, high, pageOffset, 0); }
  fillWrite(low: number, high: number, pageOffset: number): void { this.#fill(state.WRITE_TLB, state.DATA_TAG, low, high, pageOffset, 0); }
  fillFetch(low: number, high: number, pageOffset: number, codePage: number): void {
    this.#fill(state.FETCH_TLB, state.FETCH_TAG, low, high, pageOffset, codePage);
  }
  /** Pieces of a large page are not tracked one by one: INVLPG in the range that large pages came from flushes all. */
  noteLarge(low: number, high: number, mask: number): void {
    const first = high * TWO_32 + ((low & ~mask) >>> 0);
    if (first < this.#largeLow) this.#largeLow = first;
    if (first + mask > this.#largeHigh) this.#largeHigh = first + mask;
  }

  // ---- For a saved machine -------------------------------------------------------------------------------------------------

  /** What answers now, behind the range of large pages; null where shadow tables choose the tags: what they hold is not saved. */
  save(ram: Ram): Uint8Array | null {
    if (this.#hasForeignTags) return null;
    const { u32, at } = this.#state;
    const words: number[] = [];
    ARRAYS.forEach((tlb, array) => {
      for (let slot = 0, index = (at + tlb) >>> 2; slot < state.TLB_ENTRIES; slot++, index += 4) {
        const low = u32[index] as number;
        if (low === EMPTY || (low & 0xfff) >>> GENERATION_SHIFT !== this.#generation) continue;
        const page = (((low & 0xffff_f000) + (u32[index + 2] as number)) >>> 0) - ram.base;
        words.push(array, (low & (0xffff_f000 | TAG_WITHOUT_GENERATION)) >>> 0, u32[index + 1] as number, page / 4096);
      }
    });
    const bytes = new Uint8Array(SAVED_RANGE_BYTES + words.length * 4);
    const view = new DataView(bytes.buffer);
    view.setFloat64(0, this.#largeLow, true);
    view.setFloat64(8, this.#largeHigh, true);
    words.forEach((word, i) => view.setUint32(SAVED_RANGE_BYTES + i * 4, word, true));
    return bytes;
  }
  /** Of a processor that has just been reset. What does not fit this machine is left out: a translation may always be walked for again. */
  load(bytes: Uint8Array, ram: Ram, mapOf: (offset: number, mode: number) => number): void {
    if (this.#hasForeignTags || bytes.length < SAVED_RANGE_BYTES) return;
    const { u8, u32 } = this.#state;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#largeLow = view.getFloat64(0, true);
    this.#largeHigh = view.getFloat64(8, true);
    for (let from = SAVED_RANGE_BYTES; from + SAVED_ENTRY_BYTES <= bytes.length; from += SAVED_ENTRY_BYTES) {
      const [array, low, high, page] = [0, 4, 8, 12].map((field) => view.getUint32(from + field, true)) as [number, number, number, number];
      const tlb = ARRAYS[array];
      if (tlb === undefined || page >= ram.bytes / 4096 || (low & 0xfff & ~TAG_WITHOUT_GENERATION) !== 0) continue;
      if (array === WRITE_ARRAY && u8[ram.attributesOffset + page] !== 0) continue;
      const offset = ram.base + page * 4096;
      const size = CODE_SIZES[low & 3];
      const map = array !== FETCH_ARRAY || size === undefined ? 0 : mapOf(offset, size);
      if (array === FETCH_ARRAY && map === 0) continue;
      const index = (this.#entry(low) + tlb) >>> 2;
      u32[index] = (low | (this.#generation << GENERATION_SHIFT)) >>> 0;
      u32[index + 1] = high;
      u32[index + 2] = offset - (low & 0xffff_f000);
      u32[index + 3] = map;
    }
  }
}
