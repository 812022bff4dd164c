import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crashCuts, CrashStates, recordSteps, replayCut, strangeSector } from '@vm/testkit';
import { itWithOracle } from '@vm/testkit/oracle';
import { afterAll, describe, expect, it } from 'vitest';
import { createCipherRegistry } from './cipher-registry.ts';
import { createDisk } from './create-disk.ts';
import { luks2, readLuks2Facts } from './luks2.ts';
import { memoryFile, type MemoryFile } from './memory-file.ts';
import { nodeCiphers, nodeKeyMath, openImageFile } from './node.ts';
import { containerBytes, type DiskFormat, openDisk, type OpenedDisk } from './open-disk.ts';
import { quickMath } from './quick-math.ts';
import { rekeyImage, type RekeyImageOptions } from './reencrypt-image.ts';
import { startRekey } from './reencrypt.ts';
import { keyOf } from './sector-cipher.ts';
import type { ImageFile } from './image-file.ts';

const MIB = 2 ** 20;
const [ZONE, BYTES, DATA_AT] = [8192, 40_960, 327_680];
const ROUNDS = process.env['VM_LONG'] === '1' ? 100 : 4;
const folder = mkdtempSync(join(tmpdir(), 'rekey-'));
afterAll(() => rmSync(folder, { recursive: true }));
const ciphers = createCipherRegistry([nodeCiphers()]);
const settings = { math: nodeKeyMath() };
const cost = { kdf: 'pbkdf2', iterations: 1000 } as const;
const text = (secret: string): Uint8Array => new TextEncoder().encode(secret);
const [oldKeys, newKeys] = [keyOf(text('the old one')), keyOf(text('the new one'))];
const luks = { ...settings, version: 2, ciphers, keys: oldKeys, cost, keyBits: 256 } as const;
const rekey: Omit<RekeyImageOptions, 'format'> = { ciphers, keys: oldKeys, newKeys, cost };
const pattern = (bytes: number, seed: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => 1 + ((i * 7 + seed * 31 + (i >>> 8)) % 255));
const open = (file: ImageFile, keys = newKeys, format: DiskFormat = 'raw', writable = true, used = settings): Promise<OpenedDisk> => openDisk({ ...file, close: () => Promise.resolve() }, { format, containers: [luks2(used)], ciphers, keys, writable });

async function contentsOf(disk: OpenedDisk): Promise<Buffer> {
  const all = Buffer.alloc(disk.bytes);
  await disk.read(0, all);
  return all;
}

async function filled(format: DiskFormat, bytes: number, dataAt?: number, used = settings): Promise<{ readonly file: MemoryFile; readonly data: Buffer }> {
  const file = memoryFile('disk');
  await createDisk(file, { format, bytes, crypt: 'payload', luks: { ...luks, ...used, ...(dataAt === undefined ? {} : { dataAt }) } });
  const disk = await open(file, oldKeys, format, true, used);
  for (const [at, count] of [[0, 9000], [Math.floor(bytes / 2), 5000], [bytes - 700, 700]] as const) await disk.write(at, pattern(count, at));
  const data = await contentsOf(disk);
  await disk.close();
  return { file, data };
}

