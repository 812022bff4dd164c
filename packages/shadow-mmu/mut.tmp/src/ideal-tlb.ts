/**
 * The oracle of the tests: guest memory that remembers all it ever held, and for each processor every translation that it may
 * have cached, by the rules of the SDM (vol. 3, section 4.10) and not one more. Slow, and written apart from the package.
 */

/** One processor's registers and what it has invalidated. */
export interface IdealProcessor {
  mode: 'legacy' | 'pae' | 'long';
  wp: boolean;
  nx: boolean;
  smep: boolean;
  smap: boolean;
  pse: boolean;
  /** Physical address of the root, or frames of the four directories in PAE mode, -1 where absent. */
  root: number;
  directories: number[];
  /** When everything was flushed, and then each INVLPG: no entry of an upper level outlives one of these. */
  flushes: number[];
  pages: bigint[];
}
export interface IdealAccess { readonly kind: 'read' | 'write' | 'fetch'; readonly user: boolean; readonly open: boolean }

interface Version { readonly from: number; readonly low: number; readonly high: number }
interface Rights { readonly user: boolean; readonly writable: boolean; readonly fetch: boolean }

const P = 1, W = 2, U = 4, A = 0x20, D = 0x40, LARGE = 0x80;
const PHYSICAL_BITS = 40n;

export class IdealMemory {
  readonly frames: number;
  readonly #low: Uint32Array;
  readonly #high: Uint32Array;
  readonly #history = new Map<number, Version[]>(); // by number of the quadword
  time = 0;
  /** Quadwords changed by setBits since this was last emptied. */
  readonly touched: { readonly address: number; readonly before: number; readonly after: number }[] = [];

