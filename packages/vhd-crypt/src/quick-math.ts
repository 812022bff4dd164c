// For the tests that open disks after thousands of crashes: sums in place of hashes, so that a key slot opens in a millisecond.
// What is made with this opens with nothing else, and guards nothing. It is no part of the package.
import { DIGEST_BYTES, type KeyHash, type KeyMath } from './key-math.ts';

export function quickMath(): KeyMath {
  const pbkdf2: KeyMath['pbkdf2'] = (_hash, secret, salt, _iterations, bytes) => {
    const both = new Uint8Array(secret.length + salt.length + 1);
    both.set(secret);
    both.set(salt, secret.length);
    const derived = new Uint8Array(bytes);
    for (let at = 0; at < bytes; at += 64) {
      both[both.length - 1] = at;
      derived.set(sumOf('sha512', both).subarray(0, bytes - at), at);
    }
    return Promise.resolve(derived);
  };
  return { pbkdf2, digest: (hash, bytes) => Promise.resolve(sumOf(hash, bytes)), digestNow: sumOf, argon2: (_cost, secret, salt, bytes) => pbkdf2('sha256', secret, salt, 1, bytes) };
}

/** Two sums of 32 bits over all bytes, and a generator that they seed. */
function sumOf(hash: KeyHash, bytes: Uint8Array): Uint8Array {
  let [a, b] = [0x9e37_79b9 ^ bytes.length, 0x85eb_ca6b];
  const { length } = bytes;
  for (let i = 0; i < length; i += 4) {
    // Past the end undefined counts as 0.
    const word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    a = Math.imul(a ^ word, 0x0100_0193) ^ (a >>> 15);
    b = Math.imul(b ^ word, 0x9e37_79b1) + (a ^ (b >>> 13));
  }
  const sum = new Uint8Array(DIGEST_BYTES[hash]);
  for (let i = 0; i < sum.length; i += 4) {
    a = Math.imul(a ^ (a >>> 15), 0x2c1b_3c6d) + b;
    b = Math.imul(b ^ (b >>> 13), 0x297a_2d39) ^ a;
    sum[i] = b;
    sum[i + 1] = b >>> 8;
    sum[i + 2] = b >>> 16;
    sum[i + 3] = b >>> 24;
  }
  return sum;
}
