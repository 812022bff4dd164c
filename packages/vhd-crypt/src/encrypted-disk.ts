import { isZero } from './big-endian.ts';
import type { OpenedContainer } from './container.ts';
import { type Extent, type MappedDisk, pushExtent } from './extent.ts';
import { checkSectorRange, readAround } from './sector-range.ts';
import { StoreGate } from './store-gate.ts';
import { storeZeroes } from './store-zeroes.ts';

/**
 * What reads where nothing is stored. `zero`: zeros, as on a disk without encryption; whoever has the file sees where nothing is,
 * as with any image that is not fixed. `noise`: what decrypting zeros gives, as QEMU and dm-crypt have it; every store takes room.
 */
export type HolePolicy = 'zero' | 'noise';

export interface EncryptedDiskOptions {
  /** Default: zero. */
  readonly holes?: HolePolicy;
  /**
   * For a differencing disk with a key of its own: the decrypted disk of its parent, which shows where this file holds nothing
   * itself. Without it what the parents hold is decrypted with the same key.
   */
  readonly parent?: MappedDisk;
  /** For sectors that are proved: what stood for the whole disk when it was last used. Anything older or changed is refused. */
  readonly root?: string;
}

const STEP = 1 << 20;
const PIECE = 1 << 18; // while one goes through the cipher, the host moves others

/** The plain disk over an encrypted one: what goes down is ciphertext, in buffers of its own. */
export function encryptedDisk(name: string, below: MappedDisk, { cipher, dataAt, dataBytes, facts }: Pick<OpenedContainer, 'cipher' | 'dataAt' | 'dataBytes' | 'facts'>, { holes = 'zero', parent }: EncryptedDiskOptions = {}): MappedDisk {
  const { sectorBytes } = facts;
  const bytes = Math.floor(Math.min(dataBytes ?? Infinity, below.bytes - dataAt) / sectorBytes) * sectorBytes;
  const gate = new StoreGate();
  const scratch = new ScratchBytes();
  const check = (at: number, count: number, isStore: boolean): void => checkSectorRange(name, { bytes, writable: below.writable }, at, count, isStore);
  const begin = (at: number): number => Math.floor(at / sectorBytes) * sectorBytes;
  const end = (at: number): number => Math.ceil(at / sectorBytes) * sectorBytes;

  /** What this key has encrypted: with a parent of another key only what the file holds itself. */
  const isOwn = ({ depth }: Extent): boolean => (parent === undefined ? depth !== null : depth === 0);
  const readHole = async (at: number, into: Uint8Array): Promise<void> => {
    if (parent === undefined) into.fill(0);
    else await parent.read(at, into);
  };

  /** Whole sectors that this key has encrypted. */
  const readStored = async (at: number, into: Uint8Array): Promise<void> => {
    await settled(Array.from({ length: Math.ceil(into.length / PIECE) }, async (_, i) => {
      const piece = into.subarray(i * PIECE, (i + 1) * PIECE);
      await below.read(dataAt + at + i * PIECE, piece);
      await cipher.decrypt(piece, piece, (at + i * PIECE) / 512);
    }));
  };
  /** Whole sectors. */
  const readSectors = async (at: number, into: Uint8Array): Promise<void> => {
    if (holes === 'noise' && parent === undefined) return readStored(at, into);
    const extents = await below.extents(dataAt + at, into.length);
    if (extents.every(isOwn)) return readStored(at, into);
    if (extents.every((extent) => !isOwn(extent))) return readHole(at, into);
    await below.read(dataAt + at, into);
    for (const { from, to, stored } of unitsOf(extents, dataAt + at, sectorBytes, isOwn)) {
      const part = into.subarray(from, to);
      if (stored) await cipher.decrypt(part, part, (at + from) / 512);
      else await readHole(at + from, part);
    }
  };
  /** Whole sectors; the caller's bytes are not touched. */
  const writeSectors = async (at: number, from: Uint8Array): Promise<void> => {
    const encrypted = await scratch.take(Math.min(from.length, STEP));
    try {
      for (let done = 0; done < from.length; done += STEP) {
        const stores: Promise<void>[] = [];
        try {
          for (let first = done; first < Math.min(done + STEP, from.length); first += PIECE) {
            const plain = from.subarray(first, Math.min(first + PIECE, done + STEP));
            const piece = encrypted.subarray(first - done, first - done + plain.length);
            await cipher.encrypt(plain, piece, (at + first) / 512);
            const store = below.write(dataAt + at + first, piece);
            store.catch(() => undefined); // asked for below, when the others have begun
            stores.push(store);
          }
        } finally {
          await settled(stores);
        }
      }
    } finally {
      scratch.give(encrypted);
    }
  };
  /** Where a store would make room for more than it brings; the rest of that has to be encrypted zeros. Null when it does not. */
  const roomFor = async (at: number, count: number): Promise<{ readonly at: number; readonly end: number } | null> => {
    const unit = below.allocationBytes;
    if (holes === 'noise' || unit === null || parent !== undefined) return null;
    const first = Math.max(0, Math.floor((dataAt + at) / unit) * unit - dataAt);
    const last = Math.min(bytes, Math.ceil((dataAt + at + count) / unit) * unit - dataAt);
    const extents = await below.extents(dataAt + first, last - first);
    return extents.some(({ depth }) => depth === null) ? { at: first, end: last } : null;
  };
  /** With nobody else in between. */
  const storeAlone = async (at: number, from: Uint8Array): Promise<void> => {
    const unit = below.allocationBytes ?? Number.MAX_SAFE_INTEGER;
    // One after the other, so that zeros beside what is stored get no room.
    for (let done = 0; done < from.length; ) {
      const next = Math.min(from.length, (Math.floor((dataAt + at + done) / unit) + 1) * unit - dataAt - at);
      await storeInUnit(at + done, from.subarray(done, next));
      done = next;
    }
  };
  const storeInUnit = async (at: number, from: Uint8Array): Promise<void> => {
    let range = { at: begin(at), end: end(at + from.length) };
    const room = await roomFor(range.at, range.end - range.at);
    if (room !== null) {
      if (isZero(from) && (await below.extents(dataAt + range.at, range.end - range.at)).every(({ depth }) => depth === null)) return;
      range = { at: Math.min(range.at, room.at), end: Math.max(range.end, room.end) };
    }
    const whole = new Uint8Array(range.end - range.at);
    await readSectors(range.at, whole);
    whole.set(from, at - range.at);
    await writeSectors(range.at, whole);
  };
  const write = async (at: number, from: Uint8Array): Promise<void> => {
    check(at, from.length, true);
    if (from.length === 0) return;
    if (begin(at) === at && end(from.length) === from.length) {
      const done = await gate.together(async () => {
        if ((await roomFor(at, from.length)) !== null) return false;
        await writeSectors(at, from);
        return true;
      });
      if (done) return;
    }
    await gate.alone(() => storeAlone(at, from));
  };
  return {
    bytes,
    writable: below.writable,
    allocationBytes: holes === 'zero' ? below.allocationBytes : null,
    async read(at, into) {
      check(at, into.length, false);
      if (into.length > 0) await readAround(sectorBytes, at, into, readSectors);
    },
    write,
    flush: () => below.flush(),
    async discard(at, count) {
      check(at, count, true);
      const [first, last] = [end(at), begin(at + count)];
      // A store that found room must not lose it halfway.
      if (last > first) await gate.alone(() => below.discard(dataAt + first, last - first));
    },
    async writeZeroes(at, count) {
      check(at, count, true);
      await storeZeroes(write, at, at + count);
    },
    async extents(at, count) {
      check(at, count, false);
      const list = await below.extents(dataAt + at, count);
      if (parent !== undefined) return overParent(list, parent, dataAt);
      return list.map((extent) => ({ at: extent.at - dataAt, bytes: extent.bytes, depth: holes === 'zero' ? extent.depth : (extent.depth ?? 0) }));
    },
  };
}

