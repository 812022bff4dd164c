import { describe, expect, it } from 'vitest';
import { checkVhd, repairVhd } from './check.ts';
import { compactVhd } from './compact.ts';
import { createChild, createVhd } from './create-vhd.ts';
import { memoryFile, type MemoryFile } from './memory-file.ts';
import { mergeIntoParent } from './merge.ts';
import { openVhd, type ParentSource, type VhdDisk } from './open-vhd.ts';

const KIB = 1024;
const BLOCK = 16 * KIB;
const BYTES = 160 * KIB;

type Step = { readonly at: number; readonly from: Uint8Array } | { readonly resize: number } | 'flush';

/** A file that keeps in mind what was done to it. */
function recording(file: MemoryFile): { file: MemoryFile; steps: Step[] } {
  const steps: Step[] = [];
  return {
    steps,
    file: {
      ...file,
      async write(at, from) {
        steps.push({ at, from: from.slice() });
        await file.write(at, from);
      },
      async resize(bytes) {
        steps.push({ resize: bytes });
        await file.resize(bytes);
      },
      async flush() {
        steps.push('flush');
      },
    },
  };
}

async function replay(initial: Uint8Array, steps: readonly Step[]): Promise<MemoryFile> {
  const file = memoryFile('cut.vhd', initial);
  for (const step of steps) {
    if (step === 'flush') continue;
    if ('resize' in step) await file.resize(step.resize);
    else await file.write(step.at, step.from);
  }
  return file;
}

/**
 * What a crash can leave: everything up to a write, and then, since writes between two barriers may be stored in any order, the
 * same without one of the writes after the last barrier, with just one of them, with none of them, and with the last one half.
 */
function* cuts(steps: readonly Step[]): Generator<{ upTo: number; kept: Step[] }> {
  let barrier = 0;
  for (let upTo = 0; upTo <= steps.length; upTo++) {
    if (steps[upTo - 1] === 'flush') barrier = upTo;
    const stored = steps.slice(0, barrier);
    const pending = steps.slice(barrier, upTo);
    yield { upTo, kept: [...stored, ...pending] };
    const last = pending.at(-1);
    if (last !== undefined && last !== 'flush' && 'from' in last && last.from.length > 512) yield { upTo, kept: [...stored, ...pending.slice(0, -1), { at: last.at, from: last.from.subarray(0, 512) }] };
    if (pending.length < 2) continue;
    yield { upTo, kept: stored };
    for (let i = 0; i < pending.length; i++) {
      yield { upTo, kept: [...stored, ...pending.filter((_, other) => other !== i)] };
      yield { upTo, kept: [...stored, ...pending.slice(i, i + 1)] };
    }
  }
}

async function contentsOf(disk: VhdDisk): Promise<Uint8Array> {
  const all = new Uint8Array(disk.bytes);
  await disk.read(0, all);
  return all;
}

/** Every sector of `got` is that of one of the `allowed` disks. */
function expectSectors(got: Uint8Array, allowed: readonly Uint8Array[], cut: number): void {
  for (let at = 0; at < got.length; at += 512) {
    const sector = Buffer.from(got.buffer, at, 512);
    if (!allowed.some((one) => sector.equals(Buffer.from(one.buffer, at, 512)))) throw new Error(`cut ${cut}: sector ${at / 512} is neither old nor new`);
  }
}

