import type { CipherRegistry } from './cipher-registry.ts';
import type { ContainerBytes, ContainerFacts, ContainerModule, ContainerOptions, OpenedContainer } from './container.ts';
import { CryptError } from './crypt-error.ts';
import { isLuks2 } from './luks2-header.ts';
import { integrityDataBytes, openIntegrity } from './luks2-integrity.ts';
import { diskSegments, type Luks2Metadata, type Luks2Segment, printable, u64 } from './luks2-metadata.ts';
import { openSealed, SEALED, sealedDataBytes } from './luks2-sealed.ts';
import { type UnlockedKey, unlock, wipe } from './luks2-slot.ts';
import { type Luks2Header, type Luks2Settings, readLuks2, writeLuks2 } from './luks2-store.ts';
import { openUnderWay } from './reencrypt.ts';
import { isUnderWay } from './reencrypt-work.ts';
import type { KeySource, SectorCipher } from './sector-cipher.ts';

export interface Luks2Options extends Luks2Settings {
  /** Where the header is when it is not before the data. */
  readonly header?: ContainerBytes;
}

/** LUKS version 2, which cryptsetup, Linux and GRUB open too. */
export function luks2(options: Luks2Options): ContainerModule {
  const { header: detached } = options;
  const read = (bytes: ContainerBytes): Promise<Luks2Header> => readLuks2(detached ?? bytes, options, detached === undefined ? undefined : bytes.bytes);
  return {
    id: 'luks2',
    probe: (first) => detached === undefined && isLuks2(first),
    search: (bytes) => read(bytes).then(() => true, () => false),
    identify: async (bytes) => (await read(bytes)).copy.uuid,
    async open(bytes, { ciphers, keys }) {
      const header = await read(bytes);
      const place = detached ?? bytes;
      if (isUnderWay(header.metadata) && detached === undefined) return openUnderWay(bytes, header, options, ciphers, keys, slotFacts(header.metadata));
      const segments = diskSegments(header.metadata);
      const isSealed = segments.length === 1 && segments[0]!.segment.integrity?.type === SEALED;
      refuseRequirements(bytes.name, header.metadata, isSealed ? [SEALED] : []);
      const digests = segmentDigests(bytes.name, header.metadata);
      const unlocked = await unlock({ ...place, name: bytes.name }, header.copy.uuid, header.metadata, options, ciphers, keys, [...new Set(digests.values())]);
      try {
        const [{ id: first, segment } = { id: '', segment: null }] = segments;
        const only = segments.length === 1 && segment?.integrity !== undefined ? { segment, key: unlocked.get(digests.get(first)!)!.key } : null;
        const opened = only !== null ? await openProved(bytes.name, only, ciphers, options) : await openSegments(bytes.name, segments.map(({ id, segment }) => ({ segment, key: unlocked.get(digests.get(id)!)!.key })), ciphers);
        // Whoever can open it may have it mended.
        if (place.writable === true && header.problems.some((problem) => problem !== null)) await writeLuks2(place, header, header.metadata, options);
        return { ...opened, facts: { ...opened.facts, uuid: header.copy.uuid, keySlots: slotFacts(header.metadata) } };
      } finally {
        wipe(unlocked);
      }
    },
  };
}

/** Which digest proves the key of each segment of the disk. */
export function segmentDigests(disk: string, metadata: Luks2Metadata): ReadonlyMap<string, string> {
  const digests = new Map<string, string>();
  for (const { id, segment } of diskSegments(metadata)) {
    // The header proves nothing of itself: with a segment that is not encrypted, somebody could have the guest's data in the clear.
    if (segment.type !== 'crypt') throw new CryptError(disk, 'header', `LUKS2 header: segment ${id} is of the kind ${printable(segment.type)}`);
    const digest = Object.keys(metadata.digests).find((one) => metadata.digests[one]!.segments.includes(id));
    if (digest === undefined) throw new CryptError(disk, 'header', `LUKS2 header: nothing proves the key of segment ${id}`);
    digests.set(id, digest);
  }
  if (digests.size === 0) throw new CryptError(disk, 'header', 'LUKS2 header: there is no segment');
  return digests;
}

/** What a reader has to know of to leave the data as it is. */
export function refuseRequirements(disk: string, { config }: Luks2Metadata, known: readonly string[]): void {
  for (const name of config.requirements?.mandatory ?? []) {
    if (known.includes(name)) continue;
    const why = name.startsWith('online-reencrypt') || name.startsWith('offline-reencrypt') ? 'it is being re-encrypted by cryptsetup, which has to finish that (cryptsetup reencrypt --resume-only)' : `it requires ${printable(name)}, which is not known here`;
    throw new CryptError(disk, 'header', `LUKS2 header: ${why}`);
  }
}

interface SegmentKey {
  readonly segment: Luks2Segment;
  readonly key: Uint8Array;
}
interface SegmentCipher {
  readonly begin: number;
  readonly end: number;
  /** Of the first sector, in units of 512 bytes. */
  readonly number: number;
  readonly cipher: SectorCipher;
}

