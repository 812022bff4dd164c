import { mkdirSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { VmError } from '@vm/core';
import { formatByteSize } from './byte-size.ts';
import { explainFileError } from './host-file.ts';

/** Makes a folder and those above it. Throws VmError E_HOST. Node's own recursion never ends where a file system makes no folders. */
export function makeFolder(path: string): void {
  try {
    makeParts(path);
  } catch (error) {
    throw new VmError('E_HOST', `cannot make the folder ${path}: ${explainFileError(error)}`, { cause: error });
  }
}

function makeParts(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    makeParts(dirname(path));
    mkdirSync(path);
  }
}

/** Throws VmError E_HOST when the file system of a folder has less room. */
export function requireSpace(folder: string, bytes: number, what: string): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free < bytes) throw new VmError('E_HOST', `no space for ${what} in ${folder}: it takes up to ${formatByteSize(bytes)}, and ${formatByteSize(free)} are left`);
}
