import type { ImageFile } from './image-file.ts';
import { HEADER_BYTES } from './dynamic-header.ts';
import { FOOTER_BYTES } from './footer.ts';
import { SectorBitmap } from './sector-bitmap.ts';
import { blockSpan, readImage, UNUSED } from './vhd-image.ts';

const STEP = 1 << 20;

/** Overwrites what a dynamic VHD holds where nothing is in use: rooms between blocks, and sectors of blocks that read as zeros. */
export async function scrubVhd(file: ImageFile): Promise<void> {
  const { table, footer, backAt } = await readImage(file);
  if (table === null || footer.type !== 'dynamic') return;
  const { header, entries, bitmapBytes } = table;
  const used = [
    { begin: 0, end: FOOTER_BYTES },
    { begin: footer.headerAt ?? 0, end: (footer.headerAt ?? 0) + HEADER_BYTES },
    { begin: header.tableAt, end: header.tableAt + Math.ceil((4 * header.tableEntries) / 512) * 512 },
    ...header.locators.map(({ at, bytes }) => ({ begin: at, end: at + bytes })),
  ];
  const zeros = new Uint8Array(STEP);
  const clear = async (begin: number, end: number): Promise<void> => {
    for (let at = begin; at < end; at += STEP) await file.write(at, zeros.subarray(0, Math.min(STEP, end - at)));
  };
  for (const entry of entries) {
    if (entry === UNUSED) continue;
    const begin = entry * 512;
    used.push({ begin, end: begin + blockSpan(table) });
    const bytes = new Uint8Array(bitmapBytes);
    await file.read(begin, bytes);
    for (const run of SectorBitmap.of(bytes, header.blockBytes).runs(0, header.blockBytes)) if (!run.present) await clear(begin + bitmapBytes + run.begin, begin + bitmapBytes + run.end);
  }
  used.push({ begin: backAt, end: backAt + FOOTER_BYTES });
  used.sort((a, b) => a.begin - b.begin);
  let at = 0;
  for (const { begin, end } of used) {
    await clear(at, begin);
    at = Math.max(at, end);
  }
  await file.flush();
}