/** Segments one after the other are one range, whose cipher is that of the segment where a sector lies. */
async function openSegments(disk: string, segments: readonly SegmentKey[], ciphers: CipherRegistry): Promise<OpenedContainer> {
  const dataAt = Number(segments[0]!.segment.offset);
  const parts: SegmentCipher[] = [];
  const sectorBytes = Math.max(...segments.map(({ segment }) => segment.sector_size!));
  let engine = '';
  let begin = 0;
  try {
    for (const [i, { segment, key }] of segments.entries()) {
      const size = segment.size === 'dynamic' ? Infinity : Number(segment.size);
      if (Number(segment.offset) !== dataAt + begin || (size === Infinity && i < segments.length - 1)) throw new CryptError(disk, 'header', `LUKS2 header: segment ${i} does not follow the one before it`);
      if (begin % sectorBytes !== 0) throw new CryptError(disk, 'header', `LUKS2 header: segment ${i} begins within a sector`);
      if (segment.integrity !== undefined) throw new CryptError(disk, 'cipher', `LUKS2 header: integrity by ${printable(segment.integrity.type)} beside other segments`);
      const made = await ciphers.create(disk, segment.encryption!, key, segment.sector_size!);
      engine = made.engine;
      parts.push({ begin: begin / 512, end: (begin + size) / 512, number: u64(segment.iv_tweak)!, cipher: made.cipher });
      begin += size;
    }
  } catch (error) {
    for (const { cipher } of parts) await cipher.close();
    throw error;
  }
  const facts: ContainerFacts = { ...factsOf(segments[0]!.segment, segments[0]!.key), engine, sectorBytes };
  const only = parts[0]!;
  return { facts, dataAt, ...(begin === Infinity ? {} : { dataBytes: begin }), cipher: parts.length === 1 && only.number === 0 ? only.cipher : joined(parts) };
}

/** Sectors that are proved: sealed ones, or with dm-integrity below. */
function openProved(disk: string, { segment, key }: SegmentKey, ciphers: CipherRegistry, { math }: Luks2Options): Promise<OpenedContainer> {
  const facts = factsOf(segment, key);
  return segment.integrity?.type === SEALED ? openSealed(disk, segment, key, ciphers, math, facts) : openIntegrity(disk, segment, key, ciphers, facts);
}

function factsOf({ encryption = '', sector_size: sectorBytes = 512 }: Luks2Segment, key: Uint8Array): Omit<ContainerFacts, 'engine'> {
  return { container: 'luks2', cipher: encryption, keyBits: key.length * 8, sectorBytes, uuid: null, keySlots: [] };
}

function joined(parts: readonly SegmentCipher[]): SectorCipher {
  const run = async (kind: 'encrypt' | 'decrypt', from: Uint8Array, into: Uint8Array, firstSector: number): Promise<void> => {
    for (const { begin, end, number, cipher } of parts) {
      const first = Math.max(begin, firstSector);
      const last = Math.min(end, firstSector + from.length / 512);
      if (last <= first) continue;
      const [low, high] = [(first - firstSector) * 512, (last - firstSector) * 512];
      await cipher[kind](from.subarray(low, high), into.subarray(low, high), first - begin + number);
    }
  };
  return {
    encrypt: (from, into, firstSector) => run('encrypt', from, into, firstSector),
    decrypt: (from, into, firstSector) => run('decrypt', from, into, firstSector),
    async close() {
      for (const { cipher } of parts) await cipher.close();
    },
  };
}

/** Key slots in use, without any secret. */
export function slotFacts({ keyslots, tokens }: Luks2Metadata): ContainerFacts['keySlots'] {
  return Object.entries(keyslots).filter(([, { type }]) => type === 'luks2').map(([id, { kdf }]) => {
    const token = Object.values(tokens).find((one) => one.keyslots.includes(id))?.type;
    return {
      slot: Number(id),
      iterations: kdf?.iterations ?? kdf?.time ?? 0,
      kdf: kdf?.type ?? '',
      ...(kdf?.memory === undefined ? {} : { memoryKib: kdf.memory }),
      ...(token === undefined ? {} : { token }),
    };
  }).sort((a, b) => a.slot - b.slot);
}

/** What can be known of a container without any key. */
export interface Luks2Facts {
  readonly cipher: string;
  readonly keyBits: number;
  readonly hash: string;
  readonly uuid: string;
  readonly label: string;
  readonly sectorBytes: number;
  readonly dataAt: number;
  /** What the guest sees, where that is less than what lies there. */
  readonly dataBytes?: number;
  readonly keySlots: ContainerFacts['keySlots'];
  readonly requirements: readonly string[];
  /** Of the two copies of the header. */
  readonly problems: readonly (string | null)[];
}

export async function readLuks2Facts(bytes: ContainerBytes, settings: Luks2Settings, detachedBytes?: number): Promise<Luks2Facts> {
  const { copy, metadata, problems } = await readLuks2(bytes, settings, detachedBytes);
  const first = diskSegments(metadata)[0]?.segment;
  const slots = Object.values(metadata.keyslots).filter(({ type }) => type === 'luks2');
  return {
    cipher: first?.encryption ?? '', keyBits: (slots[0]?.key_size ?? 0) * 8, hash: slots[0]?.af?.hash ?? '', uuid: copy.uuid, label: copy.label, sectorBytes: first?.sector_size ?? 512,
    dataAt: Number(first?.offset ?? 0), keySlots: slotFacts(metadata), requirements: metadata.config.requirements?.mandatory ?? [], problems,
    ...(first?.integrity === undefined ? {} : { dataBytes: await (first.integrity.type === SEALED ? sealedDataBytes : integrityDataBytes)(bytes, first) }),
  };
}

/** The keys of a container's segments, for the caller to wipe. */
export async function unlockLuks2(bytes: ContainerBytes, header: Luks2Header, settings: Luks2Settings, { ciphers, keys }: ContainerOptions, only?: string): Promise<ReadonlyMap<string, UnlockedKey>> {
  return unlock(bytes, header.copy.uuid, header.metadata, settings, ciphers, keys as KeySource, [...new Set(segmentDigests(bytes.name, header.metadata).values())], only);
}
