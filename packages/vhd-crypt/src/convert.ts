import type { BlockBackend } from '@vm/core';
import { isZero } from './big-endian.ts';
import { type CreateOptions, createVhd } from './create-vhd.ts';
import type { ImageFile } from './image-file.ts';
import { openRaw } from './fixed-disk.ts';
import { openVhd } from './open-vhd.ts';
import { VhdError } from './vhd-error.ts';

export interface ConvertOptions extends Omit<CreateOptions, 'bytes' | 'type'> {
  readonly type: 'raw' | 'fixed' | 'dynamic';
  /** Size of the new disk, never smaller than the old one. Default: the same. */
  readonly bytes?: number;
  readonly signal?: AbortSignalLike;
  progress?(done: number, total: number): void;
}

/** What is needed of an AbortSignal. */
export interface AbortSignalLike {
  readonly aborted: boolean;
}

const STEP = 2 << 20;

/**
 * Copies a disk, with all its parents if it has some, into an empty file. Until it is done the new file has no valid end or no
 * valid contents: a caller that must not lose anything writes beside the old file and renames.
 */
export async function convertDisk(from: Pick<BlockBackend, 'bytes' | 'read'>, file: ImageFile, options: ConvertOptions): Promise<void> {
  const bytes = options.bytes ?? Math.ceil(from.bytes / 512) * 512;
  if (bytes < from.bytes) throw new VhdError(file.name, 'size', `${bytes} bytes are fewer than the ${from.bytes} of the disk`);
  const quiet = withoutBarriers(file);
  const to = await make(quiet, bytes, options);
  const buffer = new Uint8Array(Math.min(STEP, from.bytes));
  for (let at = 0; at < from.bytes; at += STEP) {
    if (options.signal?.aborted === true) throw new VhdError(file.name, 'request', `stopped after ${at} of ${from.bytes} bytes`);
    const part = buffer.subarray(0, Math.min(STEP, from.bytes - at));
    await from.read(at, part);
    if (!isZero(part)) await to.write(at, part);
    options.progress?.(at + part.length, from.bytes);
  }
  await file.flush();
}

async function make(file: ImageFile, bytes: number, options: ConvertOptions): Promise<BlockBackend> {
  if (options.type !== 'raw') {
    await createVhd(file, { ...options, type: options.type, bytes });
    return openVhd(file);
  }
  if ((await file.bytes()) !== 0) throw new VhdError(file.name, 'request', 'the file is not empty');
  await file.resize(bytes);
  return openRaw(file);
}

/** A new file is worth nothing until it is whole, so one barrier at its end is enough. */
function withoutBarriers(file: ImageFile): ImageFile {
  return {
    name: file.name,
    writable: file.writable,
    bytes: () => file.bytes(),
    read: (at, into) => file.read(at, into),
    write: (at, from) => file.write(at, from),
    resize: (bytes) => file.resize(bytes),
    flush: () => Promise.resolve(),
    close: () => file.close(),
  };
}
