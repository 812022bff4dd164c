/**
 * Decoded code of one physical page in one mode, and the cache of all of them.
 *
 * Uops lie in an arena in decoding order; a decode map of 4096 words per page finds the uop of each offset. When a page
 * with decoded code is stored to, its uops are overwritten with HANDLER_STALE, so that code which is running notices at
 * the next instruction without any check of its own.
 */
import { UOP_BYTES, UOP_HANDLER } from './uop.ts';
import { HANDLER_STALE } from './handler-number.ts';

/** The map is indexed by byte offset, 4 bytes an entry. */
export const PAGE_LINEAR_SHIFT = 2;
export const DECODE_MAP = 0;
const MAP_BYTES = 4096 << PAGE_LINEAR_SHIFT;
const PAGES_OF_AN_INSTRUCTION = 2;

export class CodePage {
  /** Offset of the page in the linear memory. */
  readonly offset: number;
  /** 16, 32 or 64. */
  readonly mode: number;
  /** Address of the decode map. */
  readonly map: number;
  /** Uops that depend on bytes of this page. */
  readonly uops: number[] = [];
  /** One bit for each 64 bytes that have been decoded. */
  coveredLow = 0;
  coveredHigh = 0;

  constructor(offset: number, mode: number, map: number) {
    this.offset = offset;
    this.mode = mode;
    this.map = map;
  }

  cover(from: number, bytes: number): void {
    const last = Math.min(4095, from + bytes - 1) >> 6;
    for (let granule = from >> 6; granule <= last; granule++) {
      if (granule < 32) this.coveredLow |= 1 << granule;
      else this.coveredHigh |= 1 << (granule - 32);
    }
  }
  isCovered(from: number, bytes: number): boolean {
    const last = Math.min(4095, from + bytes - 1) >> 6;
    for (let granule = from >> 6; granule <= last; granule++) {
      if (((granule < 32 ? this.coveredLow >>> granule : this.coveredHigh >>> (granule - 32)) & 1) !== 0) return true;
    }
    return false;
  }
}

/** Bytes for uops that are interpreted where a translated region begins. */
export const COPY_BYTES: number = 2 << 20;

/** Where everything lies; `words` has 4 bytes for each uop of the arena, `copies` is COPY_BYTES long. */
export interface CodeCacheRegion { readonly maps: number; readonly mapCount: number; readonly arena: number; readonly arenaBytes: number; readonly words: number; readonly copies: number }

/** Told when a page becomes code (write translations must go) and when everything is dropped. */
export interface CodeCacheListener {
  becameCode(pageOffset: number): void;
  /** What was decoded from a page is gone. */
  dropped(page: CodePage): void;
  flushed(): void;
}

const MODE_INDEX: Readonly<Record<number, number>> = { 16: 0, 32: 1, 64: 2 };

export class CodeCache {
  readonly #pages = new Map<number, CodePage>();
  readonly #byMap = new Map<number, CodePage>();
  readonly #region: CodeCacheRegion;
  readonly #u32: Uint32Array;
  readonly #view: DataView;
  readonly listeners: CodeCacheListener[] = [];
  #nextMap = 0;
  #nextUop = 0;
  /** Grows with each flush: pointers into the arena from before are dead. */
  generation = 0;
  invalidations = 0;

  constructor(buffer: ArrayBufferLike, region: CodeCacheRegion) {
    this.#region = region;
    this.#u32 = new Uint32Array(buffer);
    this.#view = new DataView(buffer);
  }

  get pageCount(): number { return this.#pages.size; }

  /** The page at `offset` (of the linear memory), made when it is new; `isFull` has said that there is room. */
  page(offset: number, mode: number): CodePage {
    const key = offset + (MODE_INDEX[mode] as number);
    const known = this.#pages.get(key);
    if (known !== undefined) return known;
    if (this.#nextMap === this.#region.mapCount) throw new RangeError('no room for another code page');
    const made = new CodePage(offset, mode, this.#region.maps + this.#nextMap++ * MAP_BYTES);
    this.#pages.set(key, made);
    this.#byMap.set(made.map, made);
    return made;
  }
  ofMap(map: number): CodePage {
    const page = this.#byMap.get(map);
    if (page === undefined) throw new RangeError(`no code page has its map at ${map}`);
    return page;
  }

  /** True when `uops` more, or two pages more, do not fit without a flush. */
  isFull(uops: number): boolean {
    return this.#nextUop + uops * UOP_BYTES > this.#region.arenaBytes || this.#nextMap + PAGES_OF_AN_INSTRUCTION > this.#region.mapCount;
  }
  /** Address of a new uop. */
  allocate(): number {
    const at = this.#region.arena + this.#nextUop;
    this.#nextUop += UOP_BYTES;
    return at;
  }
  /** Address of the word beside the arena that belongs to a uop. */
  regionWord(uop: number): number { return this.#region.words + ((uop - this.#region.arena) >>> 3); }
  get copies(): number { return this.#region.copies; }
  /** What REGION_WORDS holds. */
  get regionWords(): number { return this.#region.words - (this.#region.arena >>> 3); }
  find(page: CodePage, at: number): number { return this.#u32[(page.map >>> 2) + at] as number; }
  enter(page: CodePage, at: number, uop: number): void { this.#u32[(page.map >>> 2) + at] = uop; }
  /** Says that `uop` was made from `bytes` at `from` of the page. */
  depend(page: CodePage, uop: number, from: number, bytes: number): void {
    if (page.coveredLow === 0 && page.coveredHigh === 0) for (const listener of this.listeners) listener.becameCode(page.offset);
    page.cover(from, bytes);
    page.uops.push(uop);
  }

  /**
   * A store to `bytes` at `offset` of the linear memory, within one page. Answers whether the page still holds decoded
   * code afterwards.
   */
  stored(offset: number, bytes: number): boolean {
    const pageOffset = offset - (offset & 4095);
    let holds = false;
    for (let mode = 0; mode < 3; mode++) {
      const page = this.#pages.get(pageOffset + mode);
      if (page === undefined || page.uops.length === 0) continue;
      if (page.isCovered(offset & 4095, bytes)) this.#drop(page);
      else holds = true;
    }
    return holds;
  }
  #drop(page: CodePage): void {
    this.invalidations++;
    for (const listener of this.listeners) listener.dropped(page);
    for (const uop of page.uops) this.#view.setUint16(uop + UOP_HANDLER, HANDLER_STALE, true);
    page.uops.length = 0;
    page.coveredLow = 0;
    page.coveredHigh = 0;
    this.#u32.fill(0, page.map >>> 2, (page.map + MAP_BYTES) >>> 2);
  }

  /** Forgets everything. Only while no uop is being executed. */
  flush(): void {
    this.generation++;
    for (const page of this.#pages.values()) this.#u32.fill(0, page.map >>> 2, (page.map + MAP_BYTES) >>> 2);
    this.#pages.clear();
    this.#byMap.clear();
    this.#nextMap = 0;
    this.#nextUop = 0;
    for (const listener of this.listeners) listener.flushed();
  }
}
