// The journal of Linux' dm-integrity (its documentation, and replay_journal of its source). It is a ring of sections: eight sectors of
// entries, and for each entry the sectors that it stores. The last eight bytes of every sector of the journal are a mark of the section, the sector in it and
// the round in which it was written; what the mark displaces from the data stands in the entry. A section counts when all of its marks are of
// one round, the one that is awaited there.
import type { MappedDisk } from './extent.ts';
import { ENTRY_SECTORS, type IntegrityLayout, JOURNAL_SECTOR_BYTES, placeOf, sectionAt } from './integrity-layout.ts';

/** What the journal holds of a sector of the disk. */
export interface JournaledSector {
  /** As it is stored. */
  readonly data: Uint8Array;
  readonly tag: Uint8Array;
}

const ROUNDS = [0x1111_1111, 0x2222_2222, 0x3333_3333, 0x4444_4444];
const UNUSED = 0xffff_ffff;
const WORD = 0x1_0000_0000;
const LAST_BYTES = 512 - JOURNAL_SECTOR_BYTES;

export interface IntegrityJournal {
  /** What is to go to its place, by the first sector of each, the newest of every one. */
  readonly found: Map<number, JournaledSector>;
  /** It has entries, though perhaps none that count. */
  readonly used: boolean;
}

export async function readIntegrityJournal(below: Pick<MappedDisk, 'read'>, at: number, layout: IntegrityLayout): Promise<IntegrityJournal> {
  const found = new Map<number, JournaledSector>();
  if (!(await hasEntries(below, at, layout))) return { found, used: false };
  const { sections, sectionSectors } = layout.journal;
  const bytes = new Uint8Array(sectionSectors * 512);
  // In which round each section was written; null where it was written in two, or cut off.
  const rounds: (number | null)[] = [];
  const lastOfRound: (number | null)[] = ROUNDS.map(() => null);
  for (let section = 0; section < sections; section++) {
    await below.read(at + sectionAt(layout, section), bytes);
    const view = new DataView(bytes.buffer);
    let round: number | null = roundOf(view, section, 0);
    for (let sector = 0; sector < sectionSectors; sector++) {
      const one = roundOf(view, section, sector);
      if (one === null) return { found, used: true }; // it was never a journal, and Linux makes it one
      lastOfRound[one] = section;
      if (one !== round) round = null;
    }
    rounds.push(round);
  }
  const start = oldestSection(lastOfRound, sections);
  if (start === null) return { found, used: true };
  let { section, round } = start;
  for (let count = 0; count < sections && rounds[section] === round; count++) {
    await below.read(at + sectionAt(layout, section), bytes);
    takeEntries(bytes, layout, found);
    if (++section < sections) continue;
    section = 0;
    round = (round + 1) % ROUNDS.length;
  }
  return { found, used: true };
}

/** Whether any section with marks, of whatever round, has entries. */
async function hasEntries(below: Pick<MappedDisk, 'read'>, at: number, layout: IntegrityLayout): Promise<boolean> {
  const { sections, entriesPerSector } = layout.journal;
  const bytes = new Uint8Array(ENTRY_SECTORS * 512);
  const view = new DataView(bytes.buffer);
  for (let section = 0; section < sections; section++) {
    await below.read(at + sectionAt(layout, section), bytes);
    for (let entry = 0; entry < ENTRY_SECTORS * entriesPerSector; entry++) {
      if (roundOf(view, section, entry % ENTRY_SECTORS) !== null && view.getUint32(entryAt(layout.journal, entry) + 4, true) !== UNUSED) return true;
    }
  }
  return false;
}

/** Stores what the journal holds, and empties it, so that it is not stored again over what comes later. */
export async function replayIntegrityJournal(below: Pick<MappedDisk, 'write' | 'flush'>, at: number, layout: IntegrityLayout, found: ReadonlyMap<number, JournaledSector>): Promise<void> {
  for (const [sector, { data, tag }] of found) {
    const place = placeOf(layout, sector);
    await below.write(at + place.data, data);
    await below.write(at + place.tag, tag);
  }
  await below.flush();
  await emptyIntegrityJournal(below, at, layout);
}

