// Secrets that something outside wraps: a random secret opens a key slot, and beside it in the header lies a token with the wrapped
// one. Whoever unwraps it opens the disk, with cryptsetup too.
import { randomBytes } from '../key-math.ts';
import { decodeBase64 } from '../luks2-metadata.ts';
import type { KeyRequest, KeySource, KeyToken } from '../sector-cipher.ts';

const SECRET_BYTES = 32;
const MOST_TRIED = 8;

/** What wraps secrets, and the kind of tokens in which it leaves them. */
export interface SecretWrapper {
  readonly type: string;
  /** Members of the token; bytes in base64. */
  wrap(secret: Uint8Array, request: KeyRequest): Promise<Readonly<Record<string, unknown>>>;
  unwrap(token: KeyToken, request: KeyRequest): Promise<Uint8Array>;
  /** Whether a token of that kind is its own. */
  isOwn(token: KeyToken): boolean;
}

export function wrappedKeys(id: string, wrapper: SecretWrapper): KeySource {
  return {
    id,
    async getSecret(request) {
      const own = (request.tokens ?? []).filter((token) => token.type === wrapper.type && wrapper.isOwn(token)).slice(0, MOST_TRIED);
      const token = own[request.attempt];
      return token === undefined ? null : wrapper.unwrap(token, request);
    },
    async enroll(request) {
      const secret = randomBytes(SECRET_BYTES);
      return { secret, token: { ...(await wrapper.wrap(secret, request)), type: wrapper.type } };
    },
  };
}

/** Bytes of a token, which comes out of an image. */
export function tokenBytes(value: unknown): Uint8Array | null {
  return typeof value === 'string' && value.length <= 4096 && value.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(value) ? decodeBase64(value) : null;
}

