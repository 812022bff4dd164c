// CBC with ESSIV, which images of LUKS1 from before 2013 have: the IV of a sector is its number, encrypted with a hash of the
// key. Who has the file can change single bits of the plaintext; for new disks there is XTS.
import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import type { CipherModule } from '@vm/vhd-crypt';

const SECTOR = 512;

export function essivCiphers(): CipherModule {
  const can = { ciphers: ['aes-cbc-essiv:sha256'], keyBytes: [16, 32], sectorBytes: [SECTOR] };
  return {
    engine: 'essiv-example',
    ...can,
    isAvailable: () => Promise.resolve(true),
    async create(cipher, given, sectorBytes) {
      if (!can.ciphers.includes(cipher) || !can.keyBytes.includes(given.length) || sectorBytes !== SECTOR) throw new RangeError(`${cipher} with ${given.length} bytes of key and sectors of ${sectorBytes}`);
      const key = Uint8Array.from(given);
      const salt = createHash('sha256').update(key).digest();
      const name = `aes-${key.length * 8}-cbc`;
      let open = true;
      const each = (from: Uint8Array, into: Uint8Array, firstSector: number, turn: (iv: Uint8Array, sector: Uint8Array) => Uint8Array): void => {
        if (!open) throw new Error('the cipher is closed');
        if (from.length % SECTOR !== 0) throw new RangeError('a part of a sector');
        for (let at = 0; at < from.length; at += SECTOR) into.set(turn(ivOf(salt, firstSector + at / SECTOR), from.subarray(at, at + SECTOR)), at);
      };
      return {
        encrypt: async (from, into, firstSector) => each(from, into, firstSector, (iv, sector) => createCipheriv(name, key, iv).setAutoPadding(false).update(sector)),
        decrypt: async (from, into, firstSector) => each(from, into, firstSector, (iv, sector) => createDecipheriv(name, key, iv).setAutoPadding(false).update(sector)),
        async close() {
          open = false;
          key.fill(0);
          salt.fill(0);
        },
      };
    },
  };
}

function ivOf(salt: Uint8Array, sector: number): Uint8Array {
  const number = Buffer.alloc(16);
  number.writeBigUInt64LE(BigInt(sector));
  return createCipheriv('aes-256-ecb', salt, null).setAutoPadding(false).update(number);
}
