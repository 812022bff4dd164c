import { CutOffError, measureMember } from './packed-member.ts';
import { UsageError } from './usage-error.ts';

const CPIO_MAGIC = /^07070[12]$/;
const CPIO_HEADER_BYTES = 110;
const CPIO_FILE_BYTES_AT = 54; // eight hexadecimal digits each
const CPIO_NAME_BYTES_AT = 94;
const TRAILER = 'TRAILER!!!';

/**
 * Refuses an initial RAM file system that is empty or cut off, where that can be told: in cpio archives and behind gzip and
 * Zstandard. The kernel would panic much later, or miss files without a word. Throws UsageError.
 */
export async function checkInitrd(path: string, bytes: Uint8Array): Promise<void> {
  const cutOff = new UsageError(`--initrd ${path}: it is cut off: the file ends before what is in it does`);
  if (bytes.length === 0) throw new UsageError(`--initrd ${path}: it is empty`);
  try {
    for (let at = 0; ; ) {
      const rest = skipArchives(bytes, at);
      if (rest === null) throw cutOff;
      const packed = rest === bytes.length ? null : await measureMember(bytes.subarray(rest));
      if (packed === null) return; // the end, or something that only the kernel knows
      at = rest + packed;
    }
  } catch (error) {
    if (error === cutOff || error instanceof CutOffError) throw cutOff;
    throw new UsageError(`--initrd ${path}: it cannot be unpacked: ${(error as Error).message}`, { cause: error });
  }
}

/** Where the cpio archives from `at` on, and zeros between them, end (microcode comes that way); null: one of them has no end. */
function skipArchives(bytes: Uint8Array, at: number): number | null {
  for (;;) {
    while (bytes[at] === 0) at++; // padding
    if (!CPIO_MAGIC.test(textOf(bytes, at, 6))) return at;
    const end = findArchiveEnd(bytes, at);
    if (end < 0) return null;
    at = Math.min(end, bytes.length);
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

function textOf(bytes: Uint8Array, at: number, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, Math.max(0, Math.min(length, bytes.length - at))).toString('latin1');
}

function align4(value: number): number {
  return value + (-value & 3);
}
