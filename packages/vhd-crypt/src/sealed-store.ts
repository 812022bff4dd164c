// What sealed sectors are kept in: records of runs, which are remembered, and sectors beside them.
import { asciiBytes, isZero } from './big-endian.ts';
import { CryptError } from './crypt-error.ts';
import type { MappedDisk } from './extent.ts';
import type { KeyMath } from './key-math.ts';
import { RECORD_BYTES } from './ocb-sectors.ts';
import { RECORDS_BYTES, recordsAt, RUN_SECTORS, SECTOR_BYTES, sectorAt, type SealedLayout } from './sealed-layout.ts';

const MOST_RUNS = 512; // 8 MiB of records
const HASH_BYTES = 32;
const AT_ONCE = 4;

export class SealedStore {
  readonly #name: string;
  readonly #below: MappedDisk;
  readonly #at: number;
  readonly #layout: SealedLayout;
  readonly #math: KeyMath;
  readonly #runs = new Map<number, Promise<Uint8Array>>();
  /** Of runs whose sectors are being stored: theirs are not what the image holds. */
  readonly #changing = new Map<number, Uint8Array>();
  /** What came out of the journal of an image that is opened for reading. */
  readonly #overlay = new Map<number, Uint8Array>();
  /** Of the records of each run, when somebody knows what they have to be. */
  #hashes: Uint8Array | null = null;

  constructor(name: string, below: MappedDisk, at: number, layout: SealedLayout, math: KeyMath) {
    this.#name = name;
    this.#below = below;
    this.#at = at;
    this.#layout = layout;
    this.#math = math;
  }

