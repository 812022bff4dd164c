import type { KeyOrigin } from './disk-descriptor.ts';
import { openSnapshotFile } from './snapshot-file.ts';
import { checkDisks, readOrigin, type SavedOrigin } from './snapshot-origin.ts';
import { UsageError } from './usage-error.ts';

/** Throws UsageError for what cannot be gone on with. */
export async function readRestored(path: string, key?: KeyOrigin): Promise<{ readonly bytes: Uint8Array; readonly origin: SavedOrigin }> {
  const { bytes, saved } = await openSnapshotFile(path, key);
  try {
    const origin = readOrigin(saved.head.about);
    checkDisks(origin);
    return { bytes, origin };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`--restore ${path}: ${error.message}`, { cause: error });
  }
}
