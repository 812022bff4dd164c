import { createHash } from 'node:crypto';
import { cipherConformance } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { Adiantum, adiantumCiphers } from './adiantum.ts';
import { ADIANTUM_VECTORS } from './adiantum-table.ts';
import { createCipherRegistry } from './cipher-registry.ts';
import { createDisk } from './create-disk.ts';
import { luks2 } from './luks2.ts';
import { memoryFile } from './memory-file.ts';
import { makeAes as makeNobleAes } from './noble-aes.ts';
import { makeAes as makeNodeAes, nodeCiphers } from './node/node-aes.ts';
import { nodeKeyMath } from './node/node-key-math.ts';
import { workerCiphers } from './node/worker-ciphers.ts';
import { openDisk } from './open-disk.ts';
import { keyOf } from './sector-cipher.ts';

const NAME = 'xchacha12,aes-adiantum-plain64';
const module = adiantumCiphers();

describe.each([['noble', makeNobleAes], ['node', makeNodeAes]] as const)('Adiantum over the AES of %s (VHD-27)', (_engine, makeAes) => {
  it('gives what its authors and Linux published, several units at once', () => {
    for (const [key, tweak, plaintext, begins, ends] of ADIANTUM_VECTORS) {
      const plain = Buffer.from(plaintext + plaintext, 'hex');
      const words = new Int32Array(Uint8Array.from(Buffer.from(tweak, 'hex')).buffer);
      const adiantum = new Adiantum(plain.length / 2, Buffer.from(key, 'hex'), makeAes);
      const into = new Uint8Array(plain.length);
      adiantum.run('encrypt', plain, into, (hash) => {
        for (let i = 0; i < words.length; i += 4) hash.block(words[i]!, words[i + 1]!, words[i + 2]!, words[i + 3]!);
      });
      const got = Buffer.from(into).toString('hex');
      const half = got.slice(0, got.length / 2);
      expect([half.slice(0, begins.length), half.slice(-ends.length), half + half]).toEqual([begins, ends, got]);
      adiantum.run('decrypt', into, into, (hash) => {
        for (let i = 0; i < words.length; i += 4) hash.block(words[i]!, words[i + 1]!, words[i + 2]!, words[i + 3]!);
      });
      expect(plain.equals(into)).toBe(true);
      adiantum.close();
    }
  });
});

describe('a sector of Adiantum (VHD-27)', () => {
  it('changes whole with any of its bits', async () => {
    const cipher = await module.create(NAME, Uint8Array.from({ length: 32 }, (_, i) => i), 4096);
    const plain = Uint8Array.from({ length: 4096 }, (_, i) => i * 7);
    const first = new Uint8Array(4096);
    await cipher.encrypt(plain, first, 8);
    for (const bit of [0, 5000, 8191, 8192, 20_000, 32_767]) {
      const changed = plain.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      await cipher.encrypt(changed, changed, 8);
      // Of 256 blocks of 16 bytes none stays, and neither does more than a few bytes in a row.
      let same = 0;
      for (let at = 0; at < 4096; at += 4) if (changed.subarray(at, at + 4).every((byte, i) => byte === first[at + i])) same++;
      expect(same).toBe(0);
    }
    await cipher.close();
  });

  it('is what Linux 6.1 stores (dm-crypt with aes-adiantum-plain64, sectors of 4 KiB)', async () => {
    const key = Buffer.from('fc9fe4608577ec2a25d808be43c3844ad4b4e26cb3dbc6ee6892414e0f254100', 'hex');
    const cipher = await module.create(NAME, key, 4096);
    for (const [text, bytes, sector, hash] of [['first of /dev/vdc\n', 12_288, 0, 'be9ec61a0dc05bf01f47de49b282379c519eb14b43ca989f2942ec13357b6da1'], ['later of /dev/vdc\n', 8192, 33_600, '71dbaa3ba735ffc28b7b5e4442b1db56885c50fdf94f927dff8f3ad135eb1bba']] as const) {
      const data = Buffer.alloc(bytes, text);
      await cipher.encrypt(data, data, sector);
      expect(createHash('sha256').update(data).digest('hex')).toBe(hash);
    }
    await cipher.close();
  });

  it('is what a plain writing of it with large numbers gives, at all sizes', async () => {
    for (const sectorBytes of module.sectorBytes) {
      for (const fill of [0xff, 0, 0x5a]) {
        const key = Uint8Array.from({ length: 32 }, (_, i) => i * 11 + fill);
        const plain = new Uint8Array(sectorBytes).fill(fill);
        const cipher = await module.create(NAME, key, sectorBytes);
        const got = new Uint8Array(sectorBytes);
        await cipher.encrypt(plain, got, 2 ** 33 + 8);
        await cipher.close();
        expect(Buffer.from(got).toString('hex')).toBe(slowly(key, plain, 2n ** 33n + 8n).toString('hex'));
      }
    }
  });
});

describe('the plug-in of Adiantum', () => {
  for (const { name, run } of cipherConformance({ ...module, sectorBytes: [512, 4096] }, { reference: adiantumCiphers('adiantum-node', makeNodeAes) })) it(name, run);
});

describe('the plug-in of Adiantum in workers', () => {
  for (const { name, run } of cipherConformance({ ...workerCiphers({ module, workers: 2, leastBytes: 0 }), sectorBytes: [4096] }, { reference: module })) it(name, run);
});

