import { readFileSync } from 'node:fs';
import { UsageError } from './usage-error.ts';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EISDIR: 'it is a directory',
  EACCES: 'it may not be read',
  EPERM: 'it may not be read',
  ERR_FS_FILE_TOO_LARGE: 'it is too large',
};

/** The bytes of a file that the user named with an option. Throws UsageError. */
export function readNamedFile(option: string, path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UsageError(`${option} ${path}: ${REASONS[code ?? ''] ?? message}`, { cause: error });
  }
}
