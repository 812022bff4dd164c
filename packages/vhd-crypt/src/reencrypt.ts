// Encrypting anew in place. While that is under way the header requires `vm-reencrypt`, so other programs leave the disk alone;
// before and after it is what they know. The work is a key slot of a kind of its own, whose area holds the records.
import type { CipherRegistry } from './cipher-registry.ts';
import type { ContainerBytes, ContainerFacts, OpenedContainer } from './container.ts';
import { CryptError } from './crypt-error.ts';
import { encryptedDisk, type EncryptedDiskOptions } from './encrypted-disk.ts';
import type { MappedDisk } from './extent.ts';
import { randomBytes } from './key-math.ts';
import { freeArea } from './luks2-area.ts';
import { costOfASecond } from './luks2-format.ts';
import { decodeBase64, encodeBase64, type Luks2Keyslot, type Luks2Metadata, type Luks2Segment, MOST_SLOTS, u64 } from './luks2-metadata.ts';
import { areaBytes, CHEAP, digestOf, isKeyOf, type Luks2Cost, newSecret, sealSlot, unlock, wipe } from './luks2-slot.ts';
import { type Luks2Header, type Luks2Settings, readLuks2, writeLuks2 } from './luks2-store.ts';
import { deriveKey, readRecord, recordBytes, type ReencryptPlan, writeRecord } from './reencrypt-record.ts';
import { reencryptingDisk, type Reencryption } from './reencrypting-disk.ts';
import type { KeySource, SectorCipher } from './sector-cipher.ts';

const REQUIREMENT = 'vm-reencrypt';
const KIND = 'vm-reencrypt';

interface WorkSlot extends Luks2Keyslot {
  readonly disk_size: string;
  readonly zone_size: string;
  /** The old key, under one that comes from the new one. */
  readonly wrapped: string;
}

/** How a disk is to be encrypted from now on. */
export interface RekeyOptions {
  readonly ciphers: CipherRegistry;
  /** Opens it as it is. */
  readonly keys: KeySource;
  /** The secret that opens it from now on; all others are gone and can be added again. */
  readonly newKeys: KeySource;
  /** Default: as it was. */
  readonly cipher?: string;
  readonly keyBits?: number;
  readonly sectorBytes?: 512 | 1024 | 2048 | 4096;
  readonly cost?: Luks2Cost;
  /** What is moved at once. Default: as the disk makes room, or 1 MiB. */
  readonly zoneBytes?: number;
}

export function isUnderWay({ config }: Luks2Metadata): boolean {
  return config.requirements?.mandatory?.includes(REQUIREMENT) === true;
}

/** What is moved at once: as much as the disk makes room for, so that no zone shares that with another. */
function zoneOf(disk: string, below: Pick<MappedDisk, 'allocationBytes'>, dataAt: number, sectorBytes: number, asked: number | undefined): number {
  const unit = below.allocationBytes ?? sectorBytes;
  const zone = Math.ceil((asked ?? Math.max(unit, 1 << 20)) / Math.max(unit, sectorBytes)) * Math.max(unit, sectorBytes);
  if (below.allocationBytes !== null && (dataAt % unit !== 0 || zone % unit !== 0)) throw new CryptError(disk, 'request', `blocks of ${unit} bytes, and data at ${dataAt} within one; copy it (convert)`);
  return zone;
}

/** Adds the work to a header, and its first record. */
async function addWork(bytes: ContainerBytes, header: Luks2Header, settings: Luks2Settings, plan: ReencryptPlan, key: Uint8Array, wrapped: string): Promise<Luks2Metadata> {
  const size = recordBytes(plan);
  const at = freeArea(header, size);
  const id = freeSlot(header.metadata);
  if (at === null || id === null) throw new CryptError(bytes.name, 'request', `the header has no room for records of ${size} bytes; fewer secrets or smaller zones make some`);
  const recordKey = await deriveKey(settings.math, key, 'reencrypt record');
  try {
    await bytes.write(at, new Uint8Array(size));
    await writeRecord(bytes, at, plan, { sequence: 1, watermark: 0, zone: null }, settings.math, recordKey);
    await bytes.flush();
  } finally {
    recordKey.fill(0);
  }
  const work: WorkSlot = {
    type: KIND, key_size: 1, area: { type: 'raw', offset: String(at), size: String(size) },
    disk_size: String(plan.diskBytes), zone_size: String(plan.zoneBytes), wrapped,
  };
  const { metadata } = header;
  const mandatory = [...(metadata.config.requirements?.mandatory ?? []), REQUIREMENT];
  return { ...metadata, keyslots: { ...metadata.keyslots, [id]: work }, config: { ...metadata.config, requirements: { mandatory } } };
}

