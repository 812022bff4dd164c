import type { AbortSignalLike } from './convert.ts';
import { isZero, putU32 } from './big-endian.ts';
import { FOOTER_BYTES } from './footer.ts';
import type { ImageFile } from './image-file.ts';
import { SectorBitmap } from './sector-bitmap.ts';
import { SparseDisk } from './sparse-disk.ts';
import { VhdError } from './vhd-error.ts';
import { type BlockTable, blockSpan, endOfUse, placeBlock, readImage, tableProblems, UNUSED } from './vhd-image.ts';

export interface CompactOptions {
  readonly signal?: AbortSignalLike;
  progress?(done: number, total: number): void;
  /** Whether a block that is not zeros holds nothing for its reader all the same, as encrypted zeros do. Default: no. */
  isEmptyFor?(block: number): Promise<boolean>;
}

export interface CompactResult {
  readonly before: number;
  readonly after: number;
  readonly droppedBlocks: number;
  readonly movedBlocks: number;
}

/**
 * Gives back the space of blocks that hold nothing, in place. A block is copied whole before the table points to its new place,
 * and its old place is not used before the table is stored; so a crash at any time leaves a disk with the same contents. So does
 * `signal`, which rejects between two blocks.
 */
export async function compactVhd(file: ImageFile, options: CompactOptions = {}): Promise<CompactResult> {
  const image = await readImage(file);
  const { table } = image;
  const before = image.fileBytes;
  if (table === null) throw new VhdError(file.name, 'request', 'a fixed disk cannot be compacted');
  const [problem] = tableProblems(image);
  if (problem !== undefined) throw new VhdError(file.name, 'block', problem.text);
  await new SparseDisk(file, image, table, null, true).mendFooters();
  const droppedBlocks = await dropEmptyBlocks(file, table, image.footer.type === 'differencing', options);
  const movedBlocks = await closeGaps(file, table, endOfUse({ ...image, table: { ...table, entries: new Uint32Array() } }), options);
  const end = endOfUse(image);
  await file.write(end, image.footerBytes);
  await file.flush();
  await file.resize(end + FOOTER_BYTES);
  await file.flush();
  return { before, after: end + FOOTER_BYTES, droppedBlocks, movedBlocks };
}

/** A block of a dynamic disk that reads as zeros, or one of a differencing disk that has no sector of its own. */
async function dropEmptyBlocks(file: ImageFile, table: BlockTable, differencing: boolean, options: CompactOptions): Promise<number> {
  const { blockBytes } = table.header;
  const contents = new Uint8Array(blockSpan(table));
  let dropped = 0;
  for (const [block, entry] of table.entries.entries()) {
    checkStop(file, options, block, 2 * table.entries.length);
    if (entry === UNUSED) continue;
    await file.read(entry * 512, contents);
    const bitmap = SectorBitmap.of(contents.subarray(0, table.bitmapBytes), blockBytes);
    const data = contents.subarray(table.bitmapBytes);
    const empty = bitmap.isEmpty || (!differencing && Array.from(bitmap.runs(0, blockBytes)).every(({ begin, end, present }) => !present || isZero(data.subarray(begin, end))));
    if (!empty && (await options.isEmptyFor?.(block)) !== true) continue;
    await pointTo(file, table, block, UNUSED);
    dropped++;
  }
  // From here on the space is free.
  await file.flush();
  return dropped;
}

async function closeGaps(file: ImageFile, table: BlockTable, firstFree: number, options: CompactOptions): Promise<number> {
  const span = blockSpan(table);
  const order = Array.from(table.entries.keys()).filter((block) => table.entries[block] !== UNUSED);
  order.sort((a, b) => (table.entries[a] ?? 0) - (table.entries[b] ?? 0));
  const contents = new Uint8Array(span);
  let free = firstFree;
  let moved = 0;
  for (const [i, block] of order.entries()) {
    checkStop(file, options, table.entries.length + i, table.entries.length + order.length);
    const from = (table.entries[block] ?? 0) * 512;
    const to = placeBlock(free, table.bitmapBytes);
    // Over itself a block cannot be moved without a moment in which it is nowhere whole.
    if (to + span > from) {
      free = Math.max(free, from + span);
      continue;
    }
    await file.read(from, contents);
    await file.write(to, contents);
    await file.flush();
    await pointTo(file, table, block, to / 512);
    await file.flush();
    free = to + span;
    moved++;
  }
  return moved;
}

function checkStop(file: ImageFile, { signal, progress }: CompactOptions, done: number, total: number): void {
  if (signal?.aborted === true) throw new VhdError(file.name, 'request', 'stopped; the disk is whole, and can be compacted again');
  progress?.(done, total);
}

async function pointTo(file: ImageFile, table: BlockTable, block: number, entry: number): Promise<void> {
  const bytes = new Uint8Array(4);
  putU32(bytes, 0, entry);
  await file.write(table.header.tableAt + 4 * block, bytes);
  table.entries[block] = entry;
}
