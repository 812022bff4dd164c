import { crashCuts, CrashStates, recordSteps, replayCut, strangeSector } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { createCipherRegistry } from './cipher-registry.ts';
import { createDisk } from './create-disk.ts';
import { openRaw } from './fixed-disk.ts';
import type { ImageFile } from './image-file.ts';
import { luks2, readLuks2Facts } from './luks2.ts';
import { addLuks2Key } from './luks2-keys.ts';
import { memoryFile, type MemoryFile } from './memory-file.ts';
import { makeAes, nodeCiphers } from './node/node-aes.ts';
import { nodeKeyMath } from './node/node-key-math.ts';
import { OcbSectors } from './ocb-sectors.ts';
import { containerBytes, type DiskFormat, type DiskOptions, openDisk, type OpenedDisk } from './open-disk.ts';
import { openSealedDisk, type SealedDisk } from './sealed-disk.ts';
import { RECORDS_BYTES, sealedBytes, sealedLayout, sectorAt, usualJournal } from './sealed-layout.ts';
import { keyOf } from './sector-cipher.ts';

const [KIB, MIB, SECTOR] = [1024, 2 ** 20, 4096];
const math = nodeKeyMath();
const [ciphers, keys] = [createCipherRegistry([nodeCiphers()]), keyOf(new TextEncoder().encode('a secret'))];
const luks = { version: 2, math, ciphers, keys, cipher: 'aes-ocb-random', cost: { kdf: 'pbkdf2', iterations: 1000 } } as const;
const JOURNAL = 128 * KIB; // six sectors a batch
const secret = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
const pattern = (bytes: number, seed: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => 1 + ((i * 7 + seed * 31 + (i >>> 8)) % 255));

async function make(format: DiskFormat, bytes: number): Promise<MemoryFile> {
  const file = memoryFile('disk');
  await createDisk(file, { format, bytes, crypt: 'payload', luks });
  return file;
}
const open = (file: ImageFile, rest: Partial<DiskOptions> = {}): Promise<OpenedDisk> => openDisk({ ...file, close: () => Promise.resolve() }, { format: 'raw', containers: [luks2({ math })], ciphers, keys, ...rest });

/** Without a container around it: a journal and so many sectors. */
async function sealed(file: ImageFile, writable = true, root?: string, parts = 4): Promise<SealedDisk> {
  const cipher = new OcbSectors('disk', secret, SECTOR, makeAes);
  return openSealedDisk({ name: 'disk', below: await openRaw(file, writable), at: 0, journalBytes: (JOURNAL / 4) * parts, parts, cipher, math, journalKey: secret, ...(root === undefined ? {} : { root }) });
}
async function contentsOf(disk: Pick<SealedDisk, 'bytes' | 'read'>): Promise<Buffer> {
  const all = Buffer.alloc(disk.bytes);
  await disk.read(0, all);
  return all;
}

