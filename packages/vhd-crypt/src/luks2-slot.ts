import { mergeKey, splitKey, STRIPES } from './anti-forensic.ts';
import { sameBytes } from './big-endian.ts';
import type { CipherRegistry } from './cipher-registry.ts';
import type { ContainerBytes } from './container.ts';
import { CryptError } from './crypt-error.ts';
import { DIGEST_BYTES, randomBytes } from './key-math.ts';
import { decodeBase64, encodeBase64, hashNamed, type Luks2Digest, type Luks2Kdf, type Luks2Keyslot, type Luks2Metadata, printable } from './luks2-metadata.ts';
import type { Luks2Settings } from './luks2-store.ts';
import type { KeyRequest, KeySource } from './sector-cipher.ts';

/** How dear guessing is made. */
export type Luks2Cost = { readonly kdf: 'pbkdf2'; readonly iterations: number } | { readonly kdf: 'argon2i' | 'argon2id'; readonly passes: number; readonly memoryKib: number; readonly lanes: number };

/** For secrets that are random keys themselves, which nobody guesses. */
export const CHEAP: Luks2Cost = { kdf: 'pbkdf2', iterations: 1000 };
const DIGEST_ITERATIONS = 1000; // the key is random, and needs no slowing down
const MOST_ATTEMPTS = 16;
const AREA_CIPHER = 'aes-xts-plain64';
const AREA_KEY_BYTES = 64;

/** Bytes of the material of a slot. */
export function areaBytes(keyBytes: number): number {
  return Math.ceil((keyBytes * STRIPES) / 4096) * 4096;
}

/** Stores a key under a secret, and gives the slot that says so. The area has to be free. */
export async function sealSlot(bytes: ContainerBytes, { math }: Luks2Settings, ciphers: CipherRegistry, key: Uint8Array, secret: Uint8Array, offset: number, cost: Luks2Cost): Promise<Luks2Keyslot> {
  const size = areaBytes(key.length);
  const salt = encodeBase64(randomBytes(32));
  const kdf: Luks2Kdf = cost.kdf === 'pbkdf2' ? { type: 'pbkdf2', hash: 'sha256', iterations: cost.iterations, salt } : { type: cost.kdf, time: cost.passes, memory: cost.memoryKib, cpus: cost.lanes, salt };
  const slot: Luks2Keyslot = {
    type: 'luks2',
    key_size: key.length,
    af: { type: 'luks1', stripes: STRIPES, hash: 'sha256' },
    area: { type: 'raw', offset: String(offset), size: String(size), encryption: AREA_CIPHER, key_size: AREA_KEY_BYTES },
    kdf,
  };
  const material = new Uint8Array(Math.ceil((key.length * STRIPES) / 512) * 512);
  material.set(await splitKey(math, 'sha256', key));
  const derived = await derive(bytes.name, slot, kdf, math, secret);
  const { cipher } = await ciphers.create(bytes.name, AREA_CIPHER, derived, 512);
  await cipher.encrypt(material, material, 0);
  await cipher.close();
  derived.fill(0);
  await bytes.write(offset, material);
  await bytes.flush();
  return slot;
}

/** The key that a slot gives for a secret; wrong when the secret is. */
async function openSlot(bytes: ContainerBytes, slot: Luks2Keyslot, { math }: Luks2Settings, ciphers: CipherRegistry, secret: Uint8Array): Promise<Uint8Array> {
  const { kdf, af, area, key_size: keyBytes } = slot;
  const hash = hashNamed(af?.hash);
  if (kdf === undefined || hash === null) throw new CryptError(bytes.name, 'cipher', `the hash ${printable(String(af?.hash))} of a key slot`);
  const derived = await derive(bytes.name, slot, kdf, math, secret);
  const material = new Uint8Array(Math.ceil((keyBytes * STRIPES) / 512) * 512);
  await bytes.read(Number(area.offset), material);
  const { cipher } = await ciphers.create(bytes.name, String(area.encryption), derived, 512);
  await cipher.decrypt(material, material, 0);
  await cipher.close();
  derived.fill(0);
  const key = await mergeKey(math, hash, material, keyBytes);
  material.fill(0);
  return key;
}

async function derive(disk: string, { area }: Luks2Keyslot, kdf: Luks2Kdf, math: Luks2Settings['math'], secret: Uint8Array): Promise<Uint8Array> {
  const salt = decodeBase64(kdf.salt);
  const count = area.key_size ?? AREA_KEY_BYTES;
  if (kdf.type === 'argon2i' || kdf.type === 'argon2id') return math.argon2({ variant: kdf.type, passes: kdf.time!, memoryKib: kdf.memory!, lanes: kdf.cpus! }, secret, salt, count);
  const hash = hashNamed(kdf.hash);
  if (kdf.type !== 'pbkdf2' || hash === null) throw new CryptError(disk, 'cipher', `a key slot by ${printable(`${kdf.type} ${kdf.hash ?? ''}`)}`);
  return math.pbkdf2(hash, secret, salt, kdf.iterations!, count);
}

