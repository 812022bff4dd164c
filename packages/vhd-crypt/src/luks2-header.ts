// LUKS2 on-disk format specification 1.1.1, 2.1: the binary header that stands before each of the two copies of the metadata.
// All numbers have the highest byte first.
import { getAscii, getU64, putAscii, putU64, sameBytes } from './big-endian.ts';
import { isKeyHash, type KeyMath } from './key-math.ts';

/** One copy of the header: what is said about it, and its metadata as text. */
export interface Luks2Copy {
  /** Of binary header and metadata together. */
  readonly bytes: number;
  readonly sequence: number;
  readonly label: string;
  readonly subsystem: string;
  readonly uuid: string;
  readonly salt: Uint8Array;
  readonly json: string;
}

export const BINARY_BYTES = 4096;
/** Sizes that a copy may have, and so the places of the second one. */
export const COPY_BYTES: readonly number[] = Array.from({ length: 9 }, (_, i) => 0x4000 << i);
const FIRST_MAGIC = [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe];
const SECOND_MAGIC = [0x53, 0x4b, 0x55, 0x4c, 0xba, 0xbe];
const [LABEL, CHECKSUM_NAME, SALT, UUID, SUBSYSTEM, OFFSET, CHECKSUM] = [24, 72, 104, 168, 208, 256, 448];

declare class TextEncoder {
  encode(text: string): Uint8Array;
}
declare class TextDecoder {
  constructor(label: string, options: { readonly fatal: boolean });
  decode(bytes: Uint8Array): string;
}

export function isLuks2(first: Uint8Array): boolean {
  return FIRST_MAGIC.every((byte, i) => first[i] === byte) && first[6] === 0 && first[7] === 2;
}

export function isSecondCopy(first: Uint8Array): boolean {
  return SECOND_MAGIC.every((byte, i) => first[i] === byte) && first[6] === 0 && first[7] === 2;
}

/** How long the copy is whose first bytes these are, or why there is none. */
export function copyBytes(first: Uint8Array, at: number): number | string {
  if (!(at === 0 ? isLuks2(first) : isSecondCopy(first))) return 'no header of LUKS2';
  const bytes = getU64(first, 8);
  if (!COPY_BYTES.includes(bytes)) return `a header of ${bytes} bytes`;
  if (getU64(first, OFFSET) !== at) return `a header that belongs to ${getU64(first, OFFSET)}`;
  if (at !== 0 && at !== bytes) return `a second header at ${at} that should be at ${bytes}`;
  return bytes;
}

/** The header in all the bytes of a copy, or what is wrong with it. */
export async function decodeCopy(all: Uint8Array, at: number, math: KeyMath): Promise<Luks2Copy | string> {
  const bytes = copyBytes(all, at);
  if (typeof bytes === 'string') return bytes;
  const hash = text(all, CHECKSUM_NAME, 32);
  if (hash === null || !isKeyHash(hash)) return 'a checksum of an unknown kind';
  const sum = await checksumOf(all, hash, math);
  if (!sameBytes(sum, all.slice(CHECKSUM, CHECKSUM + sum.length))) return 'a checksum that is wrong';
  const [label, subsystem, uuid] = [text(all, LABEL, 48), text(all, SUBSYSTEM, 48), text(all, UUID, 40)];
  if (label === null || subsystem === null || uuid === null) return 'a name that is no text';
  const area = all.subarray(BINARY_BYTES);
  const end = area.indexOf(0);
  if (end < 0) return 'metadata without an end';
  let json: string;
  try {
    json = new TextDecoder('utf-8', { fatal: true }).decode(area.subarray(0, end));
  } catch {
    return 'metadata that is no text';
  }
  return { bytes, sequence: getU64(all, 16), label, subsystem, uuid, salt: all.slice(SALT, SALT + 64), json };
}

/** Null when the metadata does not fit. */
export async function encodeCopy(copy: Luks2Copy, at: number, math: KeyMath): Promise<Uint8Array | null> {
  const json = new TextEncoder().encode(copy.json);
  if (json.length >= copy.bytes - BINARY_BYTES) return null;
  const all = new Uint8Array(copy.bytes);
  all.set(at === 0 ? FIRST_MAGIC : SECOND_MAGIC);
  all[7] = 2;
  putU64(all, 8, copy.bytes);
  putU64(all, 16, copy.sequence);
  putAscii(all, LABEL, copy.label);
  putAscii(all, CHECKSUM_NAME, 'sha256');
  all.set(copy.salt, SALT);
  putAscii(all, UUID, copy.uuid);
  putAscii(all, SUBSYSTEM, copy.subsystem);
  putU64(all, OFFSET, at);
  all.set(json, BINARY_BYTES);
  all.set(await checksumOf(all, 'sha256', math), CHECKSUM);
  return all;
}

async function checksumOf(all: Uint8Array, hash: 'sha1' | 'sha256' | 'sha384' | 'sha512', math: KeyMath): Promise<Uint8Array> {
  const without = all.slice();
  without.fill(0, CHECKSUM, CHECKSUM + 64);
  return math.digest(hash, without);
}

/** Printable ASCII up to the first zero; null for anything else. */
function text(bytes: Uint8Array, at: number, most: number): string | null {
  const end = bytes.subarray(at, at + most).indexOf(0);
  const found = getAscii(bytes, at, end < 0 ? most : end);
  return /^[\x20-\x7e]*$/.test(found) ? found : null;
}
