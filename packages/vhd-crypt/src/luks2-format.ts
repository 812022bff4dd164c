import { type CipherRegistry, isSealed, longestKeyBits } from './cipher-registry.ts';
import type { ContainerBytes } from './container.ts';
import { CryptError } from './crypt-error.ts';
import { type KeyMath, randomBytes } from './key-math.ts';
import type { AreaHeader } from './luks2-area.ts';
import { encodeCopy } from './luks2-header.ts';
import type { Luks2Metadata, Luks2Segment } from './luks2-metadata.ts';
import { checkIntegrity, integrityKeyBits, integritySegment, type IntegrityType, makeIntegrity } from './luks2-integrity.ts';
import { SEALED, sealedSegment } from './luks2-sealed.ts';
import { areaBytes, CHEAP, digestOf, type Luks2Cost, newSecret, sealSlot } from './luks2-slot.ts';
import type { Luks2Settings } from './luks2-store.ts';
import { sealedLayout, usualJournal } from './sealed-layout.ts';
import type { KeySource } from './sector-cipher.ts';
import { makeUuid } from './uuid.ts';

export interface Luks2Format {
  readonly ciphers: CipherRegistry;
  readonly keys: KeySource;
  /** Default: aes-xts-plain64. */
  readonly cipher?: string;
  /** Of the whole key. Default: the longest that the cipher takes. */
  readonly keyBits?: number;
  /** Default: 4096. */
  readonly sectorBytes?: 512 | 1024 | 2048 | 4096;
  /** Default: argon2id, about a second here. */
  readonly cost?: Luks2Cost;
  /** Where the data begins, of an image whose header is before it. Default: 4 MiB. */
  readonly dataAt?: number;
  readonly label?: string;
  /** With tags that prove the sectors, as `cryptsetup luksFormat --integrity` makes it: `hmac(sha256)` with a cipher of dm-crypt, `aead` with aes-gcm-random. */
  readonly integrity?: IntegrityType;
  /** The data is somewhere else, from its beginning. */
  readonly detached?: boolean;
}

export const LUKS2_DATA_AT: number = 4 << 20;
const COPY = 0x4000;
const SLOTS_FILLED = 8;
const DEFAULT_MEMORY_KIB = 128 * 1024;
const LEAST_PASSES = 4;

/** Says something else in a new header too; it gets the key, which is wiped afterwards. */
export type Luks2Adapter = (header: AreaHeader, key: Uint8Array) => Promise<Luks2Metadata>;