/** Makes a journal in which nothing is. */
export async function emptyIntegrityJournal(below: Pick<MappedDisk, 'write' | 'flush'>, at: number, layout: IntegrityLayout): Promise<void> {
  const { sections, sectionSectors } = layout.journal;
  for (let section = 0; section < sections; section++) await below.write(at + sectionAt(layout, section), emptySection(layout, section, new Uint8Array(sectionSectors * 512)));
  await below.flush();
}

function emptySection({ journal }: IntegrityLayout, section: number, bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer);
  for (let sector = 0; sector < journal.sectionSectors; sector++) putMark(view, section, sector, 0);
  for (let entry = 0; entry < ENTRY_SECTORS * journal.entriesPerSector; entry++) view.setUint32(entryAt(journal, entry) + 4, UNUSED, true);
  return bytes;
}

/** Where the ring begins, and the round of what stands there; null when the rounds make no ring. */
function oldestSection(lastOfRound: readonly (number | null)[], sections: number): { readonly section: number; readonly round: number } | null {
  const isUsed = (round: number): boolean => lastOfRound[round % ROUNDS.length] !== null;
  const unused = isUsed(ROUNDS.length - 1) ? lastOfRound.indexOf(null) : lastOfRound.findLastIndex((last) => last !== null) + 1;
  if (unused < 0) return null;
  const newest = (unused + ROUNDS.length - 1) % ROUNDS.length;
  const before = (newest + ROUNDS.length - 1) % ROUNDS.length;
  if (!isUsed(before) && isUsed(before + ROUNDS.length - 1)) return null;
  const section = lastOfRound[newest]! + 1;
  return section < sections ? { section, round: before } : { section: 0, round: newest };
}

/** The round of a sector of the journal, by its mark. */
function roundOf(view: DataView, section: number, sector: number): number | null {
  const mark = (view.getUint32(sector * 512 + JOURNAL_SECTOR_BYTES, true) ^ sector) >>> 0;
  const round = ROUNDS.indexOf(mark);
  return round < 0 || (view.getUint32(sector * 512 + JOURNAL_SECTOR_BYTES + 4, true) ^ section) >>> 0 !== mark ? null : round;
}

function putMark(view: DataView, section: number, sector: number, round: number): void {
  view.setUint32(sector * 512 + JOURNAL_SECTOR_BYTES, ROUNDS[round]! ^ sector, true);
  view.setUint32(sector * 512 + JOURNAL_SECTOR_BYTES + 4, ROUNDS[round]! ^ section, true);
}

/** Entries are dealt out to the sectors in turn. */
function entryAt({ entryBytes }: IntegrityLayout['journal'], entry: number): number {
  return (entry % ENTRY_SECTORS) * 512 + Math.floor(entry / ENTRY_SECTORS) * entryBytes;
}

function takeEntries(bytes: Uint8Array, { journal, sectorBytes, dataSectors, tagBytes }: IntegrityLayout, into: Map<number, JournaledSector>): void {
  const view = new DataView(bytes.buffer);
  const step = sectorBytes / 512;
  for (let entry = 0; entry < ENTRY_SECTORS * journal.entriesPerSector; entry++) {
    const from = entryAt(journal, entry);
    if (view.getUint32(from + 4, true) === UNUSED) continue;
    const sector = view.getUint32(from, true) + view.getUint32(from + 4, true) * WORD;
    if (sector >= dataSectors || sector % step !== 0) continue;
    const dataAt = (ENTRY_SECTORS + entry * step) * 512;
    const data = bytes.slice(dataAt, dataAt + sectorBytes);
    for (let i = 0; i < step; i++) data.set(bytes.subarray(from + 8 + i * LAST_BYTES, from + 8 + (i + 1) * LAST_BYTES), i * 512 + JOURNAL_SECTOR_BYTES);
    const tagAt = from + 8 + step * LAST_BYTES;
    into.set(sector, { data, tag: bytes.slice(tagAt, tagAt + tagBytes) });
  }
}
