// LUKS2 on-disk format specification 1.1.1, 3: what the metadata says. Numbers of 64 bits are decimal strings there, bytes are
// base64. Members that are not known here are kept as they are, because others may know them.
import { STRIPES } from './anti-forensic.ts';
import { DIGEST_BYTES, isKeyHash, type KeyHash } from './key-math.ts';

export interface Luks2Kdf {
  readonly type: string;
  readonly salt: string;
  readonly hash?: string;
  readonly iterations?: number;
  readonly time?: number;
  readonly memory?: number;
  readonly cpus?: number;
}
export interface Luks2Area {
  readonly type: string;
  readonly offset: string;
  readonly size: string;
  readonly encryption?: string;
  readonly key_size?: number;
}
export interface Luks2Keyslot {
  readonly type: string;
  readonly key_size: number;
  /** 0: only when it is named, 1: as usual, 2: before others. */
  readonly priority?: number;
  readonly af?: { readonly type: string; readonly stripes: number; readonly hash: string };
  readonly area: Luks2Area;
  readonly kdf?: Luks2Kdf;
}
export interface Luks2Segment {
  readonly type: string;
  readonly offset: string;
  readonly size: string;
  readonly iv_tweak?: string;
  readonly encryption?: string;
  readonly sector_size?: number;
  readonly integrity?: { readonly type: string; readonly journal_encryption: string; readonly journal_integrity: string; readonly journal_bytes?: string; readonly journal_parts?: string };
  readonly flags?: readonly string[];
}
export interface Luks2Digest {
  readonly type: string;
  readonly keyslots: readonly string[];
  readonly segments: readonly string[];
  readonly hash: string;
  readonly iterations: number;
  readonly salt: string;
  readonly digest: string;
}
export interface Luks2Token {
  readonly type: string;
  readonly keyslots: readonly string[];
  readonly [member: string]: unknown;
}
export interface Luks2Metadata {
  readonly keyslots: Readonly<Record<string, Luks2Keyslot>>;
  readonly tokens: Readonly<Record<string, Luks2Token>>;
  readonly segments: Readonly<Record<string, Luks2Segment>>;
  readonly digests: Readonly<Record<string, Luks2Digest>>;
  readonly config: { readonly json_size: string; readonly keyslots_size: string; readonly flags?: readonly string[]; readonly requirements?: { readonly mandatory?: readonly string[] } };
}

/** Whoever writes a header decides how long opening takes and how much memory; so it is refused above these. */
export interface KdfLimits {
  /** Of PBKDF2. Default: 20 million. */
  readonly mostIterations?: number;
  /** Of Argon2. Default: 1 GiB. */
  readonly mostMemoryKib?: number;
  /** Of Argon2: passes over so many MiB. Default: 32 passes over 1 GiB. */
  readonly mostWork?: number;
}

export const MOST_SLOTS = 32;
const MOST_ITERATIONS = 20_000_000;
const MOST_MEMORY_KIB = 1 << 20;
const MOST_WORK = 32 * 1024;
const MOST_LANES = 16;
const MOST_KEY_BYTES = 512;
/** A secret is tried on all slots: together they may cost as much as these. */
const SLOTS_AT_ONCE = 4;

export interface MetadataPlace {
  /** Of one copy of the header. */
  readonly copyBytes: number;
  /** What there is, header and all. */
  readonly totalBytes: number;
  /** The data is somewhere else, and goes to this place there. */
  readonly detachedBytes?: number | null;
}

/** The metadata in a text, or what is wrong with it. */
export function parseMetadata(json: string, place: MetadataPlace, limits: KdfLimits = {}): Luks2Metadata | string {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return 'metadata that is no JSON';
  }
  if (!isObject(value)) return 'metadata that is no object';
  for (const name of ['keyslots', 'tokens', 'segments', 'digests', 'config']) if (!isObject(value[name])) return `metadata without ${name}`;
  for (const name of ['keyslots', 'tokens', 'segments', 'digests']) {
    for (const [id, one] of Object.entries(value[name] as object)) {
      if (!/^(0|[1-9]\d{0,3})$/.test(id) || !isObject(one) || typeof one['type'] !== 'string') return `${name} with ${printable(id)}, which is none`;
    }
  }
  const metadata = value as unknown as Luks2Metadata;
  return findProblem(metadata, place, limits) ?? metadata;
}

