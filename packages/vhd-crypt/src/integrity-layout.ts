// The layout of Linux' dm-integrity (its documentation, "The layout of the formatted block device", and superblocks that it made): a
// superblock of 4 KiB, a journal, and runs of tags and sectors in turn. Numbers have their low byte first; sectors count 512 bytes.

export interface IntegrityLayout {
  readonly sectorBytes: number;
  readonly tagBytes: number;
  /** Of the disk, in units of 512 bytes. */
  readonly dataSectors: number;
  /** Superblock and journal. */
  readonly initialSectors: number;
  /** Tags of a run. */
  readonly tagSectors: number;
  readonly runSectors: number;
  readonly journal: { readonly sections: number; readonly sectionSectors: number; readonly entryBytes: number; readonly entriesPerSector: number };
}

export const SUPERBLOCK_BYTES = 4096;
const MAGIC = 'integrt\0';
export const JOURNAL_SECTOR_BYTES = 504; // without the mark at its end
const JOURNAL_MAC_BYTES = 8;
export const ENTRY_SECTORS = 8; // of a section of the journal
const FIXED_PADDING = 8;
const HAVE_JOURNAL_MAC = 1;
const NEWEST = 5;
const WORD = 0x1_0000_0000;

/** What a superblock says of a range of so many bytes, or why it is refused. */
export function parseSuperblock(block: Uint8Array, bytes: number): IntegrityLayout | string {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  if (String.fromCharCode(...block.subarray(0, MAGIC.length)) !== MAGIC) return 'no superblock of dm-integrity';
  const [version, log2Run, tagBytes, sections] = [view.getUint8(8), view.getUint8(9), view.getUint16(10, true), view.getUint32(12, true)];
  const dataSectors = view.getUint32(16, true) + view.getUint32(20, true) * WORD;
  const [flags, log2Block] = [view.getUint32(24, true), view.getUint8(28)];
  if (version < 1 || version > NEWEST) return `version ${version} of dm-integrity`;
  // Others want tags to be computed anew first, or a bitmap to be looked at.
  if ((flags & ~(FIXED_PADDING | HAVE_JOURNAL_MAC)) !== 0) return `flags ${flags} of dm-integrity`;
  if (log2Block > 3 || log2Run < 3 || log2Run > 31 || tagBytes === 0 || sections === 0) return 'a superblock of dm-integrity with impossible numbers';
  const entryBytes = Math.ceil((8 + 8 * 2 ** log2Block + tagBytes) / 8) * 8;
  const entriesPerSector = Math.floor((JOURNAL_SECTOR_BYTES - ((flags & HAVE_JOURNAL_MAC) === 0 ? 0 : JOURNAL_MAC_BYTES)) / entryBytes);
  const sectionSectors = entriesPerSector * ENTRY_SECTORS * 2 ** log2Block + ENTRY_SECTORS;
  const initialSectors = SUPERBLOCK_BYTES / 512 + sections * sectionSectors;
  // Before padding was mended it was 2^8 sectors.
  const padding = (flags & FIXED_PADDING) === 0 ? 512 << 8 : 512 * 8;
  const tagSectors = (Math.ceil((tagBytes * 2 ** (log2Run - log2Block)) / padding) * padding) / 512;
  const runSectors = 2 ** log2Run;
  const end = initialSectors + Math.ceil(dataSectors / runSectors) * tagSectors + dataSectors;
  if (entriesPerSector < 1 || dataSectors === 0 || dataSectors % 2 ** log2Block !== 0 || !Number.isSafeInteger(end) || end * 512 > bytes) return 'a superblock of dm-integrity with impossible sizes';
  return { sectorBytes: 512 * 2 ** log2Block, tagBytes, dataSectors, initialSectors, tagSectors, runSectors, journal: { sections, sectionSectors, entryBytes, entriesPerSector } };
}

const [VERSION, LOG2_RUN, SECTORS_PER_BITMAP_BIT] = [4, 15, 15];
const [MOST_JOURNAL_SECTORS, JOURNAL_SHARE] = [131_072, 128];

/** A superblock for a range of so many bytes, with a journal and as many sectors as Linux would make of it; null when nothing fits. */
export function makeSuperblock(bytes: number, sectorBytes: number, tagBytes: number): Uint8Array | null {
  const block = new Uint8Array(SUPERBLOCK_BYTES);
  const view = new DataView(block.buffer);
  for (let i = 0; i < MAGIC.length; i++) block[i] = MAGIC.charCodeAt(i);
  const log2Block = Math.log2(sectorBytes / 512);
  view.setUint8(8, VERSION);
  view.setUint8(9, LOG2_RUN);
  view.setUint16(10, tagBytes, true);
  view.setUint32(12, 1, true);
  view.setUint32(16, sectorBytes / 512, true);
  view.setUint32(24, FIXED_PADDING, true);
  view.setUint8(28, log2Block);
  view.setUint8(29, SECTORS_PER_BITMAP_BIT - log2Block);
  const least = parseSuperblock(block, bytes);
  if (typeof least === 'string') return null;
  const sections = Math.max(1, Math.floor(Math.min(MOST_JOURNAL_SECTORS, Math.floor(bytes / 512 / JOURNAL_SHARE)) / least.journal.sectionSectors));
  view.setUint32(12, sections, true);
  const room = Math.floor(bytes / 512) - SUPERBLOCK_BYTES / 512 - sections * least.journal.sectionSectors;
  const fullRuns = Math.floor(room / (least.tagSectors + least.runSectors));
  const rest = Math.max(0, room - fullRuns * (least.tagSectors + least.runSectors) - least.tagSectors);
  const dataSectors = fullRuns * least.runSectors + Math.floor(rest / 2 ** log2Block) * 2 ** log2Block;
  view.setUint32(16, dataSectors % WORD, true);
  view.setUint32(20, Math.floor(dataSectors / WORD), true);
  return dataSectors === 0 ? null : block;
}

/** How long the range is in which a disk of so many bytes fits. */
export function integrityBytes(diskBytes: number, sectorBytes: number, tagBytes: number): number {
  const fitting = (bytes: number): number => {
    const block = makeSuperblock(bytes, sectorBytes, tagBytes);
    const layout = block === null ? '' : parseSuperblock(block, bytes);
    return typeof layout === 'string' ? 0 : layout.dataSectors * 512;
  };
  let bytes = diskBytes + SUPERBLOCK_BYTES;
  for (let missing = diskBytes - fitting(bytes); missing > 0; missing = diskBytes - fitting(bytes)) bytes += missing;
  return bytes;
}

/** Where a section of the journal begins; its entries are in the first 4 KiB. */
export function sectionAt({ journal }: IntegrityLayout, section: number): number {
  return SUPERBLOCK_BYTES + section * journal.sectionSectors * 512;
}

/** Where a sector of the disk lies, and its tag. */
export function placeOf({ initialSectors, tagSectors, runSectors, tagBytes, sectorBytes }: IntegrityLayout, sector: number): { readonly data: number; readonly tag: number } {
  const run = Math.floor(sector / runSectors);
  const offset = sector - run * runSectors;
  const begin = initialSectors + run * (tagSectors + runSectors);
  return { data: (begin + tagSectors + offset) * 512, tag: begin * 512 + ((offset * 512) / sectorBytes) * tagBytes };
}
