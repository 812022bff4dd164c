/** Where one packed part of a file ends: kernels go on behind it with whatever follows. */
import { finished } from 'node:stream/promises';
import { crc32, createInflateRaw, createZstdDecompress } from 'node:zlib';

/** What is packed is shorter than it says. */
export class CutOffError extends Error {}

/** Bytes of the gzip member or Zstandard frame that `packed` begins with, having unpacked it; null: it is neither. */
export async function measureMember(packed: Uint8Array): Promise<number | null> {
  if (packed[0] === 0x1f && packed[1] === 0x8b) return measureGzip(packed);
  if (packed[0] === 0x28 && packed[1] === 0xb5 && packed[2] === 0x2f && packed[3] === 0xfd) return measureZstd(packed);
  return null;
}

// RFC 1952, section 2.3.
const GZIP_HEADER_BYTES = 10;
const GZIP_TRAILER_BYTES = 8;
const HAS_HEADER_CHECK = 2, HAS_EXTRA = 4, HAS_NAME = 8, HAS_COMMENT = 16;

async function measureGzip(packed: Uint8Array): Promise<number> {
  const begin = gzipHeaderBytes(packed);
  const inflate = createInflateRaw();
  let sum = 0;
  let bytes = 0;
  inflate.on('data', (part: Buffer) => {
    sum = crc32(part, sum);
    bytes += part.length;
  });
  inflate.end(packed.subarray(begin));
  await finished(inflate).catch(cutOff);
  const trailer = begin + inflate.bytesWritten;
  if (trailer + GZIP_TRAILER_BYTES > packed.length) throw new CutOffError('no checksum');
  const view = new DataView(packed.buffer, packed.byteOffset + trailer);
  if (view.getUint32(0, true) !== sum) throw new Error('incorrect data check');
  if (view.getUint32(4, true) !== bytes % 2 ** 32) throw new Error('incorrect length check');
  return trailer + GZIP_TRAILER_BYTES;
}

function gzipHeaderBytes(packed: Uint8Array): number {
  const flags = packed[3] ?? 0;
  let at = GZIP_HEADER_BYTES;
  if ((flags & HAS_EXTRA) !== 0) at += 2 + ((packed[at] ?? 0) | ((packed[at + 1] ?? 0) << 8));
  for (const text of [HAS_NAME, HAS_COMMENT]) {
    if ((flags & text) === 0) continue;
    const end = packed.indexOf(0, at);
    if (end < 0) throw new CutOffError('no end of a name');
    at = end + 1;
  }
  if ((flags & HAS_HEADER_CHECK) !== 0) at += 2;
  if (at >= packed.length) throw new CutOffError('no data');
  return at;
}

async function measureZstd(packed: Uint8Array): Promise<number> {
  const length = zstdFrameBytes(packed);
  if (length > packed.length) throw new CutOffError('blocks are missing');
  const unpack = createZstdDecompress();
  unpack.resume();
  unpack.end(packed.subarray(0, length));
  await finished(unpack).catch(cutOff);
  return length;
}

/** RFC 8878, section 3.1.1. */
function zstdFrameBytes(packed: Uint8Array): number {
  const descriptor = packed[4] ?? 0;
  const contentSize = descriptor >> 6;
  const single = (descriptor & 0x20) !== 0;
  const dictionary = [0, 1, 2, 4][descriptor & 3] as number;
  let at = 5 + (single ? 0 : 1) + dictionary + (contentSize === 0 ? (single ? 1 : 0) : 2 ** contentSize);
  for (let last = false; !last; ) {
    if (at + 3 > packed.length) throw new CutOffError('blocks are missing');
    const header = (packed[at] as number) | ((packed[at + 1] as number) << 8) | ((packed[at + 2] as number) << 16);
    last = (header & 1) !== 0;
    at += 3 + (((header >> 1) & 3) === 1 ? 1 : header >> 3); // a repeated byte, or all of them
  }
  return at + ((descriptor & 4) === 0 ? 0 : 4); // a checksum
}

function cutOff(error: NodeJS.ErrnoException): never {
  if (error.code === 'Z_BUF_ERROR' || /unexpected end|incomplete/i.test(error.message)) throw new CutOffError(error.message, { cause: error });
  throw error;
}
