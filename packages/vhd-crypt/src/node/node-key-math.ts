import { argon2, hash as digestOf, pbkdf2 } from 'node:crypto';
import { promisify } from 'node:util';
import { copySecret, type KeyMath } from '../key-math.ts';

const derive = promisify(pbkdf2);
const deriveHard = promisify(argon2);

/** By Node's OpenSSL: for the many small hashes of a key slot it is a hundred times quicker than WebCrypto. */
export function nodeKeyMath(): KeyMath {
  return {
    async pbkdf2(hash, secret, salt, iterations, bytes) {
      const derived = await derive(secret, salt, iterations, bytes, hash);
      const copy = copySecret(derived);
      derived.fill(0);
      return copy;
    },
    digest: async (hash, bytes) => digestOf(hash, bytes, 'buffer'),
    digestNow: (hash, bytes) => digestOf(hash, bytes, 'buffer'),
    async argon2({ variant, passes, memoryKib, lanes }, secret, salt, bytes) {
      const derived = await deriveHard(variant, { message: secret, nonce: salt, parallelism: lanes, tagLength: bytes, memory: memoryKib, passes });
      const copy = copySecret(derived);
      derived.fill(0);
      return copy;
    },
  };
}
