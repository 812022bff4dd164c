import type { CipherRegistry } from './cipher-registry.ts';
import type { ContainerBytes } from './container.ts';
import type { AbortSignalLike } from './convert.ts';
import { CryptError } from './crypt-error.ts';
import type { MappedDisk } from './extent.ts';
import { openRaw } from './fixed-disk.ts';
import type { ImageFile } from './image-file.ts';
import { luks2 } from './luks2.ts';
import { isLuks2 } from './luks2-header.ts';
import { type Luks2Settings, readLuks2 } from './luks2-store.ts';
import { type DiskFormat, openDisk } from './open-disk.ts';
import { openVhd, type ParentSource } from './open-vhd.ts';
import type { KeySource } from './sector-cipher.ts';
import { finishRekey, isUnderWay, type RekeyOptions, startRekey } from './reencrypt.ts';

export interface RekeyImageOptions extends Omit<RekeyOptions, 'keys'> {
  readonly format: DiskFormat;
  readonly parents?: ParentSource;
  readonly ciphers: CipherRegistry;
  /** Opens it as it is. Not asked when the work was begun before: then `newKeys` opens it. */
  readonly keys: RekeyOptions['keys'];
  readonly signal?: AbortSignalLike;
  readonly progress?: (done: number, total: number) => void;
}

/**
 * Gives a LUKS2 disk another key, and encrypts it anew in place. After a crash at any write, or when `signal` stops it, the disk opens
 * with the new secret and all that is on it, and the work goes on when it is asked for again. True when it is done.
 */
export async function rekeyImage(file: ImageFile, settings: Luks2Settings, options: RekeyImageOptions): Promise<boolean> {
  const { format, ciphers, newKeys, parents, signal, progress } = options;
  const image: ImageFile = { ...file, close: () => Promise.resolve() };
  await withPayload(image, options, async (below, parent, bytes) => {
    const first = new Uint8Array(512);
    await below.read(0, first);
    if (!isLuks2(first)) throw new CryptError(file.name, 'request', 'it is no LUKS2, and only that gets another key in place; copy it (convert)');
    const { metadata, copy } = await readLuks2(bytes, settings);
    if (isUnderWay(metadata)) return;
    if (parent !== null && (await uuidOf(file.name, parent, settings)) === copy.uuid) throw new CryptError(file.name, 'request', 'it shares the key of its parent; merge it, or make a disk with a key of its own over the parent');
    await startRekey(bytes, below, settings, options);
  });
  const disk = await openDisk(image, { format, ciphers, keys: oneAfterTheOther(newKeys, options.keys), containers: [luks2(settings)], crypt: 'payload', ...(parents === undefined ? {} : { parents }) });
  try {
    if (disk.reencryption === null) return true;
    do {
      const { done, total } = disk.reencryption.progress();
      progress?.(done, total);
      if (signal?.aborted === true) return false;
    } while (await disk.reencryption.step());
  } finally {
    await disk.close();
  }
  await withPayload(image, options, (_, __, bytes) => finishRekey(bytes, settings));
  return true;
}

async function withPayload<T>(image: ImageFile, { format, parents }: Pick<RekeyImageOptions, 'format' | 'parents'>, work: (below: MappedDisk, parent: MappedDisk | null, bytes: ContainerBytes) => Promise<T>): Promise<T> {
  const vhd = format === 'raw' ? null : await openVhd(image, parents === undefined ? {} : { parents });
  const disk: MappedDisk = vhd ?? (await openRaw(image));
  try {
    return await work(disk, vhd?.parent ?? null, { name: image.name, bytes: disk.bytes, writable: true, read: (at, into) => disk.read(at, into), write: (at, from) => disk.write(at, from), flush: () => disk.flush() });
  } finally {
    await vhd?.close();
  }
}

function uuidOf(name: string, of: MappedDisk, settings: Luks2Settings): Promise<string | null> {
  return readLuks2({ name, bytes: of.bytes, read: (at, into) => of.read(at, into), write: () => Promise.reject(new Error('read only')), flush: () => Promise.resolve() }, settings).then(({ copy }) => copy.uuid, () => null);
}

/** Its own secret is the new one; those of its parents stay what they were. */
function oneAfterTheOther(first: KeySource, second: KeySource): KeySource {
  let taken = 0;
  return {
    id: first.id,
    async getSecret(request) {
      if (request.attempt === 0) taken = 0;
      const secret = request.attempt > taken ? null : await first.getSecret(request);
      if (secret !== null) {
        taken = request.attempt + 1;
        return secret;
      }
      return second.getSecret({ ...request, attempt: request.attempt - taken });
    },
  };
}
