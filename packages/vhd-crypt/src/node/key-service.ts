import { CryptError } from '../crypt-error.ts';
import { encodeBase64 } from '../luks2-metadata.ts';
import type { KeySource } from '../sector-cipher.ts';
import { tokenBytes, wrappedKeys } from './wrapped-keys.ts';

export interface KeyServiceOptions {
  /** Of the service; https, unless it is this host. */
  readonly url: string;
  /** Name of the key there that wraps. */
  readonly key: string;
  /** Says who asks; asked for each request. */
  readonly bearer: () => Promise<string>;
  /** Of one request. Default: 10 seconds. */
  readonly timeoutMs?: number;
  /** When the service does not answer, or has no time. Default: 4. */
  readonly attempts?: number;
  /** Before the second attempt, twice as long before each further one. Default: 250. */
  readonly waitMs?: number;
}

const MOST_ANSWER_BYTES = 1 << 16;
const MOST_WAIT_MS = 10_000;

/**
 * Secrets wrapped by a key service over HTTP: `POST URL/wrap` with `{ key, plaintext, context }` gives `{ wrapped }`, and `POST URL/unwrap` with
 * `{ key, wrapped, context }` gives `{ plaintext }`, bytes in base64. The context names the container, so that what was wrapped for one disk
 * is not unwrapped for another. The key that wraps never leaves the service.
 */
export function keyService(options: KeyServiceOptions): KeySource {
  const { key } = options;
  const base = new URL(options.url.endsWith('/') ? options.url : `${options.url}/`);
  const isHere = ['localhost', '127.0.0.1', '[::1]'].includes(base.hostname);
  if (base.protocol !== 'https:' && !(base.protocol === 'http:' && isHere)) throw new RangeError(`key service: expected https, got ${base.protocol}//${base.hostname}`);
  if (base.username !== '' || base.password !== '') throw new RangeError('key service: no secrets in its URL');
  return wrappedKeys('key-service', {
    type: 'vm-key-service',
    isOwn: (token) => token['key'] === key && token['service'] === base.href,
    async wrap(secret, { disk, uuid }) {
      const answer = await ask(disk, new URL('wrap', base), options, { key, plaintext: encodeBase64(secret), context: { uuid } });
      if (tokenBytes(answer['wrapped']) === null) throw new CryptError(disk, 'keyUnavailable', `${base.host}: an answer without a wrapped secret`);
      return { service: base.href, key, wrapped: answer['wrapped'], context: { uuid } };
    },
    async unwrap(token, { disk, uuid }) {
      const wrapped = tokenBytes(token['wrapped']);
      if (wrapped === null) throw new CryptError(disk, 'header', 'a token with a wrapped secret that is none');
      const answer = await ask(disk, new URL('unwrap', base), options, { key, wrapped: encodeBase64(wrapped), context: { uuid } });
      const secret = tokenBytes(answer['plaintext']);
      if (secret === null) throw new CryptError(disk, 'keyUnavailable', `${base.host}: an answer without a secret`);
      return secret;
    },
  });
}

async function ask(disk: string, url: URL, { key, bearer, timeoutMs = 10_000, attempts = 4, waitMs = 250 }: KeyServiceOptions, body: object): Promise<Readonly<Record<string, unknown>>> {
  const fail = (text: string): CryptError => new CryptError(disk, 'keyUnavailable', `key service ${url.host}: ${text}`);
  for (let attempt = 1, wait = waitMs; ; attempt++, wait *= 2) {
    const from = await bearer();
    let response: Response;
    try {
      response = await fetch(url, { method: 'POST', redirect: 'error', headers: { authorization: `Bearer ${from}`, 'content-type': 'application/json' }, body: JSON.stringify(body), signal: AbortSignal.timeout(timeoutMs) });
      if (response.ok) return await readAnswer(response, fail);
    } catch (error) {
      if (error instanceof CryptError) throw error;
      // Its message may hold what was sent.
      const why = (error as Error).name === 'TimeoutError' ? `no answer within ${timeoutMs} ms` : `cannot be reached (${codeOf(error)})`;
      if (attempt >= attempts) throw fail(`${why}, ${attempt} ${attempt === 1 ? 'attempt' : 'attempts'}`);
      await pause(wait);
      continue;
    }
    await response.body?.cancel();
    const { status } = response;
    if (status === 401 || status === 403) throw fail(`it refuses the token that says who asks (${status})`);
    if (status === 404) throw fail(`it knows no key ${JSON.stringify(key)} (404)`);
    if (status === 400 || status === 422) throw fail(`it does not unwrap this: another key or another disk (${status})`);
    if ((status !== 429 && status < 500) || attempt >= attempts) throw fail(`it answers ${status}, ${attempt} ${attempt === 1 ? 'attempt' : 'attempts'}`);
    const asked = Number(response.headers.get('retry-after') ?? NaN) * 1000;
    await pause(Math.min(MOST_WAIT_MS, Number.isFinite(asked) ? asked : wait));
  }
}

async function readAnswer(response: Response, fail: (text: string) => CryptError): Promise<Readonly<Record<string, unknown>>> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of response.body ?? []) {
    pieces.push(piece);
    if ((bytes += piece.length) > MOST_ANSWER_BYTES) throw fail(`an answer of more than ${MOST_ANSWER_BYTES} bytes`);
  }
  const all = Buffer.concat(pieces);
  try {
    const answer: unknown = JSON.parse(all.toString());
    if (typeof answer === 'object' && answer !== null && !Array.isArray(answer)) return answer as Readonly<Record<string, unknown>>;
  } catch {
    // As any other that is none.
  } finally {
    for (const piece of [...pieces, all]) piece.fill(0);
  }
  throw fail('an answer that is no JSON object');
}

function codeOf(error: unknown): string {
  const { cause, name } = error as { readonly cause?: { readonly code?: unknown }; readonly name: string };
  return typeof cause?.code === 'string' ? cause.code : name;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