/**
 * Buffers for ciphertext, used again: new ones cost more than the cipher, because the host has to clear their pages. Who comes when
 * all are taken waits, so many large stores at once take no more memory than a few.
 */
class ScratchBytes {
  readonly #free: Uint8Array[] = [];
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  async take(bytes: number): Promise<Uint8Array> {
    while (this.#taken >= MOST_SCRATCH) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#taken++;
    const found = this.#free.findLastIndex((one) => one.length >= bytes);
    return found < 0 ? new Uint8Array(bytes) : this.#free.splice(found, 1)[0]!;
  }

  give(bytes: Uint8Array): void {
    this.#taken--;
    if (this.#free.length >= MOST_FREE) this.#free.splice(this.#free.reduce((least, one, i, all) => (one.length < all[least]!.length ? i : least), 0), 1);
    this.#free.push(bytes);
    this.#waiting.shift()?.();
  }
}

const MOST_SCRATCH = 16;
const MOST_FREE = 8;

/** Waits for all, also when one of them fails: they share buffers. */
async function settled(work: readonly Promise<void>[]): Promise<void> {
  if (work.length === 1) return work[0];
  for (const result of await Promise.allSettled(work)) if (result.status === 'rejected') throw result.reason;
}

/** Where a file with a key of its own holds nothing, it is as its parent. */
async function overParent(list: readonly Extent[], parent: MappedDisk, dataAt: number): Promise<readonly Extent[]> {
  const all: Extent[] = [];
  for (const { at, bytes, depth } of list) {
    if (depth === 0) pushExtent(all, { at: at - dataAt, bytes, depth });
    else for (const below of await parent.extents(at - dataAt, bytes)) pushExtent(all, { ...below, depth: below.depth === null ? null : below.depth + 1 });
  }
  return all;
}

/** Extents as runs of whole sectors: one that is stored in part counts as stored. */
function unitsOf(extents: readonly Extent[], base: number, sectorBytes: number, isOwn: (extent: Extent) => boolean): { from: number; to: number; stored: boolean }[] {
  const runs: { from: number; to: number; stored: boolean }[] = [];
  for (const extent of extents) {
    const { at, bytes } = extent;
    const stored = isOwn(extent);
    let from = at - base;
    const to = at + bytes - base;
    const last = runs.at(-1);
    if (last !== undefined && last.to > from) {
      // The unit that the one before began belongs to it, or to this one when only this one is stored.
      if (stored && !last.stored) last.to = Math.max(last.from, Math.floor(from / sectorBytes) * sectorBytes);
      from = last.to;
    }
    const end = Math.ceil(to / sectorBytes) * sectorBytes;
    if (end > from) runs.push({ from, to: end, stored });
  }
  return runs.filter((run) => run.to > run.from);
}
