import { mergeKey, splitKey, STRIPES } from './anti-forensic.ts';
import type { CipherRegistry } from './cipher-registry.ts';
import type { ContainerBytes, ContainerModule, OpenedContainer } from './container.ts';
import { CryptError } from './crypt-error.ts';
import { isKeyHash, type KeyHash, type KeyMath, randomBytes } from './key-math.ts';
import { isLuks2 } from './luks2-header.ts';
import { decodeLuks1, encodeLuks1, isLuks, type KeySlot, LUKS1_HEADER_BYTES, type Luks1Header, materialSectors, SLOTS } from './luks1-header.ts';
import type { KeySource } from './sector-cipher.ts';
import { makeUuid } from './uuid.ts';

export interface Luks1Settings {
  readonly math: KeyMath;
  /** A header that wants more is refused: it would keep the host busy for minutes. Default: 20 million. */
  readonly mostIterations?: number;
}

export interface Luks1Format {
  readonly ciphers: CipherRegistry;
  readonly keys: KeySource;
  /** Default: aes-xts-plain64. */
  readonly cipher?: string;
  /** Of the whole key, both halves. Default: 512. */
  readonly keyBits?: 256 | 512;
  /** Default: sha256. */
  readonly hash?: KeyHash;
  /** Rounds of PBKDF2. Default: as many as take a second here. */
  readonly iterations?: number;
}

export const MOST_ITERATIONS = 20_000_000;
const LEAST_ITERATIONS = 1000;
const MOST_ATTEMPTS = 16;
/** Where the data begins: after all eight slots, at a multiple of 1 MiB as cryptsetup has it. */
const DATA_ALIGNMENT = 1 << 20;

/** LUKS version 1, which QEMU, nbdkit, GRUB, cryptsetup and Linux open too. */
export function luks1(settings: Luks1Settings): ContainerModule {
  return {
    id: 'luks1',
    probe: (first) => isLuks(first) && !isLuks2(first),
    identify: async (bytes) => (await readHeader(bytes, settings.mostIterations)).uuid,
    async open(bytes, { ciphers, keys }) {
      const header = await readHeader(bytes, settings.mostIterations);
      const { key } = await unlock(bytes, header, settings.math, ciphers, keys, 'open');
      try {
        return await openWith(bytes, header, ciphers, key);
      } finally {
        key.fill(0);
      }
    },
  };
}

async function openWith(bytes: ContainerBytes, header: Luks1Header, ciphers: CipherRegistry, key: Uint8Array): Promise<OpenedContainer> {
  const { engine, cipher } = await ciphers.create(bytes.name, header.cipher, key, 512);
  const keySlots = header.slots.flatMap(({ active, iterations }, slot) => (active ? [{ slot, iterations }] : []));
  const facts = { container: 'luks1', cipher: header.cipher, engine, keyBits: header.keyBytes * 8, sectorBytes: 512, uuid: header.uuid, keySlots };
  return { facts, dataAt: header.dataSector * 512, cipher };
}

/** What can be known of a container without any key. */
export async function readLuks1Facts(bytes: ContainerBytes, mostIterations: number = MOST_ITERATIONS): Promise<{ readonly cipher: string; readonly keyBits: number; readonly hash: string; readonly uuid: string; readonly dataAt: number; readonly slots: readonly number[]; readonly iterations: readonly number[] }> {
  const header = await readHeader(bytes, mostIterations);
  return { cipher: header.cipher, keyBits: header.keyBytes * 8, hash: header.hash, uuid: header.uuid, dataAt: header.dataSector * 512, slots: header.slots.flatMap(({ active }, slot) => (active ? [slot] : [])), iterations: header.slots.flatMap(({ active, iterations }) => (active ? [iterations] : [])) };
}