export async function digestOf({ math }: Luks2Settings, key: Uint8Array, keyslots: readonly string[], segments: readonly string[]): Promise<Luks2Digest> {
  const salt = randomBytes(32);
  const digest = await math.pbkdf2('sha256', key, salt, DIGEST_ITERATIONS, DIGEST_BYTES.sha256);
  return { type: 'pbkdf2', keyslots, segments, hash: 'sha256', iterations: DIGEST_ITERATIONS, salt: encodeBase64(salt), digest: encodeBase64(digest) };
}

/** Whether a key is the one that a digest proves. */
export async function isKeyOf(disk: string, digest: Luks2Digest, { math }: Luks2Settings, key: Uint8Array): Promise<boolean> {
  const hash = hashNamed(digest.hash);
  if (digest.type !== 'pbkdf2' || hash === null) throw new CryptError(disk, 'cipher', `a digest by ${printable(`${digest.type} ${digest.hash}`)}`);
  const wanted = decodeBase64(digest.digest);
  return sameBytes(await math.pbkdf2(hash, key, decodeBase64(digest.salt), digest.iterations, wanted.length), wanted);
}

export interface UnlockedKey {
  readonly key: Uint8Array;
  readonly slot: string;
}

/** Slots for a digest, in the order in which they are tried. One of priority 0 is tried only when it is named. */
function slotsOf({ keyslots }: Luks2Metadata, digest: Luks2Digest, only: string | undefined): readonly (readonly [string, Luks2Keyslot])[] {
  return digest.keyslots
    .map((id) => [id, keyslots[id]!] as const)
    .filter(([id, { type, priority }]) => type === 'luks2' && (only === undefined ? priority !== 0 : id === only))
    .sort(([a, { priority: one = 1 }], [b, { priority: other = 1 }]) => other - one || Number(a) - Number(b));
}

/** What a secret opens for each of some digests; null unless it opens all of them. */
async function tryAll(bytes: ContainerBytes, metadata: Luks2Metadata, settings: Luks2Settings, ciphers: CipherRegistry, wanted: readonly string[], secret: Uint8Array, only: string | undefined): Promise<ReadonlyMap<string, UnlockedKey> | null> {
  const found = new Map<string, UnlockedKey>();
  for (const id of wanted) {
    for (const [slot, keyslot] of slotsOf(metadata, metadata.digests[id]!, only)) {
      const key = await openSlot(bytes, keyslot, settings, ciphers, secret);
      if (await isKeyOf(bytes.name, metadata.digests[id]!, settings, key)) {
        found.set(id, { key, slot });
        break;
      }
      key.fill(0);
    }
    if (!found.has(id)) {
      wipe(found);
      return null;
    }
  }
  return found;
}

export function wipe(keys: ReadonlyMap<string, UnlockedKey>): void {
  for (const { key } of keys.values()) key.fill(0);
}

/** Asks for secrets until one opens what is wanted: the keys of all digests named, for the caller to wipe. */
export async function unlock(bytes: ContainerBytes, uuid: string, metadata: Luks2Metadata, settings: Luks2Settings, ciphers: CipherRegistry, keys: KeySource, wanted: readonly string[], only?: string): Promise<ReadonlyMap<string, UnlockedKey>> {
  if (wanted.length === 0 || wanted.some((id) => slotsOf(metadata, metadata.digests[id]!, only).length === 0)) throw new CryptError(bytes.name, 'key', only === undefined ? 'no key slot is in use: the key was destroyed' : `key slot ${printable(only)} is not in use`);
  const tokens = Object.entries(metadata.tokens).map(([id, token]) => ({ id, ...token }));
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const secret = await keys.getSecret({ purpose: 'open', disk: bytes.name, uuid, attempt, tokens });
    if (secret === null) {
      if (attempt === 0) throw new CryptError(bytes.name, 'keyUnavailable', 'it is encrypted, and nobody gives a secret for it');
      break;
    }
    try {
      const found = await tryAll(bytes, metadata, settings, ciphers, wanted, secret, only);
      if (found !== null) return found;
    } finally {
      secret.fill(0);
    }
  }
  throw new CryptError(bytes.name, 'key', 'no key slot opens with what was given');
}

/** A secret for a new slot; with a token beside it when its source wraps it. */
export async function newSecret(keys: KeySource, request: KeyRequest): Promise<{ readonly secret: Uint8Array; readonly token: Readonly<Record<string, unknown>> | null }> {
  const enrolled = await keys.enroll?.(request);
  if (enrolled !== undefined) return enrolled;
  const secret = await keys.getSecret(request);
  if (secret === null) throw new CryptError(request.disk, 'keyUnavailable', request.purpose === 'add' ? 'nobody gives the secret to add' : 'nobody gives a secret for the new container');
  return { secret, token: null };
}