/** Makes a container and gives its identity. What lay in the place of the header is gone. */
export async function formatLuks2(bytes: ContainerBytes, settings: Luks2Settings, format: Luks2Format, adapt?: Luks2Adapter): Promise<{ readonly uuid: string; readonly dataAt: number }> {
  const { keys, ciphers, integrity, cipher = integrity === 'aead' ? 'aes-gcm-random' : 'aes-xts-plain64', sectorBytes = 4096, label = '', detached = false } = format;
  const cipherBits = format.keyBits ?? longestKeyBits(ciphers, cipher);
  const keyBits = integrity === undefined ? cipherBits : integrityKeyBits(integrity, cipherBits);
  const dataAt = detached ? 0 : (format.dataAt ?? LUKS2_DATA_AT);
  const headerBytes = detached ? LUKS2_DATA_AT : dataAt;
  const [keyBytes, roomBytes] = [keyBits / 8, headerBytes - 2 * COPY];
  if (headerBytes % 4096 !== 0 || roomBytes < areaBytes(keyBytes)) throw new CryptError(bytes.name, 'request', `data at ${dataAt}, which leaves no room for a key slot`);
  if (!detached && bytes.bytes < dataAt + sectorBytes) throw new CryptError(bytes.name, 'request', `${bytes.bytes} bytes are too few for a container, whose header takes ${dataAt}`);
  const uuid = makeUuid();
  const { secret, token } = await newSecret(keys, { purpose: 'create', disk: bytes.name, uuid, attempt: 0 });
  const key = randomBytes(keyBytes);
  try {
    // Refuses what nobody can encrypt with, before anything is written.
    const sealed = isSealed(ciphers, cipher);
    if (sealed && (adapt !== undefined || detached)) throw new CryptError(bytes.name, 'request', 'sealed sectors are made new, with their header before them; copy a disk into such an image (convert)');
    if (integrity !== undefined && (sealed || adapt !== undefined || detached)) throw new CryptError(bytes.name, 'request', `sectors with tags (${integrity}) are made new, with their header before them and a cipher of dm-crypt; copy a disk into such an image (convert)`);
    const proved = integrity === undefined ? null : integritySegment(cipher, dataAt, sectorBytes, integrity);
    if (proved !== null) await checkIntegrity(bytes.name, proved, key, ciphers);
    else if (sealed) await (await ciphers.createSealed(bytes.name, cipher, key, sectorBytes)).sectors.close();
    else await (await ciphers.create(bytes.name, cipher, key, sectorBytes)).cipher.close();
    const cost = token === null ? (format.cost ?? (await costOfASecond(settings.math))) : CHEAP;
    // Nothing that could be taken for a header, first of all.
    await bytes.write(0, new Uint8Array(2 * COPY));
    // Material that nobody knows lies in these, so that it cannot be seen how many were ever used.
    const filled = Math.min(roomBytes, SLOTS_FILLED * areaBytes(keyBytes));
    for (let at = 0; at < filled; at += 1 << 20) await bytes.write(2 * COPY + at, randomBytes(Math.min(1 << 20, filled - at)));
    const slot = await sealSlot(bytes, settings, ciphers, key, secret, 2 * COPY, cost);
    const journalBytes = usualJournal(bytes.bytes - dataAt);
    if (sealed && sealedLayout(bytes.bytes - dataAt, journalBytes) === null) throw new CryptError(bytes.name, 'request', `${bytes.bytes} bytes are too few for sealed sectors`);
    if (proved !== null) await makeIntegrity(bytes, proved, key, ciphers);
    const segment: Luks2Segment = proved ?? (sealed ? sealedSegment(cipher, dataAt, journalBytes) : { type: 'crypt', offset: String(dataAt), size: 'dynamic', iv_tweak: '0', encryption: cipher, sector_size: sectorBytes });
    const metadata: Luks2Metadata = {
      keyslots: { 0: slot },
      tokens: token === null ? {} : { 0: { ...token, type: String(token['type']), keyslots: ['0'] } },
      segments: { 0: segment },
      digests: { 0: await digestOf(settings, key, ['0'], ['0']) },
      config: { json_size: String(COPY - 4096), keyslots_size: String(Math.floor(roomBytes / 4096) * 4096), ...(sealed ? { requirements: { mandatory: [SEALED] } } : {}) },
    };
    await writeCopies(bytes, settings.math, uuid, label, adapt === undefined ? metadata : await adapt({ metadata, copy: { bytes: COPY } }, key));
    return { uuid, dataAt };
  } finally {
    key.fill(0);
    secret.fill(0);
  }
}

/** The second copy first: until the first one is there, nobody takes the image for a container. */
export async function writeCopies(bytes: ContainerBytes, math: KeyMath, uuid: string, label: string, metadata: Luks2Metadata): Promise<void> {
  for (const at of [COPY, 0]) {
    const all = await encodeCopy({ bytes: COPY, sequence: 1, label, subsystem: '', uuid, salt: randomBytes(64), json: JSON.stringify(metadata) }, at, math);
    if (all === null) throw new CryptError(bytes.name, 'request', 'the header has no room for so much');
    await bytes.write(at, all);
    await bytes.flush();
  }
}

declare const performance: { now(): number };

/** Argon2id with an amount of memory that most hosts have, and as many passes as take a second. */
export async function costOfASecond(math: KeyMath): Promise<Luks2Cost> {
  const lanes = 1;
  const begin = performance.now();
  await math.argon2({ variant: 'argon2id', passes: 1, memoryKib: DEFAULT_MEMORY_KIB / 4, lanes }, new Uint8Array(8), new Uint8Array(16), 32);
  const perPass = 4 * Math.max(1, performance.now() - begin);
  return { kdf: 'argon2id', passes: Math.min(64, Math.max(LEAST_PASSES, Math.round(1000 / perPass))), memoryKib: DEFAULT_MEMORY_KIB, lanes };
}
