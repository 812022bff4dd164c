import { CryptError } from '../crypt-error.ts';
import { encodeBase64 } from '../luks2-metadata.ts';
import type { KeySource } from '../sector-cipher.ts';
import { type TokenPlace, withTokenKey } from './pkcs11-library.ts';
import { tokenBytes, wrappedKeys } from './wrapped-keys.ts';

export interface Pkcs11Options extends TokenPlace {
  /** The PIN; asked each time, wiped afterwards. A wrong one is never tried twice, since tokens lock themselves. */
  readonly pin: () => Promise<Uint8Array>;
}

/**
 * Secrets wrapped by a key on a PKCS #11 token: by an AES key in CBC mode, or an RSA pair with OAEP. Needs the optional package
 * koffi. The library runs in the thread of the caller.
 */
export function pkcs11Keys(options: Pkcs11Options): KeySource {
  const { token, object } = options;
  const withKey = async <T>(disk: string, work: Parameters<typeof withTokenKey<T>>[3]): Promise<T> => {
    const pin = await options.pin();
    try {
      return await withTokenKey(disk, options, pin, work);
    } finally {
      pin.fill(0);
    }
  };
  return wrappedKeys('pkcs11', {
    type: 'vm-pkcs11',
    isOwn: (one) => one['token'] === token && one['object'] === object,
    wrap: (secret, { disk }) => withKey(disk, (key) => {
      const { data, iv } = key.encrypt(secret);
      return { token, object, mechanism: key.kind === 'aes' ? 'aes-cbc-pad' : 'rsa-oaep-sha1', wrapped: encodeBase64(data), ...(iv === null ? {} : { iv: encodeBase64(iv) }) };
    }),
    async unwrap(one, { disk }) {
      const wrapped = tokenBytes(one['wrapped']);
      if (wrapped === null) throw new CryptError(disk, 'header', 'a token with a wrapped secret that is none');
      return withKey(disk, (key) => key.decrypt(wrapped, tokenBytes(one['iv'])));
    },
  });
}

/**
 * The names in a URI of RFC 7512 for a key on a token: `pkcs11:token=NAME;object=NAME?module-path=FILE&pin-source=FILE`. Throws
 * RangeError.
 */
export function parsePkcs11Uri(uri: string): TokenPlace & { readonly pinSource: string } {
  const [, path = '', query = ''] = /^pkcs11:([^?]*)(?:\?(.*))?$/.exec(uri) ?? [];
  const read = (text: string, separator: string): Map<string, string> => new Map(text.split(separator).filter((one) => one !== '').map((one): [string, string] => {
    const equals = one.indexOf('=');
    return [one.slice(0, equals), decodeURIComponent(one.slice(equals + 1))];
  }));
  const names = new Map([...read(path, ';'), ...read(query, '&')]);
  const known = ['token', 'object', 'type', 'module-path', 'pin-source'];
  for (const name of names.keys()) if (!known.includes(name)) throw new RangeError(`pkcs11: unknown attribute ${JSON.stringify(name)}; there are ${known.join(', ')}`);
  const [token, object, modulePath, pinSource] = ['token', 'object', 'module-path', 'pin-source'].map((name) => names.get(name));
  if (token === undefined || object === undefined || modulePath === undefined || pinSource === undefined) throw new RangeError('pkcs11: expected pkcs11:token=NAME;object=NAME?module-path=FILE&pin-source=FILE');
  return { token, object, modulePath, pinSource: pinSource.replace(/^file:(\/\/)?/, '') };
}
