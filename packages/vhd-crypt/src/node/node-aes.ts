import { type Cipheriv, createCipheriv, createDecipheriv, type Decipheriv } from 'node:crypto';
import { aesXtsModule, type MakeAes } from '../aes-xts.ts';
import type { CipherModule } from '../sector-cipher.ts';

/** AES of Node's OpenSSL, with one object a key and direction: making one a sector would cost more than the sector. */
export function nodeCiphers(): CipherModule {
  return aesXtsModule('node', makeAes);
}

export const makeAes: MakeAes = (key) => {
  const name = `aes-${key.length * 8}-ecb`;
  // ECB without padding keeps no state from one call to the next.
  let encryption: Cipheriv | null = createCipheriv(name, key, null).setAutoPadding(false);
  let decryption: Decipheriv | null = createDecipheriv(name, key, null).setAutoPadding(false);
  return {
    encrypt: (blocks) => blocks.set(open(encryption).update(blocks)),
    decrypt: (blocks) => blocks.set(open(decryption).update(blocks)),
    close() {
      // OpenSSL wipes the key when the context is finished.
      encryption?.final();
      decryption?.final();
      encryption = decryption = null;
    },
  };
};

function open<T>(cipher: T | null): T {
  if (cipher === null) throw new Error('the cipher is closed');
  return cipher;
}
