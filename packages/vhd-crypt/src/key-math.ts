import { CryptError } from './crypt-error.ts';

/** Hashes and key derivation, from wherever the host has them. */
export interface KeyMath {
  /** PBKDF2 with HMAC (RFC 8018, 5.2). */
  pbkdf2(hash: KeyHash, secret: Uint8Array, salt: Uint8Array, iterations: number, bytes: number): Promise<Uint8Array>;
  digest(hash: KeyHash, bytes: Uint8Array): Promise<Uint8Array>;
}

export const DIGEST_BYTES = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 } as const;
export type KeyHash = keyof typeof DIGEST_BYTES;

export function isKeyHash(name: string): name is KeyHash {
  return Object.hasOwn(DIGEST_BYTES, name);
}

interface Subtle {
  importKey(format: 'raw', key: Uint8Array, algorithm: 'PBKDF2', extractable: boolean, uses: readonly string[]): Promise<object>;
  deriveBits(algorithm: { name: 'PBKDF2'; hash: string; salt: Uint8Array; iterations: number }, key: object, bits: number): Promise<ArrayBuffer>;
  digest(algorithm: string, bytes: Uint8Array): Promise<ArrayBuffer>;
}
// The same in Node and in browsers.
declare const crypto: { getRandomValues(into: Uint8Array): void; readonly subtle?: Subtle };

/** By WebCrypto, which browsers have in secure contexts only. */
export function webKeyMath(): KeyMath {
  const { subtle } = crypto;
  if (subtle === undefined) throw new CryptError('WebCrypto', 'keyUnavailable', 'this page has none; it is no secure context');
  const name = (hash: KeyHash): string => `SHA-${hash.slice(3)}`;
  return {
    async pbkdf2(hash, secret, salt, iterations, bytes) {
      const key = await subtle.importKey('raw', secret, 'PBKDF2', false, ['deriveBits']);
      return new Uint8Array(await subtle.deriveBits({ name: 'PBKDF2', hash: name(hash), salt, iterations }, key, bytes * 8));
    },
    digest: async (hash, bytes) => new Uint8Array(await subtle.digest(name(hash), bytes)),
  };
}

/** Random bytes of the host; WebCrypto gives 64 KiB at a time. */
export function randomBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  for (let at = 0; at < count; at += 65536) crypto.getRandomValues(bytes.subarray(at, Math.min(count, at + 65536)));
  return bytes;
}