function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('sealed sectors in LUKS2', () => {
  it.each(['raw', 'vhd'] as const)('are a disk as any other, in a %s image', async (format) => {
    const file = await make(format, 5 * MIB);
    const model = Buffer.alloc(5 * MIB);
    const random = randomOf(7);
    for (let session = 0; session < 3; session++) {
      const disk = await open(file, { format });
      expect(disk.bytes).toBe(5 * MIB);
      expect(disk.encryption).toMatchObject({ container: 'luks2', cipher: 'aes-ocb-random', keyBits: 256, sectorBytes: 4096, engine: 'node' });
      for (let i = 0; i < 40; i++) {
        const at = random(5 * MIB - 600_000);
        const data = pattern(random(3) === 0 ? random(600_000) : random(9000), i + session);
        model.set(data, at);
        await disk.write(at, data);
        if (random(5) === 0) await disk.flush();
        const got = Buffer.alloc(20_000);
        const from = random(5 * MIB - got.length);
        await disk.read(from, got);
        expect(got.equals(model.subarray(from, from + got.length))).toBe(true);
      }
      // At once, too.
      await Promise.all(Array.from({ length: 30 }, (_, i) => {
        const at = i * 5000;
        model.fill(i + session, at, at + 5000);
        return disk.write(at, new Uint8Array(5000).fill(i + session));
      }));
      expect((await contentsOf(disk)).equals(model)).toBe(true);
      await disk.close();
    }
    const again = await open(file, { format, writable: false });
    expect((await contentsOf(again)).equals(model)).toBe(true);
    await expect(again.write(0, new Uint8Array(512))).rejects.toMatchObject({ rule: 'request' });
    await again.close();
    // Nobody who does not know them may touch the data.
    const bytes = format === 'raw' ? await containerBytes(file) : null;
    if (bytes === null) return;
    expect(await readLuks2Facts(bytes, { math })).toMatchObject({ requirements: ['vm-sealed'], dataBytes: 5 * MIB });
    // Its secrets are those of any container.
    const other = keyOf(new TextEncoder().encode('another'));
    expect(await addLuks2Key(bytes, { math }, { ciphers, keys, cost: luks.cost }, other)).toBe(1);
    await (await open(file, { keys: other })).close();
  });

  it('are read while they go to their places, and each as it was stored', async () => {
    const plain = memoryFile('disk', new Uint8Array(sealedBytes(600 * SECTOR, JOURNAL)));
    const wait = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    // What is written is half there for a while, and what is read may be of two times.
    const slow: ImageFile = {
      ...plain,
      async read(at, into) {
        await plain.read(at, into.subarray(0, into.length / 2));
        for (let turn = random(8); turn > 0; turn--) await wait();
        await plain.read(at + into.length / 2, into.subarray(into.length / 2));
      },
      async write(at, from) {
        await plain.write(at, from.subarray(0, from.length / 2));
        await wait();
        await plain.write(at + from.length / 2, from.subarray(from.length / 2));
      },
      flush: wait,
    };
    const random = randomOf(3);
    const disk = await sealed(slow);
    let [reads, running] = [0, true];
    const read = async (): Promise<void> => {
      for (; running || reads < 300; reads++) {
        const got = new Uint8Array(SECTOR * (1 + random(3)));
        await disk.read(random(30) * SECTOR, got);
        for (let at = 0; at < got.length; at++) if (got[at] !== got[at - (at % SECTOR)]) throw new Error('a sector of two stores');
        await wait();
      }
    };
    const store = async (): Promise<void> => {
      for (let i = 0; i < 60; i++) {
        await disk.write(random(20) * SECTOR, new Uint8Array(SECTOR * (1 + random(10))).fill(1 + i));
        if (random(4) === 0) await disk.flush();
      }
    };
    await Promise.all([read(), read(), read(), Promise.all([store(), store()]).finally(() => { running = false; })]);
    await disk.end();
  });

  it('that could not be stored wait for the next attempt, and who asked is told', async () => {
    const plain = memoryFile('disk', new Uint8Array(sealedBytes(600 * SECTOR, JOURNAL)));
    let broken: 'write' | 'flush' | null = null;
    const fail = (what: 'write' | 'flush'): void => {
      if (broken === what) throw new Error(`no ${what} now`);
    };
    const disk = await sealed({ ...plain, write: async (at, from) => { fail('write'); await plain.write(at, from); }, flush: async () => fail('flush') });
    for (const [i, what] of (['write', 'flush'] as const).entries()) {
      broken = what;
      await disk.write(i * 7 * SECTOR, pattern(5 * SECTOR, i));
      await expect(disk.flush()).rejects.toThrow(`no ${what} now`);
      // As many as there is room for.
      await expect(disk.write(100 * SECTOR, pattern(100 * SECTOR, i))).rejects.toThrow(`no ${what} now`);
      await expect(disk.flush()).rejects.toThrow(`no ${what} now`);
      expect((await contentsOf(disk)).subarray(i * 7 * SECTOR, (i * 7 + 5) * SECTOR).equals(pattern(5 * SECTOR, i))).toBe(true);
      broken = null;
      await disk.write(100 * SECTOR, pattern(100 * SECTOR, i));
      await disk.flush();
    }
    const all = await contentsOf(await sealed(memoryFile('disk', plain.contents()), false));
    for (const i of [0, 1]) expect(all.subarray(i * 7 * SECTOR, (i * 7 + 5) * SECTOR).equals(pattern(5 * SECTOR, i))).toBe(true);
    expect(all.subarray(100 * SECTOR, 200 * SECTOR).equals(pattern(100 * SECTOR, 1))).toBe(true);
    await disk.end();
  });

  it('take no room where nothing was stored, nor for zeros there', async () => {
    const file = await make('vhd', 64 * MIB);
    const disk = await open(file, { format: 'vhd' });
    await disk.writeZeroes(0, 64 * MIB);
    await disk.write(30 * MIB, pattern(100, 1));
    expect((await disk.extents(0, 64 * MIB)).map(({ depth }) => depth)).toEqual([null, 0, null]);
    await disk.close();
    expect(await file.bytes()).toBeLessThan(13 * MIB);
  });

  it('have room for what was asked, whatever the size', () => {
    for (const bytes of [SECTOR, 508 * SECTOR, 509 * SECTOR, 100 * MIB, 3 * 2 ** 30 + SECTOR, 2 ** 41]) {
      const journal = usualJournal(bytes);
      expect(sealedLayout(sealedBytes(bytes, journal), journal)!.sectors * SECTOR).toBe(bytes);
      expect(sealedLayout(sealedBytes(bytes, journal) - 1, journal)?.sectors ?? 0).toBe(bytes / SECTOR - 1);
    }
    expect(sealedLayout(10 * MIB, 3)).toBe(null);
    expect(sealedLayout(10 * MIB, 2 ** 40)).toBe(null);
  });
});

