import { describe, expect, it } from 'vitest';
import { checkVhd } from './check.ts';
import { createChild, createVhd } from './create-vhd.ts';
import { memoryFile, type MemoryFile } from './memory-file.ts';
import { openVhd, type ParentSource, type VhdDisk } from './open-vhd.ts';
import { readImage, UNUSED } from './vhd-image.ts';

const KIB = 1024;
const MIB = KIB * KIB;
const BLOCK = 64 * KIB;

async function contentsOf(disk: { readonly bytes: number; read(at: number, into: Uint8Array): Promise<void> }): Promise<Uint8Array> {
  const all = new Uint8Array(disk.bytes).fill(0xee);
  await disk.read(0, all);
  return all;
}

/** Small numbers that look random and are the same every time. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

async function writeAtRandom(disk: VhdDisk, model: Uint8Array, seed: number, count: number): Promise<void> {
  const random = randomNumbers(seed);
  for (let i = 0; i < count; i++) {
    const at = random(disk.bytes);
    const bytes = Math.min(disk.bytes - at, 1 + random(random(2) === 0 ? 700 : 40_000));
    if (random(6) === 0) {
      await disk.writeZeroes(at, bytes);
      model.fill(0, at, at + bytes);
    } else {
      const from = Uint8Array.from({ length: bytes }, () => 1 + random(255));
      await disk.write(at, from);
      model.set(from, at);
    }
  }
}

describe('a VHD as a disk', () => {
  it.each(['fixed', 'dynamic'] as const)('holds what is written to a %s disk, at any byte, also after it was closed and opened (VHD-15)', async (type) => {
    const file = memoryFile('a.vhd');
    await createVhd(file, { bytes: MIB + 512, type, blockBytes: 64 * KIB });
    const disk = await openVhd(file);
    const model = new Uint8Array(disk.bytes);
    await writeAtRandom(disk, model, 1, 60);
    expect(await contentsOf(disk)).toEqual(model);
    await disk.close();
    const again = await openVhd(file, { writable: false });
    expect(again.warnings).toEqual([]);
    expect(await contentsOf(again)).toEqual(model);
    await expect(again.write(0, new Uint8Array(512))).rejects.toMatchObject({ rule: 'read-only' });
    await expect(again.read(MIB + 500, new Uint8Array(13))).rejects.toMatchObject({ rule: 'range', code: 'E_IMAGE', file: 'a.vhd' });
  });

  it('takes many requests at once', async () => {
    const file = memoryFile();
    await createVhd(file, { bytes: MIB, type: 'dynamic', blockBytes: 32 * KIB });
    const disk = await openVhd(file);
    const model = new Uint8Array(MIB);
    await Promise.all(
      Array.from({ length: 64 }, async (_, i) => {
        const from = new Uint8Array(5000).fill(i + 1);
        model.set(from, i * 16 * KIB);
        await disk.write(i * 16 * KIB, from);
        await contentsOf(disk);
      }),
    );
    expect(await contentsOf(disk)).toEqual(model);
  });

  it('keeps what many write at once beside discards and flushes, over a file that takes its time', async () => {
    const plain = memoryFile();
    const random = randomNumbers(77);
    const late = async (): Promise<void> => {
      for (let turns = random(4); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
    };
    const file = {
      ...plain,
      read: (at: number, into: Uint8Array) => late().then(() => plain.read(at, into)),
      write: (at: number, from: Uint8Array) => {
        const copy = from.slice();
        return late().then(() => plain.write(at, copy));
      },
      flush: late,
    };
    await createVhd(file, { bytes: 16 * BLOCK, type: 'dynamic', blockBytes: BLOCK });
    const disk = await openVhd(file);
    const model = new Uint8Array(disk.bytes);
    // Each of eight has two blocks of its own.
    await Promise.all(Array.from({ length: 8 }, async (_, i) => {
      const base = 2 * i * BLOCK;
      for (let step = 0; step < 60; step++) {
        const unit = random(2) === 0 ? 512 : 1;
        const offset = Math.floor(random(2 * BLOCK - unit) / unit) * unit;
        const bytes = Math.min(2 * BLOCK - offset, unit * (1 + random(30_000 / unit)));
        if (random(6) === 0) {
          const block = 2 * i + random(2);
          await disk.discard(block * BLOCK, BLOCK);
          model.fill(0, block * BLOCK, (block + 1) * BLOCK);
        } else if (random(8) === 0) await disk.flush();
        else {
          const from = new Uint8Array(bytes).fill(1 + random(255));
          await disk.write(base + offset, from);
          model.set(from, base + offset);
          const got = new Uint8Array(bytes);
          await disk.read(base + offset, got);
          expect(Buffer.from(got).equals(from)).toBe(true);
        }
      }
    }));
    expect(Buffer.from(await contentsOf(disk)).equals(model)).toBe(true);
    await disk.flush();
    expect((await checkVhd(plain)).findings.filter(({ severity }) => severity === 'error')).toEqual([]);
    expect(Buffer.from(await contentsOf(await openVhd(plain, { writable: false }))).equals(model)).toBe(true);
  });

  it('allocates nothing for zeros, puts data at multiples of 4 KiB, and keeps both footers', async () => {
    const file = memoryFile();
    await createVhd(file, { bytes: 10 * MIB, type: 'dynamic' });
    const empty = await file.bytes();
    const disk = await openVhd(file);
    await disk.write(0, new Uint8Array(MIB));
    await disk.writeZeroes(3 * MIB, 5 * MIB);
    expect(await file.bytes()).toBe(empty);
    await disk.write(9 * MIB, Uint8Array.of(1));
    await disk.write(MIB, Uint8Array.of(2));
    const image = await readImage(file);
    const used = [...(image.table?.entries ?? [])].filter((entry) => entry !== UNUSED);
    expect(used).toHaveLength(2);
    for (const entry of used) expect((entry + 1) % 8).toBe(0);
    expect([image.frontProblem, image.backProblem]).toEqual([null, null]);
    expect(file.contents().subarray(0, 512)).toEqual(file.contents().subarray(-512));
  });

  it('gives up blocks that are discarded or zeroed whole, and takes their room again before the file grows, also after it was opened again', async () => {
    const file = memoryFile();
    await createVhd(file, { bytes: 40 * BLOCK - 512, type: 'dynamic', blockBytes: BLOCK });
    let disk = await openVhd(file);
    const model = new Uint8Array(disk.bytes);
    const fill = async (block: number, value: number): Promise<void> => {
      const bytes = Math.min(BLOCK, disk.bytes - block * BLOCK);
      model.fill(value, block * BLOCK, block * BLOCK + bytes);
      await disk.write(block * BLOCK, new Uint8Array(bytes).fill(value));
    };
    const expectSame = async (): Promise<void> => {
      const got = new Uint8Array(disk.bytes);
      await disk.read(0, got);
      expect(Buffer.from(got).equals(model)).toBe(true);
      expect((await checkVhd(file)).findings.filter(({ severity }) => severity === 'error')).toEqual([]);
    };
    for (let block = 0; block < 20; block++) await fill(block, block + 1);
    await fill(39, 40);
    const size = await file.bytes();
    await disk.discard(3 * BLOCK + 1, 2 * BLOCK); // block 4, and parts that stay
    model.fill(0, 4 * BLOCK, 5 * BLOCK);
    await disk.discard(10 * BLOCK, 3 * BLOCK);
    await disk.writeZeroes(14 * BLOCK - 512, BLOCK + 1024);
    await disk.discard(39 * BLOCK, BLOCK - 512); // the last block is shorter
    model.fill(0, 10 * BLOCK, 13 * BLOCK).fill(0, 14 * BLOCK - 512, 15 * BLOCK + 512).fill(0, 39 * BLOCK);
    expect(Array.from(disk.table!.entries).filter((entry) => entry !== 0xffff_ffff)).toHaveLength(21 - 6);
    await expectSame();
    // Nothing of what was in the room before shows.
    for (const block of [30, 31]) {
      await disk.write(block * BLOCK + 512, new Uint8Array(512).fill(0x77));
      model.fill(0x77, block * BLOCK + 512, block * BLOCK + 1024);
    }
    await disk.flush();
    await expectSame();
    disk = await openVhd(file);
    for (const block of [32, 33, 34, 10]) await fill(block, 0x99);
    await disk.flush();
    await expectSame();
    expect(await file.bytes()).toBe(size);
    await fill(35, 0x35);
    expect(await file.bytes()).toBeGreaterThan(size);
    await expectSame();
  });

  it('keeps what is discarded on a differencing disk, where the parent would show', async () => {
    const base = memoryFile('base.vhd');
    await createVhd(base, { bytes: 4 * BLOCK, type: 'dynamic', blockBytes: BLOCK });
    const below = await openVhd(base);
    await below.write(0, new Uint8Array(BLOCK).fill(1));
    const child = memoryFile();
    await createChild(child, { parent: below, path: 'base.vhd' });
    const top = await openVhd(child, { parents: () => Promise.resolve({ file: base }) });
    await top.write(0, new Uint8Array(BLOCK).fill(2));
    await top.discard(0, BLOCK);
    const got = new Uint8Array(BLOCK);
    await top.read(0, got);
    expect(got.every((byte) => byte === 2)).toBe(true);
    await top.writeZeroes(0, BLOCK);
    await top.read(0, got);
    expect(got.every((byte) => byte === 0)).toBe(true);
  });

  it('reads a sector whose bit is 0 as zeros, whatever lies there, and keeps it so when a neighbour is written (VHD-07)', async () => {
    const file = memoryFile();
    await createVhd(file, { bytes: 64 * KIB, type: 'dynamic', blockBytes: 64 * KIB });
    const first = await openVhd(file);
    await first.write(0, new Uint8Array(64 * KIB).fill(7));
    const entry = (await readImage(file)).table?.entries[0] ?? 0;
    await file.write(entry * 512, Uint8Array.of(0x5a)); // sectors 1, 3, 4 and 6 of the first eight
    const disk = await openVhd(file);
    const sectors = async (): Promise<number[]> => Array.from({ length: 9 }, (_, i) => i).reduce<Promise<number[]>>(async (list, i) => [...(await list), (await contentsOf(disk))[i * 512 + 100] ?? 0], Promise.resolve([]));
    expect(await sectors()).toEqual([0, 7, 0, 7, 7, 0, 7, 0, 7]);
    await disk.write(512 * 2 + 90, new Uint8Array(20).fill(9));
    expect(await sectors()).toEqual([0, 7, 9, 7, 7, 0, 7, 0, 7]);
    expect((await contentsOf(disk))[512 * 2 + 89]).toBe(0);
  });

  it('makes disks whose geometry says the same size', async () => {
    const file = memoryFile();
    await createVhd(file, { bytes: 64 * MIB, type: 'dynamic', compatibility: 'virtualpc' });
    expect((await openVhd(file)).bytes).toBe(67_125_248);
    expect((await openVhd(file, { size: 'geometry' })).bytes).toBe(67_125_248);
  });

  it('refuses sizes that cannot be, and a file that is not empty', async () => {
    await expect(createVhd(memoryFile(), { bytes: 1000, type: 'fixed' })).rejects.toMatchObject({ rule: 'size' });
    await expect(createVhd(memoryFile(), { bytes: 2041 * 2 ** 30, type: 'dynamic' })).rejects.toMatchObject({ rule: 'size' });
    await expect(createVhd(memoryFile('full', new Uint8Array(1)), { bytes: 1024, type: 'fixed' })).rejects.toMatchObject({ rule: 'request' });
  });
});

describe('a chain of differencing disks', () => {
  const from = (files: Record<string, MemoryFile>): ParentSource => (path) => Promise.resolve(files[path] === undefined ? null : { file: files[path] });

  async function makeChain(): Promise<{ files: Record<string, MemoryFile>; source: ParentSource; model: Uint8Array }> {
    const files: Record<string, MemoryFile> = { 'base.vhd': memoryFile('base.vhd'), 'middle.vhd': memoryFile('middle.vhd'), 'top.vhd': memoryFile('top.vhd') };
    const source = from(files);
    const model = new Uint8Array(MIB);
    const [base, middle, top] = Object.values(files) as [MemoryFile, MemoryFile, MemoryFile];
    await createVhd(base, { bytes: MIB, type: 'dynamic', blockBytes: 64 * KIB });
    await writeAtRandom(await openVhd(base), model, 10, 30);
    await createChild(middle, { parent: await openVhd(base, { writable: false }), path: 'base.vhd', absolutePath: 'C:/vm/base.vhd' });
    await writeAtRandom(await openVhd(middle, { parents: source }), model, 11, 20);
    await createChild(top, { parent: await openVhd(middle, { writable: false, parents: source }), path: 'middle.vhd' });
    await writeAtRandom(await openVhd(top, { parents: source }), model, 12, 20);
    return { files, source, model };
  }

  it('reads each sector from the newest disk that has it, and never writes to a parent (VHD-08)', async () => {
    const { files, source, model } = await makeChain();
    const [base, middle, top] = Object.values(files) as [MemoryFile, MemoryFile, MemoryFile];
    const before = [base.contents(), middle.contents()];
    const disk = await openVhd(top, { parents: source });
    expect(disk.warnings).toEqual([]);
    expect(await contentsOf(disk)).toEqual(model);
    await writeAtRandom(disk, model, 13, 20);
    expect(await contentsOf(await openVhd(top, { parents: source }))).toEqual(model);
    expect([base.contents(), middle.contents()]).toEqual(before);
  });

  it('refuses a missing parent, another disk under its name, and a chain without an end (VHD-08)', async () => {
    const { files, source } = await makeChain();
    const [base, middle, top] = Object.values(files) as [MemoryFile, MemoryFile, MemoryFile];
    await expect(openVhd(top)).rejects.toThrow('top.vhd: a differencing disk, and nobody says where its parent is (middle.vhd)');
    await expect(openVhd(top, { parents: from({ 'middle.vhd': middle }) })).rejects.toThrow('middle.vhd: no parent under base.vhd, C:/vm/base.vhd');
    await expect(openVhd(top, { parents: from({ 'middle.vhd': base }) })).rejects.toThrow('top.vhd: no parent under middle.vhd; base.vhd is another disk');
    // A disk that is its own parent.
    const loop = memoryFile('loop.vhd');
    const parent = await openVhd(base, { writable: false });
    await createChild(loop, { parent, path: 'loop.vhd', uniqueId: parent.footer.uniqueId });
    await expect(openVhd(loop, { parents: from({ 'loop.vhd': loop }) })).rejects.toThrow('loop.vhd: the chain of parents comes back to where it was');
    expect((await openVhd(top, { parents: source })).bytes).toBe(MIB);
  });

  it('warns of a parent that was changed since', async () => {
    const { files } = await makeChain();
    const [base] = Object.values(files) as [MemoryFile];
    const child = memoryFile('child.vhd');
    const changed = Date.UTC(2020, 1, 1);
    await createChild(child, { parent: await openVhd(base, { writable: false }), path: 'base.vhd', parentChanged: changed });
    const open = (time: number): Promise<VhdDisk> => openVhd(child, { parents: () => Promise.resolve({ file: base, changed: time }) });
    expect((await open(changed)).warnings).toEqual([]);
    expect((await open(changed + 5000)).warnings).toEqual(['base.vhd: changed since this disk was made from it, or copied']);
  });
});
