import type { BlockBackend } from '@vm/core';
import { sameBytes } from './big-endian.ts';
import type { AbortSignalLike } from './convert.ts';
import type { VhdDisk } from './open-vhd.ts';
import { VhdError } from './vhd-error.ts';

export interface MergeOptions {
  readonly signal?: AbortSignalLike;
  progress?(done: number, total: number): void;
  /**
   * The decrypted disks over the two, for encrypted ones: room that the parent makes has to hold encrypted zeros, which needs the
   * key. What lies before `dataAt` is copied as it is, unless the two have keys of their own: `sameKey`.
   */
  readonly plain?: { readonly child: Pick<BlockBackend, 'read'>; readonly parent: Pick<BlockBackend, 'write'>; readonly dataAt: number; readonly sameKey: boolean };
}

/**
 * Stores what a differencing disk holds itself in its parent, which has been opened for writing by its own. Until it is done, and
 * after a crash, the child still shows the same disk: what the parent has by then is what the child covers. Other children of
 * that parent are worthless from the first store on. Afterwards the child can be deleted.
 */
export async function mergeIntoParent(child: VhdDisk, parent: VhdDisk, { signal, progress, plain }: MergeOptions = {}): Promise<number> {
  const { sparse, table } = child;
  if (sparse === null || table === null || child.parent === null) throw new VhdError('merge', 'request', 'only a differencing disk can be merged into its parent');
  if (!sameBytes(table.header.parentId, parent.footer.uniqueId)) throw new VhdError('merge', 'parent', 'the disk to merge into is not the parent');
  if (parent.bytes !== child.bytes) throw new VhdError('merge', 'parent', `the parent has ${parent.bytes} bytes, the child ${child.bytes}`);
  if (!parent.writable) throw new VhdError('merge', 'read-only', 'the parent is opened for reading');
  const { blockBytes } = table.header;
  const buffer = new Uint8Array(blockBytes);
  let stored = 0;
  for (let block = 0; block < table.entries.length; block++) {
    if (signal?.aborted === true) throw new VhdError('merge', 'request', 'stopped; the child still shows its disk, and can be merged again');
    const begin = block * blockBytes;
    const bitmap = await sparse.ownSectors(block);
    for (const run of bitmap?.runs(0, Math.min(blockBytes, child.bytes - begin)) ?? []) {
      if (!run.present) continue;
      const part = buffer.subarray(run.begin, run.end);
      const at = begin + run.begin;
      const raw = plain === undefined ? part.length : Math.max(0, Math.min(part.length, plain.dataAt - at));
      if (raw > 0 && plain?.sameKey !== false) {
        await child.read(at, part.subarray(0, raw));
        await parent.write(at, part.subarray(0, raw));
      }
      if (plain !== undefined && raw < part.length) {
        await plain.child.read(at + raw - plain.dataAt, part.subarray(raw));
        await plain.parent.write(at + raw - plain.dataAt, part.subarray(raw));
      }
      stored += part.length;
    }
    progress?.(block + 1, table.entries.length);
  }
  await parent.flush();
  return stored;
}
