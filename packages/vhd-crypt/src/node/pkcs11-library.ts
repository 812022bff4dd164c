// PKCS #11 v2.40: the few functions that wrap a secret with a key that never leaves its token. Layouts as on systems where a long
// has the size of a pointer and structures are aligned, which leaves out Windows.
import { CryptError } from '../crypt-error.ts';

/** An object of a token, while its session is open. */
export interface TokenKey {
  readonly kind: 'aes' | 'rsa';
  encrypt(data: Uint8Array): { readonly data: Uint8Array; readonly iv: Uint8Array | null };
  decrypt(data: Uint8Array, iv: Uint8Array | null): Uint8Array;
}

export interface TokenPlace {
  /** The library that speaks with the token. */
  readonly modulePath: string;
  /** Its label. */
  readonly token: string;
  /** Label of the key: a secret AES key, or the two of an RSA pair. */
  readonly object: string;
}

const OK = 0;
const ALREADY_INITIALIZED = 0x191;
const USER_ALREADY_LOGGED_IN = 0x100;
const ERRORS: Readonly<Record<number, string>> = { 0x30: 'the device has an error', 0x32: 'the device was taken away', 0xa0: 'the PIN is wrong', 0xa4: 'the PIN is locked', 0xe0: 'there is no token', 0x40: 'the data was not encrypted with this key', 0x41: 'the data was not encrypted with this key', 0x68: 'the key is not for this', 0x70: 'the token has no such mechanism' };
const [SERIAL_SESSION, USER] = [4, 1];
const [CLASS, LABEL, KEY_TYPE] = [0, 3, 0x100];
const [PUBLIC_KEY, PRIVATE_KEY, SECRET_KEY] = [2, 3, 4];
const AES = 0x1f;
const [RSA_OAEP, AES_CBC_PAD, SHA1, MGF1_SHA1, DATA_SPECIFIED] = [9, 0x1085, 0x220, 1, 1];
const MOST_TOKENS = 256;
const MOST_BYTES = 4096;
const TOKEN_INFO_BYTES = 512; // CK_TOKEN_INFO begins with the label, 32 characters with spaces at the end

type Call = (...args: unknown[]) => number;

/** Signs in to a token, works with a key there, and signs out. */
export async function withTokenKey<T>(disk: string, { modulePath, token, object }: TokenPlace, pin: Uint8Array, work: (key: TokenKey) => T): Promise<T> {
  const call = await loadLibrary(disk, modulePath);
  const check = (what: string, code: number, ...fine: readonly number[]): void => {
    if (code !== OK && !fine.includes(code)) throw new CryptError(disk, code === 0xa0 || code === 0xa4 ? 'key' : 'keyUnavailable', `${what} of the token ${JSON.stringify(token)}: ${ERRORS[code] ?? `error 0x${code.toString(16)}`}`);
  };
  const begun = call('C_Initialize', null);
  check('the library', begun, ALREADY_INITIALIZED);
  try {
    const slot = findToken(disk, call, token, check);
    const handle = new BigUint64Array(1);
    check('a session', call('C_OpenSession', slot, SERIAL_SESSION, null, null, handle));
    const session = handle[0]!;
    try {
      check('signing in', call('C_Login', session, USER, pin, pin.length), USER_ALREADY_LOGGED_IN);
      return work(keyOf(disk, call, session, object, check));
    } finally {
      call('C_Logout', session);
      call('C_CloseSession', session);
    }
  } finally {
    if (begun === OK) call('C_Finalize', null);
  }
}

function findToken(disk: string, call: (name: string, ...args: unknown[]) => number, label: string, check: (what: string, code: number) => void): bigint {
  const count = new BigUint64Array([BigInt(MOST_TOKENS)]);
  const slots = new BigUint64Array(MOST_TOKENS);
  check('the list', call('C_GetSlotList', 1, slots, count));
  for (const slot of slots.subarray(0, Number(count[0]!))) {
    const info = Buffer.alloc(TOKEN_INFO_BYTES);
    if (call('C_GetTokenInfo', slot, info) === OK && info.toString('utf8', 0, 32).trimEnd() === label) return slot;
  }
  throw new CryptError(disk, 'keyUnavailable', `there is no token ${JSON.stringify(label)}`);
}

