import { describe, expect, it } from 'vitest';
import { createCipherRegistry } from './cipher-registry.ts';
import { createDisk } from './create-disk.ts';
import { decryptImage, encryptImage } from './encrypt-image.ts';
import { luks2 } from './luks2.ts';
import { decodeCopy, encodeCopy, type Luks2Copy } from './luks2-header.ts';
import { memoryFile, type MemoryFile } from './memory-file.ts';
import { nodeCiphers } from './node.ts';
import { openDisk } from './open-disk.ts';
import { quickMath } from './quick-math.ts';
import { rekeyImage } from './reencrypt-image.ts';
import { keyOf } from './sector-cipher.ts';

const [BYTES, DATA_AT, ZONE, COPY] = [65_536, 327_680, 8192, 16_384];
const ROUNDS = process.env['VM_LONG'] === '1' ? 4000 : 150; // of each kind
const ciphers = createCipherRegistry([nodeCiphers()]);
const math = quickMath();
const settings = { math };
const keys = keyOf(new TextEncoder().encode('a secret'));
const cost = { kdf: 'pbkdf2', iterations: 1000 } as const;
const NUMBERS = ['0', '1', '511', '512', '4096', '8192', '65536', '327680', '1048576', '1099511627776', '9007199254740991', '18446744073709551615', '-1', 'dynamic', ''];

function randomOf(seed: number): (most: number) => number {
  let state = seed;
  return (most) => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) % most;
}

/** A disk whose work was stopped after two zones. */
async function underWay(mode: 'encrypt' | 'decrypt' | 'rekey'): Promise<Uint8Array> {
  const file = memoryFile('disk.raw');
  const options = { format: 'raw', ciphers, keys, cost, keyBits: 256, zoneBytes: ZONE } as const;
  const stopped = (): { readonly signal: { readonly aborted: boolean } } => {
    let asked = 0;
    return { signal: { get aborted() { return ++asked > 2; } } };
  };
  await createDisk(file, { format: 'raw', bytes: BYTES, crypt: mode === 'encrypt' ? 'none' : 'payload', luks: { ...settings, version: 2, ciphers, keys, cost, keyBits: 256, dataAt: DATA_AT } });
  if (mode === 'rekey') await rekeyImage(file, settings, { ...options, newKeys: keys, ...stopped() });
  else await (mode === 'encrypt' ? encryptImage : decryptImage)(file, settings, { ...options, dataAt: DATA_AT, ...stopped() });
  return file.contents();
}

/** Opens it, reads and stores everything, and goes on with what is under way. */
async function use(file: MemoryFile): Promise<string> {
  try {
    const disk = await openDisk(file, { format: 'raw', containers: [luks2(settings)], ciphers, keys });
    try {
      expect(disk.bytes).toBeLessThanOrEqual(BYTES + 2 * DATA_AT + 512);
      const all = new Uint8Array(disk.bytes);
      await disk.read(0, all);
      await disk.write(0, all);
      for (let zones = 0; (await disk.reencryption?.step()) === true; zones++) expect(zones).toBeLessThan(1000);
    } finally {
      await disk.close();
    }
    return 'opened';
  } catch (error) {
    const { rule } = error as { readonly rule?: string };
    if (rule === undefined) throw error;
    return rule;
  }
}

/** Numbers and words of the metadata in random places. */
function mutate(value: unknown, random: (most: number) => number, chance: number): unknown {
  if (Array.isArray(value)) return value.map((one) => mutate(one, random, chance));
  if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).filter(() => random(chance * 4) > 0).map(([name, one]) => [name, mutate(one, random, chance)]));
  if (random(chance) > 0) return value;
  if (typeof value === 'number') return [0, -1, 2 ** 31, 1e300, 7][random(5)];
  if (typeof value !== 'string') return value;
  return /^\d*$/.test(value) ? NUMBERS[random(NUMBERS.length)] : ['encrypt', 'decrypt', 'rekey', 'linear', 'AAAA', 'null', 'backup-previous', value.slice(1)][random(8)];
}

describe('disks that claim to be re-encrypted (VHD-25)', () => {
  it.each(['encrypt', 'decrypt', 'rekey'] as const)('are opened or refused with a reason when anything in the header of %s says something else, in bounded time and memory', async (mode) => {
    const all = await underWay(mode);
    const copy = (await decodeCopy(all.slice(0, COPY), 0, math)) as Luks2Copy;
    const random = randomOf(7);
    const results: Record<string, number> = {};
    for (let round = 0; round < ROUNDS; round++) {
      const json = JSON.stringify(mutate(JSON.parse(copy.json), random, 40));
      const file = memoryFile('hostile.raw', all);
      for (const at of [0, COPY]) await file.write(at, (await encodeCopy({ ...copy, json }, at, math))!);
      const result = await use(file);
      results[result] = (results[result] ?? 0) + 1;
      expect(await file.bytes()).toBeLessThanOrEqual(all.length + 2 * DATA_AT + 512);
    }
    console.log(`${ROUNDS} headers of ${mode}: ${JSON.stringify(results)}`);
    expect(results['header']).toBeGreaterThan(ROUNDS / 10);
  }, 600_000);

  it('do not have another mode or size than their records, which nobody makes without the key', async () => {
    for (const [mode, others] of [['encrypt', ['decrypt']], ['decrypt', ['encrypt']]] as const) {
      const all = await underWay(mode);
      const copy = (await decodeCopy(all.slice(0, COPY), 0, math)) as Luks2Copy;
      for (const json of [...others.map((other) => copy.json.replace(`"mode":"${mode}"`, `"mode":"${other}"`)), copy.json.replace(`"disk_size":"${BYTES}"`, `"disk_size":"${BYTES - 4096}"`), copy.json.replace(`"zone_size":"${ZONE}"`, '"zone_size":"4096"')]) {
        expect(json).not.toBe(copy.json);
        const file = memoryFile('hostile.raw', all);
        for (const at of [0, COPY]) await file.write(at, (await encodeCopy({ ...copy, json }, at, math))!);
        expect(await use(file)).toBe('header');
      }
    }
  });

  it('are taken for nothing else where a guest wrote marks into its disk', async () => {
    const random = randomOf(3);
    for (let round = 0; round < ROUNDS; round++) {
      const all = new Uint8Array(BYTES);
      const view = new DataView(all.buffer);
      for (const [at, magic] of [[0, 'vm-shift'], [BYTES - 512, 'vm-trail']] as const) {
        all.set(new TextEncoder().encode(magic), at);
        view.setUint32(at + 8, 1);
        const dataAt = [0, 512, 4096, 16_384, 2 ** 40][random(5)]!;
        view.setBigUint64(at + 16, BigInt([0, 512, BYTES - 512 - 2 * dataAt, BYTES, 2 ** 52][random(5)]!) & 0xffff_ffff_ffff_ffffn);
        view.setBigUint64(at + 24, BigInt(dataAt));
      }
      const disk = await openDisk(memoryFile('plain.raw', all), { format: 'raw' });
      expect(disk.bytes).toBeLessThanOrEqual(BYTES);
      const read = new Uint8Array(disk.bytes);
      await disk.read(0, read);
      await disk.close();
    }
  });
});
