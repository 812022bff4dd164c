// Encrypting anew in place: how it begins, and how a disk is opened that is in between.
import { type CipherRegistry, longestKeyBits } from './cipher-registry.ts';
import type { ContainerBytes, ContainerFacts, OpenedContainer } from './container.ts';
import { CryptError } from './crypt-error.ts';
import { encryptedDisk, type EncryptedDiskOptions } from './encrypted-disk.ts';
import type { MappedDisk } from './extent.ts';
import { copySecret, randomBytes, secretBytes } from './key-math.ts';
import { freeArea } from './luks2-area.ts';
import { costOfASecond } from './luks2-format.ts';
import { decodeBase64, encodeBase64, type Luks2Segment } from './luks2-metadata.ts';
import { areaBytes, CHEAP, digestOf, isKeyOf, type Luks2Cost, newSecret, sealSlot, unlock, wipe } from './luks2-slot.ts';
import { type Luks2Header, type Luks2Settings, readLuks2, writeLuks2 } from './luks2-store.ts';
import { deriveKey, readRecord, type ReencryptPlan } from './reencrypt-record.ts';
import { addWork, finishWork, freeSlot, onlySegment, planOf, zoneOf } from './reencrypt-work.ts';
import { type Payload, payloadBytes } from './payload.ts';
import { reencryptingDisk, type Reencryption } from './reencrypting-disk.ts';
import type { KeySource, SectorCipher } from './sector-cipher.ts';
import { dropMoved, moveBack, shiftedBytes, shiftedDisk } from './shifted-disk.ts';
import { makeUuid } from './uuid.ts';

/** How a disk is to be encrypted from now on. */
export interface RekeyOptions {
  readonly ciphers: CipherRegistry;
  /** Opens it as it is. */
  readonly keys: KeySource;
  /** The secret that opens it from now on; all others are gone and can be added again. */
  readonly newKeys: KeySource;
  /** Default: as it was. */
  readonly cipher?: string;
  /** Default: as it was; with another cipher the longest that it takes. */
  readonly keyBits?: number;
  readonly sectorBytes?: 512 | 1024 | 2048 | 4096;
  readonly cost?: Luks2Cost;
  /** What is moved at once. Default: as the disk makes room, or 1 MiB. */
  readonly zoneBytes?: number;
}

/** The container becomes one of its own, with another identity, when a disk showed that of its parent. */
export type RekeyIdentity = 'same' | 'new';

