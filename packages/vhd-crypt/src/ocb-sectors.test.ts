import { createCipheriv } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { makeAes as makeNobleAes } from './noble-aes.ts';
import { makeAes as makeNodeAes } from './node/node-aes.ts';
import { loadOpensslAes } from './node/openssl-aes.ts';
import { OcbSectors, RECORD_BYTES } from './ocb-sectors.ts';

const openssl = await loadOpensslAes();
const key = Uint8Array.from({ length: 32 }, (_, i) => i * 5 + 1);
const SECTOR = 4096;
const pattern = (bytes: number, seed: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + seed * 31 + (i >>> 8)) & 0xff);
const NUMBERS = [0, 8, 800, 2 ** 32 - 8, 2 ** 32, 2 ** 40, ...Array.from({ length: 30 }, (_, i) => 8 * (i + 2))];

describe.each([['noble', makeNobleAes], ['node', makeNodeAes], ...(openssl === null ? [] : [['openssl', openssl] as const])] as const)('OCB over the AES of %s (VHD-28)', (_engine, makeAes) => {
  it('gives the bytes and tags of OpenSSL (RFC 7253), for any number and nonce, and opens them', async () => {
    const sectors = new OcbSectors('disk', key, SECTOR, makeAes);
    const plain = pattern(NUMBERS.length * SECTOR, 3);
    const [sealed, opened, records] = [new Uint8Array(plain.length), new Uint8Array(plain.length), new Uint8Array(NUMBERS.length * RECORD_BYTES)];
    await sectors.seal(plain, sealed, records, NUMBERS);
    for (const [i, number] of NUMBERS.entries()) {
      const record = records.subarray(i * RECORD_BYTES, (i + 1) * RECORD_BYTES);
      const theirs = createCipheriv('aes-256-ocb', key, record.subarray(16, 31), { authTagLength: 16 });
      const associated = Buffer.alloc(16);
      associated.writeBigUInt64LE(BigInt(number));
      theirs.setAAD(associated);
      const wanted = Buffer.concat([theirs.update(plain.subarray(i * SECTOR, (i + 1) * SECTOR)), theirs.final()]);
      expect(wanted.equals(sealed.subarray(i * SECTOR, (i + 1) * SECTOR))).toBe(true);
      expect(Buffer.from(record.subarray(0, 16))).toEqual(theirs.getAuthTag());
    }
    expect(await sectors.open(sealed, opened, records, NUMBERS)).toBe(-1);
    expect(Buffer.from(opened).equals(plain)).toBe(true);
    await sectors.close();
    await expect(sectors.seal(plain, sealed, records, NUMBERS)).rejects.toThrow('closed');
  });
});

it('OCB refuses a sector with any byte of it, of its record or of its number changed, and shows nothing of it (VHD-28)', async () => {
  const sectors = new OcbSectors('disk', key, SECTOR, makeNodeAes);
  const [plain, sealed, records, into] = [pattern(3 * SECTOR, 1), new Uint8Array(3 * SECTOR), new Uint8Array(3 * RECORD_BYTES), new Uint8Array(3 * SECTOR)];
  await sectors.seal(plain, sealed, records, [8, 16, 24]);
  const attempt = async (change: (data: Uint8Array, kept: Uint8Array) => void, numbers = [8, 16, 24]): Promise<number> => {
    const [data, kept] = [sealed.slice(), records.slice()];
    change(data, kept);
    const failed = await sectors.open(data, into, kept, numbers);
    if (failed >= 0 && into.subarray(failed * SECTOR, (failed + 1) * SECTOR).some((byte) => byte !== 0)) throw new Error('it is shown');
    return failed;
  };
  for (let at = SECTOR; at < 2 * SECTOR; at += 1) expect(await attempt((data) => { data[at]! ^= 1 << (at % 8); })).toBe(1);
  for (let at = RECORD_BYTES; at < 2 * RECORD_BYTES; at++) expect(await attempt((_, kept) => { kept[at]! ^= 1 << (at % 8); })).toBe(1);
  expect(await attempt(() => undefined, [8, 17, 24])).toBe(1);
  expect(await attempt(() => undefined, [8, 16, 32])).toBe(2);
  expect(await attempt(() => undefined)).toBe(-1);
  await sectors.close();
});
