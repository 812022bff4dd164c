import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { OpenedDisk } from '@vm/vhd-crypt';
import { explainFileError } from './host-file.ts';
import { UsageError } from './usage-error.ts';

/** What stood for a disk when it was last closed, from a file that is not beside it; null when there is no such file yet. */
export function readRoot(path: string): string | null {
  if (!existsSync(path)) return null;
  let text = '';
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new UsageError(`${path}: ${explainFileError(error)}`, { cause: error });
  }
  if (!/^[0-9a-f]{64}$/.test(text)) throw new UsageError(`${path}: expected the root of a disk, 64 hexadecimal digits`);
  return text;
}

/** The disk, which leaves its root in a file when it is closed. */
export function keepRoot(disk: OpenedDisk, path: string): OpenedDisk {
  const { root } = disk;
  if (root === null) throw new UsageError(`root=${path}: the disk has no root, as its sectors are not sealed`);
  let open = true;
  return {
    ...disk,
    async close() {
      if (!open) return;
      open = false;
      const told = disk.writable ? await root() : null;
      // Before the disk is let go: who is cut off in between has a root that is not refused.
      if (told !== null) {
        writeFileSync(`${path}.new`, `${told}\n`, { mode: 0o600, flush: true });
        renameSync(`${path}.new`, path);
      }
      await disk.close();
    },
  };
}
