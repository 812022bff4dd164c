import { pipeline } from 'node:stream/promises';
import { Readable, type Transform, Writable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { UsageError } from './usage-error.ts';

const CPIO_MAGIC = /^07070[12]$/;
const CPIO_HEADER_BYTES = 110;
const CPIO_FILE_BYTES_AT = 54; // eight hexadecimal digits each
const CPIO_NAME_BYTES_AT = 94;
const TRAILER = 'TRAILER!!!';
const CHUNK_BYTES = 1 << 16;

/**
 * Refuses an initial RAM file system that is empty or cut off, where that can be told: in cpio archives and behind gzip and
 * Zstandard. The kernel would panic much later, or miss files without a word. Throws UsageError.
 */
export async function checkInitrd(path: string, bytes: Uint8Array): Promise<void> {
  const cutOff = new UsageError(`--initrd ${path}: it is cut off: the file ends before what is in it does`);
  if (bytes.length === 0) throw new UsageError(`--initrd ${path}: it is empty`);
  const packed = skipArchives(bytes);
  if (packed === null) throw cutOff;
  const unpacker = createUnpacker(packed);
  if (unpacker === null) return;
  try {
    await pipeline(Readable.from(chunksOf(packed)), unpacker, new Writable({ write: (_chunk, _encoding, done) => done() }));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'Z_BUF_ERROR' || /unexpected end|incomplete/i.test(message)) throw cutOff;
    throw new UsageError(`--initrd ${path}: it cannot be unpacked: ${message}`, { cause: error });
  }
}

/** What follows the cpio archives at the beginning (microcode comes that way); null: one of them has no end. */
function skipArchives(bytes: Uint8Array): Uint8Array | null {
  let at = 0;
  for (;;) {
    while (bytes[at] === 0) at++; // padding
    if (!CPIO_MAGIC.test(textOf(bytes, at, 6))) return bytes.subarray(at);
    const end = findArchiveEnd(bytes, at);
    if (end < 0) return null;
    at = end;
  }
}

function findArchiveEnd(bytes: Uint8Array, begin: number): number {
  for (let at = begin; CPIO_MAGIC.test(textOf(bytes, at, 6)); ) {
    const nameBytes = parseInt(textOf(bytes, at + CPIO_NAME_BYTES_AT, 8), 16);
    const fileBytes = parseInt(textOf(bytes, at + CPIO_FILE_BYTES_AT, 8), 16);
    const name = textOf(bytes, at + CPIO_HEADER_BYTES, nameBytes - 1);
    at = align4(align4(at + CPIO_HEADER_BYTES + nameBytes - begin) + fileBytes) + begin;
    if (!(at <= bytes.length + 3)) return -1; // also when a length is no number
    if (name === TRAILER) return at;
  }
  return -1;
}

function createUnpacker(packed: Uint8Array): Transform | null {
  if (packed[0] === 0x1f && packed[1] === 0x8b) return createGunzip();
  if (packed[0] === 0x28 && packed[1] === 0xb5 && packed[2] === 0x2f && packed[3] === 0xfd) return createZstdDecompress();
  return null; // not packed, or in a way that only the kernel knows
}

function* chunksOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES);
}

function textOf(bytes: Uint8Array, at: number, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, Math.max(0, Math.min(length, bytes.length - at))).toString('latin1');
}

function align4(value: number): number {
  return value + (-value & 3);
}