/** Takes the work out of a header again. */
function withoutWork(metadata: Luks2Metadata): Luks2Metadata {
  const { requirements, ...config } = metadata.config;
  const mandatory = (requirements?.mandatory ?? []).filter((name) => name !== REQUIREMENT);
  const keyslots = Object.fromEntries(Object.entries(metadata.keyslots).filter(([, { type }]) => type !== KIND));
  const segments = Object.fromEntries(Object.entries(metadata.segments).filter(([, { flags }]) => flags?.includes('backup-previous') !== true));
  const digests = Object.fromEntries(Object.entries(metadata.digests).map(([id, one]) => [id, { ...one, segments: one.segments.filter((name) => segments[name] !== undefined) }] as const).filter(([, one]) => one.segments.length > 0));
  return { ...metadata, keyslots, segments, digests, config: { ...config, ...(mandatory.length === 0 ? {} : { requirements: { mandatory } }) } };
}

/** Gives a disk another key: from here on only the new secret opens it, and whoever opens it can go on. */
export async function startRekey(bytes: ContainerBytes, below: Pick<MappedDisk, 'allocationBytes' | 'bytes'>, settings: Luks2Settings, options: RekeyOptions): Promise<void> {
  const { ciphers } = options;
  const header = await readLuks2(bytes, settings);
  const { metadata, copy } = header;
  const { segment, digest: digestId } = onlySegment(bytes.name, metadata);
  const unlocked = await unlock(bytes, copy.uuid, metadata, settings, ciphers, options.keys, [digestId]);
  const { key: oldKey } = unlocked.get(digestId)!;
  const key = randomBytes(options.keyBits === undefined ? oldKey.length : options.keyBits / 8);
  const sectorBytes = options.sectorBytes ?? (segment.sector_size as 512);
  const encryption = options.cipher ?? segment.encryption!;
  try {
    await (await ciphers.create(bytes.name, encryption, key, sectorBytes)).cipher.close();
    const dataAt = Number(segment.offset);
    const largest = Math.max(sectorBytes, segment.sector_size!);
    const diskBytes = Math.floor((below.bytes - dataAt) / largest) * largest;
    if (diskBytes !== Math.floor((below.bytes - dataAt) / segment.sector_size!) * segment.sector_size!) throw new CryptError(bytes.name, 'request', `its size is no multiple of ${sectorBytes} bytes`);
    const plan: ReencryptPlan = { diskBytes, dataAt, zoneBytes: zoneOf(bytes.name, below, dataAt, largest, options.zoneBytes) };
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

/** The last step: the header forgets the old key and the work, and is again one that others know. */
export async function finishRekey(bytes: ContainerBytes, settings: Luks2Settings): Promise<void> {
  const header = await readLuks2(bytes, settings);
  const { work } = planOf(bytes.name, header.metadata);
  await writeLuks2(bytes, header, withoutWork(header.metadata), settings);
  await bytes.write(Number(work.area.offset), randomBytes(Number(work.area.size)));
  await bytes.flush();
}

function onlySegment(disk: string, metadata: Luks2Metadata): { readonly segment: Luks2Segment; readonly digest: string } {
  const [[id, segment] = [] as never, ...others] = Object.entries(metadata.segments);
  const digest = Object.keys(metadata.digests).find((one) => metadata.digests[one]!.segments.includes(id!));
  if ((metadata.config.requirements?.mandatory ?? []).length > 0 || others.length > 0 || segment?.type !== 'crypt' || segment.integrity !== undefined || segment.size !== 'dynamic' || digest === undefined) throw new CryptError(disk, 'request', 'only a disk of one encrypted segment is changed in place; copy it (convert)');
  return { segment, digest };
}

/** What lies in the work of a header, when it makes sense. */
function planOf(disk: string, metadata: Luks2Metadata): { readonly plan: ReencryptPlan; readonly work: WorkSlot } {
  const work = Object.values(metadata.keyslots).find(({ type }) => type === KIND) as WorkSlot | undefined;
  const segment = metadata.segments[0];
  const [diskBytes, zoneBytes, dataAt] = [u64(work?.disk_size), u64(work?.zone_size), u64(segment?.offset)];
  if (work === undefined || segment?.type !== 'crypt' || diskBytes === null || zoneBytes === null || dataAt === null || typeof work.wrapped !== 'string' || zoneBytes < 512 || zoneBytes > 64 << 20 || zoneBytes % 512 !== 0) throw new CryptError(disk, 'header', 'LUKS2 header: a re-encryption that makes no sense');
  const plan = { diskBytes, zoneBytes, dataAt };
  if (u64(work.area.size)! < recordBytes(plan)) throw new CryptError(disk, 'header', 'LUKS2 header: a re-encryption without room for its records');
  return { plan, work };
}

/** Opens a disk that is being re-encrypted: it can be used, and `reencryption` goes on with it. */
export async function openUnderWay(bytes: ContainerBytes, header: Luks2Header, settings: Luks2Settings, ciphers: CipherRegistry, keys: KeySource, keySlots: ContainerFacts['keySlots']): Promise<OpenedContainer> {
  const { metadata, copy } = header;
  const { plan, work } = planOf(bytes.name, metadata);
  const [next, previous] = [metadata.segments[0]!, metadata.segments[1]];
  const digest = Object.keys(metadata.digests).find((id) => metadata.digests[id]!.segments.includes('0'));
  const oldDigest = Object.keys(metadata.digests).find((id) => metadata.digests[id]!.segments.includes('1'));
  if (digest === undefined || oldDigest === undefined || previous?.type !== 'crypt' || previous.offset !== next.offset) throw new CryptError(bytes.name, 'header', 'LUKS2 header: a re-encryption that makes no sense');
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
    const oldKey = await unwrapKey(bytes.name, settings, ciphers, key, decodeBase64(work.wrapped));
    const isOld = await isKeyOf(bytes.name, metadata.digests[oldDigest]!, settings, oldKey);
    if (!isOld) throw new CryptError(bytes.name, 'header', 'LUKS2 header: the key before is damaged');
    const old = await make(previous, oldKey);
    oldKey.fill(0);
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
        if (below.bytes < plan.dataAt + plan.diskBytes) throw new CryptError(bytes.name, 'header', 'it is being re-encrypted, and its image is cut off');
        const [before, after] = [encryptedDisk(bytes.name, below, old, rest), encryptedDisk(bytes.name, below, crypt, rest)];
        const made = reencryptingDisk(bytes.name, { plan, record, header: bytes, recordAt: Number(work.area.offset), recordKey, math: settings.math, before, after, cipher: crypt.cipher, below });
        await made.recover();
        reencryption = made.reencryption;
        return made.disk;
      },
    };
  } catch (error) {
    for (const cipher of closing) await cipher.close();
    throw error;
  } finally {
    wipe(unlocked);
  }
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
  const old = sector.slice(1, 1 + sector[0]!);
  sector.fill(0);
  return old;
}

async function wrappingCipher(disk: string, { math }: Luks2Settings, ciphers: CipherRegistry, key: Uint8Array): Promise<SectorCipher> {
  const wrapping = new Uint8Array(64);
  wrapping.set(await deriveKey(math, key, 'reencrypt wrap data'));
  wrapping.set(await deriveKey(math, key, 'reencrypt wrap tweak'), 32);
  const { cipher } = await ciphers.create(disk, 'aes-xts-plain64', wrapping, 512);
  wrapping.fill(0);
  return cipher;
}

function freeSlot({ keyslots }: Luks2Metadata): number | null {
  for (let id = 0; id < MOST_SLOTS; id++) if (keyslots[id] === undefined) return id;
  return null;
}
