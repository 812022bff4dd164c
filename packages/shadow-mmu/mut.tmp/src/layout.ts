/**
 * How shadow tables lie in memory: for generated code that reads them. All words are 32 bits, little endian, and offsets count
 * from the beginning of the buffer.
 *
 *   at + 0                     header: one block of 32 bytes a processor
 *   at + HEADER_BYTES          tables of 4096 bytes; the first one is never used, so no table has number 0
 *
 *   block of a processor       +0 root: offset of the table to begin with, 0: ask   +4 levels: 3 or 4   +8 tag
 *
 *   entry of an upper level    +0 offset of the next table, 0: ask                  +4 its number
 *   entry of level 1           +0 frame number                                      +4 rights, 0: ask
 *
 * Level 4 is indexed by bits 39 to 47 of the address, 3 by bits 30 to 38, 2 by bits 21 to 29, 1 by bits 12 to 20, in every
 * mode: tables of 32-bit paging, which cover twice as much, have a shadow table for each half or quarter.
 */
export const HEADER_BYTES = 4096;
export const PROCESSOR_BLOCK_BYTES = 32;
export const MAX_PROCESSORS: number = HEADER_BYTES / PROCESSOR_BLOCK_BYTES;
export const PROCESSOR_ROOT = 0;
export const PROCESSOR_LEVELS = 4;
export const PROCESSOR_TAG = 8;

export const TABLE_BYTES = 4096;
export const TABLE_ENTRIES = 512;
export const ENTRY_BYTES = 8;
export const ENTRY_RIGHTS = 4;
export const FRAME_BYTES = 4096;

/** Index into the table of a level: the address in two halves. */
export function shadowIndex(level: number, low: number, high: number): number {
  if (level === 1) return (low >>> 12) & 511;
  if (level === 2) return (low >>> 21) & 511;
  if (level === 3) return ((high << 2) | (low >>> 30)) & 511;
  return (high >>> 7) & 511;
}