  constructor(frames: number) {
    this.frames = frames;
    this.#low = new Uint32Array(frames * 512);
    this.#high = new Uint32Array(frames * 512);
  }
  isRam(frame: number): boolean { return frame < this.frames; }
  read32(address: number): number {
    const quad = Math.floor(address / 8);
    return quad >= this.#low.length ? 0xffff_ffff : ((address & 4) === 0 ? this.#low[quad] : this.#high[quad]) as number;
  }
  /** Stores both halves of an aligned quadword at once. */
  write64(address: number, low: number, high: number): void {
    const quad = Math.floor(address / 8);
    const versions = this.#history.get(quad) ?? [{ from: 0, low: this.#low[quad] as number, high: this.#high[quad] as number }];
    versions.push({ from: ++this.time, low: low >>> 0, high: high >>> 0 });
    this.#history.set(quad, versions);
    this.#low[quad] = low;
    this.#high[quad] = high;
  }
  write32(address: number, value: number): void {
    const quad = Math.floor(address / 8);
    if ((address & 4) === 0) this.write64(address, value, this.#high[quad] as number);
    else this.write64(address - 4, this.#low[quad] as number, value);
  }
  setBits(address: number, expected: number, bits: number): boolean {
    const before = this.read32(address);
    if (before !== expected) return false;
    this.touched.push({ address, before, after: (before | bits) >>> 0 });
    this.write32(address, before | bits);
    return true;
  }
  /** What the quadword held at any time from `from` to `to`, with when it began to, not before `from`. */
  *between(address: number, from: number, to: number): Generator<Version> {
    const quad = Math.floor(address / 8);
    if (quad >= this.#low.length) {
      yield { from, low: 0xffff_ffff, high: 0xffff_ffff };
      return;
    }
    const versions = this.#history.get(quad) ?? [{ from: 0, low: this.#low[quad] as number, high: this.#high[quad] as number }];
    for (let i = 0; i < versions.length; i++) {
      const { low, high, from: begin } = versions[i] as Version;
      const end = versions[i + 1]?.from ?? Infinity;
      if (begin <= to && end > from) yield { from: Math.max(begin, from), low, high };
    }
  }
}

interface Found { readonly fault: number; readonly frame: number; readonly path: readonly number[] }

export class IdealTlb {
  readonly #memory: IdealMemory;
  constructor(memory: IdealMemory) {
    this.#memory = memory;
  }

  flush(p: IdealProcessor): void {
    p.flushes = [this.#memory.time];
    p.pages = [];
  }
  invalidatePage(p: IdealProcessor, address: bigint): void {
    p.flushes.push(this.#memory.time);
    p.pages.push(address);
  }

  /** May an access that did not fault have reached `frame`? */
  allows(p: IdealProcessor, address: bigint, access: IdealAccess, frame: number): boolean {
    for (let i = 0; i < p.flushes.length; i++) {
      const from = p.flushes[i] as number;
      const to = p.flushes[i + 1] ?? this.#memory.time;
      for (const found of this.#walks(p, address, access, from, to, true)) {
        // Each INVLPG ends one of these spans of time, and what was cached in it or before.
        if (found.fault < 0 && found.frame === frame && !p.pages.some((page, number) => number >= i && covers(page, address, found.path.length, p))) return true;
      }
    }
    return false;
  }
  /** What a walk gives now: an error code of a page fault, or -1; with the frame and the addresses of the entries. */
  walk(p: IdealProcessor, address: bigint, access: IdealAccess): Found {
    const { time } = this.#memory;
    for (const found of this.#walks(p, address, access, time, time, false)) return found;
    throw new Error('a walk always ends');
  }

  /** All ways in which a walk may have gone, each level read not before the one above it. */
  *#walks(p: IdealProcessor, address: bigint, access: IdealAccess, from: number, to: number, cached: boolean): Generator<Found> {
    const all: Rights = { user: true, writable: true, fetch: true };
    if (p.mode === 'long') yield* this.#level(p, address, access, 4, Math.floor(p.root / 4096), all, from, to, [], cached);
    else if (p.mode === 'legacy') yield* this.#level(p, address, access, 2, Math.floor(p.root / 4096), all, from, to, [], cached);
    else {
      const directory = p.directories[Number(address >> 30n)] as number;
      if (directory < 0) yield { fault: code(p, access, 0), frame: 0, path: [] };
      else yield* this.#level(p, address, access, 2, directory, all, from, to, [], cached);
    }
  }
  *#level(p: IdealProcessor, address: bigint, access: IdealAccess, level: number, table: number, above: Rights, from: number, to: number, path: readonly number[], cached: boolean): Generator<Found> {
    const narrow = p.mode === 'legacy';
    const shift = narrow ? (level === 2 ? 22n : 12n) : BigInt(12 + 9 * (level - 1));
    const index = Number((address >> shift) & (narrow ? 1023n : 511n));
    const at = table * 4096 + index * (narrow ? 4 : 8);
    const here = [...path, at];
    for (const version of this.#memory.between(at, from, to)) {
      const low = narrow && (at & 4) !== 0 ? version.high : version.low;
      const high = narrow ? 0 : version.high;
      if ((low & P) === 0) {
        if (!cached) yield { fault: code(p, access, 0), frame: 0, path: here };
        continue;
      }
      const isLarge = level > 1 && (low & LARGE) !== 0 && (!narrow || p.pse);
      if (isReserved(p, level, low, high, isLarge)) {
        if (!cached) yield { fault: code(p, access, 1 | 8), frame: 0, path: here };
        continue;
      }
      if (cached && (low & A) === 0) continue;
      const rights: Rights = { user: above.user && (low & U) !== 0, writable: above.writable && (low & W) !== 0, fetch: above.fetch && high >>> 31 === 0 };
      if (level > 1 && !isLarge) {
        const next = narrow ? low >>> 12 : (high & 0xf_ffff) * 2 ** 20 + (low >>> 12);
        yield* this.#level(p, address, access, level - 1, next, rights, version.from, to, here, cached);
        continue;
      }
      if (!permits(p, access, rights)) {
        if (!cached) yield { fault: code(p, access, 1), frame: 0, path: here };
        continue;
      }
      if (cached && access.kind === 'write' && (low & D) === 0) continue;
      yield { fault: -1, frame: leafFrame(address, level, low, high, narrow), path: here };
    }
  }
}

function leafFrame(address: bigint, level: number, low: number, high: number, narrow: boolean): number {
  if (level === 1) return narrow ? low >>> 12 : (high & 0xf_ffff) * 2 ** 20 + (low >>> 12);
  if (narrow) return Number(((BigInt(low >>> 13) & 0xffn) << 20n) | (BigInt(low >>> 22) << 10n) | ((address >> 12n) & 0x3ffn));
  const bits = level === 2 ? 9n : 18n;
  const frame = (BigInt(high & 0xf_ffff) << 20n) | BigInt(low >>> 12);
  return Number(((frame >> bits) << bits) | ((address >> 12n) & ((1n << bits) - 1n)));
}
function isReserved(p: IdealProcessor, level: number, low: number, high: number, isLarge: boolean): boolean {
  if (p.mode === 'legacy') return isLarge && (low & (1 << 21)) !== 0;
  const entry = (BigInt(high) << 32n) | BigInt(low);
  const field = (first: bigint, last: bigint): bigint => (entry >> first) & ((1n << (last - first + 1n)) - 1n);
  if (field(PHYSICAL_BITS, 51n) !== 0n || (!p.nx && field(63n, 63n) !== 0n)) return true;
  if (p.mode === 'pae' && field(52n, 62n) !== 0n) return true;
  if (level === 4) return (low & LARGE) !== 0;
  return isLarge && field(13n, level === 2 ? 20n : 29n) !== 0n;
}
/** SDM vol. 3, section 4.6.1. */
function permits(p: IdealProcessor, { kind, user, open }: IdealAccess, rights: Rights): boolean {
  if (user) return rights.user && (kind === 'read' || (kind === 'write' ? rights.writable : rights.fetch));
  if (kind === 'fetch') return rights.fetch && !(rights.user && p.smep);
  if (rights.user && p.smap && !open) return false;
  return kind === 'read' || rights.writable || !p.wp;
}
/** SDM vol. 3, section 4.7. */
function code(p: IdealProcessor, { kind, user }: IdealAccess, bits: number): number {
  const fetch = kind === 'fetch' && ((p.nx && p.mode !== 'legacy') || p.smep);
  return bits | (kind === 'write' ? 2 : 0) | (user ? 4 : 0) | (fetch ? 16 : 0);
}
/** Is INVLPG of `page` about the page of `address`, which a walk of so many entries found? */
function covers(page: bigint, address: bigint, entries: number, p: IdealProcessor): boolean {
  const levels = p.mode === 'long' ? 4 : 2;
  const bits = p.mode === 'legacy' ? (entries === 1 ? 22n : 12n) : BigInt(12 + 9 * (levels - entries));
  return page >> bits === address >> bits;
}
