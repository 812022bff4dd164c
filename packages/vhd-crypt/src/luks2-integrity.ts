// LUKS2 with dm-integrity below, as `cryptsetup luksFormat --integrity` makes it.
import type { CipherRegistry } from './cipher-registry.ts';
import type { ContainerBytes, ContainerFacts, OpenedContainer } from './container.ts';
import { CryptError } from './crypt-error.ts';
import { openIntegrityDisk } from './integrity-disk.ts';
import { emptyIntegrityJournal } from './integrity-journal.ts';
import { integrityBytes, makeSuperblock, parseSuperblock, SUPERBLOCK_BYTES } from './integrity-layout.ts';
import { type Luks2Segment, printable, u64 } from './luks2-metadata.ts';
import type { SealedSectors, SectorCipher } from './sector-cipher.ts';
import { gcmSectors, hmacSectors } from './web-sealed.ts';

/** How sectors are proved, by the names of cryptsetup: a cipher with an HMAC beside it, or one that proves them itself. */
export type IntegrityType = 'hmac(sha256)' | 'aead';

const MAC_KEY_BYTES = 32;
const RECORD_BYTES = { 'hmac(sha256)': 32, aead: 28 } as const;

/** A segment of a new disk. */
export function integritySegment(encryption: string, dataAt: number, sectorBytes: number, type: IntegrityType): Luks2Segment {
  return { type: 'crypt', offset: String(dataAt), size: 'dynamic', iv_tweak: '0', encryption, sector_size: sectorBytes, integrity: { type, journal_encryption: 'none', journal_integrity: 'none' } };
}

/** Of the key of a container, for a cipher with keys of so many bits. */
export function integrityKeyBits(type: IntegrityType, cipherBits: number): number {
  return type === 'aead' ? 256 : cipherBits + 8 * MAC_KEY_BYTES;
}

/** What a disk of so many bytes takes, tags and all. */
export function integritySpace(diskBytes: number, sectorBytes: number, type: IntegrityType): number {
  return integrityBytes(diskBytes, sectorBytes, RECORD_BYTES[type]);
}

/** Refuses what nobody can prove sectors with. */
export async function checkIntegrity(disk: string, segment: Luks2Segment, key: Uint8Array, ciphers: CipherRegistry): Promise<void> {
  await (await sectorsOf(disk, segment, key, ciphers)).sectors.close();
}

/** Makes what dm-integrity wants behind the header, and stores zeros in every sector: one without a tag that fits is refused. */
export async function makeIntegrity(bytes: ContainerBytes, segment: Luks2Segment, key: Uint8Array, ciphers: CipherRegistry): Promise<void> {
  const [at, sectorBytes] = [Number(segment.offset), segment.sector_size!];
  const block = makeSuperblock(bytes.bytes - at, sectorBytes, RECORD_BYTES[segment.integrity!.type as IntegrityType]);
  const layout = block === null ? 'nothing' : parseSuperblock(block, bytes.bytes - at);
  if (block === null || typeof layout === 'string') throw new CryptError(bytes.name, 'request', `${bytes.bytes} bytes are too few for sectors with tags`);
  await emptyIntegrityJournal(bytes, at, layout);
  await bytes.write(at, block);
  const { sectors } = await sectorsOf(bytes.name, segment, key, ciphers);
  try {
    const disk = await openIntegrityDisk(bytes.name, { ...bytes, writable: true, read: (from, into) => bytes.read(from, into), write: (from, data) => bytes.write(from, data), flush: () => bytes.flush() }, at, sectorBytes, sectors);
    await disk.writeZeroes(0, disk.bytes);
    await disk.flush();
  } finally {
    await sectors.close();
  }
}

/** What the guest sees of an image; 0 when its superblock says nothing that can be. */
export async function integrityDataBytes(bytes: ContainerBytes, { offset }: Luks2Segment): Promise<number> {
  const block = new Uint8Array(SUPERBLOCK_BYTES);
  const at = Number(offset);
  if (at + block.length > bytes.bytes) return 0;
  await bytes.read(at, block);
  const layout = parseSuperblock(block, bytes.bytes - at);
  return typeof layout === 'string' ? 0 : layout.dataSectors * 512;
}

async function sectorsOf(disk: string, { integrity, sector_size: sectorBytes = 512, encryption = '' }: Luks2Segment, key: Uint8Array, ciphers: CipherRegistry): Promise<{ readonly engine: string; readonly sectors: SealedSectors }> {
  const type = integrity?.type ?? '';
  if (encryption === 'aes-gcm-random' && type === 'aead' && [16, 32].includes(key.length)) return { engine: 'web', sectors: await gcmSectors(disk, key, sectorBytes) };
  if (type !== 'hmac(sha256)' || !encryption.endsWith('-plain64') || key.length <= MAC_KEY_BYTES) throw new CryptError(disk, 'cipher', printable(`${encryption} with ${type}`));
  const made = await ciphers.create(disk, encryption, key.subarray(0, key.length - MAC_KEY_BYTES), sectorBytes);
  return { engine: made.engine, sectors: await hmacSectors(disk, made.cipher, key.slice(key.length - MAC_KEY_BYTES), sectorBytes) };
}

export async function openIntegrity(disk: string, segment: Luks2Segment, key: Uint8Array, ciphers: CipherRegistry, facts: Omit<ContainerFacts, 'engine'>): Promise<OpenedContainer> {
  const { integrity, sector_size: sectorBytes = 512, encryption = '' } = segment;
  if (segment.size !== 'dynamic' || u64(segment.iv_tweak) !== 0) throw new CryptError(disk, 'header', 'LUKS2 header: a segment with integrity that is not the whole disk');
  if (integrity?.journal_encryption !== 'none' || integrity.journal_integrity !== 'none') throw new CryptError(disk, 'cipher', 'a journal of dm-integrity with keys of its own');
  const { engine, sectors } = await sectorsOf(disk, segment, key, ciphers);
  const refuse = (): Promise<never> => Promise.reject(new CryptError(disk, 'request', 'its sectors have tags, and are no single range'));
  const cipher: SectorCipher = { encrypt: refuse, decrypt: refuse, close: () => sectors.close() };
  return {
    facts: { ...facts, engine, cipher: `${encryption}, ${integrity.type}` },
    dataAt: Number(segment.offset),
    cipher,
    async makeDisk(below, { parent }) {
      if (parent !== undefined) throw new CryptError(disk, 'request', 'sectors with tags over a parent with another key');
      return openIntegrityDisk(disk, below, Number(segment.offset), sectorBytes, sectors);
    },
  };
}
