import type { BlockBackend } from '@vm/core';
import { type CrashCut, crashCuts, CrashStates, recordSteps, replayCut, strangeSector } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { checkVhd, repairVhd } from './check.ts';
import { compactVhd } from './compact.ts';
import { createChild, createVhd } from './create-vhd.ts';
import { encryptedDisk } from './encrypted-disk.ts';
import { encryptedFile } from './encrypted-file.ts';
import type { ImageFile } from './image-file.ts';
import { memoryFile, type MemoryFile } from './memory-file.ts';
import { mergeIntoParent } from './merge.ts';
import { nodeCiphers } from './node.ts';
import { openVhd, type ParentSource, type VhdDisk } from './open-vhd.ts';
import { resizeVhd } from './resize.ts';

const KIB = 1024;
const BLOCK = 4 * KIB;
const BYTES = 10 * BLOCK;

const SEEDS = process.env['VM_LONG'] === '1' ? 100 : 12; // of random stores to each kind of disk
let total = 0;

async function replay(initial: Uint8Array, kept: CrashCut['kept']): Promise<MemoryFile> {
  const file = memoryFile('cut.vhd', initial);
  await replayCut(file, kept);
  return file;
}

function tell(count: number, what: string): void {
  console.log(`${count} cuts of ${what}`);
  total += count;
}

async function contentsOf(disk: Pick<VhdDisk, 'bytes' | 'read'>): Promise<Uint8Array> {
  const all = new Uint8Array(disk.bytes);
  await disk.read(0, all);
  return all;
}

/** Every sector of `got` is that of one of the `allowed` disks. */
function expectSectors(got: Uint8Array, allowed: readonly Uint8Array[], cut: number): void {
  const strange = strangeSector(got, allowed);
  if (strange >= 0) throw new Error(`cut ${cut}: sector ${strange} is neither old nor new`);
}

