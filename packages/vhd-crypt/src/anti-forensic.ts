// LUKS1 specification, 2.4, "Anti-forensic splitter": a key is spread over so many bytes that one sector that is overwritten
// makes it unrecoverable.
import { DIGEST_BYTES, type KeyHash, type KeyMath, randomBytes } from './key-math.ts';

export const STRIPES = 4000;

export async function splitKey(math: KeyMath, hash: KeyHash, key: Uint8Array): Promise<Uint8Array> {
  const stripes = randomBytes(key.length * STRIPES);
  const state = await walk(math, hash, stripes, key.length);
  const last = stripes.subarray((STRIPES - 1) * key.length);
  for (let i = 0; i < key.length; i++) last[i] = state[i]! ^ key[i]!;
  state.fill(0);
  return stripes;
}

export async function mergeKey(math: KeyMath, hash: KeyHash, stripes: Uint8Array, keyBytes: number): Promise<Uint8Array> {
  const key = await walk(math, hash, stripes, keyBytes);
  const last = stripes.subarray((STRIPES - 1) * keyBytes, STRIPES * keyBytes);
  for (let i = 0; i < keyBytes; i++) key[i]! ^= last[i]!;
  return key;
}

/** Over all stripes but the last. */
async function walk(math: KeyMath, hash: KeyHash, stripes: Uint8Array, keyBytes: number): Promise<Uint8Array> {
  const state = new Uint8Array(keyBytes);
  const size = DIGEST_BYTES[hash];
  for (let stripe = 0; stripe < STRIPES - 1; stripe++) {
    for (let i = 0; i < keyBytes; i++) state[i]! ^= stripes[stripe * keyBytes + i]!;
    for (let piece = 0; piece * size < keyBytes; piece++) {
      const part = state.subarray(piece * size, Math.min(keyBytes, (piece + 1) * size));
      const numbered = new Uint8Array(4 + part.length);
      numbered[3] = piece; // a key has few pieces; the number has 32 bits, the highest first
      numbered.set(part, 4);
      const digest = await math.digest(hash, numbered);
      part.set(digest.subarray(0, part.length));
      numbered.fill(0);
    }
  }
  return state;
}
