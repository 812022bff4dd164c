import { isZero } from './big-endian.ts';
import { CryptError } from './crypt-error.ts';
import { type Extent, type MappedDisk, pushExtent } from './extent.ts';
import type { KeyMath } from './key-math.ts';
import { RECORD_BYTES } from './ocb-sectors.ts';
import { decodeBatch, encodeBatch, type JournalBatch } from './sealed-journal.ts';
import { RUN_SECTORS, SECTOR_BYTES, sealedLayout } from './sealed-layout.ts';
import { isUnused, SealedStore } from './sealed-store.ts';
import type { SealedSectors } from './sector-cipher.ts';
import { StoreGate } from './store-gate.ts';

export interface SealedDiskOptions {
  readonly name: string;
  readonly below: MappedDisk;
  /** Where the journal begins. */
  readonly at: number;
  readonly journalBytes: number;
  readonly cipher: SealedSectors;
  readonly math: KeyMath;
  readonly journalKey: Uint8Array;
  /** What `root` gave when the disk was last used; anything older or changed is refused then. */
  readonly root?: string;
}

/** A disk whose sectors are proved. */
export interface SealedDisk extends MappedDisk {
  /** Stands for all that is stored. Whoever keeps it elsewhere notices when the image becomes an older one. */
  root(): Promise<string>;
  /** Stores what is to be stored, and leaves an empty journal. */
  end(): Promise<void>;
}

const PER_512 = SECTOR_BYTES / 512;

/**
 * Opens sealed sectors. What is stored waits in memory, as in the cache of a disk, until a flush or until a batch is full. Then the
 * batch goes to the journal, a barrier makes it last, and it goes to its places. The next batch goes to the other half of the journal,
 * so its barrier is also that of the places. After a crash both halves are stored again, the older first.
 */
