import { argon2iAsync, argon2idAsync } from '@noble/hashes/argon2.js';
import { CryptError } from './crypt-error.ts';

/** Hashes and key derivation, from wherever the host has them. */
export interface KeyMath {
  /** PBKDF2 with HMAC (RFC 8018, 5.2). */
  pbkdf2(hash: KeyHash, secret: Uint8Array, salt: Uint8Array, iterations: number, bytes: number): Promise<Uint8Array>;
  digest(hash: KeyHash, bytes: Uint8Array): Promise<Uint8Array>;
  /** The same at once, where the host can: a key slot takes thousands of small ones. */
  digestNow?(hash: KeyHash, bytes: Uint8Array): Uint8Array;
  /** Argon2 version 1.3 (RFC 9106). */
  argon2(cost: Argon2Cost, secret: Uint8Array, salt: Uint8Array, bytes: number): Promise<Uint8Array>;
}

/** What makes guessing dear: time and memory. */
export interface Argon2Cost {
  readonly variant: 'argon2i' | 'argon2id';
  readonly passes: number;
  readonly memoryKib: number;
  readonly lanes: number;
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

/** By WebCrypto, which browsers have in secure contexts only; Argon2, which it lacks, in JavaScript. */
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
    argon2: ({ variant, passes, memoryKib, lanes }, secret, salt, bytes) => (variant === 'argon2i' ? argon2iAsync : argon2idAsync)(secret, salt, { t: passes, m: memoryKib, p: lanes, dkLen: bytes }),
  };
}

/**
 * Bytes for a secret. A small array without a buffer of its own lies in the engine's heap, whose collector moves it and leaves copies
 * behind that nobody wipes.
 */
export function secretBytes(count: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(count));
}

export function copySecret(bytes: Uint8Array): Uint8Array {
  const copy = secretBytes(bytes.length);
  copy.set(bytes);
  return copy;
}

/** Random bytes of the host; WebCrypto gives 64 KiB at a time. */
export function randomBytes(count: number): Uint8Array {
  const bytes = secretBytes(count);
  for (let at = 0; at < count; at += 65536) crypto.getRandomValues(bytes.subarray(at, Math.min(count, at + 65536)));
  return bytes;
}

/** HMAC (RFC 2104), for the few places where a host's own would be no quicker. */
export async function hmacSha256(math: KeyMath, key: Uint8Array, bytes: Uint8Array): Promise<Uint8Array> {
  const padded = secretBytes(64);
  padded.set(key.length > 64 ? await math.digest('sha256', key) : key);
  const inner = secretBytes(64 + bytes.length);
  const outer = secretBytes(96);
  for (let i = 0; i < 64; i++) {
    inner[i] = padded[i]! ^ 0x36;
    outer[i] = padded[i]! ^ 0x5c;
  }
  inner.set(bytes, 64);
  outer.set(await math.digest('sha256', inner), 64);
  const mac = await math.digest('sha256', outer);
  for (const wiped of [padded, inner, outer]) wiped.fill(0);
  return mac;
}