it('LUKS2 takes it, with the length of key that it has', async () => {
  const ciphers = createCipherRegistry([module, adiantumCiphers('adiantum-node', makeNodeAes), nodeCiphers()]);
  const [keys, math, file] = [keyOf(new Uint8Array(8)), nodeKeyMath(), memoryFile()];
  await createDisk(file, { format: 'raw', bytes: 1 << 20, crypt: 'payload', luks: { version: 2, math, ciphers, keys, cipher: NAME, cost: { kdf: 'pbkdf2', iterations: 1000 } } });
  const disk = await openDisk(file, { format: 'raw', containers: [luks2({ math })], ciphers, keys });
  expect(disk.encryption).toMatchObject({ cipher: NAME, keyBits: 256, sectorBytes: 4096 });
  await disk.write(5000, Uint8Array.of(1, 2, 3));
  const got = new Uint8Array(5);
  await disk.read(4999, got);
  expect(got.subarray(1, 4)).toEqual(Uint8Array.of(1, 2, 3));
  await disk.close();
});

// The same once more, as the paper says it, with no thought of time; only AES comes from elsewhere.

function slowly(key: Uint8Array, plain: Uint8Array, sector: bigint): Buffer {
  const keys = stream(key, Buffer.concat([Buffer.of(1), Buffer.alloc(23)]), 1136);
  const [aesKey, tweakKey, polyKey, nhKey] = [keys.subarray(0, 32), keys.subarray(32, 48), keys.subarray(48, 64), keys.subarray(64)];
  const bulk = plain.length - 16;
  const header = Buffer.alloc(48);
  header.writeBigUInt64LE(BigInt(bulk * 8));
  header.writeBigUInt64LE(sector, 16);
  const hash = (message: Uint8Array): bigint => (poly(tweakKey, header) + poly(polyKey, nh(nhKey, message))) & MASK;
  const middle = Buffer.from(bytesOf((number(plain.subarray(bulk)) + hash(plain.subarray(0, bulk))) & MASK, 16));
  const aes = makeNodeAes(aesKey, middle);
  aes.encrypt(middle);
  aes.close();
  const key_ = stream(key, Buffer.concat([middle, Buffer.of(1), Buffer.alloc(7)]), bulk);
  const left = Buffer.from(plain.subarray(0, bulk).map((byte, i) => byte ^ key_[i]!));
  return Buffer.concat([left, bytesOf((number(middle) - hash(left)) & MASK, 16)]);
}

const MASK = 2n ** 128n - 1n;
const number = (bytes: Uint8Array): bigint => bytes.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
const bytesOf = (value: bigint, count: number): Uint8Array => Uint8Array.from({ length: count }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));

function poly(key: Uint8Array, message: Uint8Array): bigint {
  const r = number(key) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) sum = ((sum + number(message.subarray(at, at + 16)) + 2n ** 128n) * r) % (2n ** 130n - 5n);
  return sum & MASK;
}

function nh(key: Buffer, message: Uint8Array): Buffer {
  const hashes: Uint8Array[] = [];
  for (let chunk = 0; chunk < message.length; chunk += 1024) {
    const part = Buffer.from(message.subarray(chunk, chunk + 1024));
    for (let pass = 0; pass < 4; pass++) {
      let sum = 0n;
      for (let at = 0; at < part.length; at += 16) {
        const word = (i: number): bigint => BigInt((part.readUInt32LE(at + 4 * i) + key.readUInt32LE(at + 16 * pass + 4 * i)) % 2 ** 32);
        sum += word(0) * word(2) + word(1) * word(3);
      }
      hashes.push(bytesOf(sum, 8));
    }
  }
  return Buffer.concat(hashes);
}

function stream(key: Uint8Array, nonce: Uint8Array, count: number): Buffer {
  const view = (bytes: Uint8Array): number[] => Array.from({ length: bytes.length / 4 }, (_, i) => Buffer.from(bytes).readUInt32LE(4 * i));
  const sigma = view(Buffer.from('expand 32-byte k'));
  const rounds = (state: readonly number[]): number[] => {
    const x = [...state];
    const step = (a: number, b: number, d: number, by: number): void => {
      x[a] = (x[a]! + x[b]!) >>> 0;
      const mixed = x[d]! ^ x[a]!;
      x[d] = ((mixed << by) | (mixed >>> (32 - by))) >>> 0;
    };
    for (let i = 0; i < 48; i++) {
      const [a, shift] = [i % 4, i % 8 < 4 ? 0 : 1];
      const [b, c, d] = [4 + ((a + shift) % 4), 8 + ((a + 2 * shift) % 4), 12 + ((a + 3 * shift) % 4)];
      step(a, b, d, 16);
      step(c, d, b, 12);
      step(a, b, d, 8);
      step(c, d, b, 7);
    }
    return x;
  };
  const mixed = rounds([...sigma, ...view(key), ...view(nonce.subarray(0, 16))]);
  const blocks = Array.from({ length: Math.ceil(count / 64) }, (_, counter) => {
    const state = [...sigma, ...mixed.slice(0, 4), ...mixed.slice(12), counter, 0, ...view(nonce.subarray(16))];
    return rounds(state).flatMap((word, i) => [...bytesOf(BigInt((word + state[i]!) % 2 ** 32), 4)]);
  });
  return Buffer.from(blocks.flat()).subarray(0, count);
}
