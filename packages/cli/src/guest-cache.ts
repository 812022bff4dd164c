import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VmError } from '@vm/core';
import { makeFolder } from './host-folder.ts';
import { explainFileError } from './host-file.ts';
import { INITRAMFS_VERSION, type KnownFile } from './busybox-initramfs.ts';

export interface CachedFile {
  readonly name: string; // in the guest's folder
  readonly bytes: number;
  readonly sha256: string;
}
/** What stands beside the files of a guest, in `guest.json`. */
export interface GuestRecord {
  readonly format: 1;
  readonly name: string; // what was asked for: the name of a Debian package
  readonly architecture: string; // as Debian calls it
  readonly packages: readonly { readonly name: string; readonly version: string; readonly sha256: string }[]; // what it was made from
  readonly kernel: CachedFile;
  readonly initrd: CachedFile;
  readonly known: KnownFile;
  readonly initramfs: number; // INITRAMFS_VERSION it was made by
}
export interface CachedGuest {
  readonly folder: string;
  readonly kernel: string; // paths
  readonly initrd: string;
  readonly record: GuestRecord;
}

const RECORD = 'guest.json';
const FORMAT = 1;

/** The guests in a cache, each a folder. A guest exists when its record does: that is written last. */
export class GuestCache {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  folderOf(name: string, architecture: string): string {
    return join(this.folder, 'guests', `${name}_${architecture}`);
  }

  /** Null when it is not there, not as it was written, or written by another version. */
  find(name: string, architecture: string): CachedGuest | null {
    const folder = this.folderOf(name, architecture);
    const record = readRecord(folder);
    if (record === null || record.name !== name || record.initramfs !== INITRAMFS_VERSION || !isIntact(folder, record.kernel) || !isIntact(folder, record.initrd)) return null;
    return { folder, kernel: join(folder, record.kernel.name), initrd: join(folder, record.initrd.name), record };
  }

  list(): readonly GuestRecord[] {
    try {
      const names = readdirSync(join(this.folder, 'guests')).sort();
      return names.map((name) => readRecord(join(this.folder, 'guests', name))).filter((record) => record !== null);
    } catch {
      return []; // there is no such folder yet
    }
  }

  /** Replaces a guest. Throws VmError E_HOST. */
  store(guest: Omit<GuestRecord, 'format' | 'kernel' | 'initrd' | 'initramfs'>, files: { readonly kernel: Uint8Array; readonly initrd: Uint8Array }): CachedGuest {
    const folder = this.folderOf(guest.name, guest.architecture);
    try {
      makeFolder(folder);
      rmSync(join(folder, RECORD), { force: true });
      const kernel = writeWhole(folder, 'vmlinuz', files.kernel);
      const initrd = writeWhole(folder, 'initrd.gz', files.initrd);
      const record: GuestRecord = { format: FORMAT, ...guest, kernel, initrd, initramfs: INITRAMFS_VERSION };
      writeWhole(folder, RECORD, new TextEncoder().encode(`${JSON.stringify(record, null, 2)}\n`));
      return { folder, kernel: join(folder, kernel.name), initrd: join(folder, initrd.name), record };
    } catch (error) {
      if (VmError.is(error)) throw error;
      throw new VmError('E_HOST', `cannot write to the cache ${folder}: ${explainFileError(error)}`, { cause: error });
    }
  }
}

/** A reader sees the old file or the whole new one. */
function writeWhole(folder: string, name: string, bytes: Uint8Array): CachedFile {
  const fresh = join(folder, `.${name}.${process.pid}`);
  try {
    writeFileSync(fresh, bytes);
    renameSync(fresh, join(folder, name));
  } finally {
    rmSync(fresh, { force: true });
  }
  return { name, bytes: bytes.length, sha256: digest(bytes) };
}

function readRecord(folder: string): GuestRecord | null {
  try {
    const record = JSON.parse(readFileSync(join(folder, RECORD), 'utf8')) as GuestRecord;
    return record.format === FORMAT ? record : null;
  } catch {
    return null; // not there, or from somebody else
  }
}

function isIntact(folder: string, file: CachedFile): boolean {
  try {
    const bytes = readFileSync(join(folder, file.name));
    return bytes.length === file.bytes && digest(bytes) === file.sha256;
  } catch {
    return false;
  }
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
