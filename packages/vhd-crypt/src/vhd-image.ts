import { getU32 } from './big-endian.ts';
import { bitmapBytes, decodeHeader, type DynamicHeader, HEADER_BYTES } from './dynamic-header.ts';
import { decodeFooter, type Footer, FOOTER_BYTES } from './footer.ts';
import { geometryBytes, sizeRule, type SizeRule } from './geometry.ts';
import type { ImageFile } from './image-file.ts';
import { VhdError } from './vhd-error.ts';

export const UNUSED = 0xffff_ffff;

const ALIGNMENT = 4096;

/** The block table of a dynamic or differencing disk, and what belongs to it. */
export interface BlockTable {
  readonly header: DynamicHeader;
  /** First sector of each block, its bitmap; UNUSED where there is none. As many entries as the disk needs. */
  readonly entries: Uint32Array;
  readonly bitmapBytes: number;
  /** The first byte after footer, header, table and locators. */
  readonly metadataEnd: number;
}

/** The structures of a file, decoded and checked against each other as far as reading needs it. */
export interface VhdImage {
  readonly footer: Footer;
  /** The same as it is in the file, with what other writers put into reserved places. */
  readonly footerBytes: Uint8Array;
  /** Size of the disk that the guest sees. */
  readonly bytes: number;
  readonly table: BlockTable | null;
  /** What is wrong with each copy of the footer; null for a good one. A fixed disk has no front copy. */
  readonly frontProblem: string | null;
  readonly backProblem: string | null;
  /** Where the footer at the end is, or would be. */
  readonly backAt: number;
  readonly fileBytes: number;
}

/** What cannot be where it is said to be. */
export interface TableProblem {
  readonly block: number;
  readonly kind: 'past-the-end' | 'in-metadata' | 'overlap';
  readonly text: string;
}

export async function readImage(file: ImageFile, rule?: SizeRule): Promise<VhdImage> {
  const fileBytes = await file.bytes();
  if (fileBytes < FOOTER_BYTES - 1) throw new VhdError(file.name, 'footer', `${fileBytes} bytes are too short for a VHD`);
  const backAt = Math.ceil(fileBytes / 512) * 512 - FOOTER_BYTES;
  // Old programs wrote footers of 511 bytes.
  const cut = fileBytes - backAt < FOOTER_BYTES - 1;
  const backBytes = await readPadded(file, backAt, fileBytes);
  const back = cut ? 'the file does not end with a whole sector' : decodeFooter(backBytes);
  const size = (footer: Footer): number => {
    const which = rule ?? sizeRule(footer.creator, footer.geometry);
    return which === 'geometry' ? geometryBytes(footer.geometry) : Math.floor(footer.currentBytes / 512) * 512;
  };
  // The end decides before the beginning: the first sector of a fixed disk is the guest's, who may write a footer there.
  if (typeof back !== 'string' && back.type === 'fixed') {
    const bytes = Math.min(size(back), Math.floor(back.currentBytes / 512) * 512);
    if (back.currentBytes > backAt) throw new VhdError(file.name, 'size', `the footer says ${back.currentBytes} bytes, and the file holds ${backAt}`);
    return { footer: back, footerBytes: backBytes, bytes, table: null, frontProblem: null, backProblem: null, backAt, fileBytes };
  }
  const frontBytes = await readPadded(file, 0, fileBytes);
  const front = decodeFooter(frontBytes);
  const usable = (footer: Footer | string): footer is Footer => typeof footer !== 'string' && footer.type !== 'fixed';
  // Both valid and not the same: a change was cut between the two, and the front one is written first.
  const footer = usable(front) ? front : back;
  if (!usable(footer)) throw new VhdError(file.name, 'footer', `no valid footer: at the end ${problemOf(back)}, at the beginning ${problemOf(front)}`);
  const table = await readTable(file, footer, fileBytes, size(footer));
  const bytes = Math.min(size(footer), table.header.tableEntries * table.header.blockBytes);
  return { footer, footerBytes: usable(front) ? frontBytes : backBytes, bytes, table, frontProblem: problemOf(front), backProblem: problemOf(back), backAt, fileBytes };
}

function problemOf(footer: Footer | string): string | null {
  return typeof footer !== 'string' ? null : footer;
}

async function readPadded(file: ImageFile, at: number, end: number): Promise<Uint8Array> {
  const sector = new Uint8Array(512);
  await file.read(at, sector.subarray(0, Math.min(512, end - at)));
  return sector;
}

