import { rekeyImage } from '@vm/vhd-crypt';
import { nodeKeyMath, parentsBeside, standardCiphers } from '@vm/vhd-crypt/node';
import { createByteProgress } from './byte-progress.ts';
import type { DiskDescriptor } from './disk-descriptor.ts';
import { askedOnce, diskOptions, keySource, openNamedFile } from './disk-opener.ts';
import { type DiskValues, newCost, newKeys } from './disk-settings.ts';
import type { StopSignal } from './stop-signal.ts';
import { UsageError } from './usage-error.ts';

/** Another key for a disk, in place; what was stopped goes on. */
export async function rekeyDisk(descriptor: DiskDescriptor, values: DiskValues, signal: StopSignal): Promise<string> {
  const { file: path, header, crypt } = descriptor;
  const { cipher, 'key-bits': keyBits, 'sector-bytes': sectorBytes } = values;
  if (header !== undefined || (crypt !== undefined && crypt !== 'payload')) throw new UsageError(`${path}: rekey is for disks whose LUKS2 header is before their data`);
  const cost = newCost(values, '2');
  const keys = keySource(descriptor.key ?? { kind: 'prompt' });
  // Needed twice, to make the new slot and to open it.
  const added = askedOnce(newKeys(values, 'new-key') ?? keySource({ kind: 'prompt' }));
  const progress = createByteProgress(process.stderr, 'encrypting anew');
  const file = await openNamedFile(path, { writable: true });
  try {
    const isDone = await rekeyImage(file, { math: nodeKeyMath() }, {
      format: diskOptions(descriptor).format, parents: parentsBeside(path), ciphers: standardCiphers(), keys, newKeys: added, signal,
      progress: (done, total) => progress.update(done, total),
      ...(cost === undefined ? {} : { cost }), ...(cipher === undefined ? {} : { cipher }),
      ...(keyBits === undefined ? {} : { keyBits: Number(keyBits) }), ...(sectorBytes === undefined ? {} : { sectorBytes: Number(sectorBytes) as 512 }),
    });
    if (!isDone) throw new UsageError(`${path}: stopped; it opens with the new secret, and rekey goes on from here`);
    return `${path} has another key; only the new secret opens it`;
  } finally {
    progress.done();
    added.close();
    await file.close();
  }
}
