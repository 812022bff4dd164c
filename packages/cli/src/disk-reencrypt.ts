import { type CipherRegistry, decryptImage, encryptImage, type GoOnOptions, type ImageFile, type KeySource, rekeyImage } from '@vm/vhd-crypt';
import { nodeKeyMath, parentsBeside, standardCiphers } from '@vm/vhd-crypt/node';
import { createByteProgress } from './byte-progress.ts';
import type { DiskDescriptor } from './disk-descriptor.ts';
import { askedOnce, diskOptions, keySource, openNamedFile } from './disk-opener.ts';
import { type DiskValues, newCost, newKeys } from './disk-settings.ts';
import type { StopSignal } from './stop-signal.ts';
import { UsageError } from './usage-error.ts';

const settings = { math: nodeKeyMath() };

type Work = (file: ImageFile, options: GoOnOptions & { readonly ciphers: CipherRegistry; readonly keys: KeySource }) => Promise<boolean>;

/** Another key for a disk, in place; what was stopped goes on. */
export async function rekeyDisk(descriptor: DiskDescriptor, values: DiskValues, signal: StopSignal): Promise<string> {
  const cost = newCost(values, '2');
  // Needed twice, to make the new slot and to open it.
  const added = askedOnce(newKeys(values, 'new-key') ?? keySource({ kind: 'prompt' }));
  try {
    await inPlace(descriptor, 'rekey', 'encrypting anew', signal, (file, options) => rekeyImage(file, settings, { ...options, ...howOf(values), newKeys: added, ...(cost === undefined ? {} : { cost }) }));
  } finally {
    added.close();
  }
  return `${descriptor.file} has another key; only the new secret opens it`;
}

export async function encryptDisk(descriptor: DiskDescriptor, values: DiskValues, signal: StopSignal): Promise<string> {
  const cost = newCost(values, '2');
  await inPlace(descriptor, 'encrypt', 'encrypting', signal, (file, options) => encryptImage(file, settings, { ...options, ...howOf(values), ...(cost === undefined ? {} : { cost }) }));
  return `${descriptor.file} is encrypted; what its file held before may still lie elsewhere on the host's disk`;
}

export async function decryptDisk(descriptor: DiskDescriptor, signal: StopSignal): Promise<string> {
  await inPlace(descriptor, 'decrypt', 'decrypting', signal, (file, options) => decryptImage(file, settings, options));
  return `${descriptor.file} is not encrypted any more`;
}

function howOf({ cipher, 'key-bits': keyBits, 'sector-bytes': sectorBytes }: DiskValues): { readonly cipher?: string; readonly keyBits?: number; readonly sectorBytes?: 512 } {
  return { ...(cipher === undefined ? {} : { cipher }), ...(keyBits === undefined ? {} : { keyBits: Number(keyBits) }), ...(sectorBytes === undefined ? {} : { sectorBytes: Number(sectorBytes) as 512 }) };
}

async function inPlace(descriptor: DiskDescriptor, action: string, what: string, signal: StopSignal, work: Work): Promise<void> {
  const { file: path, header, crypt, cipher, overlay, snapshot, parentKey } = descriptor;
  if (header !== undefined || cipher !== undefined || (crypt !== undefined && crypt !== 'payload')) throw new UsageError(`${path}: ${action} is for disks whose LUKS2 header is before their data, where the records of the work are kept; copy it (convert)`);
  if (overlay !== undefined || snapshot !== undefined) throw new UsageError(`${path}: ${action} changes the file itself, and goes with neither overlay nor snapshot`);
  const keys = askedOnce(keySource(descriptor.key ?? { kind: 'prompt' }));
  const progress = createByteProgress(process.stderr, what);
  const file = await openNamedFile(path, { writable: true });
  try {
    const isDone = await work(file, { format: diskOptions(descriptor).format, parents: parentsBeside(path), ciphers: standardCiphers(), keys, ...(parentKey === undefined ? {} : { parentKeys: keySource(parentKey) }), signal, progress: (done, total) => progress.update(done, total) });
    if (!isDone) throw new UsageError(`${path}: stopped; it opens with ${action === 'rekey' ? 'the new secret' : 'its secret'}, and ${action} goes on from here`);
  } finally {
    progress.done();
    keys.close();
    await file.close();
  }
}
