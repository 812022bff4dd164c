/**
 * The bytes that decoded code was made from, for code that is stored to without a word: before a page of it is used they are compared,
 * once in a block. A granule is 64 bytes, as `CodePage` counts what it covers.
 */
import type { CodeCache, CodePage } from './code-page.ts';

const GRANULE_WORDS = 16;
const PAGE_BYTES = 4096;

interface Copy {
  readonly words: Uint32Array;
  /** Granules that the copy has, as `coveredLow` and `coveredHigh`. */
  low: number;
  high: number;
  /** The block in which it was compared last. */
  compared: number;
}

export class CodeCopies {
  readonly #cache: CodeCache;
  readonly #u32: Uint32Array;
  /** By the map of the code page. */
  readonly #copies = new Map<number, Copy>();
  #block = 0;
  /** Pages that were found changed. */
  changes = 0;

  constructor(cache: CodeCache, buffer: ArrayBufferLike) {
    this.#cache = cache;
    this.#u32 = new Uint32Array(buffer);
    cache.listeners.push({
      becameCode: () => undefined,
      dropped: ({ map }) => {
        const copy = this.#copies.get(map);
        if (copy !== undefined) copy.low = copy.high = 0;
      },
      flushed: () => this.#copies.clear(),
    });
  }

  /** Memory may have changed since. */
  begin(): void { this.#block++; }

  /** What is decoded of the page is what its bytes say: gives up what is not. */
  compare(page: CodePage): void {
    const copy = this.#copies.get(page.map);
    if (copy === undefined || copy.compared === this.#block) return;
    copy.compared = this.#block;
    if (this.#isSame(copy, page.offset >>> 2)) return;
    this.changes++;
    this.#cache.stored(page.offset, PAGE_BYTES);
  }
  #isSame({ words, low, high }: Copy, from: number): boolean {
    for (let granule = 0; granule < 64; granule++) {
      if (((granule < 32 ? low >>> granule : high >>> (granule - 32)) & 1) === 0) continue;
      const end = (granule + 1) * GRANULE_WORDS;
      for (let at = granule * GRANULE_WORDS; at < end; at++) if (words[at] !== this.#u32[from + at]) return false;
    }
    return true;
  }

  /** More of the page has been decoded, perhaps. */
  note(page: CodePage): void {
    let copy = this.#copies.get(page.map);
    if (copy === undefined) this.#copies.set(page.map, (copy = { words: new Uint32Array(PAGE_BYTES / 4), low: 0, high: 0, compared: this.#block }));
    if (copy.low === page.coveredLow && copy.high === page.coveredHigh) return;
    const [low, high] = [page.coveredLow & ~copy.low, page.coveredHigh & ~copy.high];
    for (let granule = 0; granule < 64; granule++) {
      if (((granule < 32 ? low >>> granule : high >>> (granule - 32)) & 1) === 0) continue;
      const at = granule * GRANULE_WORDS;
      copy.words.set(this.#u32.subarray((page.offset >>> 2) + at, (page.offset >>> 2) + at + GRANULE_WORDS), at);
    }
    copy.low = page.coveredLow;
    copy.high = page.coveredHigh;
  }
}