/** Makes a container. What lay after the header becomes noise. */
export async function formatLuks1(bytes: ContainerBytes, { math }: Luks1Settings, format: Luks1Format): Promise<OpenedContainer> {
  const { cipher = 'aes-xts-plain64', keyBits = 512, hash = 'sha256', ciphers } = format;
  const keyBytes = keyBits / 8;
  const material = materialSectors(keyBytes);
  const dataAt = Math.ceil((4096 + SLOTS * material * 512) / DATA_ALIGNMENT) * DATA_ALIGNMENT;
  if (bytes.bytes <= dataAt) throw new CryptError(bytes.name, 'request', `${bytes.bytes} bytes are too few for a container, whose header takes ${dataAt}`);
  if (format.iterations !== undefined && !(format.iterations >= LEAST_ITERATIONS && format.iterations <= MOST_ITERATIONS)) throw new CryptError(bytes.name, 'request', `${format.iterations} iterations, not ${LEAST_ITERATIONS} to ${MOST_ITERATIONS}`);
  const iterations = format.iterations ?? (await iterationsOfASecond(math, hash, keyBytes));
  const uuid = makeUuid();
  const secret = await format.keys.getSecret({ purpose: 'create', disk: bytes.name, uuid, attempt: 0 });
  if (secret === null) throw new CryptError(bytes.name, 'keyUnavailable', 'nobody gives a secret for the new container');
  const key = randomBytes(keyBytes);
  try {
    const slots = Array.from({ length: SLOTS }, (_, i): KeySlot => ({ active: false, iterations: 0, salt: new Uint8Array(32), materialSector: 8 + i * material, stripes: STRIPES }));
    const [digestSalt, digestIterations] = [randomBytes(32), Math.max(LEAST_ITERATIONS, iterations >>> 3)];
    const digest = await math.pbkdf2(hash, key, digestSalt, digestIterations, 20);
    const empty: Luks1Header = { cipher, hash, dataSector: dataAt / 512, keyBytes, digest, digestSalt, digestIterations, uuid, slots };
    // Material that nobody knows lies in all of them, so that it cannot be seen how many were ever used.
    await bytes.write(0, new Uint8Array(4096));
    for (const slot of slots) await bytes.write(slot.materialSector * 512, randomBytes(material * 512));
    const header = await storeKey(bytes, empty, math, ciphers, 0, secret, key, iterations);
    return await openWith(bytes, header, ciphers, key);
  } finally {
    key.fill(0);
    secret.fill(0);
  }
}

/** A second secret for the same key; returns its slot. `keys` is asked for one that opens the container, and then for the new one. */
export async function addLuks1Key(bytes: ContainerBytes, settings: Luks1Settings, ciphers: CipherRegistry, keys: KeySource, added: KeySource, iterations?: number): Promise<number> {
  const header = await readHeader(bytes, settings.mostIterations);
  const slot = header.slots.findIndex(({ active }) => !active);
  if (slot < 0) throw new CryptError(bytes.name, 'request', 'all eight key slots are in use');
  const { key } = await unlock(bytes, header, settings.math, ciphers, keys, 'open');
  const secret = await added.getSecret({ purpose: 'add', disk: bytes.name, uuid: header.uuid, attempt: 0 });
  try {
    if (secret === null) throw new CryptError(bytes.name, 'keyUnavailable', 'nobody gives the secret to add');
    if (iterations !== undefined && !(iterations >= LEAST_ITERATIONS && iterations <= MOST_ITERATIONS)) throw new CryptError(bytes.name, 'request', `${iterations} iterations, not ${LEAST_ITERATIONS} to ${MOST_ITERATIONS}`);
    await storeKey(bytes, header, settings.math, ciphers, slot, secret, key, iterations ?? (await iterationsOfASecond(settings.math, hashOf(bytes, header), header.keyBytes)));
  } finally {
    key.fill(0);
    secret?.fill(0);
  }
  return slot;
}

/** Takes the secret away that `keys` gives; the last one only with `evenLast`, after which nobody can ever read the disk. */
export async function removeLuks1Key(bytes: ContainerBytes, settings: Luks1Settings, ciphers: CipherRegistry, keys: KeySource, evenLast = false): Promise<number> {
  const header = await readHeader(bytes, settings.mostIterations);
  const { key, slot } = await unlock(bytes, header, settings.math, ciphers, keys, 'open');
  key.fill(0);
  if (!evenLast && header.slots.filter(({ active }) => active).length === 1) throw new CryptError(bytes.name, 'request', 'it is the last secret, and without it the disk is lost');
  // The material goes first: a header that says no more where it was would not make it go away.
  await bytes.write(header.slots[slot]!.materialSector * 512, randomBytes(materialSectors(header.keyBytes) * 512));
  await bytes.flush();
  const slots = header.slots.map((one, i): KeySlot => (i === slot ? { ...one, active: false, iterations: 0, salt: new Uint8Array(32) } : one));
  await bytes.write(0, encodeLuks1({ ...header, slots }));
  await bytes.flush();
  return slot;
}

