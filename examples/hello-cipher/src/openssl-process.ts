import { spawnSync } from 'node:child_process';
import type { CipherModule } from '@vm/vhd-crypt';
import { startFilter } from './openssl-filter.ts';

const NAME = 'openssl-xts-plain64';
const BLOCK = 16;

/**
 * XTS whose AES is in a program of its own: the process of the machine hands its sectors to three filters, `openssl enc`, and
 * adds only what makes XTS of AES. The filters hash their key with SHA-256, so the disks are not those of aes-xts-plain64.
 */
export function helperCiphers(program = 'openssl'): CipherModule {
  const can = { ciphers: [NAME], keyBytes: [64], sectorBytes: [512, 4096] };
  return {
    engine: 'openssl-process',
    ...can,
    isAvailable: async () => spawnSync(program, ['version'], { stdio: 'ignore' }).status === 0,
    async create(cipher, key, sectorBytes) {
      if (cipher !== NAME || !can.keyBytes.includes(key.length) || !can.sectorBytes.includes(sectorBytes)) throw new RangeError(`${cipher} with ${key.length} bytes of key and sectors of ${sectorBytes}`);
      const filters = { encrypt: startFilter(program, '-e', key.subarray(0, 32)), decrypt: startFilter(program, '-d', key.subarray(0, 32)), tweak: startFilter(program, '-e', key.subarray(32)) };
      const run = async (direction: 'encrypt' | 'decrypt', from: Uint8Array, into: Uint8Array, firstSector: number): Promise<void> => {
        if (from.length % sectorBytes !== 0) throw new RangeError('a part of a sector');
        const tweaks = spreadTweaks(await filters.tweak.pass(sectorNumbers(from.length / sectorBytes, firstSector, sectorBytes / 512)), sectorBytes);
        const turned = await filters[direction].pass(combine(from, tweaks));
        into.set(combine(turned, tweaks));
      };
      return {
        encrypt: (from, into, firstSector) => run('encrypt', from, into, firstSector),
        decrypt: (from, into, firstSector) => run('decrypt', from, into, firstSector),
        async close() {
          for (const filter of Object.values(filters)) filter.stop();
        },
      };
    },
  };
}

function sectorNumbers(count: number, first: number, step: number): Uint8Array {
  const bytes = Buffer.alloc(count * BLOCK);
  for (let i = 0; i < count; i++) bytes.writeBigUInt64LE(BigInt(first + i * step), i * BLOCK);
  return bytes;
}

/** One tweak a sector becomes one a block: the next is twice the one before in GF(2^128) (IEEE 1619, 5.2). */
function spreadTweaks(firsts: Uint8Array, sectorBytes: number): Uint8Array {
  const all = new Uint8Array((firsts.length / BLOCK) * sectorBytes);
  for (let at = 0; at < all.length; at += BLOCK) {
    if (at % sectorBytes === 0) {
      all.set(firsts.subarray((at / sectorBytes) * BLOCK, (at / sectorBytes + 1) * BLOCK), at);
      continue;
    }
    let carry = all[at - 1]! >> 7 === 0 ? 0 : 0x87;
    for (let i = 0; i < BLOCK; i++) {
      const byte = all[at - BLOCK + i]!;
      all[at + i] = i === 0 ? (byte << 1) ^ carry : (byte << 1) | carry;
      carry = byte >> 7;
    }
  }
  return all;
}

function combine(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ b[i]!);
}
