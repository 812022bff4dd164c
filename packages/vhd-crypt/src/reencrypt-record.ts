// Where a re-encryption is: two places for a small record, written in turn, so that one of them is whole at any time. A record
// may come with the sectors that it announces, as they are to be; whoever finds it stores them again.
import { getU32, getU64, putAscii, putU32, putU64, sameBytes } from './big-endian.ts';
import type { ContainerBytes } from './container.ts';
import { CryptError } from './crypt-error.ts';
import { hmacSha256, type KeyMath } from './key-math.ts';

/** `rekey`: another key in the same places. Otherwise a header comes before the data, or goes, and all sectors change places. */
export type ReencryptMode = 'rekey' | 'encrypt' | 'decrypt';

/** What does not change while it is under way. */
export interface ReencryptPlan {
  readonly mode: ReencryptMode;
  /** Of the disk that the guest sees. */
  readonly diskBytes: number;
  /** Where encrypted data begins. */
  readonly dataAt: number;
  /** Most that is moved at once. */
  readonly zoneBytes: number;
}

export interface ReencryptRecord {
  readonly sequence: number;
  /** What lies below it is done; with `encrypt`, which begins at the end, what lies above it. */
  readonly watermark: number;
  /** Ciphertext on its way to the watermark; null: it is there. */
  readonly zone: Uint8Array | null;
}

const VERSION = 1;
const PLACE = 4096;
const HEAD = 64;
const MAC_BYTES = 32;
const MAGIC = 'vm-rekey';
const MODES: readonly ReencryptMode[] = ['rekey', 'encrypt', 'decrypt'];

declare class TextEncoder {
  encode(text: string): Uint8Array;
}

/** Both places, and the sectors that come with a record: those that change places need no copy beside. */
export function recordBytes({ mode, zoneBytes }: Pick<ReencryptPlan, 'mode' | 'zoneBytes'>): number {
  return 2 * PLACE + (mode === 'rekey' ? Math.ceil(zoneBytes / PLACE) * PLACE : 0);
}

/** A key for a purpose of its own, so that nobody without the volume key makes records. */
export function deriveKey(math: KeyMath, key: Uint8Array, purpose: string): Promise<Uint8Array> {
  return hmacSha256(math, key, new TextEncoder().encode(`vm ${purpose}`));
}

export async function writeRecord(bytes: ContainerBytes, at: number, plan: ReencryptPlan, record: ReencryptRecord, math: KeyMath, key: Uint8Array): Promise<void> {
  const place = new Uint8Array(512);
  putAscii(place, 0, MAGIC);
  putU32(place, 8, VERSION);
  putU32(place, 12, record.zone?.length ?? 0);
  putU64(place, 16, record.sequence);
  putU64(place, 24, record.watermark);
  putU64(place, 32, plan.diskBytes);
  putU64(place, 40, plan.dataAt);
  putU64(place, 48, plan.zoneBytes);
  putU32(place, 56, MODES.indexOf(plan.mode));
  place.set(await macOf(place, record.zone, math, key), HEAD);
  // With sectors it comes at an even number only, so that they stay while the next record is written.
  if (record.zone !== null) await bytes.write(at + 2 * PLACE, record.zone);
  await bytes.write(at + (record.sequence % 2) * PLACE, place);
}

/** The newest of the records that are whole. */
export async function readRecord(bytes: ContainerBytes, at: number, plan: ReencryptPlan, math: KeyMath, key: Uint8Array): Promise<ReencryptRecord> {
  let best: ReencryptRecord | null = null;
  for (const parity of [0, 1]) {
    const place = new Uint8Array(512);
    await bytes.read(at + parity * PLACE, place);
    const [zoneBytes, sequence, watermark] = [getU32(place, 12), getU64(place, 16), getU64(place, 24)];
    if (zoneBytes > (plan.mode === 'rekey' ? plan.zoneBytes : 0) || sequence % 2 !== parity || sequence <= (best?.sequence ?? 0)) continue;
    if (getU32(place, 8) !== VERSION || getU64(place, 32) !== plan.diskBytes || getU64(place, 40) !== plan.dataAt || getU64(place, 48) !== plan.zoneBytes || MODES[getU32(place, 56)] !== plan.mode) continue;
    const zone = zoneBytes === 0 ? null : new Uint8Array(zoneBytes);
    if (zone !== null) await bytes.read(at + 2 * PLACE, zone);
    if (!sameBytes(await macOf(place, zone, math, key), place.subarray(HEAD, HEAD + MAC_BYTES))) continue;
    if (watermark > plan.diskBytes || watermark + zoneBytes > plan.diskBytes) continue;
    best = { sequence, watermark, zone };
  }
  if (best === null) throw new CryptError(bytes.name, 'header', 'the records of its re-encryption are damaged');
  return best;
}

async function macOf(place: Uint8Array, zone: Uint8Array | null, math: KeyMath, key: Uint8Array): Promise<Uint8Array> {
  const all = new Uint8Array(HEAD + (zone?.length ?? 0));
  all.set(place.subarray(0, HEAD));
  if (zone !== null) all.set(zone, HEAD);
  return hmacSha256(math, key, all);
}