function findProblem(metadata: Luks2Metadata, place: MetadataPlace, limits: KdfLimits): string | null {
  const { config, keyslots, segments, digests, tokens } = metadata;
  const keyslotsBytes = u64(config.keyslots_size);
  if (u64(config.json_size) !== place.copyBytes - 4096) return 'metadata that says another size of itself';
  if (keyslotsBytes === null || keyslotsBytes % 4096 !== 0 || 2 * place.copyBytes + keyslotsBytes > place.totalBytes) return 'an area of key slots that is not there';
  const problem = slotsProblem(keyslots, { begin: 2 * place.copyBytes, end: 2 * place.copyBytes + keyslotsBytes }, limits);
  if (problem !== null) return problem;
  for (const [id, segment] of Object.entries(segments)) {
    const [offset, size] = [u64(segment.offset), segment.size === 'dynamic' ? 0 : u64(segment.size)];
    const end = place.detachedBytes ?? place.totalBytes;
    if (offset === null || size === null || offset % 512 !== 0 || size % 512 !== 0 || offset + size > end) return `segment ${id} is not on the disk`;
    if (place.detachedBytes === undefined && offset < 2 * place.copyBytes + keyslotsBytes) return `segment ${id} lies over the header`;
    if (segment.type !== 'crypt') continue;
    if (typeof segment.encryption !== 'string' || u64(segment.iv_tweak) === null || ![512, 1024, 2048, 4096].includes(segment.sector_size!)) return `segment ${id} does not say how it is encrypted`;
    if (segment.integrity !== undefined && (!isObject(segment.integrity) || typeof segment.integrity.type !== 'string')) return `segment ${id} does not say how it is authenticated`;
  }
  for (const [id, digest] of Object.entries(digests)) {
    if (!isNames(digest.keyslots, keyslots) || !isNames(digest.segments, segments)) return `digest ${id} names what is not there`;
    if (digest.type !== 'pbkdf2') continue;
    if (typeof digest.hash !== 'string' || !isBase64(digest.salt) || !isBase64(digest.digest) || decodeBase64(digest.digest).length === 0) return `digest ${id} does not say how it is computed`;
    if (isKeyHash(digest.hash) && decodeBase64(digest.digest).length > DIGEST_BYTES[digest.hash]) return `digest ${id} is too long`;
    if (!isCount(digest.iterations, limits.mostIterations ?? MOST_ITERATIONS)) return `${String(digest.iterations)} iterations for digest ${id}`;
  }
  for (const [id, token] of Object.entries(tokens)) if (!isNames(token.keyslots, keyslots)) return `token ${id} names what is not there`;
  const mandatory = config.requirements?.mandatory ?? [];
  return Array.isArray(mandatory) && mandatory.every((name) => typeof name === 'string') ? null : 'requirements that are none';
}

