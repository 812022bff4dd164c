// VHD specification, "Dynamic Disk Header Format".
import { checksum, getAscii, getU32, getU64, putAscii, putU32, putU64 } from './big-endian.ts';
import { decodeUtf16, encodeUtf16, type ParentLocator } from './parent-locator.ts';

export interface DynamicHeader {
  readonly tableAt: number;
  readonly tableEntries: number;
  readonly blockBytes: number;
  /** Of the parent's footer; zeros when there is no parent. */
  readonly parentId: Uint8Array;
  /** When the parent was last changed, seconds since 2000-01-01. */
  readonly parentTimestamp: number;
  readonly parentName: string;
  readonly locators: readonly ParentLocator[];
}

export const HEADER_BYTES = 1024;
export const DEFAULT_BLOCK_BYTES: number = 2 << 20;
const CHECKSUM = 36;
const LOCATORS = 576;
const MAX_LOCATORS = 8;
const NAME_BYTES = 512;
const MAX_BLOCK_BYTES = 256 << 20;
const MAX_ENTRIES = 1 << 24; // 2 TiB in blocks of 128 KiB

export function encodeHeader(header: DynamicHeader): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  putAscii(bytes, 0, 'cxsparse');
  bytes.fill(0xff, 8, 16);
  putU64(bytes, 16, header.tableAt);
  putU32(bytes, 24, 0x0001_0000);
  putU32(bytes, 28, header.tableEntries);
  putU32(bytes, 32, header.blockBytes);
  bytes.set(header.parentId, 40);
  putU32(bytes, 56, header.parentTimestamp);
  bytes.set(encodeUtf16(header.parentName, true).subarray(0, NAME_BYTES), 64);
  header.locators.slice(0, MAX_LOCATORS).forEach((locator, i) => {
    const at = LOCATORS + 24 * i;
    putAscii(bytes, at, locator.code);
    // The specification counts the space in sectors, everybody's files have bytes.
    putU32(bytes, at + 4, Math.ceil(locator.bytes / 512) * 512);
    putU32(bytes, at + 8, locator.bytes);
    putU64(bytes, at + 16, locator.at);
  });
  putU32(bytes, CHECKSUM, checksum(bytes, CHECKSUM));
  return bytes;
}

/** The header, or what is wrong with it. */
export function decodeHeader(bytes: Uint8Array): DynamicHeader | string {
  if (getAscii(bytes, 0, 8) !== 'cxsparse') return 'no cookie "cxsparse"';
  if (getU32(bytes, CHECKSUM) !== checksum(bytes, CHECKSUM)) return 'wrong checksum';
  const version = getU32(bytes, 24);
  if (version >>> 16 !== 1) return `version ${version >>> 16}.${version & 0xffff} is not 1.x`;
  const blockBytes = getU32(bytes, 32);
  if (blockBytes < 4096 || blockBytes > MAX_BLOCK_BYTES || (blockBytes & (blockBytes - 1)) !== 0) return `blocks of ${blockBytes} bytes, not a power of two from 4 KiB to 256 MiB`;
  const tableEntries = getU32(bytes, 28);
  if (tableEntries > MAX_ENTRIES) return `a table of ${tableEntries} blocks, more than ${MAX_ENTRIES}`;
  const tableAt = getU64(bytes, 16);
  if (tableAt % 512 !== 0) return 'the block table is not at a sector of the file';
  const locators: ParentLocator[] = [];
  for (let at = LOCATORS; at < LOCATORS + 24 * MAX_LOCATORS; at += 24) {
    if (getU32(bytes, at) !== 0) locators.push({ code: getAscii(bytes, at, 4), at: getU64(bytes, at + 16), bytes: getU32(bytes, at + 8) });
  }
  return {
    tableAt,
    tableEntries,
    blockBytes,
    parentId: bytes.slice(40, 56),
    parentTimestamp: getU32(bytes, 56),
    parentName: decodeUtf16(bytes.subarray(64, 64 + NAME_BYTES), true),
    locators,
  };
}

/** A sector more of bitmap for every 2 MiB of a block (its bitmap has a bit a sector, padded to sectors). */
export function bitmapBytes(blockBytes: number): number {
  return Math.ceil(blockBytes / 512 / 8 / 512) * 512;
}
