import { aesXtsModule, type MakeAes } from '../aes-xts.ts';
import { CryptError } from '../crypt-error.ts';
import type { CipherModule } from '../sector-cipher.ts';

interface Evp {
  readonly makeContext: () => unknown;
  readonly freeContext: (context: unknown) => void;
  readonly init: (context: unknown, cipher: unknown, engine: null, key: Uint8Array, iv: null, encrypt: number) => number;
  readonly setPadding: (context: unknown, on: number) => number;
  readonly update: (context: unknown, into: Uint8Array, written: Int32Array, from: Uint8Array, bytes: number) => number;
  readonly cipher: (keyBytes: number) => unknown;
}

/**
 * The OpenSSL inside the Node program, called in place through the optional package koffi: no bytes are allocated or copied on
 * the way. Not available where koffi is not installed.
 */
export function opensslCiphers(): CipherModule {
  let loaded: Promise<MakeAes | null> | null = null;
  const load = (): Promise<MakeAes | null> => (loaded ??= loadOpensslAes());
  const module = aesXtsModule('openssl', () => {
    throw new Error('not loaded');
  });
  return {
    ...module,
    isAvailable: async () => (await load()) !== null,
    async create(cipher, key, sectorBytes) {
      const makeAes = await load();
      if (makeAes === null) throw new CryptError(cipher, 'keyUnavailable', 'koffi is not installed');
      return aesXtsModule('openssl', makeAes).create(cipher, key, sectorBytes);
    },
    async createSealed(cipher, key, sectorBytes) {
      const makeAes = await load();
      if (makeAes === null) throw new CryptError(cipher, 'keyUnavailable', 'koffi is not installed');
      return aesXtsModule('openssl', makeAes).createSealed!(cipher, key, sectorBytes);
    },
  };
}

/** Null where there is no koffi. */
export async function loadOpensslAes(): Promise<MakeAes | null> {
  const evp = await loadEvp();
  if (evp === null) return null;
  return (key) => {
    const encryption = makeContext(evp, key, 1);
    const decryption = makeContext(evp, key, 0);
    const written = new Int32Array(1);
    const run = (context: unknown, blocks: Uint8Array): void => {
      if (closed) throw new Error('the cipher is closed'); // freed memory of the process otherwise
      if (evp.update(context, blocks, written, blocks, blocks.length) !== 1 || written[0] !== blocks.length) throw new Error('OpenSSL refused to encrypt');
    };
    let closed = false;
    return {
      encrypt: (blocks) => run(encryption, blocks),
      decrypt: (blocks) => run(decryption, blocks),
      close() {
        // Freeing wipes the key.
        if (!closed) for (const context of [encryption, decryption]) evp.freeContext(context);
        closed = true;
      },
    };
  };
}

function makeContext(evp: Evp, key: Uint8Array, encrypt: number): unknown {
  const context = evp.makeContext();
  if (evp.init(context, evp.cipher(key.length), null, key, null, encrypt) !== 1) throw new Error('OpenSSL refused the key');
  evp.setPadding(context, 0);
  return context;
}

async function loadEvp(): Promise<Evp | null> {
  try {
    const { default: koffi } = await import('koffi');
    const program = koffi.load(null);
    const bySize = new Map([16, 32].map((bytes) => [bytes, program.func(`void *EVP_aes_${bytes * 8}_ecb()`)()]));
    return {
      makeContext: program.func('void *EVP_CIPHER_CTX_new()') as Evp['makeContext'],
      freeContext: program.func('void EVP_CIPHER_CTX_free(void *context)') as Evp['freeContext'],
      init: program.func('int EVP_CipherInit_ex(void *context, void *cipher, void *engine, void *key, void *iv, int encrypt)') as Evp['init'],
      setPadding: program.func('int EVP_CIPHER_CTX_set_padding(void *context, int on)') as Evp['setPadding'],
      update: program.func('int EVP_CipherUpdate(void *context, void *into, void *written, void *from, int bytes)') as Evp['update'],
      cipher: (keyBytes) => bySize.get(keyBytes),
    };
  } catch {
    return null; // not installed, no binary for this platform, or a Node without these symbols
  }
}
