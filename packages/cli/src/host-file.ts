import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { UsageError } from './usage-error.ts';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'a part of the path is no folder',
  EISDIR: 'it is a directory',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space is left on the device',
  EDQUOT: 'the disk quota is used up',
  ERR_FS_FILE_TOO_LARGE: 'it is too large',
};

/** The bytes of a file that the user named with an option. Throws UsageError. */
export function readNamedFile(option: string, path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`${option} ${path}: ${explainFileError(error)}`, { cause: error });
  }
}

/** Why a file that need not be there cannot be written, in words. */
export function explainWriteError(error: unknown): string {
  return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such folder' : explainFileError(error);
}

/** Why something could not be done to a file, in words. */
export function explainFileError(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return REASONS[code ?? ''] ?? message;
}

/** Writes a text file so that it is there as a whole, or as it was before. Throws UsageError. */
export function writeWhole(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, text, { flush: true });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new UsageError(`${path}: ${explainWriteError(error)}`, { cause: error });
  }
}