/** Gives a disk another key: from here on only the new secret opens it, and whoever opens it can go on. */
export async function startRekey(bytes: ContainerBytes, below: Pick<MappedDisk, 'allocationBytes' | 'bytes'>, settings: Luks2Settings, options: RekeyOptions, identity: RekeyIdentity = 'same'): Promise<void> {
  const { ciphers } = options;
  const found = await readLuks2(bytes, settings);
  const { metadata } = found;
  const copy = { ...found.copy, uuid: identity === 'new' ? makeUuid() : found.copy.uuid };
  const header: Luks2Header = { ...found, copy };
  const { segment, digest: digestId } = onlySegment(bytes.name, metadata);
  const unlocked = await unlock(bytes, found.copy.uuid, metadata, settings, ciphers, options.keys, [digestId]);
  const { key: oldKey } = unlocked.get(digestId)!;
  const key = randomBytes((options.keyBits ?? (options.cipher === undefined ? 8 * oldKey.length : longestKeyBits(ciphers, options.cipher))) / 8);
  const sectorBytes = options.sectorBytes ?? (segment.sector_size as 512);
  const encryption = options.cipher ?? segment.encryption!;
  try {
    await (await ciphers.create(bytes.name, encryption, key, sectorBytes)).cipher.close();
    const dataAt = Number(segment.offset);
    const largest = Math.max(sectorBytes, segment.sector_size!);
    const diskBytes = Math.floor((below.bytes - dataAt) / largest) * largest;
    if (diskBytes !== Math.floor((below.bytes - dataAt) / segment.sector_size!) * segment.sector_size!) throw new CryptError(bytes.name, 'request', `its size is no multiple of ${sectorBytes} bytes`);
    const plan: ReencryptPlan = { mode: 'rekey', diskBytes, dataAt, zoneBytes: zoneOf(bytes.name, below, dataAt, largest, options.zoneBytes) };
    const { secret, token } = await newSecret(options.newKeys, { purpose: 'add', disk: bytes.name, uuid: copy.uuid, attempt: 0 });
    try {
      const offset = freeArea(header, areaBytes(key.length));
      const id = freeSlot(metadata);
      if (offset === null || id === null) throw new CryptError(bytes.name, 'request', 'all key slots are in use');
      const slot = await sealSlot(bytes, settings, ciphers, key, secret, offset, token === null ? (options.cost ?? (await costOfASecond(settings.math))) : CHEAP);
      const withSlot = { ...header, metadata: { ...metadata, keyslots: { ...metadata.keyslots, [id]: slot } } };
      const worked = await addWork(bytes, withSlot, settings, plan, key, encodeBase64(await wrapKey(bytes.name, settings, ciphers, key, oldKey)));
      const next: Luks2Segment = { ...segment, encryption, sector_size: sectorBytes, iv_tweak: '0' };
      const keyslots = Object.fromEntries(Object.entries(worked.keyslots).filter(([name, { type }]) => name === String(id) || type !== 'luks2'));
      await writeLuks2(bytes, header, {
        ...worked, keyslots,
        tokens: token === null ? {} : { 0: { ...token, type: String(token['type']), keyslots: [String(id)] } },
        segments: { 0: next, 1: { ...segment, flags: ['backup-previous'] } },
        digests: { 0: await digestOf(settings, key, [String(id)], ['0']), 1: { ...metadata.digests[digestId]!, keyslots: [], segments: ['1'] } },
      }, settings);
      for (const [name, { type, area }] of Object.entries(metadata.keyslots)) if (type === 'luks2' && name !== String(id)) await bytes.write(Number(area.offset), randomBytes(Number(area.size)));
      await bytes.flush();
    } finally {
      secret.fill(0);
    }
  } finally {
    key.fill(0);
    wipe(unlocked);
  }
}

/** Opens a disk that is being re-encrypted: it can be used, and `reencryption` goes on with it. */
export async function openUnderWay(bytes: ContainerBytes, header: Luks2Header, settings: Luks2Settings, ciphers: CipherRegistry, keys: KeySource, keySlots: ContainerFacts['keySlots']): Promise<OpenedContainer> {
  const { metadata, copy } = header;
  const { plan, work } = planOf(bytes.name, metadata);
  const [next, previous] = [metadata.segments[0]!, metadata.segments[1]];
  const digest = Object.keys(metadata.digests).find((id) => metadata.digests[id]!.segments.includes('0'));
  const oldDigest = Object.keys(metadata.digests).find((id) => metadata.digests[id]!.segments.includes('1'));
  const isRekey = plan.mode === 'rekey';
  if (digest === undefined || (isRekey && (oldDigest === undefined || previous?.type !== 'crypt' || previous.offset !== next.offset))) throw new CryptError(bytes.name, 'header', 'LUKS2 header: a re-encryption that makes no sense');
  const unlocked = await unlock(bytes, copy.uuid, metadata, settings, ciphers, keys, [digest]);
  const closing: SectorCipher[] = [];
  try {
    const { key } = unlocked.get(digest)!;
    const recordKey = await deriveKey(settings.math, key, 'reencrypt record');
    const record = await readRecord(bytes, Number(work.area.offset), plan, settings.math, recordKey);
    const make = async (segment: Luks2Segment, with_: Uint8Array): Promise<OpenedContainer> => {
      const { engine, cipher } = await ciphers.create(bytes.name, segment.encryption!, with_, segment.sector_size!);
      closing.push(cipher);
      const facts = { container: 'luks2', cipher: segment.encryption!, engine, keyBits: with_.length * 8, sectorBytes: segment.sector_size!, uuid: copy.uuid, keySlots };
      return { facts, dataAt: plan.dataAt, dataBytes: plan.diskBytes, cipher };
    };
    const crypt = await make(next, key);
    let old: OpenedContainer | null = null;
    if (isRekey) {
      const oldKey = await unwrapKey(bytes.name, settings, ciphers, key, decodeBase64(work.wrapped!));
      const isOld = await isKeyOf(bytes.name, metadata.digests[oldDigest!]!, settings, oldKey);
      if (!isOld) throw new CryptError(bytes.name, 'header', 'LUKS2 header: the key before is damaged');
      old = await make(previous!, oldKey);
      oldKey.fill(0);
    }
    const close = async (): Promise<void> => {
      for (const cipher of closing) await cipher.close();
      recordKey.fill(0);
    };
    let reencryption: Reencryption | null = null;
    return {
      ...crypt,
      cipher: { ...crypt.cipher, close },
      get reencryption() {
        return reencryption;
      },
      async makeDisk(below: MappedDisk, rest: EncryptedDiskOptions) {
        const { mode, diskBytes, dataAt } = plan;
        const isLonger = below.bytes === shiftedBytes(plan);
        // Before the first sector is decrypted, and after the last one is encrypted, it needs no room for those that change places.
        const isWhole = mode === 'rekey' || isLonger || record.watermark === 0;
        if (below.bytes < dataAt + diskBytes || !isWhole) throw new CryptError(bytes.name, 'header', 'it is being re-encrypted, and its image is cut off');
        const encrypted = encryptedDisk(bytes.name, below, crypt, rest);
        const plain = (): MappedDisk => shiftedDisk(bytes.name, below, plan, true);
        const [before, after] = mode === 'rekey' ? [encryptedDisk(bytes.name, below, old!, rest), encrypted] : mode === 'encrypt' ? [plain(), encrypted] : [encrypted, plain()];
        const made = reencryptingDisk(bytes.name, { plan, record, header: bytes, recordAt: Number(work.area.offset), recordKey, math: settings.math, before, after, cipher: crypt.cipher, below, parentUnit: rest.parent === undefined ? null : Math.max(next.sector_size!, previous?.sector_size ?? 0) });
        await made.recover();
        // One that was stopped before it had room goes on when it is asked for again.
        reencryption = mode === 'decrypt' && !isLonger ? null : made.reencryption;
        return made.disk;
      },
      finish: (payload) => finishReencryption(payload, plan, settings),
    };
  } catch (error) {
    for (const cipher of closing) await cipher.close();
    throw error;
  } finally {
    wipe(unlocked);
  }
}

