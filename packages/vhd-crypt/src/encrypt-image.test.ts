import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crashCuts, CrashStates, recordSteps, replayCut, strangeSector } from '@vm/testkit';
import { itWithOracle } from '@vm/testkit/oracle';
import { afterAll, describe, expect, it } from 'vitest';
import { checkVhd } from './check.ts';
import { createCipherRegistry } from './cipher-registry.ts';
import { createDisk } from './create-disk.ts';
import { decryptImage, encryptImage, type EncryptImageOptions } from './encrypt-image.ts';
import type { ImageFile } from './image-file.ts';
import { luks2 } from './luks2.ts';
import { memoryFile, type MemoryFile } from './memory-file.ts';
import { nodeCiphers, nodeKeyMath } from './node.ts';
import { openDisk, type OpenedDisk } from './open-disk.ts';
import { quickMath } from './quick-math.ts';
import { rekeyImage } from './reencrypt-image.ts';
import { keyOf } from './sector-cipher.ts';

const MIB = 2 ** 20;
const ROUNDS = process.env['VM_LONG'] === '1' ? 12 : 2;
const folder = mkdtempSync(join(tmpdir(), 'encrypt-'));
afterAll(() => rmSync(folder, { recursive: true }));
const ciphers = createCipherRegistry([nodeCiphers()]);
const settings = { math: nodeKeyMath() };
const keys = keyOf(new TextEncoder().encode('a secret'));
const cost = { kdf: 'pbkdf2', iterations: 1000 } as const;
const KINDS = [{ name: 'raw images', format: 'raw' }, { name: 'fixed VHDs', format: 'vhd', type: 'fixed' }, { name: 'dynamic VHDs', format: 'vhd', type: 'dynamic' }] as const;
const RAW = KINDS[0];
type Kind = (typeof KINDS)[number];
const plan = ({ format }: Kind): EncryptImageOptions => ({ format, ciphers, keys, cost, keyBits: 256 });
const pattern = (bytes: number, seed: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => 1 + ((i * 7 + seed * 31 + (i >>> 8)) % 255));
const open = (file: ImageFile, { format }: Kind, writable = true, used = settings): Promise<OpenedDisk> => openDisk({ ...file, close: () => Promise.resolve() }, { format, containers: [luks2(used)], ciphers, fallbackKeys: keys, writable });

async function contentsOf(disk: OpenedDisk): Promise<Buffer> {
  const all = Buffer.alloc(disk.bytes);
  await disk.read(0, all);
  return all;
}

async function filled(kind: Kind, bytes: number, stores: readonly (readonly [number, number])[], blockBytes?: number): Promise<{ readonly file: MemoryFile; readonly data: Buffer }> {
  const file = memoryFile('disk');
  await createDisk(file, { ...kind, bytes, ...(blockBytes === undefined ? {} : { blockBytes }) });
  const disk = await open(file, kind);
  for (const [at, count] of stores) await disk.write(at, pattern(count, at));
  const data = await contentsOf(disk);
  await disk.close();
  return { file, data };
}

/** Whether 16 bytes in a row of the data, which has no zeros, are in the file. */
function holdsPlain(file: MemoryFile, data: Buffer): boolean {
  const units = new Set<string>();
  for (let at = 0; at + 16 <= data.length; at += 16) if (data[at] !== 0 && data[at + 15] !== 0) units.add(data.toString('latin1', at, at + 16));
  const all = Buffer.from(file.contents());
  for (let at = 0; at + 16 <= all.length; at += 16) if (units.has(all.toString('latin1', at, at + 16))) return true;
  return false;
}

