import { checksum, putU32, putU64 } from './big-endian.ts';
import { MAX_DYNAMIC_BYTES } from './create-vhd.ts';
import { HEADER_BYTES } from './dynamic-header.ts';
import { FOOTER_BYTES } from './footer.ts';
import { geometryOf, MAX_GEOMETRY, roundUpToGeometry, sizeRule } from './geometry.ts';
import type { ImageFile } from './image-file.ts';
import { SparseDisk } from './sparse-disk.ts';
import { VhdError } from './vhd-error.ts';
import { blockSpan, type BlockTable, endOfUse, placeBlock, readImage, tableProblems, UNUSED, type VhdImage } from './vhd-image.ts';

export interface ResizeOptions {
  /** A smaller disk loses what lies past its end: only when this is said. */
  readonly shrink?: boolean;
}

/**
 * Another size, in place; returns the size that it became. After a crash at any time the disk opens with the old size or with the
 * new one, and holds what both have. The footer at the beginning decides which, and it is changed when everything else is ready.
 */
export async function resizeVhd(file: ImageFile, bytes: number, options: ResizeOptions = {}): Promise<number> {
  const image = await readImage(file);
  const { footer, table } = image;
  const [problem] = tableProblems(image);
  if (problem !== undefined) throw new VhdError(file.name, 'block', problem.text);
  if (footer.type === 'differencing') throw new VhdError(file.name, 'request', 'a differencing disk has the size of its parent');
  const byGeometry = sizeRule(footer.creator, footer.geometry) === 'geometry';
  const wanted = byGeometry ? roundUpToGeometry(bytes) : bytes;
  if (wanted === null || !Number.isSafeInteger(wanted) || wanted <= 0 || wanted % 512 !== 0 || (table !== null && wanted > MAX_DYNAMIC_BYTES)) throw new VhdError(file.name, 'size', `a disk of ${bytes} bytes is not possible`);
  if (wanted < image.bytes && options.shrink !== true) throw new VhdError(file.name, 'request', `${wanted} bytes are fewer than the ${image.bytes} of the disk, and what lies past them would be lost`);
  const after = footerFor(image, wanted, byGeometry);
  if (table === null) await resizeFixed(file, image, wanted, after);
  else await resizeDynamic(file, image, table, wanted, after);
  return wanted;
}

function footerFor(image: VhdImage, bytes: number, byGeometry: boolean): Uint8Array {
  const footer = image.footerBytes.slice();
  const { cylinders, heads, sectorsPerTrack } = byGeometry ? geometryOf(bytes / 512) : MAX_GEOMETRY;
  putU64(footer, 48, bytes);
  footer.set([cylinders >>> 8, cylinders & 0xff, heads, sectorsPerTrack], 56);
  putU32(footer, 64, checksum(footer, 64));
  return footer;
}

async function resizeFixed(file: ImageFile, { backAt, bytes: before }: VhdImage, bytes: number, footer: Uint8Array): Promise<void> {
  await file.write(bytes, footer);
  await file.flush();
  if (bytes < before) await file.resize(bytes + FOOTER_BYTES);
  // The old footer has become data.
  else if (bytes > backAt) await file.write(backAt, new Uint8Array(Math.min(FOOTER_BYTES, bytes - backAt)));
  await file.flush();
}

async function resizeDynamic(file: ImageFile, image: VhdImage, table: BlockTable, bytes: number, footer: Uint8Array): Promise<void> {
  const { header } = table;
  const headerAt = image.footer.headerAt ?? 0;
  const tableEntries = Math.ceil(bytes / header.blockBytes);
  const tableEnd = header.tableAt + Math.ceil((4 * tableEntries) / 512) * 512;
  if (headerAt + HEADER_BYTES > header.tableAt && headerAt < tableEnd) throw new VhdError(file.name, 'request', 'the header stands where the larger table would be; convert it');
  await new SparseDisk(file, image, table, null, true).mendFooters();
  // The old footer may be where the table grows to, so there is a new one first.
  let footerAt = image.backProblem === null ? image.backAt : Math.max(image.backAt, endOfUse(image));
  if (footerAt < tableEnd) {
    await file.write(tableEnd, image.footerBytes);
    await file.flush();
    footerAt = tableEnd;
  }
  footerAt = await moveAway(file, image, table, tableEnd, footerAt);
  const kept = Math.min(table.entries.length, tableEntries);
  if (bytes < image.bytes) await cutOff(file, table, bytes, kept);
  // Entries that were never the guest's hold whatever their writer left there.
  const firstNew = header.tableAt + 4 * kept;
  await file.write(firstNew, new Uint8Array(Math.max(tableEnd, header.tableAt + Math.ceil((4 * table.entries.length) / 512) * 512) - firstNew).fill(0xff));
  await file.flush();
  // A larger table with the old size is as good as the old one, a smaller one is not; so it comes before, or after.
  if (tableEntries >= header.tableEntries) await storeEntryCount(file, headerAt, tableEntries);
  await file.write(0, footer);
  await file.flush();
  await file.write(footerAt, footer);
  await file.flush();
  if (tableEntries < header.tableEntries) await storeEntryCount(file, headerAt, tableEntries);
}

/** Blocks that stand where the table will be go to the end, each whole before the table points there. */
async function moveAway(file: ImageFile, image: VhdImage, table: BlockTable, tableEnd: number, footerAt: number): Promise<number> {
  const { header, entries } = table;
  const contents = new Uint8Array(blockSpan(table));
  let end = footerAt;
  for (const [block, entry] of entries.entries()) {
    const at = entry * 512;
    if (entry === UNUSED || at >= tableEnd || at + contents.length <= header.tableAt) continue;
    const to = placeBlock(end, table.bitmapBytes);
    await file.write(to + contents.length, image.footerBytes);
    await file.read(at, contents);
    await file.write(to, contents);
    await file.flush();
    await storeEntry(file, table, block, to / 512);
    await file.flush();
    end = to + contents.length;
  }
  return end;
}

/** Blocks past the new end are given up, and of the last one what is past it: it would show when the disk grows again. */
async function cutOff(file: ImageFile, table: BlockTable, bytes: number, kept: number): Promise<void> {
  const { blockBytes } = table.header;
  const last = table.entries[kept - 1] ?? UNUSED;
  const rest = kept * blockBytes - bytes;
  if (last !== UNUSED && rest > 0) await file.write(last * 512 + table.bitmapBytes + blockBytes - rest, new Uint8Array(rest));
  for (let block = kept; block < table.entries.length; block++) if (table.entries[block] !== UNUSED) await storeEntry(file, table, block, UNUSED);
  await file.flush();
}

async function storeEntry(file: ImageFile, table: BlockTable, block: number, entry: number): Promise<void> {
  const bytes = new Uint8Array(4);
  putU32(bytes, 0, entry);
  await file.write(table.header.tableAt + 4 * block, bytes);
  table.entries[block] = entry;
}

/** Count and checksum are in one sector, which is stored whole or not at all. */
async function storeEntryCount(file: ImageFile, headerAt: number, tableEntries: number): Promise<void> {
  const header = new Uint8Array(HEADER_BYTES);
  await file.read(headerAt, header);
  putU32(header, 28, tableEntries);
  putU32(header, 36, checksum(header, 36));
  await file.write(headerAt, header.subarray(0, 512));
  await file.flush();
}
