import type { CipherRegistry } from './cipher-registry.ts';
import type { AbortSignalLike } from './convert.ts';
import { CryptError } from './crypt-error.ts';
import type { MappedDisk } from './extent.ts';
import type { ImageFile } from './image-file.ts';
import { isLuks } from './luks1-header.ts';
import { luks2 } from './luks2.ts';
import { isLuks2 } from './luks2-header.ts';
import { type Luks2Settings, readLuks2 } from './luks2-store.ts';
import { openDisk } from './open-disk.ts';
import { imagePayload, type PayloadFormat, payloadBytes } from './payload.ts';
import type { KeySource } from './sector-cipher.ts';
import { type RekeyOptions, startRekey } from './reencrypt.ts';
import type { ReencryptMode } from './reencrypt-record.ts';
import { isUnderWay, planOf } from './reencrypt-work.ts';

export interface RekeyImageOptions extends Omit<RekeyOptions, 'keys'>, PayloadFormat {
  readonly ciphers: CipherRegistry;
  /** Opens it as it is. Not asked when the work was begun before: then `newKeys` opens it. */
  readonly keys: RekeyOptions['keys'];
  /** Opens parents that have keys of their own. Default: the same. */
  readonly parentKeys?: KeySource;
  readonly signal?: AbortSignalLike;
  readonly progress?: (done: number, total: number) => void;
}

/**
 * Gives a LUKS2 disk another key, and encrypts it anew in place. After a crash at any write, or when `signal` stops it, the disk opens
 * with the new secret and all that is on it, and the work goes on when it is asked for again. True when it is done. A differencing disk
 * that shares the key of its parent gets one of its own; what the parent holds stays as it is.
 */
export async function rekeyImage(file: ImageFile, settings: Luks2Settings, options: RekeyImageOptions): Promise<boolean> {
  const { newKeys } = options;
  await imagePayload(file, options).use(async (below, vhd) => {
    const bytes = payloadBytes(file.name, below);
    const first = new Uint8Array(512);
    await below.read(0, first);
    if (isLuks(first) && !isLuks2(first)) throw luks1InPlace(file.name);
    if (!isLuks2(first)) throw new CryptError(file.name, 'request', 'it is no LUKS2, and only that gets another key in place; copy it (convert)');
    const { metadata, copy } = await readLuks2(bytes, settings);
    if (isUnderWay(metadata)) return refuseOther(file.name, planOf(file.name, metadata).plan.mode, 'rekey');
    const parent = vhd?.parent ?? null;
    const isShared = parent !== null && (await uuidOf(file.name, parent, settings)) === copy.uuid;
    await startRekey(bytes, below, settings, options, isShared ? 'new' : 'same');
  });
  return goOn(file, settings, { ...options, keys: oneAfterTheOther(newKeys, options.keys) });
}

export interface GoOnOptions extends PayloadFormat {
  readonly ciphers: CipherRegistry;
  readonly keys: KeySource;
  /** Opens parents that have keys of their own. Default: the same. */
  readonly parentKeys?: KeySource;
  readonly signal?: AbortSignalLike;
  readonly progress?: (done: number, total: number) => void;
}

/** Does what is left of whatever is under way. True when it is done. */
export async function goOn(file: ImageFile, settings: Luks2Settings, { format, ciphers, keys, parentKeys, parents, signal, progress }: GoOnOptions): Promise<boolean> {
  const disk = await openDisk({ ...file, close: () => Promise.resolve() }, { format, ciphers, keys, containers: [luks2(settings)], crypt: 'payload', ...(parents === undefined ? {} : { parents }), ...(parentKeys === undefined ? {} : { parentKeys }) });
  try {
    if (disk.reencryption === null) return true;
    do {
      const { done, total } = disk.reencryption.progress();
      progress?.(done, total);
      if (signal?.aborted === true && done < total) return false;
    } while (await disk.reencryption.step());
  } finally {
    // Which brings it to its end, too.
    await disk.close();
  }
  return true;
}

export function luks1InPlace(disk: string): CryptError {
  return new CryptError(disk, 'request', 'the header of LUKS1 has no room for the records of work in place, so it is not changed there; copy it (convert)');
}

/** What was begun comes to its end first. */
export function refuseOther(disk: string, begun: ReencryptMode, asked: ReencryptMode): void {
  if (begun !== asked) throw new CryptError(disk, 'request', `its ${begun} was begun before; that has to come to its end first (vm disk ${begun})`);
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