describe('encrypting and decrypting in place', () => {
  it.each(KINDS)('gives $name back byte for byte, and leaves nothing of it readable meanwhile', async (kind) => {
    for (const bytes of [11 * MIB, 3 * MIB + 512]) {
      const { file, data } = await filled(kind, bytes, [[0, 9000], [MIB, 3000], [2 * MIB + 700, 5000], [bytes - 700, 700]]);
      expect(holdsPlain(file, data)).toBe(true);
      const before = file.contents().length;
      const told: number[] = [];
      expect(await encryptImage(file, settings, { ...plan(kind), progress: (done) => told.push(done) })).toBe(true);
      expect(told.length).toBeGreaterThan(2);
      expect(holdsPlain(file, data)).toBe(false);
      const disk = await open(file, kind);
      expect([disk.bytes, disk.crypt, disk.reencryption, disk.encryption?.sectorBytes]).toEqual([bytes, 'payload', null, bytes % 4096 === 0 ? 4096 : 512]);
      expect((await contentsOf(disk)).equals(data)).toBe(true);
      await disk.close();
      if (kind.format === 'vhd') expect((await checkVhd(file)).clean).toBe(true);
      if (kind.format === 'raw') expect(file.contents().length).toBe(before + 4 * MIB);
      expect(await decryptImage(file, settings, { format: kind.format, ciphers, keys })).toBe(true);
      const plain = await open(file, kind);
      expect([plain.bytes, plain.crypt, (await contentsOf(plain)).equals(data)]).toEqual([bytes, 'none', true]);
      await plain.close();
      if (kind.format === 'vhd') expect((await checkVhd(file)).clean).toBe(true);
      if (kind.format === 'raw') expect(Buffer.from(file.contents()).equals(data)).toBe(true);
    }
  });

  it.each(KINDS)('goes on behind whoever uses $name, and from where it was stopped', async (kind) => {
    const { file, data } = await filled(kind, 9 * MIB, [[0, 9000], [5 * MIB, 5000]]);
    let asked = 0;
    const stopped = { get aborted() { return ++asked > 2; } };
    expect(await encryptImage(file, settings, { ...plan(kind), signal: stopped })).toBe(false);
    for (const run of ['encrypt', 'decrypt'] as const) {
      const disk = await open(file, kind);
      expect(disk.reencryption).toMatchObject({ mode: run });
      const { done, total } = disk.reencryption!.progress();
      expect([done > 0, done < total, total]).toEqual([true, true, 9 * MIB]);
      const border = run === 'encrypt' ? total - done : done;
      const moved = [disk.reencryption!.step(), disk.write(border - 100, pattern(9000, 5)), disk.reencryption!.step(), disk.write(100, pattern(3000, done)), disk.write(8 * MIB, pattern(3000, 7))];
      data.set(pattern(9000, 5), border - 100);
      data.set(pattern(3000, done), 100);
      data.set(pattern(3000, 7), 8 * MIB);
      await Promise.all(moved);
      expect((await contentsOf(disk)).equals(data)).toBe(true);
      await disk.close();
      await expect(rekeyImage(file, settings, { format: kind.format, ciphers, keys, newKeys: keys, cost })).rejects.toThrow(`its ${run} was begun before`);
      const again = await open(file, kind);
      while (await again.reencryption!.step());
      await again.close();
      const after = await open(file, kind);
      expect([after.reencryption, after.bytes, after.crypt]).toEqual([null, 9 * MIB, run === 'encrypt' ? 'payload' : 'none']);
      expect((await contentsOf(after)).equals(data)).toBe(true);
      await after.close();
      asked = 0;
      if (run === 'encrypt') expect(await decryptImage(file, settings, { format: kind.format, ciphers, keys, signal: stopped })).toBe(false);
    }
  });

  it('is refused where it cannot be, and leaves the image as it was', async () => {
    const { file } = await filled(RAW, MIB, [[0, 700]]);
    const before = Buffer.from(file.contents());
    const raw = plan(RAW);
    await expect(decryptImage(file, settings, raw)).rejects.toThrow('it is not encrypted');
    await expect(encryptImage(file, settings, { ...raw, cipher: 'rot13' })).rejects.toThrow('no plug-in does the cipher "rot13"');
    await expect(encryptImage(file, settings, { ...raw, keys: { id: 'none', getSecret: () => Promise.resolve(null) } })).rejects.toMatchObject({ rule: 'keyUnavailable' });
    expect(Buffer.from(file.contents()).equals(before)).toBe(true);
    await encryptImage(file, settings, raw);
    await expect(encryptImage(file, settings, raw)).rejects.toThrow('it is encrypted already');
    await expect(decryptImage(file, settings, { ...raw, keys: keyOf(new Uint8Array(3)) })).rejects.toMatchObject({ rule: 'key' });
  });

  it('takes a disk without its trailer, or with another size, for what it is', async () => {
    const { file, data } = await filled(RAW, 5 * MIB, [[0, 700]]);
    // What a guest writes into its first sector is its own.
    data.write('vm-shift', 0, 'latin1');
    await file.write(0, data.subarray(0, 512));
    const disk = await open(file, RAW);
    expect([disk.bytes, (await contentsOf(disk)).equals(data)]).toEqual([5 * MIB, true]);
    await disk.close();
  });

  itWithOracle(it, 'cryptsetup', 'makes LUKS2 that cryptsetup opens, and leaves alone while it is under way', async (cryptsetup) => {
    const path = join(folder, 'disk.raw');
    writeFileSync(join(folder, 'key'), 'a secret');
    const run = (...args: string[]): string => execFileSync(cryptsetup, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    const { file } = await filled(RAW, 8 * MIB, [[0, 9000]]);
    let asked = 0;
    expect(await encryptImage(file, settings, { ...plan(RAW), signal: { get aborted() { return ++asked > 2; } } })).toBe(false);
    writeFileSync(path, file.contents());
    expect(() => run('luksAddKey', '-q', '--key-file', join(folder, 'key'), path, join(folder, 'key'))).toThrow();
    expect(await encryptImage(file, settings, plan(RAW))).toBe(true);
    writeFileSync(path, file.contents());
    run('open', '--test-passphrase', '--key-file', join(folder, 'key'), path);
    expect(run('luksDump', path)).toMatch(/offset: 4194304 \[bytes\]\s+length: \(whole device\)/);
  });
});

describe('a crash at any write of encrypting and decrypting in place (VHD-21)', () => {
  const quick = { math: quickMath() };
  it.each(KINDS)('leaves $name so that it opens, every sector is old or new, and it can be finished', async (kind) => {
    // A header of the least size, so that much of it and of the disk is torn.
    const [BLOCK, DATA_AT, BYTES, ZONE] = [4096, 327_680, 40_960, 8192];
    const small = { ...plan(kind), dataAt: DATA_AT, zoneBytes: ZONE };
    let [cuts, finished] = [0, 0];
    // Of a dynamic one there are many more.
    const rounds = kind.name === 'dynamic VHDs' ? Math.ceil(ROUNDS / 2) : ROUNDS;
    for (let round = 1; round <= rounds; round++) {
      const { file, data } = await filled(kind, BYTES, [[0, 5000], [round * 512, 700], [BYTES - 9000, 8000]], BLOCK);
      for (const mode of ['encrypt', 'decrypt'] as const) {
        const work = mode === 'encrypt' ? encryptImage : decryptImage;
        const initial = file.contents();
        const { file: watched, steps } = recordSteps(file);
        const states = new CrashStates(steps, data);
        let stops = 0;
        await work(watched, quick, { ...small, signal: { get aborted() { return ++stops > round % 3; } } });
        const disk = await open(watched, kind, true, quick);
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
        await disk.flush();
        states.flushed(data);
        await disk.close();
        for (const { upTo, kept } of crashCuts(steps, { wholeSets: 2, seed: round })) {
          const cut = memoryFile('cut', initial);
          await replayCut(cut, kept);
          const expectSectors = async (opened: OpenedDisk): Promise<void> => {
            const got = await contentsOf(opened);
            // One that was cut off just when a VHD grew is longer.
            if (got.length !== BYTES && (kind.format === 'raw' || opened.crypt !== 'none')) throw new Error(`${mode}, cut ${cuts}: ${got.length} bytes`);
            const strange = strangeSector(got.subarray(0, BYTES), states.allowed(upTo));
            if (strange >= 0) throw new Error(`${mode}, round ${round}, cut ${cuts}: sector ${strange} is neither old nor new`);
            await opened.close();
          };
          await expectSectors(await open(cut, kind, false, quick));
          if (cuts++ % 25 !== 0) continue;
          const state = await open(cut, kind, false, quick);
          const isDone = state.reencryption === null && (state.crypt === 'none') === (mode === 'decrypt');
          await state.close();
          if (isDone) await work(cut, quick, small).catch(() => undefined);
          else expect(await work(cut, quick, small)).toBe(true);
          const after = await open(cut, kind, true, quick);
          expect(after.crypt).toBe(mode === 'encrypt' ? 'payload' : 'none');
          await after.close();
          if (mode === 'decrypt' && kind.format === 'raw') expect((await cut.bytes())).toBe(BYTES);
          finished++;
        }
      }
    }
    console.log(`${cuts} cuts of encrypting and decrypting ${kind.name} in place, ${finished} of them finished afterwards`);
    expect(cuts).toBeGreaterThan(rounds * 200);
  }, 3_600_000);
});
