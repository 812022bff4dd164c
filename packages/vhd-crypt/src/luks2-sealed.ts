// Sealed sectors in a LUKS2 container: a segment that names the cipher and the kind, and a requirement, so that nobody who does not
// know it touches the data.
import { asciiBytes } from './big-endian.ts';
import type { CipherRegistry } from './cipher-registry.ts';
import type { ContainerBytes, ContainerFacts, OpenedContainer } from './container.ts';
import { CryptError } from './crypt-error.ts';
import { hmacSha256, type KeyMath } from './key-math.ts';
import type { Luks2Segment } from './luks2-metadata.ts';
import { openSealedDisk, type SealedDisk } from './sealed-disk.ts';
import { FEWEST_PARTS, JOURNAL_PARTS, sealedLayout, SECTOR_BYTES } from './sealed-layout.ts';
import type { SectorCipher } from './sector-cipher.ts';

/** The requirement, and the type of integrity of the segment. */
export const SEALED = 'vm-sealed';

export function sealedSegment(encryption: string, dataAt: number, journalBytes: number): Luks2Segment {
  return { type: 'crypt', offset: String(dataAt), size: 'dynamic', iv_tweak: '0', encryption, sector_size: SECTOR_BYTES, integrity: { type: SEALED, journal_encryption: 'none', journal_integrity: 'hmac(sha256)', journal_bytes: String(journalBytes), journal_parts: String(JOURNAL_PARTS) } };
}

interface Journal {
  readonly journalBytes: number;
  readonly parts: number;
}

function journalOf({ integrity }: Luks2Segment): Journal {
  return { journalBytes: Number(integrity?.journal_bytes), parts: Number(integrity?.journal_parts ?? FEWEST_PARTS) };
}

/** What the guest sees of an image. */
export async function sealedDataBytes({ bytes }: ContainerBytes, segment: Luks2Segment): Promise<number> {
  const { journalBytes, parts } = journalOf(segment);
  return (sealedLayout(bytes - Number(segment.offset), journalBytes, parts)?.sectors ?? 0) * SECTOR_BYTES;
}

export async function openSealed(disk: string, segment: Luks2Segment, key: Uint8Array, ciphers: CipherRegistry, math: KeyMath, facts: Omit<ContainerFacts, 'engine'>): Promise<OpenedContainer> {
  const journal = journalOf(segment);
  const dataAt = Number(segment.offset);
  if (segment.size !== 'dynamic' || segment.sector_size !== SECTOR_BYTES || !Number.isSafeInteger(journal.journalBytes)) throw new CryptError(disk, 'header', 'LUKS2 header: sealed sectors that are none');
  // The key of the container is used for nothing itself, so that it opens no data under another name.
  const [dataKey, journalKey] = await Promise.all(['data', 'journal'].map((what) => hmacSha256(math, key, asciiBytes(`${SEALED} ${what}`)))) as [Uint8Array, Uint8Array];
  const { engine, sectors } = await ciphers.createSealed(disk, segment.encryption!, dataKey, SECTOR_BYTES);
  dataKey.fill(0);
  let opened: SealedDisk | null = null;
  const refuse = (): Promise<never> => Promise.reject(new CryptError(disk, 'request', 'its sectors are sealed, and no single range'));
  const cipher: SectorCipher = {
    encrypt: refuse,
    decrypt: refuse,
    async close() {
      try {
        await opened?.end();
      } finally {
        opened = null;
        journalKey.fill(0);
        await sectors.close();
      }
    },
  };
  return {
    facts: { ...facts, engine },
    dataAt,
    cipher,
    async makeDisk(below, { parent, root }) {
      if (parent !== undefined) throw new CryptError(disk, 'request', 'sealed sectors over a parent with another key');
      opened = await openSealedDisk({ name: disk, below, at: dataAt, ...journal, cipher: sectors, math, journalKey, ...(root === undefined ? {} : { root }) });
      return opened;
    },
    root: () => (opened === null ? refuse() : opened.root()),
  };
}
