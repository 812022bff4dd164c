export interface SectorRun {
  readonly begin: number;
  readonly end: number;
  readonly present: boolean;
}

/** Which sectors of a block are there, one bit each, the highest bit of a byte first. Never changed once it is made. */
export class SectorBitmap {
  readonly bytes: Uint8Array;
  readonly #sectors: number;
  /** Every sector is there, which is the common case. */
  readonly isFull: boolean;

  private constructor(bytes: Uint8Array, sectors: number) {
    this.bytes = bytes;
    this.#sectors = sectors;
    let full = true;
    for (let i = 0; i < sectors / 8 && full; i++) full = bytes[i] === 0xff;
    this.isFull = full;
  }

  static of(bytes: Uint8Array, blockBytes: number): SectorBitmap {
    return new SectorBitmap(bytes, blockBytes / 512);
  }

  static full(bytes: number, blockBytes: number): SectorBitmap {
    return SectorBitmap.of(new Uint8Array(bytes).fill(0xff), blockBytes);
  }

  static empty(bytes: number, blockBytes: number): SectorBitmap {
    return SectorBitmap.of(new Uint8Array(bytes), blockBytes);
  }

  has(sector: number): boolean {
    return ((this.bytes[sector >>> 3] ?? 0) & (0x80 >>> (sector & 7))) !== 0;
  }

  get isEmpty(): boolean {
    for (let i = 0; i < this.#sectors; i++) if (this.has(i)) return false;
    return true;
  }

  /** With the sectors of a range of bytes; itself when they were there. */
  with(offset: number, count: number): SectorBitmap {
    if (this.isFull) return this;
    const bytes = this.bytes.slice();
    let changed = false;
    for (let sector = Math.floor(offset / 512); sector * 512 < offset + count; sector++) {
      if (this.has(sector)) continue;
      bytes[sector >>> 3] = (bytes[sector >>> 3] ?? 0) | (0x80 >>> (sector & 7));
      changed = true;
    }
    return changed ? new SectorBitmap(bytes, this.#sectors) : this;
  }

  /** A range of bytes of the block in pieces that are there or are not. */
  *runs(offset: number, count: number): Generator<SectorRun> {
    const last = offset + count;
    if (this.isFull) {
      yield { begin: offset, end: last, present: true };
      return;
    }
    for (let begin = offset; begin < last; ) {
      const present = this.has(Math.floor(begin / 512));
      let end = (Math.floor(begin / 512) + 1) * 512;
      while (end < last && this.has(end / 512) === present) end += 512;
      yield { begin, end: Math.min(end, last), present };
      begin = end;
    }
  }
}
