// The journal of sealed sectors. Each part holds one batch: how many, numbers and records, authenticated, and the sectors themselves as
// they are stored. What does not prove itself whole was cut off, and its sectors are as they were.
import { sameBytes } from './big-endian.ts';
import { hmacSha256, type KeyMath } from './key-math.ts';
import { RECORD_BYTES } from './ocb-sectors.ts';
import { ENTRY_BYTES, JOURNAL_HEAD_BYTES, SECTOR_BYTES, type SealedLayout } from './sealed-layout.ts';
import type { SealedSectors } from './sector-cipher.ts';

const MAGIC = 'vmsealj1';
const MAC_AT = 32;
const MAC_BYTES = 32;
const WORD = 0x1_0000_0000;
/** Of an empty journal's first batch. */
export const FIRST_SEQUENCE = 1;

export interface JournalBatch {
  readonly sequence: number;
  readonly sectors: readonly number[];
  readonly records: Uint8Array;
  /** As it is stored. */
  readonly data: Uint8Array;
}

/** Writes the head and the entries of a batch before its data, which is there. */
export async function encodeBatch(into: Uint8Array, sequence: number, sectors: readonly number[], records: Uint8Array, math: KeyMath, key: Uint8Array): Promise<void> {
  const view = new DataView(into.buffer, into.byteOffset);
  const end = JOURNAL_HEAD_BYTES + sectors.length * ENTRY_BYTES;
  into.fill(0, 0, end);
  for (let i = 0; i < MAGIC.length; i++) into[i] = MAGIC.charCodeAt(i);
  putU64(view, 8, sequence);
  view.setUint32(16, sectors.length, true);
  for (const [i, sector] of sectors.entries()) {
    const at = JOURNAL_HEAD_BYTES + i * ENTRY_BYTES;
    putU64(view, at, sector);
    into.set(records.subarray(i * RECORD_BYTES, (i + 1) * RECORD_BYTES), at + 8);
  }
  into.set(await hmacSha256(math, key, into.subarray(0, end)), MAC_AT);
}

/** The batch of a part of the journal; null when there is none, or not all of it. */
export async function decodeBatch(part: Uint8Array, layout: SealedLayout, math: KeyMath, key: Uint8Array, cipher: SealedSectors): Promise<JournalBatch | null> {
  const view = new DataView(part.buffer, part.byteOffset);
  if (String.fromCharCode(...part.subarray(0, MAGIC.length)) !== MAGIC) return null;
  const count = view.getUint32(16, true);
  if (count === 0 || count > layout.batch) return null;
  const head = part.slice(0, JOURNAL_HEAD_BYTES + count * ENTRY_BYTES);
  const mac = head.slice(MAC_AT, MAC_AT + MAC_BYTES);
  head.fill(0, MAC_AT, MAC_AT + MAC_BYTES);
  if (!sameBytes(await hmacSha256(math, key, head), mac)) return null;
  const sectors: number[] = [];
  const records = new Uint8Array(count * RECORD_BYTES);
  for (let i = 0; i < count; i++) {
    const at = JOURNAL_HEAD_BYTES + i * ENTRY_BYTES;
    sectors.push(getU64(view, at));
    records.set(head.subarray(at + 8, at + ENTRY_BYTES), i * RECORD_BYTES);
  }
  if (sectors.some((sector) => sector >= layout.sectors)) return null; // of a disk that was longer
  const data = part.slice(layout.entriesBytes, layout.entriesBytes + count * SECTOR_BYTES);
  const failed = await cipher.open(data, new Uint8Array(data.length), records, sectors.map((sector) => sector * (SECTOR_BYTES / 512)));
  return failed < 0 ? { sequence: getU64(view, 8), sectors, records, data } : null;
}

/** What is in the journal, and the parts that hold something else and are to be emptied before the journal is used again. */
export interface Journal {
  /** To be stored again in this order. */
  readonly batches: readonly JournalBatch[];
  readonly stale: readonly number[];
}

/**
 * Reads the journal. Behind a batch that is missing nothing counts: what came before that one is in its places, and what was stored
 * since would be lost. The newest one, when the one before it is missing, had no barrier, since both would be there.
 */
export async function readJournal(read: (at: number, into: Uint8Array) => Promise<void>, layout: SealedLayout, math: KeyMath, key: Uint8Array, cipher: SealedSectors): Promise<Journal> {
  const { parts, partBytes, unsafeBatches } = layout;
  const found: JournalBatch[] = [];
  for (let which = 0; which < parts; which++) {
    const all = new Uint8Array(partBytes);
    await read(which * partBytes, all);
    const one = await decodeBatch(all, layout, math, key, cipher);
    if (one !== null && one.sequence % parts === which) found.push(one);
  }
  found.sort((a, b) => b.sequence - a.sequence);
  const isAlone = unsafeBatches > 1 && found[0] !== undefined && found[0].sequence > FIRST_SEQUENCE && found[1]?.sequence !== found[0].sequence - 1;
  const rest = isAlone ? found.slice(1) : found;
  const batches = rest.filter(({ sequence }, i) => sequence === rest[0]!.sequence - i).reverse();
  return { batches, stale: found.filter((one) => !batches.includes(one)).map(({ sequence }) => sequence % parts) };
}

function putU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % WORD, true);
  view.setUint32(at + 4, Math.floor(value / WORD), true);
}

function getU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * WORD;
}
