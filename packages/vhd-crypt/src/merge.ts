import { sameBytes } from './big-endian.ts';
import type { VhdDisk } from './open-vhd.ts';
import { VhdError } from './vhd-error.ts';

/**
 * Stores what a differencing disk holds itself in its parent, which has been opened for writing by its own. Until it is done, and
 * after a crash, the child still shows the same disk: what the parent has by then is what the child covers. Other children of
 * that parent are worthless from the first store on. Afterwards the child can be deleted.
 */
export async function mergeIntoParent(child: VhdDisk, parent: VhdDisk, progress?: (done: number, total: number) => void): Promise<number> {
  const { sparse, table } = child;
  if (sparse === null || table === null || child.parent === null) throw new VhdError('merge', 'request', 'only a differencing disk can be merged into its parent');
  if (!sameBytes(table.header.parentId, parent.footer.uniqueId)) throw new VhdError('merge', 'parent', 'the disk to merge into is not the parent');
  if (parent.bytes !== child.bytes) throw new VhdError('merge', 'parent', `the parent has ${parent.bytes} bytes, the child ${child.bytes}`);
  if (!parent.writable) throw new VhdError('merge', 'read-only', 'the parent is opened for reading');
  const { blockBytes } = table.header;
  const buffer = new Uint8Array(blockBytes);
  let stored = 0;
  for (let block = 0; block < table.entries.length; block++) {
    const begin = block * blockBytes;
    const bitmap = await sparse.ownSectors(block);
    for (const run of bitmap?.runs(0, Math.min(blockBytes, child.bytes - begin)) ?? []) {
      if (!run.present) continue;
      const part = buffer.subarray(run.begin, run.end);
      await child.read(begin + run.begin, part);
      await parent.write(begin + run.begin, part);
      stored += part.length;
    }
    progress?.(block + 1, table.entries.length);
  }
  await parent.flush();
  return stored;
}
