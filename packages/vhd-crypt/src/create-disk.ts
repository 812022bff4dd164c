import type { BlockBackend } from '@vm/core';
import { isSealed } from './cipher-registry.ts';
import type { ContainerBytes } from './container.ts';
import { containerBytes, type CryptMode, type DiskFormat } from './open-disk.ts';
import { createChild, type CreateChildOptions, createVhd, type CreateOptions } from './create-vhd.ts';
import { CryptError } from './crypt-error.ts';
import { encryptedFile } from './encrypted-file.ts';
import { openRaw } from './fixed-disk.ts';
import type { ImageFile } from './image-file.ts';
import { formatLuks1, type Luks1Format, type Luks1Settings } from './luks1.ts';
import { formatLuks2, LUKS2_DATA_AT, type Luks2Format } from './luks2-format.ts';
import { integritySpace } from './luks2-integrity.ts';
import type { Luks2Settings } from './luks2-store.ts';
import { sealedBytes, usualJournal } from './sealed-layout.ts';
import { openVhd, type ParentSource } from './open-vhd.ts';
import { VhdError } from './vhd-error.ts';

export interface CreateDiskOptions extends Omit<CreateOptions, 'type'> {
  readonly format: DiskFormat;
  /** Of a VHD. Default: dynamic. */
  readonly type?: 'fixed' | 'dynamic';
  /** Default: none. */
  readonly crypt?: CryptMode;
  readonly luks?: NewContainer;
}

/** How a container is made: LUKS1, or with `version: 2` LUKS2, which encrypts payloads only. */
export type NewContainer = (Luks1Settings & Luks1Format & { readonly version?: 1 }) | (Luks2Settings & Luks2Format & { readonly version: 2 });

/** What LUKS1 puts before the data when it formats with the sizes that are made here. */
const LUKS_BYTES = 2 << 20;

/** Makes an image in an empty file whose guest sees a disk of `bytes`: what a container takes comes on top. The file stays open. */
export async function createDisk(file: ImageFile, options: CreateDiskOptions): Promise<void> {
  const { format, crypt = 'none', luks, type = 'dynamic' } = options;
  if (crypt !== 'none' && luks === undefined) throw new CryptError(file.name, 'request', 'encryption needs to know how');
  if (crypt === 'file' && format === 'raw') throw new CryptError(file.name, 'request', 'a raw image has nothing around its disk; encrypt the payload');
  let image = file;
  if (crypt === 'file' && luks?.version === 2) throw new CryptError(file.name, 'request', 'a whole file is encrypted with LUKS1');
  if (crypt === 'file' && luks !== undefined && luks.version !== 2) {
    if ((await file.bytes()) !== 0) throw new VhdError(file.name, 'request', 'the file is not empty');
    image = encryptedFile(file, await formatLuks1({ ...(await containerBytes(file)), bytes: Number.MAX_SAFE_INTEGER }, luks, luks));
  }
  const bytes = options.bytes + (crypt !== 'payload' ? 0 : luks?.version === 2 ? (luks.detached === true ? 0 : (luks.dataAt ?? LUKS2_DATA_AT)) : LUKS_BYTES) + overheadOf(crypt, luks, options.bytes);
  if (format === 'raw') {
    if ((await file.bytes()) !== 0) throw new VhdError(file.name, 'request', 'the file is not empty');
    if (!Number.isSafeInteger(bytes) || options.bytes <= 0 || bytes % 512 !== 0) throw new VhdError(file.name, 'size', `a disk of ${options.bytes} bytes, which is no number of whole sectors`);
    await file.resize(bytes);
    await file.flush();
  } else await createVhd(image, { ...options, type, bytes });
  if (crypt !== 'payload' || luks === undefined) return;
  const disk = format === 'raw' ? await openRaw(file) : await openVhd(file);
  const made = await formatIn(file.name, disk, luks);
  if (made !== LUKS_BYTES && luks.version !== 2 && luks.keyBits !== 256) throw new CryptError(file.name, 'header', `data at ${made}`);
}

/** What records and tags of sectors take beside the data. */
function overheadOf(crypt: CryptMode, luks: NewContainer | undefined, bytes: number): number {
  if (crypt === 'payload' && luks?.version === 2 && luks.integrity !== undefined) return integritySpace(bytes, luks.sectorBytes ?? 4096, luks.integrity) - bytes;
  if (crypt !== 'payload' || luks?.version !== 2 || luks.cipher === undefined || !isSealed(luks.ciphers, luks.cipher)) return 0;
  // As the container will choose it, which sees only how much there is.
  let journalBytes = usualJournal(bytes);
  while (usualJournal(sealedBytes(bytes, journalBytes)) !== journalBytes) journalBytes = usualJournal(sealedBytes(bytes, journalBytes));
  return sealedBytes(bytes, journalBytes) - bytes;
}

/** Where the data begins then. */
async function formatIn(name: string, disk: BlockBackend, luks: NewContainer): Promise<number> {
  const bytes: ContainerBytes = { name, bytes: disk.bytes, writable: true, read: (at, into) => disk.read(at, into), write: (at, from) => disk.write(at, from), flush: () => disk.flush() };
  if (luks.version === 2) return (await formatLuks2(bytes, luks, luks)).dataAt;
  const made = await formatLuks1(bytes, luks, luks);
  await made.cipher.close();
  return made.dataAt;
}

/**
 * Makes a differencing disk with a key of its own over an encrypted parent, in an empty file. With the same key in both, whoever has
 * the two files would see which units of a sector changed.
 */
export async function createEncryptedChild(file: ImageFile, options: CreateChildOptions & { readonly luks: NewContainer; readonly parents: ParentSource }): Promise<void> {
  await createChild(file, options);
  const child = await openVhd({ ...file, close: () => Promise.resolve() }, { parents: options.parents });
  try {
    await formatIn(file.name, child, options.luks);
  } finally {
    await child.close();
  }
}