/** Material first, then the header that names it. */
async function storeKey(bytes: ContainerBytes, header: Luks1Header, math: KeyMath, ciphers: CipherRegistry, slot: number, secret: Uint8Array, key: Uint8Array, iterations: number): Promise<Luks1Header> {
  const salt = randomBytes(32);
  const hash = hashOf(bytes, header);
  const derived = await math.pbkdf2(hash, secret, salt, iterations, header.keyBytes);
  const stripes = new Uint8Array(Math.ceil((header.keyBytes * STRIPES) / 512) * 512);
  stripes.set(await splitKey(math, hash, key));
  const { cipher } = await ciphers.create(bytes.name, header.cipher, derived, 512);
  await cipher.encrypt(stripes, stripes, 0);
  await cipher.close();
  derived.fill(0);
  await bytes.write(header.slots[slot]!.materialSector * 512, stripes);
  await bytes.flush();
  const slots = header.slots.map((one, i): KeySlot => (i === slot ? { ...one, active: true, iterations, salt } : one));
  const after = { ...header, slots };
  await bytes.write(0, encodeLuks1(after));
  await bytes.flush();
  return after;
}

/** Asks for secrets until one opens a slot. */
async function unlock(bytes: ContainerBytes, header: Luks1Header, math: KeyMath, ciphers: CipherRegistry, keys: KeySource, purpose: 'open'): Promise<{ readonly key: Uint8Array; readonly slot: number }> {
  const hash = hashOf(bytes, header);
  if (!header.slots.some(({ active }) => active)) throw new CryptError(bytes.name, 'key', 'no key slot is in use: the key was destroyed');
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const secret = await keys.getSecret({ purpose, disk: bytes.name, uuid: header.uuid, attempt });
    if (secret === null) {
      if (attempt === 0) throw new CryptError(bytes.name, 'keyUnavailable', 'it is encrypted, and nobody gives a secret for it');
      break;
    }
    try {
      for (const [i, slot] of header.slots.entries()) {
        if (!slot.active) continue;
        const key = await trySlot(bytes, header, hash, slot, math, ciphers, secret);
        if (key !== null) return { key, slot: i };
      }
    } finally {
      secret.fill(0);
    }
  }
  throw new CryptError(bytes.name, 'key', 'no key slot opens with what was given');
}

async function trySlot(bytes: ContainerBytes, header: Luks1Header, hash: KeyHash, slot: KeySlot, math: KeyMath, ciphers: CipherRegistry, secret: Uint8Array): Promise<Uint8Array | null> {
  const derived = await math.pbkdf2(hash, secret, slot.salt, slot.iterations, header.keyBytes);
  const stripes = new Uint8Array(Math.ceil((header.keyBytes * STRIPES) / 512) * 512);
  await bytes.read(slot.materialSector * 512, stripes);
  const { cipher } = await ciphers.create(bytes.name, header.cipher, derived, 512);
  await cipher.decrypt(stripes, stripes, 0);
  await cipher.close();
  derived.fill(0);
  const key = await mergeKey(math, hash, stripes, header.keyBytes);
  stripes.fill(0);
  const digest = await math.pbkdf2(hash, key, header.digestSalt, header.digestIterations, 20);
  if (digest.every((byte, i) => byte === header.digest[i])) return key;
  key.fill(0);
  return null;
}

async function readHeader(bytes: ContainerBytes, mostIterations: number = MOST_ITERATIONS): Promise<Luks1Header> {
  if (bytes.bytes < LUKS1_HEADER_BYTES) throw new CryptError(bytes.name, 'header', 'too short for a LUKS header');
  const first = new Uint8Array(LUKS1_HEADER_BYTES);
  await bytes.read(0, first);
  const header = decodeLuks1(first, bytes.bytes, mostIterations);
  if (typeof header === 'string') throw new CryptError(bytes.name, 'header', `LUKS header: ${header}`);
  return header;
}

function hashOf(bytes: ContainerBytes, { hash }: Luks1Header): KeyHash {
  if (!isKeyHash(hash)) throw new CryptError(bytes.name, 'cipher', `the hash ${JSON.stringify(hash)}; there are sha1, sha256, sha384 and sha512`);
  return hash;
}

declare const performance: { now(): number };

async function iterationsOfASecond(math: KeyMath, hash: KeyHash, keyBytes: number): Promise<number> {
  const sample = 20_000;
  const begin = performance.now();
  await math.pbkdf2(hash, new Uint8Array(8), new Uint8Array(32), sample, keyBytes);
  const perSecond = (sample * 1000) / Math.max(1, performance.now() - begin);
  return Math.min(MOST_ITERATIONS, Math.max(100_000, Math.round(perSecond)));
}
