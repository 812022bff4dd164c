/** A first level as engines have it: direct mapped, with tags. */
import { type FirstLevel, RIGHT_LARGE, WRITE_OPEN, WRITE_SUPERVISOR, WRITE_USER } from '@vm/shadow-mmu';

const ANY_WRITE = WRITE_OPEN | WRITE_SUPERVISOR | WRITE_USER;

export class DirectMappedTlb implements FirstLevel {
  readonly #mask: number;
  readonly #low: Uint32Array;
  readonly #high: Uint32Array;
  readonly #tag: Int32Array;
  readonly #frame: Uint32Array;
  readonly #rights: Int32Array;
  #now = 0;
  hits = 0;

  constructor(entries: number) {
    this.#mask = entries - 1;
    this.#low = new Uint32Array(entries);
    this.#high = new Uint32Array(entries);
    this.#tag = new Int32Array(entries).fill(-1);
    this.#frame = new Uint32Array(entries);
    this.#rights = new Int32Array(entries);
  }

  useTag(tag: number): void { this.#now = tag; }
  dropPage(low: number, high: number): void {
    const at = (low >>> 12) & this.#mask;
    if (this.#low[at] === low >>> 12 && this.#high[at] === high && this.#tag[at] === this.#now) this.#rights[at] = 0;
    for (let i = 0; i <= this.#mask; i++) if (((this.#rights[i] as number) & RIGHT_LARGE) !== 0) this.#rights[i] = 0;
  }
  dropAll(): void { this.#rights.fill(0); }
  revokeWrites(frames: Uint32Array, count: number): void {
    const gone = new Set(frames.subarray(0, count));
    for (let i = 0; i <= this.#mask; i++) if (gone.has(this.#frame[i] as number)) this.#rights[i] = (this.#rights[i] as number) & ~ANY_WRITE;
  }

  answers(low: number, high: number, need: number): boolean {
    const at = (low >>> 12) & this.#mask;
    if (((this.#rights[at] as number) & need) === 0 || this.#low[at] !== low >>> 12 || this.#high[at] !== high || this.#tag[at] !== this.#now) return false;
    this.hits++;
    return true;
  }
  fill(low: number, high: number, frame: number, rights: number): void {
    const at = (low >>> 12) & this.#mask;
    this.#low[at] = low >>> 12;
    this.#high[at] = high;
    this.#tag[at] = this.#now;
    this.#frame[at] = frame;
    this.#rights[at] = rights;
  }
}
