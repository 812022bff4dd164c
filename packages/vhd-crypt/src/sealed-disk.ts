import { isZero } from './big-endian.ts';
import { CryptError } from './crypt-error.ts';
import { type Extent, type MappedDisk, pushExtent } from './extent.ts';
import type { KeyMath } from './key-math.ts';
import { RECORD_BYTES } from './ocb-sectors.ts';
import { FIRST_SEQUENCE, readJournal } from './sealed-journal.ts';
import { RUN_SECTORS, SECTOR_BYTES, sealedLayout } from './sealed-layout.ts';
import { isUnused, SealedStore } from './sealed-store.ts';
import { SealedWriter } from './sealed-writer.ts';
import type { SealedSectors } from './sector-cipher.ts';
import { checkSectorRange, readAround } from './sector-range.ts';
import { StoreGate } from './store-gate.ts';

export interface SealedDiskOptions {
  readonly name: string;
  readonly below: MappedDisk;
  /** Where the journal begins. */
  readonly at: number;
  readonly journalBytes: number;
  /** Of the journal. */
  readonly parts?: number;
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

/** Opens sealed sectors. After a crash what is in the journal is stored again; an image that is opened for reading shows it. */
export async function openSealedDisk({ name, below, at, journalBytes, parts, cipher, math, journalKey, root: wantedRoot }: SealedDiskOptions): Promise<SealedDisk> {
  const layout = sealedLayout(below.bytes - at, journalBytes, parts);
  if (layout === null) throw new CryptError(name, 'header', `no sealed sectors in ${below.bytes - at} bytes with a journal of ${journalBytes}`);
  const bytes = layout.sectors * SECTOR_BYTES;
  const store = new SealedStore(name, below, at, layout, math);
  const gate = new StoreGate();
  /** Out of the journal of an image that is opened for reading. */
  const overlay = new Map<number, Uint8Array>();

  const { batches, stale } = await readJournal((from, into) => below.read(at + from, into), layout, math, journalKey, cipher);
  for (const one of batches) {
    if (below.writable) await store.write(one.sectors, one.data, one.records);
    else {
      const opened = new Uint8Array(one.data.length);
      await cipher.open(one.data, opened, one.records, one.sectors.map((sector) => sector * PER_512));
      for (const [i, sector] of one.sectors.entries()) overlay.set(sector, opened.slice(i * SECTOR_BYTES, (i + 1) * SECTOR_BYTES));
      await store.pretend(one.sectors, one.records);
    }
  }
  if (below.writable) {
    for (const part of stale) await below.write(at + part * layout.partBytes, new Uint8Array(512));
    if (batches.length + stale.length > 0) await below.flush();
  }
  const writer = new SealedWriter({ below, at, layout, store, cipher, math, journalKey, sequence: (batches.at(-1)?.sequence ?? FIRST_SEQUENCE - 1) + 1 });
  const check = (from: number, count: number, isStore: boolean): void => checkSectorRange(name, { bytes, writable: below.writable }, from, count, isStore);
  const waitingIn = (sector: number): Uint8Array | null => writer.find(sector) ?? overlay.get(sector) ?? null;
  /** Whole sectors. */
  const readNow = async (first: number, into: Uint8Array): Promise<void> => {
    const end = first + into.length / SECTOR_BYTES;
    const partOf = (sector: number, count: number): Uint8Array => into.subarray((sector - first) * SECTOR_BYTES, (sector + count - first) * SECTOR_BYTES);
    for (let sector = first; sector < end; ) {
      const run = Math.floor(sector / RUN_SECTORS);
      const records = await store.records(run);
      const isStored = (one: number): boolean => waitingIn(one) === null && !isUnused(records, one - run * RUN_SECTORS);
      let count = 0;
      while (sector + count < Math.min(end, (run + 1) * RUN_SECTORS) && isStored(sector + count)) count++;
      if (count === 0) {
        const waiting = waitingIn(sector);
        if (waiting === null) partOf(sector, 1).fill(0);
        else partOf(sector, 1).set(waiting);
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
  const readSectors = async (first: number, into: Uint8Array): Promise<void> => {
    try {
      await readNow(first, into);
    } catch (error) {
      if (!below.writable || !(error instanceof CryptError) || error.rule !== 'integrity') throw error;
      // It may have been on its way to its place just then, and half of it there.
      await writer.alone(() => readNow(first, into));
    }
  };
  /** A part of a sector, alone. */
  const putPart = async (from: number, part: Uint8Array): Promise<void> => {
    const sector = Math.floor(from / SECTOR_BYTES);
    const whole = new Uint8Array(SECTOR_BYTES);
    await readSectors(sector, whole);
    whole.set(part, from - sector * SECTOR_BYTES);
    while (!writer.put(sector, whole)) await writer.makeRoom();
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
      const whole = done + Math.floor((data.length - done) / SECTOR_BYTES) * SECTOR_BYTES;
      const putWhole = (): void => {
        while (done < whole && writer.put((from + done) / SECTOR_BYTES, data.subarray(done, done + SECTOR_BYTES))) done += SECTOR_BYTES;
      };
      if (gate.isOpen) putWhole();
      else await gate.together(async () => putWhole());
      if (done < whole) await writer.makeRoom();
    }
  };
  /** Leaves an empty journal. */
  const settle = async (): Promise<void> => {
    await writer.settle();
    await below.flush();
    const head = new Uint8Array(512);
    for (let part = 0; part < layout.parts; part++) {
      await below.read(at + part * layout.partBytes, head);
      if (!isZero(head)) await below.write(at + part * layout.partBytes, head.fill(0));
    }
    await below.flush();
  };
  const isEmpty = async (sector: number): Promise<boolean> => {
    const run = Math.floor(sector / RUN_SECTORS);
    const records = await store.records(run);
    return waitingIn(sector) === null && isUnused(records, sector - run * RUN_SECTORS);
  };
  const root = async (): Promise<string> => {
    const hash = await gate.alone(async () => {
      await writer.settle();
      return store.root();
    });
    return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
  };

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
      if (into.length > 0) await readAround(SECTOR_BYTES, from, into, (at, whole) => readSectors(at / SECTOR_BYTES, whole));
    },
    write,
    flush: () => gate.alone(() => writer.commit()),
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
      try {
        if (below.writable) await settle();
      } finally {
        writer.close();
        for (const one of overlay.values()) one.fill(0);
      }
    }),
  };
}
