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
  return { pbkdf2, digest: (hash, bytes) => Promise.resolve(sumOf(hash, bytes)), argon2: (_cost, secret, salt, bytes) => pbkdf2('sha256', secret, salt, 1, bytes) };
}

/** Two sums of 32 bits over all bytes, and a generator that they seed. */
function sumOf(hash: KeyHash, bytes: Uint8Array): Uint8Array {
  let [a, b] = [0x9e37_79b9 ^ bytes.length, 0x85eb_ca6b];
  for (const byte of bytes) {
    a = Math.imul(a ^ byte, 0x0100_0193);
    b = Math.imul((b ^ byte ^ (a >>> 15)) + 0x7f4a_7c15, 0x9e37_79b1);
  }
  const sum = new Uint8Array(DIGEST_BYTES[hash]);
  for (let i = 0; i < sum.length; i++) {
    a = Math.imul(a ^ (a >>> 15), 0x2c1b_3c6d) + b;
    b = Math.imul(b ^ (b >>> 13), 0x297a_2d39) ^ a;
    sum[i] = b >>> 24;
  }
  return sum;
}