export async function openSealedDisk({ name, below, at, journalBytes, cipher, math, journalKey, root: wantedRoot }: SealedDiskOptions): Promise<SealedDisk> {
  const layout = sealedLayout(below.bytes - at, journalBytes);
  if (layout === null) throw new CryptError(name, 'header', `no sealed sectors in ${below.bytes - at} bytes with a journal of ${journalBytes}`);
  const { batch, entriesBytes, sectors: total } = layout;
  const bytes = total * SECTOR_BYTES;
  const half = journalBytes / 2;
  const store = new SealedStore(name, below, at, layout, math);
  const gate = new StoreGate();
  /** Sectors that are to be stored, and where they lie in `plain`. */
  const pending = new Map<number, number>();
  const plain = new Uint8Array(below.writable ? batch * SECTOR_BYTES : 0);
  const outgoing = new Uint8Array(below.writable ? entriesBytes + batch * SECTOR_BYTES : 0);
  /** Out of the journal of an image that is opened for reading. */
  const overlay = new Map<number, Uint8Array>();
  let sequence = 1;

  const recover = async (): Promise<void> => {
    const found: JournalBatch[] = [];
    for (const which of [0, 1]) {
      const all = new Uint8Array(half);
      await below.read(at + which * half, all);
      const one = await decodeBatch(all, layout, math, journalKey, cipher);
      if (one !== null && one.sequence % 2 === which) found.push(one);
    }
    found.sort((a, b) => a.sequence - b.sequence);
    for (const one of found) {
      sequence = one.sequence + 1;
      if (below.writable) await store.write(one.sectors, one.data, one.records);
      else {
        const opened = new Uint8Array(one.data.length);
        await cipher.open(one.data, opened, one.records, one.sectors.map((sector) => sector * PER_512));
        for (const [i, sector] of one.sectors.entries()) overlay.set(sector, opened.slice(i * SECTOR_BYTES, (i + 1) * SECTOR_BYTES));
        await store.pretend(one.sectors, one.records);
      }
    }
    if (found.length > 0 && below.writable) await below.flush();
  };
  const check = (from: number, count: number, isStore: boolean): void => {
    if (isStore && !below.writable) throw new CryptError(name, 'request', 'opened for reading');
    if (!Number.isSafeInteger(from) || from < 0 || count < 0 || from + count > bytes) throw new CryptError(name, 'request', `${count} bytes at ${from} are not on a disk of ${bytes} bytes`);
  };

  /** Alone. */
  const commit = async (): Promise<void> => {
    const sectors = [...pending.keys()]; // in the order of their places
    if (sectors.length === 0) return;
    const records = new Uint8Array(sectors.length * RECORD_BYTES);
    const data = outgoing.subarray(entriesBytes, entriesBytes + sectors.length * SECTOR_BYTES);
    await cipher.seal(plain.subarray(0, data.length), data, records, sectors.map((sector) => sector * PER_512));
    await encodeBatch(outgoing, sequence, sectors, records, math, journalKey);
    await below.write(at + (sequence % 2) * half, outgoing.subarray(0, entriesBytes + data.length));
    await below.flush();
    // Whatever fails from here on, this half is to stay until the next batch is in the other one.
    sequence++;
    await store.write(sectors, data, records);
    pending.clear();
  };
  const put = (sector: number, from: Uint8Array): void => {
    let place = pending.get(sector);
    if (place === undefined) pending.set(sector, (place = pending.size));
    plain.set(from, place * SECTOR_BYTES);
  };
  /** Whole sectors. */
  const readSectors = async (first: number, into: Uint8Array): Promise<void> => {
    const end = first + into.length / SECTOR_BYTES;
    const partOf = (sector: number, count: number): Uint8Array => into.subarray((sector - first) * SECTOR_BYTES, (sector + count - first) * SECTOR_BYTES);
    for (let sector = first; sector < end; ) {
      const run = Math.floor(sector / RUN_SECTORS);
      const records = await store.records(run);
      const isStored = (one: number): boolean => !pending.has(one) && !overlay.has(one) && !isUnused(records, one - run * RUN_SECTORS);
      let count = 0;
      while (sector + count < Math.min(end, (run + 1) * RUN_SECTORS) && isStored(sector + count)) count++;
      if (count === 0) {
        const place = pending.get(sector);
        const over = place === undefined ? overlay.get(sector) : plain.subarray(place * SECTOR_BYTES, (place + 1) * SECTOR_BYTES);
        if (over === undefined) partOf(sector, 1).fill(0);
        else partOf(sector, 1).set(over);
        sector++;
        continue;
      }
      const part = partOf(sector, count);
      const kept = records.slice((sector - run * RUN_SECTORS) * RECORD_BYTES, (sector + count - run * RUN_SECTORS) * RECORD_BYTES);
      await store.readSectors(sector, part);
      const failed = await cipher.open(part, part, kept, Array.from({ length: count }, (_, i) => (sector + i) * PER_512));
      if (failed >= 0) throw new CryptError(name, 'integrity', `sector ${(sector + failed) * PER_512} is not what was stored there: the image was changed or damaged`);
      sector += count;
    }
  };
  const readAny = async (from: number, into: Uint8Array): Promise<void> => {
    const [first, end] = [Math.floor(from / SECTOR_BYTES), Math.ceil((from + into.length) / SECTOR_BYTES)];
    if (first * SECTOR_BYTES === from && end * SECTOR_BYTES === from + into.length) return readSectors(first, into);
    const whole = new Uint8Array((end - first) * SECTOR_BYTES);
    await readSectors(first, whole);
    into.set(whole.subarray(from - first * SECTOR_BYTES, from - first * SECTOR_BYTES + into.length));
  };
  /** A part of a sector, alone. */
  const putPart = async (from: number, part: Uint8Array): Promise<void> => {
    const sector = Math.floor(from / SECTOR_BYTES);
    const whole = new Uint8Array(SECTOR_BYTES);
    await readSectors(sector, whole);
    whole.set(part, from - sector * SECTOR_BYTES);
    if (!pending.has(sector) && pending.size >= batch) await commit();
    put(sector, whole);
  };
  const write = async (from: number, data: Uint8Array): Promise<void> => {
    check(from, data.length, true);
    for (let done = 0; done < data.length; ) {
      const sector = Math.floor((from + done) / SECTOR_BYTES);
      const inSector = from + done - sector * SECTOR_BYTES;
      if (inSector !== 0 || data.length - done < SECTOR_BYTES) {
        const part = data.subarray(done, done + Math.min(SECTOR_BYTES - inSector, data.length - done));
        const partAt = from + done;
        await gate.alone(() => putPart(partAt, part));
        done += part.length;
        continue;
      }
      const begin = done;
      done = await gate.together(async () => {
        let next = begin;
        for (let one = sector; data.length - next >= SECTOR_BYTES && (pending.has(one) || pending.size < batch); one++, next += SECTOR_BYTES) put(one, data.subarray(next, next + SECTOR_BYTES));
        return next;
      });
      if (done === begin) await gate.alone(commit);
    }
  };
  const isEmpty = async (sector: number): Promise<boolean> => {
    const run = Math.floor(sector / RUN_SECTORS);
    return !pending.has(sector) && !overlay.has(sector) && isUnused(await store.records(run), sector - run * RUN_SECTORS);
  };
  const root = async (): Promise<string> => {
    const hash = await gate.alone(async () => {
      await commit();
      return store.root();
    });
    return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
  };

  await recover();
  if (wantedRoot !== undefined) {
    await store.pin();
    if ((await root()) !== wantedRoot.toLowerCase()) throw new CryptError(name, 'integrity', 'it is not as it was when its root was told: an older image, a changed one, or one that was used since');
  }
  return {
    bytes,
    writable: below.writable,
    allocationBytes: null,
    async read(from, into) {
      check(from, into.length, false);
      if (into.length > 0) await gate.together(() => readAny(from, into));
    },
    write,
    flush: () => gate.alone(commit),
    // What is given up would read as if it had never been stored; it stays, so that nobody can make that of other sectors.
    async discard(from, count) {
      check(from, count, true);
    },
    async writeZeroes(from, count) {
      check(from, count, true);
      const zeros = new Uint8Array(SECTOR_BYTES);
      for (let done = 0; done < count; ) {
        const step = Math.min(count - done, SECTOR_BYTES - ((from + done) % SECTOR_BYTES));
        if (!(await isEmpty(Math.floor((from + done) / SECTOR_BYTES)))) await write(from + done, zeros.subarray(0, step));
        done += step;
      }
    },
    async extents(from, count) {
      check(from, count, false);
      const list: Extent[] = [];
      for (let done = 0; done < count; ) {
        const step = Math.min(count - done, SECTOR_BYTES - ((from + done) % SECTOR_BYTES));
        pushExtent(list, { at: from + done, bytes: step, depth: (await isEmpty(Math.floor((from + done) / SECTOR_BYTES))) ? null : 0 });
        done += step;
      }
      return list;
    },
    root,
    end: () => gate.alone(async () => {
      if (below.writable) {
        await commit();
        await below.flush();
        const head = new Uint8Array(512);
        const heads = new Uint8Array(512);
        for (const which of [0, 1]) {
          await below.read(at + which * half, heads);
          if (!isZero(heads)) await below.write(at + which * half, head);
        }
        await below.flush();
      }
      plain.fill(0);
      for (const one of overlay.values()) one.fill(0);
    }),
  };
}
