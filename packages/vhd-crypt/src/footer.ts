// VHD specification, "Hard Disk Footer Format".
import { checksum, getAscii, getU32, getU64, putAscii, putU32, putU64 } from './big-endian.ts';
import type { Geometry } from './geometry.ts';

export type VhdType = 'fixed' | 'dynamic' | 'differencing';

export interface Footer {
  readonly type: VhdType;
  /** Where the dynamic header is; null for a fixed disk. */
  readonly headerAt: number | null;
  /** Seconds since 2000-01-01. */
  readonly timestamp: number;
  readonly creator: string;
  readonly creatorVersion: number;
  readonly creatorHost: string;
  readonly originalBytes: number;
  readonly currentBytes: number;
  readonly geometry: Geometry;
  readonly uniqueId: Uint8Array;
  readonly savedState: boolean;
}

export const FOOTER_BYTES = 512;
const CHECKSUM = 64;
const TYPES: readonly VhdType[] = ['fixed', 'dynamic', 'differencing']; // types 2, 3 and 4
const EPOCH_SECONDS = 946_684_800; // 2000-01-01T00:00:00Z
const MAX_BYTES = 2 ** 52;

/** Time of day in milliseconds as VHD counts it. */
export function vhdTime(milliseconds: number): number {
  return Math.max(0, Math.floor(milliseconds / 1000) - EPOCH_SECONDS) >>> 0;
}

export function encodeFooter(footer: Footer): Uint8Array {
  const bytes = new Uint8Array(FOOTER_BYTES);
  putAscii(bytes, 0, 'conectix');
  putU32(bytes, 8, 2); // a reserved bit that is always 1
  putU32(bytes, 12, 0x0001_0000);
  if (footer.headerAt === null) bytes.fill(0xff, 16, 24);
  else putU64(bytes, 16, footer.headerAt);
  putU32(bytes, 24, footer.timestamp);
  putAscii(bytes, 28, footer.creator);
  putU32(bytes, 32, footer.creatorVersion);
  putAscii(bytes, 36, footer.creatorHost);
  putU64(bytes, 40, footer.originalBytes);
  putU64(bytes, 48, footer.currentBytes);
  bytes[56] = footer.geometry.cylinders >>> 8;
  bytes[57] = footer.geometry.cylinders;
  bytes[58] = footer.geometry.heads;
  bytes[59] = footer.geometry.sectorsPerTrack;
  putU32(bytes, 60, TYPES.indexOf(footer.type) + 2);
  bytes.set(footer.uniqueId, 68);
  bytes[84] = footer.savedState ? 1 : 0;
  putU32(bytes, CHECKSUM, checksum(bytes, CHECKSUM));
  return bytes;
}

/** The footer, or what is wrong with it. */
export function decodeFooter(bytes: Uint8Array): Footer | string {
  if (getAscii(bytes, 0, 8) !== 'conectix') return 'no cookie "conectix"';
  if (getU32(bytes, CHECKSUM) !== checksum(bytes, CHECKSUM)) return 'wrong checksum';
  const version = getU32(bytes, 12);
  if (version >>> 16 !== 1) return `version ${version >>> 16}.${version & 0xffff} is not 1.x`;
  const kind = getU32(bytes, 60);
  const type = TYPES[kind - 2];
  if (type === undefined) return `disk type ${kind} is not 2, 3 or 4`;
  const headerAt = getU64(bytes, 16);
  if (type !== 'fixed' && (headerAt > MAX_BYTES || headerAt % 512 !== 0)) return 'the dynamic header is not at a sector of the file';
  const currentBytes = getU64(bytes, 48);
  if (currentBytes > MAX_BYTES || currentBytes < 512) return `a size of ${currentBytes} bytes`;
  return {
    type,
    headerAt: type === 'fixed' ? null : headerAt,
    timestamp: getU32(bytes, 24),
    creator: getAscii(bytes, 28, 4),
    creatorVersion: getU32(bytes, 32),
    creatorHost: getAscii(bytes, 36, 4),
    originalBytes: getU64(bytes, 40),
    currentBytes,
    geometry: { cylinders: ((bytes[56] ?? 0) << 8) | (bytes[57] ?? 0), heads: bytes[58] ?? 0, sectorsPerTrack: bytes[59] ?? 0 },
    uniqueId: bytes.slice(68, 84),
    savedState: bytes[84] === 1,
  };
}