describe('a sealed disk that somebody changes (VHD-28)', () => {
  it('tells the sector, at any byte that counts, and never shows anything else than what was stored', async () => {
    const file = memoryFile('disk', new Uint8Array(JOURNAL + RECORDS_BYTES + 6 * SECTOR));
    const disk = await sealed(file);
    for (const sector of [0, 1, 4]) await disk.write(sector * SECTOR, pattern(SECTOR, sector));
    const wanted = await contentsOf(disk);
    await disk.end();
    const whole = file.contents();
    const layout = sealedLayout(whole.length, JOURNAL)!;
    const refused: number[] = [];
    const places: number[] = [];
    for (let i = 0; i < 6 * 32; i++) places.push(JOURNAL + i);
    for (let at = JOURNAL + RECORDS_BYTES; at < whole.length; at += 23) places.push(at);
    for (let at = 0; at < JOURNAL; at += 997) places.push(at);
    for (const at of places) {
      const changed = memoryFile('disk', whole.slice());
      await changed.write(at, Uint8Array.of(whole[at]! ^ (1 << (at % 8))));
      const opened = await sealed(changed, false);
      for (let sector = 0; sector < 6; sector++) {
        const got = Buffer.alloc(SECTOR);
        const failed = await opened.read(sector * SECTOR, got).then(() => null, (error: unknown) => error);
        const isHit = Math.floor((at - JOURNAL) / 32) === sector || (at >= sectorAt(layout, sector) && at < sectorAt(layout, sector) + SECTOR && [0, 1, 4].includes(sector));
        if (isHit) {
          expect(failed).toMatchObject({ rule: 'integrity', message: `disk: sector ${sector * 8} is not what was stored there: the image was changed or damaged` });
          refused.push(sector);
        } else if (failed !== null || !got.equals(wanted.subarray(sector * SECTOR, (sector + 1) * SECTOR))) throw new Error(`a change at ${at}: sector ${sector}`);
      }
    }
    expect(refused.length).toBeGreaterThan(6 * 32 + 3 * 170);
  });

  it('notices sectors that change places, with their records too', async () => {
    const file = memoryFile('disk', new Uint8Array(JOURNAL + RECORDS_BYTES + 6 * SECTOR));
    const disk = await sealed(file);
    await disk.write(0, pattern(2 * SECTOR, 3));
    await disk.end();
    const whole = file.contents();
    const records = JOURNAL;
    const data = JOURNAL + RECORDS_BYTES;
    const swapped = whole.slice();
    swapped.set(whole.subarray(records, records + 32), records + 32);
    swapped.set(whole.subarray(records + 32, records + 64), records);
    swapped.set(whole.subarray(data, data + SECTOR), data + SECTOR);
    swapped.set(whole.subarray(data + SECTOR, data + 2 * SECTOR), data);
    const opened = await sealed(memoryFile('disk', swapped));
    for (const sector of [0, 1]) await expect(opened.read(sector * SECTOR, new Uint8Array(512))).rejects.toThrow(`sector ${sector * 8} is not`);
    // Whoever stores it whole has a good one again.
    await opened.write(0, pattern(SECTOR, 9));
    await opened.flush();
    const got = new Uint8Array(SECTOR);
    await opened.read(0, got);
    expect(Buffer.from(got).equals(pattern(SECTOR, 9))).toBe(true);
  });

  it('is refused as an older image, or one that forgot a sector, by who kept its root (VHD-29)', async () => {
    const file = await make('vhd', 5 * MIB);
    const use = async (data: Uint8Array, root?: string): Promise<string> => {
      const disk = await open(file, { format: 'vhd', ...(root === undefined ? {} : { root }) });
      await disk.write(3 * MIB, data);
      const told = await disk.root!();
      await disk.close();
      return told;
    };
    const first = await use(pattern(20_000, 1));
    const old = file.contents();
    const second = await use(pattern(20_000, 2), first);
    expect(second).not.toBe(first);
    const openWith = (contents: Uint8Array, root: string): Promise<OpenedDisk> => open(memoryFile('disk', contents), { format: 'vhd', writable: false, root });
    const disk = await openWith(file.contents(), second);
    expect(await disk.root!()).toBe(second);
    await disk.close();
    await expect(openWith(file.contents(), first)).rejects.toMatchObject({ rule: 'integrity' });
    await expect(openWith(old, second)).rejects.toMatchObject({ rule: 'integrity' });
    await (await openWith(old, first)).close();
    // Without a root an old image is as good as any.
    await (await open(memoryFile('disk', old), { format: 'vhd', writable: false })).close();
    const plain = memoryFile('plain');
    await createDisk(plain, { format: 'raw', bytes: MIB });
    await expect(open(plain, { root: first, crypt: 'none' })).rejects.toMatchObject({ rule: 'request' });
  });

  it('reads no records that were changed after the root was looked at (VHD-29)', async () => {
    const sectors = 1200;
    const file = memoryFile('disk', new Uint8Array(sealedBytes(sectors * SECTOR, JOURNAL)));
    const disk = await sealed(file);
    await disk.write(0, pattern(SECTOR, 1));
    await disk.write(600 * SECTOR, pattern(SECTOR, 2));
    const told = await disk.root();
    await disk.end();
    const opened = await sealed(file, true, told);
    // A sector that forgets that it was ever stored.
    await file.write(JOURNAL + (2 << 20) + (600 - 508) * 32, new Uint8Array(32));
    await expect(opened.read(600 * SECTOR, new Uint8Array(SECTOR))).rejects.toMatchObject({ rule: 'integrity' });
    await opened.read(0, new Uint8Array(SECTOR));
    await opened.write(8 * SECTOR, pattern(SECTOR, 4));
    expect(await opened.root()).not.toBe(told);
    await opened.end();
  });
});

