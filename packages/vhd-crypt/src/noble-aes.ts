import { unsafe } from '@noble/ciphers/aes.js';
import { aesXtsModule, type MakeAes } from './aes-xts.ts';
import type { CipherModule } from './sector-cipher.ts';

/** AES in JavaScript, which runs everywhere. It looks up tables, so its time depends on the data. */
export function nobleCiphers(): CipherModule {
  return aesXtsModule('noble', makeAes);
}

export const makeAes: MakeAes = (key) => {
  const encryption = unsafe.expandKeyLE(Uint8Array.from(key));
  const decryption = unsafe.expandKeyDecLE(Uint8Array.from(key));
  const each = (blocks: Uint8Array, cipher: typeof unsafe.encrypt, roundKeys: Uint32Array): void => {
    const words = new Uint32Array(blocks.buffer, blocks.byteOffset, blocks.length / 4);
    for (let i = 0; i < words.length; i += 4) {
      const { s0, s1, s2, s3 } = cipher(roundKeys, words[i]!, words[i + 1]!, words[i + 2]!, words[i + 3]!);
      words[i] = s0;
      words[i + 1] = s1;
      words[i + 2] = s2;
      words[i + 3] = s3;
    }
  };
  return {
    encrypt: (blocks) => each(blocks, unsafe.encrypt, encryption),
    decrypt: (blocks) => each(blocks, unsafe.decrypt, decryption),
    close() {
      encryption.fill(0);
      decryption.fill(0);
    },
  };
};
