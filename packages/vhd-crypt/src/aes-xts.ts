import { CryptError } from './crypt-error.ts';
import { sameBytes } from './big-endian.ts';
import { OcbSectors } from './ocb-sectors.ts';
import type { CipherModule } from './sector-cipher.ts';
import { type BlockCipher, Xts } from './xts.ts';

/** Makes AES with a key, for blocks in the bytes of `arena`. The key is copied. */
export type MakeAes = (key: Uint8Array, arena: Uint8Array) => BlockCipher;

const WORD = 0x1_0000_0000;
const SEALED = 'aes-ocb-random';

/** A module for XTS, as dm-crypt has it, over anybody's AES; and for OCB, which proves what it decrypts. */
export function aesXtsModule(engine: string, makeAes: MakeAes, isAvailable: () => Promise<boolean> = () => Promise.resolve(true)): CipherModule {
  const can = { ciphers: ['aes-xts-plain64', 'aes-xts-plain'], keyBytes: [32, 64], sectorBytes: [512, 1024, 2048, 4096] };
  return {
    engine,
    ...can,
    isAvailable,
    sealed: [SEALED],
    async createSealed(cipher, key, sectorBytes) {
      if (cipher !== SEALED || key.length !== 32 || sectorBytes !== 4096) throw new CryptError(cipher, 'cipher', `with a key of ${key.length * 8} bits and sectors of ${sectorBytes} bytes`);
      return new OcbSectors(cipher, key, sectorBytes, makeAes);
    },
    async create(cipher, key, sectorBytes) {
      if (!can.ciphers.includes(cipher) || !can.keyBytes.includes(key.length) || !can.sectorBytes.includes(sectorBytes)) {
        throw new CryptError(cipher, 'cipher', `with a key of ${key.length * 8} bits and sectors of ${sectorBytes} bytes`);
      }
      const half = key.length / 2;
      // IEEE 1619 and FIPS 140 want two keys; with one the tweaks can be computed from chosen data.
      if (sameBytes(key.subarray(0, half), key.subarray(half))) throw new CryptError(cipher, 'key', 'the two halves of the key are the same');
      const xts = new Xts(sectorBytes, (arena) => ({ data: makeAes(key.subarray(0, half), arena), tweak: makeAes(key.subarray(half), arena) }));
      const step = sectorBytes / 512;
      let open = true;
      const run = (direction: 'encrypt' | 'decrypt', from: Uint8Array, into: Uint8Array, firstSector: number): void => {
        if (!open) throw new CryptError(cipher, 'request', 'the cipher is closed');
        if (!Number.isSafeInteger(firstSector) || firstSector < 0) throw new CryptError(cipher, 'request', `sector ${firstSector}`);
        xts.run(direction, from, into, (ivs, units, first) => putNumbers(ivs, units, firstSector + first * step, step, cipher !== 'aes-xts-plain'));
      };
      return {
        encrypt: async (from, into, firstSector) => run('encrypt', from, into, firstSector),
        decrypt: async (from, into, firstSector) => run('decrypt', from, into, firstSector),
        close: async () => {
          open = false;
          xts.close();
        },
      };
    },
  };
}

/** The numbers of sectors, with 64 bits or the lower 32 of them. */
function putNumbers(ivs: DataView, units: number, firstSector: number, step: number, all64: boolean): void {
  let [low, high] = [firstSector % WORD, Math.floor(firstSector / WORD)];
  for (let at = 0; at < 16 * units; at += 16) {
    ivs.setUint32(at, low, true);
    ivs.setUint32(at + 4, all64 ? high : 0, true);
    ivs.setUint32(at + 8, 0);
    ivs.setUint32(at + 12, 0);
    low += step;
    if (low < WORD) continue;
    low -= WORD;
    high++;
  }
}