describe('a crash of a sealed disk (VHD-30)', () => {
  // What is stored while a barrier is under way may come before or after it; and journals of two parts were made before.
  it.each([[4, 'begin'], [4, 'end'], [2, 'begin']] as const)('at any write leaves each sector old or new, and none that looks changed: %i parts of the journal, barriers as they %s', async (parts, counted) => {
    const journalBytes = (JOURNAL / 4) * parts;
    const plain = memoryFile('disk', new Uint8Array(sealedBytes(540 * SECTOR, journalBytes)));
    const before = await sealed(plain, true, undefined, parts);
    await before.write(500 * SECTOR, pattern(40 * SECTOR, 1));
    await before.end();
    const initial = plain.contents();
    const { file, steps } = recordSteps(memoryFile('disk', initial.slice()));
    const flush = async (): Promise<void> => {
      if (counted === 'begin') steps.push('flush');
      await new Promise((resolve) => setImmediate(resolve));
      if (counted === 'end') steps.push('flush');
    };
    const disk = await sealed({ ...file, flush }, true, undefined, parts);
    const model = Buffer.from(await contentsOf(disk));
    const states = new CrashStates(steps, model);
    const stores: readonly (readonly [number, number])[] = [[500, 3], [506, 5], [503, 12], [0, 1], [506, 1], [515, 4], [505, 25], [504, 7]];
    for (const [i, [sector, count]] of stores.entries()) {
      const data = pattern(count * SECTOR - (i % 2) * 700, i + 10);
      await disk.write(sector * SECTOR + (i % 2) * 300, data);
      model.set(data, sector * SECTOR + (i % 2) * 300);
      states.stored(model);
      if (i % 2 === 0) {
        await disk.flush();
        states.flushed(model);
      }
    }
    await disk.end();
    states.flushed(model);
    let count = 0;
    for (const { upTo, kept } of crashCuts(steps, { wholeSets: 4 })) {
      const after = memoryFile('disk', initial);
      await replayCut(after, kept);
      const looked = await contentsOf(await sealed(after, false, undefined, parts));
      const strange = strangeSector(looked, states.allowed(upTo, 1), SECTOR);
      if (strange >= 0) throw new Error(`cut ${count}: sector ${strange}`);
      // Mended, used and looked at again.
      if (count++ % 4 !== 0) continue;
      const mended = await sealed(after, true, undefined, parts);
      await mended.write(30 * SECTOR, pattern(SECTOR, 77));
      await mended.end();
      const last = await contentsOf(await sealed(after, false, undefined, parts));
      expect(last.subarray(31 * SECTOR).equals(looked.subarray(31 * SECTOR))).toBe(true);
      expect(last[30 * SECTOR]).toBe(pattern(1, 77)[0]);
    }
    console.log(`${count} cuts of stores to a sealed disk`);
    expect(count).toBeGreaterThan(200);
  });

  it('while it is mended loses nothing either', async () => {
    const plain = memoryFile('disk', new Uint8Array(sealedBytes(30 * SECTOR, JOURNAL)));
    const disk = await sealed(plain);
    await disk.write(0, pattern(20 * SECTOR, 5)); // three batches, and a rest
    await disk.flush();
    const wanted = await contentsOf(disk);
    const crashed = plain.contents();
    // As if of the last batches only the journal had been stored.
    crashed.fill(0, JOURNAL + RECORDS_BYTES + 12 * SECTOR);
    crashed.fill(0, JOURNAL + 12 * 32, JOURNAL + RECORDS_BYTES);
    const { file, steps } = recordSteps(memoryFile('disk', crashed.slice()));
    await (await sealed({ ...file })).end();
    let count = 0;
    for (const { kept } of crashCuts(steps)) {
      const after = memoryFile('disk', crashed.slice());
      await replayCut(after, kept);
      expect((await contentsOf(await sealed(after, false))).equals(wanted)).toBe(true);
      count++;
    }
    expect(count).toBeGreaterThan(20);
  });
});