describe('another key in place', () => {
  it.each(['raw', 'vhd'] as const)('leaves the data of a %s disk as it was, with a new key, cipher and size of sectors, and forgets the old secret', async (format) => {
    const { file, data } = await filled(format, 8 * MIB);
    const before = Buffer.from(file.contents());
    const told: number[] = [];
    expect(await rekeyImage(file, settings, { ...rekey, format, keyBits: 512, sectorBytes: 512, progress: (done) => told.push(done) })).toBe(true);
    expect(told.length).toBeGreaterThan(3);
    await expect(open(file, oldKeys, format)).rejects.toMatchObject({ rule: 'key' });
    const disk = await open(file, newKeys, format);
    expect(disk.encryption).toMatchObject({ keyBits: 512, sectorBytes: 512 });
    expect((await contentsOf(disk)).equals(data)).toBe(true);
    await disk.close();
    const after = Buffer.from(file.contents());
    // Holes stay holes, and no unit of ciphertext is what it was.
    if (format === 'vhd') expect(after.length).toBeLessThan(before.length + 3 * MIB);
    else for (let at = 4 * MIB; at < after.length; at += 16) if (after.subarray(at, at + 16).equals(before.subarray(at, at + 16))) throw new Error(`the old ciphertext at ${at}`);
  });

  it('goes on behind whoever uses the disk, and from where it was stopped', async () => {
    const { file, data } = await filled('raw', BYTES, DATA_AT);
    let steps = 0;
    expect(await rekeyImage(file, settings, { ...rekey, format: 'raw', zoneBytes: ZONE, signal: { get aborted() { return ++steps > 2; } } })).toBe(false);
    await expect(open(file, oldKeys)).rejects.toMatchObject({ rule: 'key' });
    const disk = await open(file);
    expect(disk.reencryption?.progress()).toEqual({ done: 2 * ZONE, total: BYTES });
    // All at once: what comes while a zone moves waits for it.
    const moved = [disk.reencryption!.step(), disk.write(2 * ZONE - 100, pattern(9000, 5)), disk.reencryption!.step(), disk.write(100, pattern(3000, 6))];
    data.set(pattern(9000, 5), 2 * ZONE - 100);
    data.set(pattern(3000, 6), 100);
    await Promise.all(moved);
    expect((await contentsOf(disk)).equals(data)).toBe(true);
    await disk.close();
    expect(await rekeyImage(file, settings, { ...rekey, format: 'raw' })).toBe(true);
    const done = await open(file);
    expect([done.reencryption, (await contentsOf(done)).equals(data)]).toEqual([null, true]);
    await done.close();
    expect((await readLuks2Facts(await containerBytes(file), settings)).requirements).toEqual([]);
  });

  it('is refused where it cannot be', async () => {
    const plain = memoryFile('plain.raw');
    await plain.resize(MIB);
    await expect(rekeyImage(plain, settings, { ...rekey, format: 'raw' })).rejects.toThrow('it is no LUKS2');
    const { file } = await filled('raw', BYTES, DATA_AT);
    const before = Buffer.from(file.contents());
    await expect(rekeyImage(file, settings, { ...rekey, format: 'raw', keys: newKeys })).rejects.toMatchObject({ rule: 'key' });
    await expect(rekeyImage(file, settings, { ...rekey, format: 'raw', cipher: 'rot13' })).rejects.toThrow('no plug-in does the cipher "rot13"');
    await expect(rekeyImage(file, settings, { ...rekey, format: 'raw', zoneBytes: MIB })).rejects.toThrow('no room for records');
    expect((await readLuks2Facts(await containerBytes(file), settings)).requirements).toEqual([]);
    expect(Buffer.from(file.contents().subarray(DATA_AT)).equals(before.subarray(DATA_AT))).toBe(true);
    await (await open(file, oldKeys)).close();
  });

  itWithOracle(it, 'cryptsetup', 'cryptsetup leaves a disk alone while it is under way, and opens it afterwards', async (cryptsetup) => {
    const { file } = await filled('raw', 2 * MIB);
    const path = join(folder, 'disk.raw');
    writeFileSync(join(folder, 'new.txt'), 'the new one');
    const bytes = await containerBytes(file);
    await startRekey(bytes, { allocationBytes: null, bytes: bytes.bytes }, settings, { ...rekey, zoneBytes: ZONE });
    writeFileSync(path, file.contents());
    const run = (...args: string[]): string => execFileSync(cryptsetup, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    const test = ['open', '--test-passphrase', '--key-file', join(folder, 'new.txt'), path];
    expect(() => run('luksAddKey', '-q', '--key-file', join(folder, 'new.txt'), path, join(folder, 'new.txt'))).toThrow();
    expect(readFileSync(path).equals(file.contents())).toBe(true);
    const image = await openImageFile(path, { writable: true });
    expect(await rekeyImage(image, settings, { ...rekey, format: 'raw' })).toBe(true);
    await image.close();
    run(...test);
    expect(run('luksDump', path)).not.toContain('vm-reencrypt');
  });
});

describe('a crash at any write of a re-encryption (VHD-20)', () => {
  const quick = { math: quickMath() };
  it('leaves a disk that opens with one of the two secrets, on which every sector is old or new, and that can be finished', async () => {
    let [cuts, finished] = [0, 0];
    for (let round = 1; round <= ROUNDS; round++) {
      const { file, data } = await filled('raw', BYTES, DATA_AT, quick);
      const initial = file.contents();
      const { file: watched, steps } = recordSteps(file);
      const states = new CrashStates(steps, data);
      let stops = 0;
      await rekeyImage(watched, quick, { ...rekey, format: 'raw', zoneBytes: ZONE, signal: { get aborted() { return ++stops > round % 3; } } });
      const disk = await open(watched, newKeys, 'raw', true, quick);
      // Stores of the guest between the zones, some of which it flushes.
      for (let i = 0, more = true; more; i++) {
        const at = ((i * 37 + round * 11) % 70) * 512;
        const from = pattern(512 * (1 + (i % 9)), i + round);
        await disk.write(at, from);
        data.set(from, at);
        states.stored(data);
        if (i % 2 === round % 2) {
          await disk.flush();
          states.flushed(data);
        }
        more = await disk.reencryption!.step();
      }
      await disk.close();
      states.flushed(data);
      for (const { upTo, kept } of crashCuts(steps, { wholeSets: 3, seed: round })) {
        const cut = memoryFile('cut.raw', initial);
        await replayCut(cut, kept);
        const expectSectors = async (opened: OpenedDisk): Promise<void> => {
          const strange = strangeSector(await contentsOf(opened), states.allowed(upTo));
          if (strange >= 0) throw new Error(`round ${round}, cut ${cuts}: sector ${strange} is neither old nor new`);
          await opened.close();
        };
        const isNew = await open(cut, newKeys, 'raw', true, quick).catch(() => null);
        await expectSectors(isNew ?? (await open(cut, oldKeys, 'raw', true, quick)));
        if (cuts++ % 25 !== 0) continue;
        expect(await rekeyImage(cut, quick, { ...rekey, keys: isNew === null ? oldKeys : newKeys, format: 'raw', zoneBytes: ZONE })).toBe(true);
        await expectSectors(await open(cut, newKeys, 'raw', true, quick));
        finished++;
      }
    }
    console.log(`${cuts} cuts of re-encryptions, ${finished} of them finished afterwards`);
    expect(cuts).toBeGreaterThan(ROUNDS * 100);
  }, 3_600_000);
});
