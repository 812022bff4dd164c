// LUKS2 with dm-integrity below, as `cryptsetup luksFormat --integrity` makes it.
import type { CipherRegistry } from './cipher-registry.ts';
import type { ContainerBytes, ContainerFacts, OpenedContainer } from './container.ts';
import { CryptError } from './crypt-error.ts';
import { openIntegrityDisk } from './integrity-disk.ts';
import { parseSuperblock, SUPERBLOCK_BYTES } from './integrity-layout.ts';
import { type Luks2Segment, printable, u64 } from './luks2-metadata.ts';
import type { SealedSectors, SectorCipher } from './sector-cipher.ts';
import { gcmSectors, hmacSectors } from './web-sealed.ts';

const MAC_KEY_BYTES = 32;

/** What the guest sees of an image; 0 when its superblock says nothing that can be. */
export async function integrityDataBytes(bytes: ContainerBytes, { offset }: Luks2Segment): Promise<number> {
  const block = new Uint8Array(SUPERBLOCK_BYTES);
  const at = Number(offset);
  if (at + block.length > bytes.bytes) return 0;
  await bytes.read(at, block);
  const layout = parseSuperblock(block, bytes.bytes - at);
  return typeof layout === 'string' ? 0 : layout.dataSectors * 512;
}

export async function openIntegrity(disk: string, segment: Luks2Segment, key: Uint8Array, ciphers: CipherRegistry, facts: Omit<ContainerFacts, 'engine'>): Promise<OpenedContainer> {
  const { integrity, sector_size: sectorBytes = 512, encryption = '' } = segment;
  const what = `${encryption} with ${integrity?.type ?? ''}`;
  if (segment.size !== 'dynamic' || u64(segment.iv_tweak) !== 0) throw new CryptError(disk, 'header', 'LUKS2 header: a segment with integrity that is not the whole disk');
  if (integrity?.journal_encryption !== 'none' || integrity.journal_integrity !== 'none') throw new CryptError(disk, 'cipher', 'a journal of dm-integrity with keys of its own');
  let sectors: SealedSectors;
  let engine = 'web';
  if (encryption === 'aes-gcm-random' && integrity.type === 'aead' && [16, 32].includes(key.length)) sectors = await gcmSectors(disk, key, sectorBytes);
  else if (integrity.type === 'hmac(sha256)' && encryption.endsWith('-plain64') && key.length > MAC_KEY_BYTES) {
    const made = await ciphers.create(disk, encryption, key.subarray(0, key.length - MAC_KEY_BYTES), sectorBytes);
    engine = made.engine;
    sectors = await hmacSectors(disk, made.cipher, key.slice(key.length - MAC_KEY_BYTES), sectorBytes);
  } else throw new CryptError(disk, 'cipher', printable(what));
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
