import { SECTOR_BYTES } from './spec.ts';

export const HEADS = 16;
export const SECTORS_OF_TRACK = 63;
const MOST_CYLINDERS = 16_383;
const MOST_LBA28 = 0x0fff_ffff;
export const MOST_MULTIPLE = 16;

export interface DriveFacts {
  readonly sectors: number;
  readonly serial: string;
  readonly multiple: number; // sectors of a block of READ MULTIPLE, 0: not set
  readonly writeCache: boolean;
  readonly mode: number; // transfer mode as SET FEATURES gave it
}

/** The 256 words of IDENTIFY DEVICE (ATA/ATAPI-6, 8.15). */
export function identify(facts: DriveFacts): Uint8Array {
  const { sectors, serial, multiple, writeCache, mode } = facts;
  const words = new Uint16Array(256);
  const cylinders = Math.min(MOST_CYLINDERS, Math.floor(sectors / (HEADS * SECTORS_OF_TRACK)));
  const capacity = Math.min(sectors, MOST_LBA28);
  const chs = cylinders * HEADS * SECTORS_OF_TRACK;
  words.set([0x0040, cylinders, 0, HEADS, 0, 0, SECTORS_OF_TRACK]);
  setText(words, 10, 10, serial);
  setText(words, 23, 4, '1.0');
  setText(words, 27, 20, 'VM HARDDISK');
  words[47] = 0x8000 | MOST_MULTIPLE;
  words[49] = 0x0b00; // IORDY, LBA, DMA
  words[50] = 0x4000;
  words[51] = 0x0200;
  words[53] = 0x0007; // words 54 to 58, 64 to 70 and 88 are valid
  words.set([cylinders, HEADS, SECTORS_OF_TRACK, chs & 0xffff, chs >>> 16], 54);
  words[59] = multiple > 0 ? 0x0100 | multiple : 0;
  words.set([capacity & 0xffff, capacity >>> 16], 60);
  words[63] = 0x0007 | (mode >> 3 === 4 ? 0x100 << (mode & 7) : 0); // multiword DMA 0 to 2
  words[64] = 0x0003; // PIO 3 and 4
  words.fill(120, 65, 69); // nanoseconds of a cycle
  words[80] = 0x0070; // ATA-4 to ATA-6
  words[82] = 0x0020; // write cache
  words[83] = 0x7400; // flush, flush ext, 48 bits
  words[84] = 0x4000;
  words[85] = writeCache ? 0x0020 : 0;
  words[86] = 0x3400;
  words[87] = 0x4000;
  words[88] = 0x0007 | (mode >> 3 === 8 ? 0x100 << (mode & 7) : 0); // Ultra DMA 0 to 2
  for (let i = 0; i < 3; i++) words[100 + i] = Math.floor(sectors / 2 ** (16 * i)) & 0xffff;
  const bytes = new Uint8Array(SECTOR_BYTES);
  const view = new DataView(bytes.buffer);
  words.forEach((word, i) => view.setUint16(2 * i, word, true));
  return bytes;
}

/** Two characters a word, the first in the high byte, filled with spaces. */
function setText(words: Uint16Array, at: number, count: number, text: string): void {
  const padded = text.slice(0, 2 * count).padEnd(2 * count);
  for (let i = 0; i < count; i++) words[at + i] = ((padded.charCodeAt(2 * i) & 0x7f) << 8) | (padded.charCodeAt(2 * i + 1) & 0x7f);
}
