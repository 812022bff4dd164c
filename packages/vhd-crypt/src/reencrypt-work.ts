// What a header of LUKS2 says while its disk is encrypted anew in place. It requires `vm-reencrypt` then, so other programs leave the
// disk alone; before and after it is what they know. The work is a key slot of a kind of its own, whose area holds the records.
import type { ContainerBytes } from './container.ts';
import { CryptError } from './crypt-error.ts';
import type { MappedDisk } from './extent.ts';
import { randomBytes } from './key-math.ts';
import { type AreaHeader, freeArea } from './luks2-area.ts';
import { isBase64, type Luks2Keyslot, type Luks2Metadata, type Luks2Segment, MOST_SLOTS, printable, u64 } from './luks2-metadata.ts';
import { type Luks2Settings, readLuks2, writeLuks2 } from './luks2-store.ts';
import { deriveKey, recordBytes, type ReencryptMode, type ReencryptPlan, writeRecord } from './reencrypt-record.ts';

const REQUIREMENT = 'vm-reencrypt';
const KIND = 'vm-reencrypt';

export interface WorkSlot extends Luks2Keyslot {
  /** Absent: `rekey`. */
  readonly mode?: ReencryptMode;
  readonly disk_size: string;
  readonly zone_size: string;
  /** `rekey`: the old key, under one that comes from the new one. */
  readonly wrapped?: string;
}

export function isUnderWay({ config }: Luks2Metadata): boolean {
  return config.requirements?.mandatory?.includes(REQUIREMENT) === true;
}

/** What is moved at once: as much as the disk makes room for, so that no zone shares that with another. */
export function zoneOf(disk: string, below: Pick<MappedDisk, 'allocationBytes'>, dataAt: number, sectorBytes: number, asked: number | undefined): number {
  const unit = below.allocationBytes ?? sectorBytes;
  const zone = Math.ceil((asked ?? Math.max(unit, 1 << 20)) / Math.max(unit, sectorBytes)) * Math.max(unit, sectorBytes);
  if (below.allocationBytes !== null && (dataAt % unit !== 0 || zone % unit !== 0)) throw new CryptError(disk, 'request', `blocks of ${unit} bytes, and data at ${dataAt} within one; copy it (convert)`);
  return zone;
}

/** Adds the work to a header, and its first record. */
export async function addWork(bytes: ContainerBytes, header: AreaHeader, settings: Luks2Settings, plan: ReencryptPlan, key: Uint8Array, wrapped?: string): Promise<Luks2Metadata> {
  const size = recordBytes(plan);
  const at = freeArea(header, size);
  const id = freeSlot(header.metadata);
  if (at === null || id === null) throw new CryptError(bytes.name, 'request', `the header has no room for records of ${size} bytes; fewer secrets or smaller zones make some`);
  const recordKey = await deriveKey(settings.math, key, 'reencrypt record');
  try {
    await bytes.write(at, new Uint8Array(size));
    await writeRecord(bytes, at, plan, { sequence: 1, watermark: plan.mode === 'encrypt' ? plan.diskBytes : 0, zone: null }, settings.math, recordKey);
    await bytes.flush();
  } finally {
    recordKey.fill(0);
  }
  const work: WorkSlot = {
    type: KIND, key_size: 1, area: { type: 'raw', offset: String(at), size: String(size) },
    mode: plan.mode, disk_size: String(plan.diskBytes), zone_size: String(plan.zoneBytes), ...(wrapped === undefined ? {} : { wrapped }),
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

export function onlySegment(disk: string, metadata: Luks2Metadata): { readonly segment: Luks2Segment; readonly digest: string } {
  const [[id, segment] = [] as never, ...others] = Object.entries(metadata.segments);
  const digest = Object.keys(metadata.digests).find((one) => metadata.digests[one]!.segments.includes(id!));
  if (segment?.integrity !== undefined) throw new CryptError(disk, 'request', `its sectors are proved by ${printable(segment.integrity.type)}, and work in place changes ciphertext alone, not what is kept beside it; copy it (convert)`);
  if ((metadata.config.requirements?.mandatory ?? []).length > 0 || others.length > 0 || segment?.type !== 'crypt' || segment.size !== 'dynamic' || digest === undefined) throw new CryptError(disk, 'request', 'only a disk of one encrypted segment is changed in place; copy it (convert)');
  return { segment, digest };
}

/** What lies in the work of a header, when it makes sense. */
export function planOf(disk: string, metadata: Luks2Metadata): { readonly plan: ReencryptPlan; readonly work: WorkSlot } {
  const work = Object.values(metadata.keyslots).find(({ type }) => type === KIND) as WorkSlot | undefined;
  const segment = metadata.segments[0];
  const [diskBytes, zoneBytes, dataAt] = [u64(work?.disk_size), u64(work?.zone_size), u64(segment?.offset)];
  const mode = work?.mode ?? 'rekey';
  if (work === undefined || segment?.type !== 'crypt' || diskBytes === null || zoneBytes === null || dataAt === null || !['rekey', 'encrypt', 'decrypt'].includes(mode) || (mode === 'rekey' ? !isBase64(work.wrapped) : work.wrapped !== undefined) || zoneBytes < 512 || zoneBytes > 64 << 20 || zoneBytes % 512 !== 0) throw new CryptError(disk, 'header', 'LUKS2 header: a re-encryption that makes no sense');
  const plan: ReencryptPlan = { mode, diskBytes, zoneBytes, dataAt };
  if (u64(work.area.size)! < recordBytes(plan) || (mode !== 'rekey' && zoneBytes > dataAt)) throw new CryptError(disk, 'header', 'LUKS2 header: a re-encryption without room for its records');
  return { plan, work };
}

export function freeSlot({ keyslots }: Luks2Metadata): number | null {
  for (let id = 0; id < MOST_SLOTS; id++) if (keyslots[id] === undefined) return id;
  return null;
}

/** The last step: the header forgets the old key and the work, and is again one that others know. */
export async function finishWork(bytes: ContainerBytes, settings: Luks2Settings): Promise<void> {
  const header = await readLuks2(bytes, settings);
  const { work } = planOf(bytes.name, header.metadata);
  await writeLuks2(bytes, header, withoutWork(header.metadata), settings);
  await bytes.write(Number(work.area.offset), randomBytes(Number(work.area.size)));
  await bytes.flush();
}