  /** The records of a run, to be changed in place. */
  records(run: number): Promise<Uint8Array> {
    const changing = this.#changing.get(run);
    if (changing !== undefined) return Promise.resolve(changing);
    const known = this.#runs.get(run);
    if (known !== undefined) return known;
    if (this.#runs.size >= MOST_RUNS) this.#runs.delete(this.#runs.keys().next().value!);
    const loaded = this.#load(run);
    this.#runs.set(run, loaded);
    loaded.catch(() => this.#runs.delete(run));
    return loaded;
  }

  readSectors(sector: number, into: Uint8Array): Promise<void> {
    return this.#below.read(this.#at + sectorAt(this.#layout, sector), into);
  }

  /**
   * Stores sectors and their records: in the order of their places, which the host likes better. Who reads one of them meanwhile may
   * find a sector and a record that do not belong together.
   */
  async write(sectors: readonly number[], data: Uint8Array, records: Uint8Array): Promise<void> {
    const order = Array.from(sectors.keys());
    if (sectors.some((sector, i) => i > 0 && sector < sectors[i - 1]!)) order.sort((a, b) => sectors[a]! - sectors[b]!);
    const changed = new Map<number, { readonly first: number; last: number }>();
    const stores = new Stores();
    try {
      for (let i = 0; i < order.length; ) {
        const place = order[i]!;
        const sector = sectors[place]!;
        const run = Math.floor(sector / RUN_SECTORS);
        let count = 1;
        while (i + count < order.length && order[i + count] === place + count && sectors[place + count] === sector + count && (sector + count) % RUN_SECTORS !== 0) count++;
        const kept = await this.records(run);
        this.#changing.set(run, kept);
        const index = sector - run * RUN_SECTORS;
        kept.set(records.subarray(place * RECORD_BYTES, (place + count) * RECORD_BYTES), index * RECORD_BYTES);
        changed.set(run, { first: changed.get(run)?.first ?? index, last: index + count - 1 });
        await stores.add(this.#below.write(this.#at + sectorAt(this.#layout, sector), data.subarray(place * SECTOR_BYTES, (place + count) * SECTOR_BYTES)));
        i += count;
      }
      // Small stores, which hosts do at once: they would wait for large ones to the same file.
      await stores.end();
      for (const [run, { first, last }] of changed) {
        const kept = this.#changing.get(run)!;
        const [from, to] = [Math.floor((first * RECORD_BYTES) / 512) * 512, Math.ceil(((last + 1) * RECORD_BYTES) / 512) * 512];
        await stores.add(this.#below.write(this.#at + recordsAt(this.#layout, run) + from, kept.subarray(from, to)));
        if (this.#hashes !== null) this.#hashes.set(await this.#hash(kept), run * HASH_BYTES);
      }
    } finally {
      try {
        await stores.end();
      } finally {
        // Those remembered may have gone meanwhile, or have been read from the image again.
        for (const [run, kept] of this.#changing) this.#runs.set(run, Promise.resolve(kept));
        this.#changing.clear();
      }
    }
  }

  /** The same without storing it: for an image that is opened for reading. */
  async pretend(sectors: readonly number[], records: Uint8Array): Promise<void> {
    for (const [i, sector] of sectors.entries()) this.#overlay.set(sector, records.slice(i * RECORD_BYTES, (i + 1) * RECORD_BYTES));
    this.#runs.clear();
  }

  /** A hash over everything that is stored: over the hashes of the records of all runs, and the size. */
  async root(): Promise<Uint8Array> {
    const all = this.#hashes ?? (await this.#allHashes());
    const text = asciiBytes(`vm-sealed ${this.#layout.sectors}\n`);
    const whole = new Uint8Array(text.length + all.length);
    whole.set(text);
    whole.set(all, text.length);
    return this.#math.digest('sha256', whole);
  }

  /** From now on what is read has to be what the root was computed of. */
  async pin(): Promise<void> {
    const all = await this.#allHashes();
    this.#hashes = all;
  }

  async #allHashes(): Promise<Uint8Array> {
    const { runs } = this.#layout;
    const all = new Uint8Array(runs * HASH_BYTES);
    const empty = await this.#hash(new Uint8Array(RECORDS_BYTES));
    for (let run = 0; run < runs; run++) {
      const [known, overlaid] = [this.#runs.get(run), this.#overlay.size > 0];
      const isHole = known === undefined && !overlaid && (await this.#below.extents(this.#at + recordsAt(this.#layout, run), this.#recordsThere(run))).every(({ depth }) => depth === null);
      all.set(isHole ? empty : await this.#hash(await (known ?? this.#load(run))), run * HASH_BYTES);
    }
    return all;
  }

  /** Unused places behind the records of a run are not looked at. */
  async #hash(records: Uint8Array): Promise<Uint8Array> {
    return this.#math.digest('sha256', records.subarray(0, RUN_SECTORS * RECORD_BYTES));
  }

  #recordsThere(run: number): number {
    return Math.min(RUN_SECTORS, this.#layout.sectors - run * RUN_SECTORS) * RECORD_BYTES;
  }

  async #load(run: number): Promise<Uint8Array> {
    const records = new Uint8Array(RECORDS_BYTES);
    const there = this.#recordsThere(run);
    await this.#below.read(this.#at + recordsAt(this.#layout, run), records.subarray(0, there));
    if (this.#overlay.size > 0) {
      for (let i = 0; i < there / RECORD_BYTES; i++) {
        const over = this.#overlay.get(run * RUN_SECTORS + i);
        if (over !== undefined) records.set(over, i * RECORD_BYTES);
      }
    }
    if (this.#hashes !== null) {
      const [hash, wanted] = [await this.#hash(records), this.#hashes.subarray(run * HASH_BYTES, (run + 1) * HASH_BYTES)];
      if (hash.some((byte, i) => byte !== wanted[i])) throw new CryptError(this.#name, 'integrity', `records of the sectors from ${run * RUN_SECTORS * (SECTOR_BYTES / 512)} are not those of the root`);
    }
    return records;
  }
}

/** Some stores at once, and not too many. */
class Stores {
  #running: Promise<void>[] = [];

  async add(store: Promise<void>): Promise<void> {
    store.catch(() => undefined); // told below
    this.#running.push(store);
    if (this.#running.length >= AT_ONCE) await this.end();
  }

  /** Waits for all, also when one of them fails: they share buffers. */
  async end(): Promise<void> {
    for (const result of await Promise.allSettled(this.#running.splice(0))) if (result.status === 'rejected') throw result.reason;
  }
}

/** Nothing was ever stored in the sector of this record. */
export function isUnused(records: Uint8Array, index: number): boolean {
  return isZero(records.subarray(index * RECORD_BYTES, (index + 1) * RECORD_BYTES));
}
