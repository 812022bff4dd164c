import { describe, expect, it } from 'vitest';
import { memoryDisk } from './memory-disk.ts';
import { overlay } from './overlay.ts';
import { readOnly } from './read-only.ts';

async function bytesOf(disk: { read(at: number, into: Uint8Array): Promise<void> }, at: number, count: number): Promise<number[]> {
  const into = new Uint8Array(count).fill(0xee);
  await disk.read(at, into);
  return [...into];
}

describe('disks in memory and filters', () => {
  it('keeps what is written and refuses what is not on the disk', async () => {
    const disk = memoryDisk(1024);
    await disk.write(510, Uint8Array.of(1, 2, 3));
    await disk.writeZeroes(511, 1);
    expect(await bytesOf(disk, 509, 5)).toEqual([0, 1, 0, 3, 0]);
    await expect(disk.write(1023, new Uint8Array(2))).rejects.toThrow('2 bytes at 1023 are not on a disk of 1024 bytes');
    await expect(disk.read(-1, new Uint8Array(1))).rejects.toMatchObject({ code: 'E_IMAGE' });
    await expect(disk.read(0.5, new Uint8Array(1))).rejects.toMatchObject({ code: 'E_IMAGE' });
  });

  it('reads through a read-only filter and refuses every store', async () => {
    const below = memoryDisk(Uint8Array.from({ length: 512 }, (_, i) => i));
    const disk = readOnly(below);
    expect(disk.writable).toBe(false);
    expect(await bytesOf(disk, 4, 2)).toEqual([4, 5]);
    for (const store of [disk.write(0, new Uint8Array(1)), disk.writeZeroes(0, 1), disk.discard(0, 1)]) await expect(store).rejects.toThrow('the disk can only be read');
    expect(await bytesOf(below, 0, 2)).toEqual([0, 1]);
  });

  it('keeps the stores of an overlay apart from the disk below, across clusters and when several come at once', async () => {
    const contents = Uint8Array.from({ length: 65536 * 2 + 512 }, (_, i) => i % 251);
    const expected = contents.slice();
    const disk = overlay(memoryDisk(contents));
    const before = contents.slice();
    const stores = [65530, 65536, 10, 131072, 131580].map((at, i) => ({ at, from: new Uint8Array(4).fill(200 + i) }));
    for (const { at, from } of stores) expected.set(from, at);
    await Promise.all(stores.map(({ at, from }) => disk.write(at, from)));
    await disk.writeZeroes(100, 65536);
    expected.fill(0, 100, 100 + 65536);
    const got = new Uint8Array(disk.bytes);
    await disk.read(0, got);
    expect(got).toEqual(expected);
    expect(contents).toEqual(before);
  });
});
