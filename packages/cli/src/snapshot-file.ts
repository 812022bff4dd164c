import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { constants, crc32, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { type PageCodec, readSnapshot, type SavedMachine, type SnapshotSink } from '@vm/core/snapshot';
import type { KeySource } from '@vm/vhd-crypt';
import { openImageFile } from '@vm/vhd-crypt/node';
import type { KeyOrigin } from './disk-descriptor.ts';
import { keySource } from './disk-opener.ts';
import { explainFileError, explainWriteError } from './host-file.ts';
import { isSealed, openSealed, sealSnapshot } from './sealed-snapshot.ts';
import { UsageError } from './usage-error.ts';

const FASTEST = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
const OWNER_ONLY = 0o600; // the guest's memory has the guest's secrets in it
const MOST_READ = 1 << 30; // at a time
const SPARE_BYTES = 64; // a piece that is just full is followed by another one
const ZEROS = Buffer.alloc(1 << 20);

/** How saved machines of this program are packed. */
export const PAGE_CODEC: PageCodec = {
  name: 'zstd',
  // In one piece each: the default is pieces of 16 KiB, put together afterwards.
  pack: (pages) => zstdCompressSync(pages, { ...FASTEST, chunkSize: pages.length }),
  unpack: (packed, bytes) => zstdDecompressSync(packed, { maxOutputLength: bytes, chunkSize: bytes + SPARE_BYTES }),
  crc32: (bytes, before) => crc32(bytes, before),
  isZero: (bytes) => bytes.length <= ZEROS.length && ZEROS.compare(bytes, 0, bytes.length, 0, bytes.length) === 0,
};

/**
 * Writes a saved machine so that the file has all of it, or is what it was before: to a file beside it that takes its place when all
 * is on the disk. Throws UsageError.
 */
export async function writeSnapshotFile(path: string, save: (sink: SnapshotSink) => Promise<void>, keys: KeySource | null = null): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    if (keys !== null) await writeSealed(temporary, keys, save);
    else await writePlain(temporary, save);
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw new UsageError(`${path}: ${explainWriteError(error)}`, { cause: error });
  }
}

async function writeSealed(path: string, keys: KeySource, save: (sink: SnapshotSink) => Promise<void>): Promise<void> {
  await (await open(path, 'w', OWNER_ONLY)).close();
  const file = await openImageFile(path, { writable: true });
  try {
    await sealSnapshot(file, keys, save);
  } finally {
    await file.close();
  }
}

async function writePlain(path: string, save: (sink: SnapshotSink) => Promise<void>): Promise<void> {
  const file = await open(path, 'w', OWNER_ONLY);
  try {
    // A piece is written while the next one is packed.
    let writing = Promise.resolve();
    const write = async (bytes: Uint8Array): Promise<void> => {
      for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
    };
    await save(async (bytes) => {
      await writing;
      writing = write(bytes);
      writing.catch(() => {}); // who waits for it next hears of it
    });
    await writing;
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The bytes of a saved machine; of an encrypted one `keys` opens it. Throws UsageError, and CryptError when no secret does. */
async function readSnapshotFile(path: string, keys: KeySource): Promise<{ readonly bytes: Uint8Array; readonly encrypted: boolean }> {
  const bytes = await readWholeFile(path);
  if (!isSealed(bytes)) return { bytes, encrypted: false };
  const file = await openImageFile(path);
  try {
    return { bytes: await openSealed(file, keys), encrypted: true };
  } finally {
    await file.close();
  }
}

async function readWholeFile(path: string): Promise<Uint8Array> {
  try {
    const file = await open(path);
    try {
      const bytes = new Uint8Array((await file.stat()).size);
      for (let at = 0; at < bytes.length; ) {
        const { bytesRead } = await file.read(bytes, at, Math.min(bytes.length - at, MOST_READ));
        if (bytesRead === 0) break; // somebody has cut it meanwhile: its checksums will tell
        at += bytesRead;
      }
      return bytes;
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new UsageError(`${path}: ${explainFileError(error)}`, { cause: error });
  }
}

/** Throws VmError E_STATE with the name of the file. */
export async function openSnapshotFile(path: string, key: KeyOrigin = { kind: 'prompt' }): Promise<{ readonly bytes: Uint8Array; readonly saved: SavedMachine; readonly encrypted: boolean }> {
  const { bytes, encrypted } = await readSnapshotFile(path, keySource(key));
  try {
    return { bytes, saved: readSnapshot(bytes, PAGE_CODEC), encrypted };
  } catch (error) {
    throw new UsageError(`${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** A new name is on the disk when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
