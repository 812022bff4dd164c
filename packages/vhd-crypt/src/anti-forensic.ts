// LUKS1 specification, 2.4, "Anti-forensic splitter": a key is spread over so many bytes that one sector that is overwritten
// makes it unrecoverable.
import { DIGEST_BYTES, type KeyHash, type KeyMath, randomBytes, secretBytes } from './key-math.ts';

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
  const size = DIGEST_BYTES[hash];
  // HOT: thousands of small hashes. Each piece of the state lies behind its number, which has 32 bits, the highest first.
  const pieces = Array.from({ length: Math.ceil(keyBytes / size) }, (_, piece) => {
    const numbered = secretBytes(4 + Math.min(size, keyBytes - piece * size));
    numbered[3] = piece; // a key has few pieces
    return numbered;
  });
  for (let stripe = 0; stripe < STRIPES - 1; stripe++) {
    for (let piece = 0; piece < pieces.length; piece++) {
      const numbered = pieces[piece]!;
      const from = stripe * keyBytes + piece * size - 4;
      for (let i = 4; i < numbered.length; i++) numbered[i]! ^= stripes[from + i]!;
      const digest = math.digestNow === undefined ? await math.digest(hash, numbered) : math.digestNow(hash, numbered);
      for (let i = 4; i < numbered.length; i++) numbered[i] = digest[i - 4]!;
    }
  }
  const state = secretBytes(keyBytes);
  for (const [piece, numbered] of pieces.entries()) {
    state.set(numbered.subarray(4), piece * size);
    numbered.fill(0);
  }
  return state;
}