describe('a crash at any write (VHD-13)', () => {
  it('leaves each sector of a dynamic disk as it was before or after a store, and repair finds nothing to lose', async () => {
    const plain = memoryFile();
    await createVhd(plain, { bytes: BYTES, type: 'dynamic', blockBytes: BLOCK });
    const initial = plain.contents();
    const { file, steps } = recording(plain);
    const disk = await openVhd(file);
    const model = new Uint8Array(BYTES);
    const states = [{ steps: 0, flushed: true, contents: model.slice() }];
    for (const [at, bytes] of [[0, 3000], [BLOCK * 3 + 100, 700], [BLOCK - 512, 2048], [100, 9000], [BLOCK * 6, BLOCK * 2], [BLOCK * 3, BLOCK]] as const) {
      const from = Uint8Array.from({ length: bytes }, (_, i) => 1 + ((at + i + states.length * 7) % 255));
      await disk.write(at, from);
      model.set(from, at);
      states.push({ steps: steps.length, flushed: false, contents: model.slice() });
      if (states.length % 2 === 0) {
        await disk.flush();
        states.push({ steps: steps.length, flushed: true, contents: model.slice() });
      }
    }
    let count = 0;
    for (const { upTo, kept } of cuts(steps)) {
      const after = await replay(initial, kept);
      // What was flushed before the cut must be there; what came later may be.
      const first = states.findLastIndex((state) => state.flushed && state.steps <= upTo);
      const next = states.findIndex((state) => state.steps >= upTo);
      const allowed = states.slice(first, (next < 0 ? states.length : next) + 1).map(({ contents }) => contents);
      expectSectors(await contentsOf(await openVhd(after, { writable: false })), allowed, count);
      const report = await checkVhd(after);
      expect(report.findings.filter(({ repair }) => repair !== 'lossless')).toEqual([]);
      const reopened = await openVhd(after);
      await reopened.write(BLOCK * 9, new Uint8Array(512).fill(0xab));
      expect((await checkVhd(after)).clean).toBe(true);
      expect((await repairVhd(after)).findings).toEqual([]);
      const final = await contentsOf(await openVhd(after));
      expect(final[BLOCK * 9]).toBe(0xab);
      expectSectors(final.subarray(0, BLOCK * 9), allowed, count);
      count++;
    }
    console.log(`${count} cuts of stores`);
    expect(count).toBeGreaterThan(50);
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
    const { file, steps } = recording(plain);
    const disk = await openVhd(file, { parents: source });
    const old = await contentsOf(disk);
    for (const [at, bytes] of [[1000, 2000], [BLOCK - 700, 1400], [8192, 100], [0, BLOCK]] as const) await disk.write(at, new Uint8Array(bytes).fill(0x22));
    const after = await contentsOf(disk);
    // Sectors that are written twice, in part first.
    const between = [[1000, 2000], [BLOCK - 700, 1400], [8192, 100]].reduce((all, [at = 0, bytes = 0]) => all.fill(0x22, at, at + bytes), old.slice());
    let count = 0;
    for (const { kept } of cuts(steps)) {
      expectSectors(await contentsOf(await openVhd(await replay(initial, kept), { parents: source, writable: false })), [old, between, after], count);
      count++;
    }
    console.log(`${count} cuts of stores to a differencing disk`);
    expect(count).toBeGreaterThan(20);
  });

  it('loses nothing while a disk is compacted', async () => {
    const plain = memoryFile();
    await createVhd(plain, { bytes: BYTES, type: 'dynamic', blockBytes: BLOCK });
    const disk = await openVhd(plain);
    for (let block = 9; block >= 0; block--) await disk.write(block * BLOCK, new Uint8Array(BLOCK).fill(block + 1));
    for (const block of [9, 8, 5, 2]) await disk.write(block * BLOCK, new Uint8Array(BLOCK));
    const contents = await contentsOf(disk);
    const initial = plain.contents();
    const { file, steps } = recording(plain);
    const result = await compactVhd(file);
    expect(result).toMatchObject({ before: initial.length, droppedBlocks: 4 });
    expect(result.movedBlocks).toBeGreaterThan(0);
    expect(initial.length - (await plain.bytes())).toBeGreaterThanOrEqual(4 * BLOCK);
    expect((await checkVhd(plain)).findings).toEqual([]);
    let count = 0;
    for (const { kept } of cuts(steps)) {
      const after = await replay(initial, kept);
      expectSectors(await contentsOf(await openVhd(after, { writable: false })), [contents], count);
      await compactVhd(after);
      expectSectors(await contentsOf(await openVhd(after)), [contents], count);
      count++;
    }
    console.log(`${count} cuts of compacting`);
    expect(count).toBeGreaterThan(20);
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
    const { file, steps } = recording(base);
    await expect(mergeIntoParent(top, await openVhd(base, { writable: false }))).rejects.toMatchObject({ rule: 'read-only' });
    await mergeIntoParent(top, await openVhd(file));
    expectSectors(await contentsOf(await openVhd(base)), [contents], -1);
    let count = 0;
    for (const { kept } of cuts(steps)) {
      const parent = await replay(initial, kept);
      const chain = (): Promise<VhdDisk> => openVhd(child, { writable: false, parents: () => Promise.resolve({ file: parent }) });
      expectSectors(await contentsOf(await chain()), [contents], count);
      await mergeIntoParent(await chain(), await openVhd(parent));
      expectSectors(await contentsOf(await openVhd(parent)), [contents], count);
      count++;
    }
    console.log(`${count} cuts of merging`);
    expect(count).toBeGreaterThan(20);
  });
});
