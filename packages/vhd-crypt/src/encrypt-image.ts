import { CryptError } from './crypt-error.ts';
import type { ImageFile } from './image-file.ts';
import { isLuks } from './luks1-header.ts';
import { formatLuks2, LUKS2_DATA_AT, type Luks2Format } from './luks2-format.ts';
import { isLuks2 } from './luks2-header.ts';
import { unlock, wipe } from './luks2-slot.ts';
import { type Luks2Settings, readLuks2, writeLuks2 } from './luks2-store.ts';
import { memoryFile } from './memory-file.ts';
import { containerBytes } from './open-disk.ts';
import { imagePayload, type Payload, payloadBytes } from './payload.ts';
import { goOn, type GoOnOptions, luks1InPlace, refuseOther } from './reencrypt-image.ts';
import type { ReencryptMode, ReencryptPlan } from './reencrypt-record.ts';
import { addWork, isUnderWay, onlySegment, planOf, zoneOf } from './reencrypt-work.ts';
import { growForShift, moveAway, replaceMark, settleShift, shiftedBytes } from './shifted-disk.ts';

export interface EncryptImageOptions extends GoOnOptions, Omit<Luks2Format, 'keys' | 'ciphers' | 'detached' | 'sectorBytes'> {
  /** Default: the largest of which the disk has a whole number. */
  readonly sectorBytes?: 512 | 1024 | 2048 | 4096;
  /** What is moved at once. Default: as the disk makes room, or 1 MiB. */
  readonly zoneBytes?: number;
}

export interface DecryptImageOptions extends GoOnOptions {
  readonly zoneBytes?: number;
}

/**
 * Encrypts an image with LUKS2, in place: its data moves behind a header that comes before it. After a crash at any write, or when
 * `signal` stops it, it opens with all that is on it, and the work goes on when it is asked for again. True when it is done.
 */
export async function encryptImage(file: ImageFile, settings: Luks2Settings, options: EncryptImageOptions): Promise<boolean> {
  const payload = imagePayload(file, options);
  const state = await stateOf(payload, settings);
  if (state === 'encrypted') throw new CryptError(file.name, 'request', 'it is encrypted already; rekey gives it another key');
  if (state !== 'plain') refuseOther(file.name, state, 'encrypt');
  else {
    await settleShift(payload);
    await startEncrypt(payload, settings, options);
  }
  return goOn(file, settings, options);
}

/** The opposite: the image is as if it had never been encrypted. */
export async function decryptImage(file: ImageFile, settings: Luks2Settings, options: DecryptImageOptions): Promise<boolean> {
  const payload = imagePayload(file, options);
  const state = await stateOf(payload, settings);
  if (state === 'plain') {
    if (await settleShift(payload)) return true;
    throw new CryptError(file.name, 'request', 'it is not encrypted');
  }
  if (state === 'encrypted') await startDecrypt(payload, settings, options);
  else refuseOther(file.name, state, 'decrypt');
  await payload.use((below) => readLuks2(payloadBytes(file.name, below), settings)).then(async ({ metadata }) => {
    const { plan } = planOf(file.name, metadata);
    if ((await payload.use((below) => Promise.resolve(below.bytes))) !== shiftedBytes(plan)) await growForShift(payload, plan);
  });
  return goOn(file, settings, options);
}

type State = 'plain' | 'encrypted' | ReencryptMode;

async function stateOf(payload: Payload, settings: Luks2Settings): Promise<State> {
  return payload.use(async (below, vhd) => {
    if (vhd !== null && vhd.parent !== null) throw new CryptError(payload.name, 'request', 'a differencing disk has the size of its parent, so no header comes or goes; make one over an encrypted parent (create), or copy it (convert)');
    const first = new Uint8Array(Math.min(512, below.bytes));
    await below.read(0, first);
    if (!isLuks(first)) return 'plain';
    if (!isLuks2(first)) throw luks1InPlace(payload.name);
    const { metadata } = await readLuks2(payloadBytes(payload.name, below), settings);
    return isUnderWay(metadata) ? planOf(payload.name, metadata).plan.mode : 'encrypted';
  });
}

async function startEncrypt(payload: Payload, settings: Luks2Settings, options: EncryptImageOptions): Promise<void> {
  const { format, zoneBytes, dataAt = LUKS2_DATA_AT } = options;
  const plan = await payload.use(async (below): Promise<ReencryptPlan & { readonly sectorBytes: 512 }> => {
    const { bytes: diskBytes } = below;
    const sectorBytes = (options.sectorBytes ?? [4096, 2048, 1024, 512].find((one) => diskBytes % one === 0)) as 512;
    if (diskBytes === 0 || diskBytes % sectorBytes !== 0) throw new CryptError(payload.name, 'request', `its size of ${diskBytes} bytes is no number of sectors of ${sectorBytes}`);
    return { mode: 'encrypt', diskBytes, dataAt, sectorBytes, zoneBytes: Math.min(dataAt, zoneOf(payload.name, below, dataAt, sectorBytes, zoneBytes)) };
  });
  // Made elsewhere, so that what is refused leaves the image as it was.
  const made = memoryFile(payload.name);
  await made.resize(shiftedBytes(plan));
  const bytes = await containerBytes(made);
  await formatLuks2(bytes, settings, { ...options, dataAt, sectorBytes: plan.sectorBytes }, (header, key) => addWork(bytes, header, settings, plan, key));
  const header = new Uint8Array(dataAt);
  await made.read(0, header);
  try {
    await growForShift(payload, plan);
  } catch (error) {
    if (format === 'raw') await payload.resize(plan.diskBytes).catch(() => undefined);
    throw error;
  }
  await moveAway(payload, plan);
  await replaceMark(payload, header);
}

async function startDecrypt(payload: Payload, settings: Luks2Settings, { ciphers, keys, zoneBytes }: DecryptImageOptions): Promise<void> {
  await payload.use(async (below) => {
    const bytes = payloadBytes(payload.name, below);
    const header = await readLuks2(bytes, settings);
    const { segment, digest } = onlySegment(payload.name, header.metadata);
    const unlocked = await unlock(bytes, header.copy.uuid, header.metadata, settings, ciphers, keys, [digest]);
    try {
      const dataAt = Number(segment.offset);
      const sectorBytes = segment.sector_size!;
      const diskBytes = Math.floor((below.bytes - dataAt) / sectorBytes) * sectorBytes;
      const plan: ReencryptPlan = { mode: 'decrypt', diskBytes, dataAt, zoneBytes: Math.min(dataAt, zoneOf(payload.name, below, dataAt, sectorBytes, zoneBytes)) };
      await writeLuks2(bytes, header, await addWork(bytes, header, settings, plan, unlocked.get(digest)!.key), settings);
    } finally {
      wipe(unlocked);
    }
  });
}