function slotsProblem(keyslots: Luks2Metadata['keyslots'], room: { readonly begin: number; readonly end: number }, { mostIterations = MOST_ITERATIONS, mostMemoryKib = MOST_MEMORY_KIB, mostWork = MOST_WORK }: KdfLimits): string | null {
  const areas: { readonly id: string; readonly begin: number; readonly end: number }[] = [];
  let [rounds, work] = [0, 0];
  if (Object.keys(keyslots).length > MOST_SLOTS) return `more than ${MOST_SLOTS} key slots`;
  for (const [id, slot] of Object.entries(keyslots)) {
    if (!isObject(slot.area)) return `key slot ${id} has no place`;
    const [begin, size] = [u64(slot.area.offset), u64(slot.area.size)];
    if (begin === null || size === null || begin < room.begin || begin + size > room.end) return `key slot ${id} lies outside of the area of key slots`;
    areas.push({ id, begin, end: begin + size });
    if (slot.type !== 'luks2') continue;
    const { kdf, af, area } = slot;
    if (!isCount(slot.key_size, MOST_KEY_BYTES)) return `key slot ${id} has a key of ${String(slot.key_size)} bytes`;
    if (!isObject(af) || af.type !== 'luks1' || af.stripes !== STRIPES || typeof af.hash !== 'string') return `key slot ${id} does not spread its key over ${STRIPES} stripes`;
    if (typeof area.encryption !== 'string' || !isCount(area.key_size, 128) || size < slot.key_size * STRIPES) return `key slot ${id} has no room for its key`;
    if (!isObject(kdf) || !isBase64(kdf.salt)) return `key slot ${id} does not say how its key is derived`;
    if (kdf.type === 'pbkdf2') {
      if (typeof kdf.hash !== 'string' || !isCount(kdf.iterations, mostIterations)) return `key slot ${id} wants ${String(kdf.iterations)} iterations, the most is ${mostIterations}`;
      rounds += kdf.iterations;
    } else if (kdf.type === 'argon2i' || kdf.type === 'argon2id') {
      if (!isCount(kdf.memory, mostMemoryKib)) return `key slot ${id} wants ${String(kdf.memory)} KiB of memory, the most is ${mostMemoryKib}`;
      if (!isCount(kdf.cpus, MOST_LANES) || kdf.memory < 8 * kdf.cpus) return `key slot ${id} wants ${String(kdf.cpus)} processors for ${kdf.memory} KiB`;
      if (!isCount(kdf.time, 0xffff_ffff) || (kdf.time * kdf.memory) / 1024 > mostWork) return `key slot ${id} wants ${String(kdf.time)} passes over ${kdf.memory} KiB, which is more than ${mostWork} over 1 MiB`;
      work += (kdf.time * kdf.memory) / 1024;
    }
  }
  if (rounds > SLOTS_AT_ONCE * mostIterations || work > SLOTS_AT_ONCE * mostWork) return 'key slots that together want too much';
  areas.sort((a, b) => a.begin - b.begin);
  for (let i = 1; i < areas.length; i++) if (areas[i]!.begin < areas[i - 1]!.end) return `key slots ${areas[i - 1]!.id} and ${areas[i]!.id} overlap`;
  return null;
}

/** Segments of the disk, in their order: those with a flag that begins with "backup-" are no part of it. */
export function diskSegments({ segments }: Luks2Metadata): readonly { readonly id: string; readonly segment: Luks2Segment }[] {
  return Object.entries(segments).map(([id, segment]) => ({ id, segment })).filter(({ segment: { flags } }) => !(Array.isArray(flags) && flags.some((flag) => typeof flag === 'string' && flag.startsWith('backup-')))).sort((a, b) => Number(a.id) - Number(b.id));
}

export function hashNamed(name: string | undefined): KeyHash | null {
  return name !== undefined && isKeyHash(name) ? name : null;
}

/** A number in decimal, up to what a plain number holds; null for anything else. */
export function u64(value: unknown): number | null {
  if (typeof value !== 'string' || !/^(0|[1-9]\d{0,15})$/.test(value)) return null;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : null;
}

declare function atob(text: string): string;
declare function btoa(text: string): string;

export function decodeBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

export function encodeBase64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}

export function isBase64(value: unknown): value is string {
  return typeof value === 'string' && value.length % 4 === 0 && value.length < 4096 && /^[A-Za-z0-9+/]*={0,2}$/.test(value);
}

function isCount(value: unknown, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= most;
}

function isNames(value: unknown, of: object): boolean {
  return Array.isArray(value) && value.length <= 64 && value.every((name) => typeof name === 'string' && Object.hasOwn(of, name));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Names come out of images. */
export function printable(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}