describe('a crash at any write (VHD-13)', () => {
  it('leaves each sector of a dynamic disk as it was before or after a store, and repair finds nothing to lose', async () => {
    const plain = memoryFile();
    await createVhd(plain, { bytes: BYTES, type: 'dynamic', blockBytes: BLOCK });
    const initial = plain.contents();
    const { file, steps } = recordSteps(plain);
    const disk = await openVhd(file);
    const model = new Uint8Array(BYTES);
    const states = new CrashStates(steps, model);
    for (const [at, bytes] of [[0, 3000], [BLOCK * 3 + 100, 700], [BLOCK - 512, 2048], [100, 9000], [BLOCK * 6, BLOCK * 2], [BLOCK * 3, BLOCK], [BLOCK * 4 - 3, 10], [0, BLOCK * 8]] as const) {
      const from = Uint8Array.from({ length: bytes }, (_, i) => 1 + ((at + i + states.count * 7) % 255));
      await disk.write(at, from);
      model.set(from, at);
      states.stored(model);
      if (states.count % 2 === 0) {
        await disk.flush();
        states.flushed(model);
      }
    }
    let count = 0;
    for (const { upTo, kept } of crashCuts(steps)) {
      const after = await replay(initial, kept);
      const allowed = states.allowed(upTo);
      expectSectors(await contentsOf(await openVhd(after, { writable: false })), allowed, count);
      if (count++ % 5 !== 0) continue;
      const report = await checkVhd(after);
      expect(report.findings.filter(({ repair }) => repair !== 'lossless')).toEqual([]);
      const reopened = await openVhd(after);
      await reopened.write(BLOCK * 9, new Uint8Array(512).fill(0xab));
      expect((await checkVhd(after)).clean).toBe(true);
      expect((await repairVhd(after)).findings).toEqual([]);
      const final = await contentsOf(await openVhd(after));
      expect(final[BLOCK * 9]).toBe(0xab);
      expectSectors(final.subarray(0, BLOCK * 9), allowed, count);
    }
    tell(count, 'stores');
  });

  it('leaves a differencing disk with the parent sectors or its own', async () => {
    const base = memoryFile('base.vhd');
    await createVhd(base, { bytes: BYTES, type: 'dynamic', blockBytes: BLOCK });
    const below = await openVhd(base);
    await below.write(0, new Uint8Array(BYTES).fill(0x11));
    const source: ParentSource = () => Promise.resolve({ file: base });
    const plain = memoryFile('child.vhd');
    await createChild(plain, { parent: below, path: 'base.vhd' });
    const initial = plain.contents();
    const { file, steps } = recordSteps(plain);
    const disk = await openVhd(file, { parents: source });
    const old = await contentsOf(disk);
    for (const [at, bytes] of [[1000, 2000], [BLOCK - 700, 1400], [8192, 100], [0, BLOCK], [BLOCK * 5, BLOCK * 2]] as const) await disk.write(at, new Uint8Array(bytes).fill(0x22));
    const after = await contentsOf(disk);
    // Sectors that are written twice, in part first.
    const between = [[1000, 2000], [BLOCK - 700, 1400], [8192, 100]].reduce((all, [at = 0, bytes = 0]) => all.fill(0x22, at, at + bytes), old.slice());
    let count = 0;
    for (const { kept } of crashCuts(steps)) {
      expectSectors(await contentsOf(await openVhd(await replay(initial, kept), { parents: source, writable: false })), [old, between, after], count);
      count++;
    }
    tell(count, 'stores to a differencing disk');
  });

  it('loses nothing while a disk is compacted', async () => {
    const plain = memoryFile();
    await createVhd(plain, { bytes: BYTES, type: 'dynamic', blockBytes: BLOCK });
    const disk = await openVhd(plain);
    for (let block = 9; block >= 0; block--) await disk.write(block * BLOCK, new Uint8Array(BLOCK).fill(block + 1));
    for (const block of [9, 8, 5, 2]) await disk.write(block * BLOCK, new Uint8Array(BLOCK));
    const contents = await contentsOf(disk);
    const initial = plain.contents();
    const { file, steps } = recordSteps(plain);
    const result = await compactVhd(file);
    expect(result).toMatchObject({ before: initial.length, droppedBlocks: 4 });
    expect(result.movedBlocks).toBeGreaterThan(0);
    expect(initial.length - (await plain.bytes())).toBeGreaterThanOrEqual(4 * BLOCK);
    expect((await checkVhd(plain)).findings).toEqual([]);
    let count = 0;
    for (const { kept } of crashCuts(steps)) {
      const after = await replay(initial, kept);
      expectSectors(await contentsOf(await openVhd(after, { writable: false })), [contents], count);
      await compactVhd(after);
      expectSectors(await contentsOf(await openVhd(after)), [contents], count);
      count++;
    }
    tell(count, 'compacting');
  });

  it('shows the same disk through the child while that is merged', async () => {
    const base = memoryFile('base.vhd');
    await createVhd(base, { bytes: BYTES, type: 'dynamic', blockBytes: BLOCK });
    const below = await openVhd(base);
    await below.write(BLOCK, new Uint8Array(BLOCK * 3).fill(0x11));
    const child = memoryFile('child.vhd');
    await createChild(child, { parent: below, path: 'base.vhd' });
    const top = await openVhd(child, { parents: () => Promise.resolve({ file: base }) });
    await top.write(BLOCK * 2 + 512, new Uint8Array(BLOCK * 4).fill(0x22));
    await top.write(BLOCK * 8, new Uint8Array(700).fill(0x33));
    const contents = await contentsOf(top);
    const initial = base.contents();
    const { file, steps } = recordSteps(base);
    await expect(mergeIntoParent(top, await openVhd(base, { writable: false }))).rejects.toMatchObject({ rule: 'read-only' });
    await mergeIntoParent(top, await openVhd(file));
    expectSectors(await contentsOf(await openVhd(base)), [contents], -1);
    let count = 0;
    for (const { kept } of crashCuts(steps)) {
      const parent = await replay(initial, kept);
      const chain = (): Promise<VhdDisk> => openVhd(child, { writable: false, parents: () => Promise.resolve({ file: parent }) });
      expectSectors(await contentsOf(await chain()), [contents], count);
      await mergeIntoParent(await chain(), await openVhd(parent));
      expectSectors(await contentsOf(await openVhd(parent)), [contents], count);
      count++;
    }
    tell(count, 'merging');
  });

  it('leaves a disk of the old size or of the new one, with all that both have, while it is resized', async () => {
    const initialBytes = 10 * BLOCK;
    for (const [type, sizes] of [['dynamic', [2 * initialBytes, 200 * BLOCK, 600 * BLOCK, 5 * BLOCK, 5 * BLOCK + 1536]], ['fixed', [12 * BLOCK, 20 * BLOCK, 5 * BLOCK]]] as const) {
      for (const bytes of sizes) {
        const plain = memoryFile();
        await createVhd(plain, { bytes: initialBytes, type, blockBytes: BLOCK });
        const disk = await openVhd(plain);
        for (const block of [7, 2, 0, 9, 4]) await disk.write(block * BLOCK, new Uint8Array(BLOCK).fill(block + 1));
        const contents = await contentsOf(disk);
        const initial = plain.contents();
        const { file, steps } = recordSteps(plain);
        if (bytes < initialBytes) await expect(resizeVhd(file, bytes)).rejects.toMatchObject({ rule: 'request' });
        expect(await resizeVhd(file, bytes, { shrink: true })).toBe(bytes);
        const after = new Uint8Array(bytes);
        after.set(contents.subarray(0, Math.min(bytes, contents.length)));
        expect(Buffer.from(await contentsOf(await openVhd(plain))).equals(after)).toBe(true);
        expect((await checkVhd(plain)).findings.filter(({ severity }) => severity === 'error')).toEqual([]);
        let count = 0;
        for (const { kept } of crashCuts(steps)) {
          const cut = await replay(initial, kept);
          const got = await contentsOf(await openVhd(cut, { writable: false }));
          expect([initialBytes, bytes]).toContain(got.length);
          // What is cut off may be gone before the size says so.
          expect(Buffer.from(got.subarray(0, Math.min(bytes, initialBytes))).equals(contents.subarray(0, Math.min(bytes, initialBytes)))).toBe(true);
          if (count++ % 5 !== 0) continue;
          expect(await resizeVhd(cut, bytes, { shrink: true })).toBe(bytes);
          const again = await contentsOf(await openVhd(cut));
          expect(Buffer.from(again.subarray(0, initialBytes)).equals(after.subarray(0, Math.min(initialBytes, bytes)))).toBe(true);
        }
        tell(count, `resizing a ${type} disk to ${bytes}`);
      }
    }
  });

  it.each(['dynamic', 'payload', 'file', 'fixed'] as const)('leaves old or new sectors of a disk of kind %s whatever was stored, encrypted or not', async (kind) => {
    const cipher = await nodeCiphers().create('aes-xts-plain64', Uint8Array.from({ length: 64 }, (_, i) => i * 3), 512);
    const container = { cipher, dataAt: 0, facts: { container: 'plain', cipher: 'aes-xts-plain64', engine: 'node', keyBits: 512, sectorBytes: 512, uuid: null, keySlots: [] } };
    const open = async (file: ImageFile, writable = true): Promise<BlockBackend> => {
      const vhd = await openVhd(kind === 'file' ? encryptedFile(file, container) : file, { writable });
      return kind === 'payload' ? encryptedDisk('disk', vhd, container) : vhd;
    };
    let count = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = randomOf(seed);
      const plain = memoryFile();
      await createVhd(kind === 'file' ? encryptedFile(plain, container) : plain, { bytes: BYTES, type: kind === 'fixed' ? 'fixed' : 'dynamic', blockBytes: BLOCK });
      const initial = plain.contents();
      const { file, steps } = recordSteps(plain);
      const disk = await open(file);
      const model = await contentsOf(disk);
      const states = new CrashStates(steps, model);
      for (let i = 0; i < 8; i++) {
        // A fixed disk hands parts of sectors to its file, which stores them one after the other in one page; guests write sectors.
        const unit = kind === 'fixed' ? 512 : 1;
        const at = Math.floor((random() * (BYTES - 1)) / unit) * unit;
        if (random() < 0.2) {
          // Whole blocks of a dynamic disk go, and others take their room.
          const [first, count] = [Math.floor(random() * 10), 1 + Math.floor(random() * 4)];
          const end = Math.min(10, first + count);
          await disk.discard(first * BLOCK, (end - first) * BLOCK);
          if (kind !== 'fixed') model.fill(0, first * BLOCK, end * BLOCK);
          states.stored(model);
        }
        const from = Uint8Array.from({ length: Math.min(BYTES - at, unit + Math.floor((random() * 2.5 * BLOCK) / unit) * unit) }, () => 1 + Math.floor(random() * 255));
        await disk.write(at, from);
        model.set(from, at);
        states.stored(model);
        if (random() < 0.4) {
          await disk.flush();
          states.flushed(model);
        }
      }
      for (const { upTo, kept } of crashCuts(steps, { wholeSets: 6, seed })) {
        const allowed = states.allowed(upTo);
        const after = await replay(initial, kept);
        expectSectors(await contentsOf(await open(after, false)), allowed, count);
        // It can be written to again, and what it makes room for reads as zeros.
        if (count++ % 10 !== 0) continue;
        const again = await open(after);
        await again.write(3, Uint8Array.of(1));
        expectSectors((await contentsOf(again)).subarray(512), allowed.map((one) => one.subarray(512)), count);
      }
    }
    await cipher.close();
    tell(count, `random stores to a disk of kind ${kind}`);
  }, 600_000);

  it('was tried at more than ten thousand places', () => {
    console.log(`${total} cuts in all`);
    expect(total).toBeGreaterThan(10_000);
  });
});

function randomOf(seed: number): () => number {
  let state = seed * 7919;
  return () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
}