/** When all zones are done: the header is again one that others know, or it is gone, and so is the room that was needed. */
async function finishReencryption(payload: Payload, plan: ReencryptPlan, settings: Luks2Settings): Promise<void> {
  if (plan.mode === 'decrypt') return moveBack(payload, plan, false);
  if (plan.mode === 'encrypt') {
    await dropMoved(payload, plan);
    await payload.scrub();
  }
  await payload.use((below) => finishWork(payloadBytes(payload.name, below), settings));
}

/** The old key under one that comes from the new one, with its length before it. */
async function wrapKey(disk: string, settings: Luks2Settings, ciphers: CipherRegistry, key: Uint8Array, old: Uint8Array): Promise<Uint8Array> {
  const sector = new Uint8Array(512);
  sector[0] = old.length;
  sector.set(old, 1);
  const cipher = await wrappingCipher(disk, settings, ciphers, key);
  await cipher.encrypt(sector, sector, 0);
  await cipher.close();
  return sector;
}

async function unwrapKey(disk: string, settings: Luks2Settings, ciphers: CipherRegistry, key: Uint8Array, wrapped: Uint8Array): Promise<Uint8Array> {
  const sector = new Uint8Array(512);
  sector.set(wrapped.subarray(0, 512));
  const cipher = await wrappingCipher(disk, settings, ciphers, key);
  await cipher.decrypt(sector, sector, 0);
  await cipher.close();
  const old = copySecret(sector.subarray(1, 1 + sector[0]!));
  sector.fill(0);
  return old;
}

async function wrappingCipher(disk: string, { math }: Luks2Settings, ciphers: CipherRegistry, key: Uint8Array): Promise<SectorCipher> {
  const wrapping = secretBytes(64);
  wrapping.set(await deriveKey(math, key, 'reencrypt wrap data'));
  wrapping.set(await deriveKey(math, key, 'reencrypt wrap tweak'), 32);
  const { cipher } = await ciphers.create(disk, 'aes-xts-plain64', wrapping, 512);
  wrapping.fill(0);
  return cipher;
}
