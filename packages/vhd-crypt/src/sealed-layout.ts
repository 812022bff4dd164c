// Where what is, in a range of sealed sectors: a journal of several parts, and behind it runs of 2 MiB, which are blocks of a VHD.
//
//   | part 0 | part 1 | ... | run 0                          | run 1 ...
//                           | records, 16 KiB | 508 sectors  |
import { RECORD_BYTES } from './ocb-sectors.ts';

export const SECTOR_BYTES = 4096;
export const RUN_BYTES: number = 2 << 20;
export const RUN_SECTORS = 508;
export const RECORDS_BYTES = 16_384; // those of a run
export const ENTRY_BYTES: number = 8 + RECORD_BYTES; // of the journal: number, record
export const JOURNAL_HEAD_BYTES = 64;
/** Of the journal, as it is made: with so many, one batch goes to its places while the next has its barrier and one more is written. */
export const JOURNAL_PARTS = 4;
/** Of journals that were made before. */
export const FEWEST_PARTS = 2;
const MOST_PARTS = 16;
const MOST_PART: number = 16 << 20;
const LEAST_JOURNAL: number = 2 << 20;
const MOST_JOURNAL: number = 32 << 20;

export interface SealedLayout {
  readonly journalBytes: number;
  readonly parts: number;
  readonly partBytes: number;
  /** How many batches may be in the journal without a barrier. */
  readonly unsafeBatches: number;
  readonly runs: number;
  readonly sectors: number;
  /** Sectors that are stored at once. */
  readonly batch: number;
  /** In the journal, before their data. */
  readonly entriesBytes: number;
}

/** Of so many bytes, journal and all; null when nothing fits. */
export function sealedLayout(bytes: number, journalBytes: number, parts: number = JOURNAL_PARTS): SealedLayout | null {
  const partBytes = journalBytes / parts;
  const batch = Math.floor((partBytes - SECTOR_BYTES - JOURNAL_HEAD_BYTES) / (SECTOR_BYTES + ENTRY_BYTES));
  if (!Number.isSafeInteger(parts) || parts < FEWEST_PARTS || parts > MOST_PARTS) return null;
  if (!Number.isSafeInteger(partBytes) || partBytes % SECTOR_BYTES !== 0 || batch < 1 || partBytes > MOST_PART) return null;
  const full = Math.floor((bytes - journalBytes) / RUN_BYTES);
  const rest = Math.max(0, Math.floor((bytes - journalBytes - full * RUN_BYTES - RECORDS_BYTES) / SECTOR_BYTES));
  const sectors = full * RUN_SECTORS + rest;
  if (sectors <= 0) return null;
  return { journalBytes, parts, partBytes, unsafeBatches: parts < JOURNAL_PARTS ? 1 : 2, runs: full + (rest > 0 ? 1 : 0), sectors, batch, entriesBytes: Math.ceil((JOURNAL_HEAD_BYTES + batch * ENTRY_BYTES) / SECTOR_BYTES) * SECTOR_BYTES };
}

/** How large the journal is made. */
export function usualJournal(diskBytes: number): number {
  const wanted = Math.floor(diskBytes / 8 / LEAST_JOURNAL) * LEAST_JOURNAL;
  return Math.min(MOST_JOURNAL, Math.max(LEAST_JOURNAL, wanted));
}

/** What a disk of so many bytes takes, journal and all. */
export function sealedBytes(diskBytes: number, journalBytes: number): number {
  const sectors = Math.ceil(diskBytes / SECTOR_BYTES);
  const full = Math.floor(sectors / RUN_SECTORS);
  const rest = sectors % RUN_SECTORS;
  return journalBytes + full * RUN_BYTES + (rest > 0 ? RECORDS_BYTES + rest * SECTOR_BYTES : 0);
}

/** Of a run, behind the journal. */
export function recordsAt({ journalBytes }: SealedLayout, run: number): number {
  return journalBytes + run * RUN_BYTES;
}

export function sectorAt(layout: SealedLayout, sector: number): number {
  const run = Math.floor(sector / RUN_SECTORS);
  return recordsAt(layout, run) + RECORDS_BYTES + (sector - run * RUN_SECTORS) * SECTOR_BYTES;
}