async function readTable(file: ImageFile, footer: Footer, fileBytes: number, bytes: number): Promise<BlockTable> {
  const headerAt = footer.headerAt ?? 0;
  if (headerAt + HEADER_BYTES > fileBytes) throw new VhdError(file.name, 'header', `the dynamic header at ${headerAt} is past the end of the file at ${fileBytes}`);
  const raw = new Uint8Array(HEADER_BYTES);
  await file.read(headerAt, raw);
  const header = decodeHeader(raw);
  if (typeof header === 'string') throw new VhdError(file.name, 'header', `dynamic header: ${header}`);
  // By the geometry a disk may seem larger than its table; its number of bytes must fit in any case.
  const needed = Math.ceil(Math.min(bytes, footer.currentBytes) / header.blockBytes);
  if (needed > header.tableEntries) throw new VhdError(file.name, 'bat', `the block table has ${header.tableEntries} entries, and the disk needs ${needed}`);
  const count = Math.min(Math.ceil(bytes / header.blockBytes), header.tableEntries);
  if (header.tableAt + 4 * count > fileBytes) throw new VhdError(file.name, 'bat', `the block table at ${header.tableAt} with ${count} entries is past the end of the file at ${fileBytes}`);
  const table = new Uint8Array(4 * count);
  await file.read(header.tableAt, table);
  const entries = Uint32Array.from({ length: count }, (_, i) => getU32(table, 4 * i));
  const ends = [FOOTER_BYTES, headerAt + HEADER_BYTES, header.tableAt + Math.ceil((4 * header.tableEntries) / 512) * 512, ...header.locators.map(({ at, bytes: length }) => (at + length <= fileBytes ? at + Math.ceil(length / 512) * 512 : 0))];
  return { header, entries, bitmapBytes: bitmapBytes(header.blockBytes), metadataEnd: metadataEnd(ends, entries) };
}

/** Other writers may put a table after blocks; then only what lies before the first block counts. */
function metadataEnd(ends: readonly number[], entries: Uint32Array): number {
  let first = Infinity;
  for (const entry of entries) if (entry !== UNUSED && entry > 0) first = Math.min(first, entry * 512);
  return Math.max(FOOTER_BYTES, ...ends.filter((end) => end <= first));
}

/** Bytes that a block takes in the file. */
export function blockSpan(table: BlockTable): number {
  return table.bitmapBytes + table.header.blockBytes;
}

/** The first byte after everything that is in use, the footer at the end not counted. Impossible entries do not count. */
export function endOfUse(image: VhdImage): number {
  const { table } = image;
  if (table === null) return image.bytes;
  const { header } = table;
  let end = Math.max(table.metadataEnd, header.tableAt + Math.ceil((4 * header.tableEntries) / 512) * 512, (image.footer.headerAt ?? 0) + HEADER_BYTES);
  for (const entry of table.entries) {
    const blockEnd = entry * 512 + blockSpan(table);
    if (entry !== UNUSED && blockEnd <= image.fileBytes) end = Math.max(end, blockEnd);
  }
  for (const { at, bytes } of header.locators) if (at + bytes <= image.fileBytes) end = Math.max(end, Math.ceil((at + bytes) / 512) * 512);
  return end;
}

/** Where the next block goes: at or after `at`, and its data at a multiple of 4 KiB. */
export function placeBlock(at: number, bitmap: number): number {
  return Math.ceil((at + bitmap) / ALIGNMENT) * ALIGNMENT - bitmap;
}

/** First sectors of rooms for whole blocks that lie between others and before `end`, the first one last. */
export function freeRooms(image: VhdImage, end: number): number[] {
  const { table } = image;
  if (table === null) return [];
  const span = blockSpan(table);
  const used = Array.from(table.entries).filter((entry) => entry !== UNUSED).map((entry) => entry * 512).sort((a, b) => a - b);
  const rooms: number[] = [];
  let at = endOfUse({ ...image, table: { ...table, entries: new Uint32Array() } });
  for (const begin of [...used, end]) {
    for (let room = placeBlock(at, table.bitmapBytes); room + span <= begin; room = placeBlock(at, table.bitmapBytes)) {
      rooms.push(room / 512);
      at = room + span;
    }
    at = Math.max(at, begin + span);
  }
  return rooms.reverse();
}

/** Entries that point past the end, into the metadata, or into another block. */
export function tableProblems(image: VhdImage): TableProblem[] {
  const { table } = image;
  if (table === null) return [];
  const span = blockSpan(table);
  const { header } = table;
  const reserved = [
    { begin: 0, end: FOOTER_BYTES, what: 'footer' },
    { begin: image.footer.headerAt ?? 0, end: (image.footer.headerAt ?? 0) + HEADER_BYTES, what: 'dynamic header' },
    { begin: header.tableAt, end: header.tableAt + 4 * header.tableEntries, what: 'block table' },
    ...header.locators.map(({ at, bytes }) => ({ begin: at, end: at + bytes, what: 'parent locator' })),
  ];
  const problems: TableProblem[] = [];
  const order: number[] = [];
  table.entries.forEach((entry, block) => {
    if (entry === UNUSED) return;
    const begin = entry * 512;
    const hit = reserved.find((range) => begin < range.end && range.begin < begin + span);
    if (begin + span > (image.backProblem === null ? image.backAt : image.fileBytes)) problems.push({ block, kind: 'past-the-end', text: `block ${block} at ${begin} is past the end of the file` });
    else if (hit !== undefined) problems.push({ block, kind: 'in-metadata', text: `block ${block} at ${begin} lies over the ${hit.what}` });
    else order.push(block);
  });
  order.sort((a, b) => (table.entries[a] ?? 0) - (table.entries[b] ?? 0));
  for (let i = 1; i < order.length; i++) {
    const [before = 0, block = 0] = [order[i - 1], order[i]];
    if (((table.entries[block] ?? 0) - (table.entries[before] ?? 0)) * 512 < span) problems.push({ block, kind: 'overlap', text: `blocks ${before} and ${block} overlap` });
  }
  return problems;
}