function keyOf(disk: string, call: (name: string, ...args: unknown[]) => number, session: bigint, label: string, check: (what: string, code: number) => void): TokenKey {
  const find = (kind: number): bigint | null => {
    const name = Buffer.from(label);
    const wanted = [attribute(CLASS, ulong(kind)), attribute(LABEL, name)];
    check('searching', call('C_FindObjectsInit', session, wanted, wanted.length));
    const [found, count] = [new BigUint64Array(1), new BigUint64Array(1)];
    const code = call('C_FindObjects', session, found, 1, count);
    call('C_FindObjectsFinal', session);
    check('searching', code);
    return count[0] === 0n ? null : found[0]!;
  };
  const run = (what: 'Encrypt' | 'Decrypt', key: bigint, mechanism: object, data: Uint8Array): Uint8Array => {
    check('its key', call(`C_${what}Init`, session, mechanism, key));
    const into = Buffer.alloc(MOST_BYTES);
    const bytes = new BigUint64Array([BigInt(into.length)]);
    try {
      check('its key', call(`C_${what}`, session, data, data.length, into, bytes));
      return Uint8Array.from(into.subarray(0, Number(bytes[0]!)));
    } finally {
      into.fill(0);
    }
  };
  const secret = find(SECRET_KEY);
  if (secret !== null) {
    const type = ulong(0);
    check('its key', call('C_GetAttributeValue', session, secret, [attribute(KEY_TYPE, type)], 1));
    if (type.readUInt32LE(0) !== AES && type.readUInt32LE(0) !== 0) throw new CryptError(disk, 'keyUnavailable', `the key ${JSON.stringify(label)} is no AES key`);
    const mechanism = (iv: Uint8Array): object => ({ mechanism: AES_CBC_PAD, parameter: iv, parameterBytes: iv.length });
    return {
      kind: 'aes',
      encrypt(data) {
        const iv = crypto.getRandomValues(new Uint8Array(16));
        return { data: run('Encrypt', secret, mechanism(iv), data), iv };
      },
      decrypt(data, iv) {
        if (iv?.length !== 16) throw new CryptError(disk, 'header', 'a wrapped secret without its beginning');
        return run('Decrypt', secret, mechanism(iv), data);
      },
    };
  }
  const [open, closed] = [find(PUBLIC_KEY), find(PRIVATE_KEY)];
  if (closed === null) throw new CryptError(disk, 'keyUnavailable', `the token has no key ${JSON.stringify(label)}`);
  // CK_RSA_PKCS_OAEP_PARAMS: hash, mask generation, and an empty label.
  const parameter = Buffer.concat([ulong(SHA1), ulong(MGF1_SHA1), ulong(DATA_SPECIFIED), ulong(0), ulong(0)]);
  const mechanism = { mechanism: RSA_OAEP, parameter, parameterBytes: parameter.length };
  return {
    kind: 'rsa',
    encrypt(data) {
      if (open === null) throw new CryptError(disk, 'keyUnavailable', `the token has no public key ${JSON.stringify(label)}`);
      return { data: run('Encrypt', open, mechanism, data), iv: null };
    },
    decrypt: (data) => run('Decrypt', closed, mechanism, data),
  };
}

function ulong(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value);
  return bytes;
}

function attribute(type: number, value: Uint8Array): object {
  return { type, value, valueBytes: value.length };
}

const SIGNATURES: readonly string[] = [
  'C_Initialize(void *arguments)', 'C_Finalize(void *reserved)', 'C_GetSlotList(uint8_t present, void *slots, void *count)', 'C_GetTokenInfo(unsigned long slot, void *info)',
  'C_OpenSession(unsigned long slot, unsigned long flags, void *application, void *notify, void *session)', 'C_CloseSession(unsigned long session)',
  'C_Login(unsigned long session, unsigned long user, void *pin, unsigned long bytes)', 'C_Logout(unsigned long session)',
  'C_FindObjectsInit(unsigned long session, vm_attribute *template, unsigned long count)', 'C_FindObjects(unsigned long session, void *objects, unsigned long most, void *count)', 'C_FindObjectsFinal(unsigned long session)',
  'C_GetAttributeValue(unsigned long session, unsigned long object, vm_attribute *template, unsigned long count)',
  ...['Encrypt', 'Decrypt'].flatMap((what) => [`C_${what}Init(unsigned long session, vm_mechanism *mechanism, unsigned long key)`, `C_${what}(unsigned long session, void *from, unsigned long bytes, void *into, void *intoBytes)`]),
];

let structures: object | null = null; // names of koffi are those of the process

async function loadLibrary(disk: string, path: string): Promise<(name: string, ...args: unknown[]) => number> {
  if (process.platform === 'win32') throw new CryptError(disk, 'keyUnavailable', 'PKCS #11 tokens are not for Windows yet');
  const { default: koffi } = await import('koffi').catch((error: unknown) => {
    throw Object.assign(new CryptError(disk, 'keyUnavailable', 'PKCS #11 tokens need the package koffi, which is not installed'), { cause: error });
  });
  structures ??= [
    koffi.struct('vm_attribute', { type: 'unsigned long', value: 'void *', valueBytes: 'unsigned long' }),
    koffi.struct('vm_mechanism', { mechanism: 'unsigned long', parameter: 'void *', parameterBytes: 'unsigned long' }),
  ];
  try {
    // Its own libraries before those of this process: Node.js brings another OpenSSL.
    const library = koffi.load(path, { deep: true });
    const calls = new Map(SIGNATURES.map((signature) => [signature.slice(0, signature.indexOf('(')), library.func(`unsigned long ${signature}`) as Call]));
    return (name, ...args) => Number(calls.get(name)!(...args));
  } catch (error) {
    throw Object.assign(new CryptError(disk, 'keyUnavailable', `${path} is no library of PKCS #11: ${(error as Error).message.slice(0, 200)}`), { cause: error });
  }
}
