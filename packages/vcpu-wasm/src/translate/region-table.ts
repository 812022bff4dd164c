/**
 * Where regions begin. The uop at an entry keeps its fields and gets the case HANDLER_REGION; a word beside the arena says
 * which function of the interpreter's table that is, and a copy of the uop with its own case stands in a place of its own,
 * for when the instruction has to be interpreted after all. Copies take no room of the arena: what is decoded and when it is
 * dropped must not depend on what is translated, because a guest can see the translations of addresses go.
 */
import type { CodeCache, CodePage } from '../code-page.ts';
import { COPY_BYTES } from '../code-page.ts';
import { HANDLER_GOTO, HANDLER_REGION, HANDLER_STALE } from '../handler-number.ts';
import * as uop from '../uop.ts';

const BYTES_OF_A_COPY = 2 * uop.UOP_BYTES;

interface Entry { readonly page: CodePage; readonly copy: number }

export class RegionTable {
  readonly #cache: CodeCache;
  readonly #view: DataView;
  readonly #u8: Uint8Array;
  readonly #entries = new Map<number, Entry>();
  #next = 0;
  /** Places of copies that are forgotten, but may still be interpreted; and those that may be used again. */
  readonly #forgotten: number[] = [];
  readonly #free: number[] = [];

  constructor(cache: CodeCache, buffer: ArrayBufferLike) {
    this.#cache = cache;
    this.#view = new DataView(buffer);
    this.#u8 = new Uint8Array(buffer);
  }

  /** True when `count` more copies do not fit before `reclaim`. */
  isFull(count: number): boolean { return this.#next + (count - this.#free.length) * BYTES_OF_A_COPY > COPY_BYTES; }
  /** Called while nothing is interpreted: forgotten copies make room. */
  reclaim(): void {
    for (const copy of this.#forgotten) this.#free.push(copy);
    this.#forgotten.length = 0;
  }
  isEntry(at: number): boolean { return this.#view.getUint16(at + uop.UOP_HANDLER, true) === HANDLER_REGION; }
  /** A region begins at the uop, or is about to. */
  isTaken(at: number): boolean { return this.#entries.has(at); }
  /** The page of the region's entry at a uop; null: none begins there. */
  pageOf(at: number): CodePage | null { return this.isEntry(at) ? this.#entries.get(at)?.page ?? null : null; }
  *entriesIn(page: CodePage): Generator<number> {
    for (const [at, entry] of this.#entries) if (entry.page === page && this.isEntry(at)) yield at;
  }
  /** The uop to interpret where a region begins. */
  copyOf(at: number): number {
    const entry = this.#entries.get(at);
    if (entry === undefined) throw new RangeError(`no region begins at uop ${at}`);
    return entry.copy;
  }
  originalHandler(at: number): number { return this.#view.getUint16(this.copyOf(at) + uop.UOP_HANDLER, true); }

  /** Makes the copy; the entry itself is not changed before `install`. */
  reserve(page: CodePage, at: number): number {
    const known = this.#entries.get(at);
    if (known !== undefined && this.isEntry(at)) return known.copy;
    const copy = this.#free.pop() ?? this.#append();
    const after = copy + uop.UOP_BYTES;
    this.#u8.copyWithin(copy, at, at + uop.UOP_BYTES);
    this.#u8.fill(0, after, after + uop.UOP_BYTES);
    this.#view.setUint16(after + uop.UOP_HANDLER, HANDLER_GOTO, true);
    this.#view.setUint16(after + uop.UOP_NEXT, this.#view.getUint16(at + uop.UOP_NEXT, true), true);
    this.#view.setUint32(after + uop.UOP_DISPLACEMENT, at + uop.UOP_BYTES, true);
    this.#entries.set(at, { page, copy });
    return copy;
  }
  #append(): number {
    const copy = this.#cache.copies + this.#next;
    this.#next += BYTES_OF_A_COPY;
    return copy;
  }
  /** From now on the interpreter calls function `index` of its table at uop `at`. */
  install(at: number, index: number): void {
    this.#view.setUint32(this.#cache.regionWord(at), index, true);
    this.#view.setUint16(at + uop.UOP_HANDLER, HANDLER_REGION, true);
  }
  /** The instruction at uop `at` is interpreted again, unless another region begins there by now or nothing does. */
  uninstall(at: number, index: number): void {
    const entry = this.#entries.get(at);
    if (entry === undefined || !this.isEntry(at) || this.#view.getUint32(this.#cache.regionWord(at), true) !== index) return;
    this.#view.setUint16(at + uop.UOP_HANDLER, this.#view.getUint16(entry.copy + uop.UOP_HANDLER, true), true);
    this.#forget(at, entry.copy);
  }
  /** A copy that is being interpreted is looked up again. */
  #forget(at: number, copy: number): void {
    this.#view.setUint16(copy + uop.UOP_HANDLER, HANDLER_STALE, true);
    this.#view.setUint16(copy + uop.UOP_BYTES + uop.UOP_HANDLER, HANDLER_STALE, true);
    this.#entries.delete(at);
    this.#forgotten.push(copy);
  }
  /** All decoded code is gone. */
  forgetAll(): void { for (const [at, entry] of this.#entries) this.#forget(at, entry.copy); }
  /** The page's decoded code is gone. */
  forget(page: CodePage): void { for (const [at, entry] of this.#entries) if (entry.page === page) this.#forget(at, entry.copy); }
}
