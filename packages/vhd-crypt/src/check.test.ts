import { describe, expect, it } from 'vitest';
import { checksum, putU32 } from './big-endian.ts';
import { checkVhd, repairVhd } from './check.ts';
import { compactVhd } from './compact.ts';
import { convertDisk } from './convert.ts';
import { createVhd } from './create-vhd.ts';
import { openRaw } from './fixed-disk.ts';
import { memoryFile, type MemoryFile } from './memory-file.ts';
import { openVhd } from './open-vhd.ts';
import { readImage } from './vhd-image.ts';

const BLOCK = 32 * 1024;
const BYTES = 8 * BLOCK;
const TABLE = 1536;

/** Blocks 1, 3 and 5 are full of their number. */
async function sample(type: 'fixed' | 'dynamic' = 'dynamic'): Promise<MemoryFile> {
  const file = memoryFile('sample.vhd');
  await createVhd(file, { bytes: BYTES, type, blockBytes: BLOCK });
  const disk = await openVhd(file);
  for (const block of [1, 3, 5]) await disk.write(block * BLOCK, new Uint8Array(BLOCK).fill(block));
  return file;
}

async function firstBytes(file: MemoryFile): Promise<number[]> {
  const disk = await openVhd(file, { writable: false });
  const all = new Uint8Array(disk.bytes);
  await disk.read(0, all);
  return Array.from({ length: 8 }, (_, block) => all[block * BLOCK] ?? 0);
}

async function setEntry(file: MemoryFile, block: number, sector: number): Promise<void> {
  const bytes = new Uint8Array(4);
  putU32(bytes, 0, sector);
  await file.write(TABLE + 4 * block, bytes);
}

describe('check and repair', () => {
  it('finds nothing in a good disk, and its report is plain data', async () => {
    const report = await checkVhd(await sample());
    expect(report).toMatchObject({ type: 'dynamic', creator: 'vm  ', bytes: BYTES, blocks: { bytes: BLOCK, total: 8, allocated: 3 }, clean: true, findings: [] });
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
    expect(await checkVhd(await sample('fixed'))).toMatchObject({ type: 'fixed', blocks: null, clean: true, findings: [] });
  });

  it.each([
    ['the front footer is overwritten', 'footer-front', (file: MemoryFile) => file.write(0, new Uint8Array(512).fill(0xcc))],
    ['the back footer is overwritten', 'footer-back', async (file: MemoryFile) => file.write((await file.bytes()) - 512, new Uint8Array(512).fill(0xcc))],
    ['the back footer is cut off', 'footer-back', async (file: MemoryFile) => file.resize((await file.bytes()) - 512)],
    ['half of the back footer is cut off', 'footer-back', async (file: MemoryFile) => file.resize((await file.bytes()) - 300)],
    ['something was appended', 'footer-back', async (file: MemoryFile) => file.write(await file.bytes(), new Uint8Array(100).fill(0xcc))],
  ])('opens and mends a disk when %s', async (_what, rule, damage) => {
    const file = await sample();
    await damage(file);
    expect((await checkVhd(file)).findings.map((finding) => finding.rule)).toEqual([rule]);
    expect(await firstBytes(file)).toEqual([0, 1, 0, 3, 0, 5, 0, 0]);
    expect((await repairVhd(file)).findings).toEqual([]);
    expect(await firstBytes(file)).toEqual([0, 1, 0, 3, 0, 5, 0, 0]);
  });

  it('gives up blocks only when told to, and opens a disk with bad blocks for reading what is good', async () => {
    const file = await sample();
    await setEntry(file, 1, 0x7fff_ffff);
    await setEntry(file, 4, 1);
    await setEntry(file, 6, ((await readImage(file)).table?.entries[3] ?? 0) + 1);
    const { findings, clean } = await checkVhd(file);
    expect(clean).toBe(false);
    expect(findings.map(({ text }) => text)).toEqual(['block 1 at 1099511627264 is past the end of the file', 'block 4 at 512 lies over the dynamic header', 'blocks 3 and 6 overlap']);
    await expect(openVhd(file)).rejects.toMatchObject({ rule: 'block', file: 'sample.vhd' });
    const disk = await openVhd(file, { writable: false });
    const sector = new Uint8Array(512);
    await disk.read(3 * BLOCK, sector);
    expect(sector[0]).toBe(3);
    await expect(disk.read(BLOCK, sector)).rejects.toThrow('block 1 at 1099511627264 is past the end of the file');
    expect((await repairVhd(file)).findings).toHaveLength(3);
    expect((await repairVhd(file, { dropBlocks: true })).findings).toEqual([]);
    expect(await firstBytes(file)).toEqual([0, 0, 0, 3, 0, 5, 0, 0]);
  });

  it('keeps what others put into reserved places of the footer, and mends two that differ', async () => {
    const file = await sample();
    const footer = file.contents().slice(0, 512);
    footer[300] = 0x5a;
    putU32(footer, 64, checksum(footer, 64));
    await file.write(0, footer);
    expect((await checkVhd(file)).findings.map((finding) => finding.rule)).toEqual(['footers-differ']);
    expect((await repairVhd(file)).findings).toEqual([]);
    await (await openVhd(file)).write(0, Uint8Array.of(1));
    expect((await checkVhd(file)).findings).toEqual([]);
    expect(file.contents().slice(-512)).toEqual(footer);
  });

  it('says what is hopeless, and refuses images that lie about their size', async () => {
    const file = await sample();
    await file.write(0, new Uint8Array(512));
    await file.write((await file.bytes()) - 512, new Uint8Array(512));
    expect((await repairVhd(file)).findings[0]).toMatchObject({ rule: 'footer', repair: 'none' });
    const header = await sample();
    await header.write(600, Uint8Array.of(1));
    expect((await checkVhd(header)).findings[0]?.text).toBe('sample.vhd: dynamic header: wrong checksum');
    const cut = memoryFile('cut.vhd', (await sample('fixed')).contents().subarray(4096));
    await expect(openVhd(cut)).rejects.toThrow(`cut.vhd: the footer says ${BYTES} bytes, and the file holds ${BYTES - 4096}`);
    await expect(openVhd(memoryFile('tiny', new Uint8Array(10)))).rejects.toThrow('tiny: 10 bytes are too short for a VHD');
  });

  it('opens a fixed disk with the footer of 511 bytes that old programs wrote', async () => {
    const file = await sample('fixed');
    await file.resize((await file.bytes()) - 1);
    expect(await firstBytes(file)).toEqual([0, 1, 0, 3, 0, 5, 0, 0]);
  });
});

describe('conversion', () => {
  it('keeps the contents from every form to every other, and leaves out what is zero', async () => {
    const raw = memoryFile('raw', Uint8Array.from({ length: 300_000 - (300_000 % 512) }, (_, i) => (Math.floor(i / 70_000) % 2 === 0 ? 0 : i % 253)));
    const contents = raw.contents();
    for (const first of ['raw', 'fixed', 'dynamic'] as const) {
      for (const second of ['raw', 'fixed', 'dynamic'] as const) {
        const [one, two] = [memoryFile('one'), memoryFile('two')];
        await convertDisk(await openRaw(raw), one, { type: first, blockBytes: BLOCK });
        const from = first === 'raw' ? await openRaw(one) : await openVhd(one);
        await convertDisk(from, two, { type: second, blockBytes: BLOCK });
        const to = second === 'raw' ? await openRaw(two) : await openVhd(two);
        const got = new Uint8Array(to.bytes);
        await to.read(0, got);
        expect(got).toEqual(contents);
      }
    }
  });

  it('makes a larger disk, refuses a smaller one, and stops when asked', async () => {
    const from = await openVhd(await sample());
    const larger = memoryFile();
    await convertDisk(from, larger, { type: 'dynamic', bytes: BYTES * 2, blockBytes: BLOCK });
    const disk = await openVhd(larger);
    expect(disk.bytes).toBe(BYTES * 2);
    expect((await firstBytes(larger)).slice(0, 6)).toEqual([0, 1, 0, 3, 0, 5]);
    await expect(convertDisk(from, memoryFile(), { type: 'raw', bytes: 512 })).rejects.toMatchObject({ rule: 'size' });
    await expect(convertDisk(from, memoryFile(), { type: 'raw', signal: { aborted: true } })).rejects.toMatchObject({ rule: 'request' });
  });

  it('tells where things are, and refuses for blocks where none can be, also when something else is asked of them', async () => {
    const file = await sample();
    expect(await (await openVhd(file)).extents(BLOCK / 2, 2 * BLOCK)).toEqual([{ at: BLOCK / 2, bytes: BLOCK / 2, depth: null }, { at: BLOCK, bytes: BLOCK, depth: 0 }, { at: 2 * BLOCK, bytes: BLOCK / 2, depth: null }]);
    await setEntry(file, 3, 0x7fff_ffff);
    const disk = await openVhd(file, { writable: false });
    expect((await disk.extents(0, 2 * BLOCK)).length).toBe(2);
    await expect(disk.extents(0, disk.bytes)).rejects.toMatchObject({ rule: 'block' });
  });

  it('stops between two blocks of a disk that is compacted, and leaves it whole', async () => {
    const file = await sample();
    const disk = await openVhd(file);
    await disk.write(BLOCK, new Uint8Array(BLOCK));
    const contents = await firstBytes(file);
    for (const after of [0, 2, 5, 8, 9]) {
      let calls = 0;
      const signal = { get aborted() {
        return calls++ >= after;
      } };
      await expect(compactVhd(file, { signal })).rejects.toThrow('stopped; the disk is whole');
      expect(await firstBytes(file)).toEqual(contents);
      expect((await checkVhd(file)).clean).toBe(true);
    }
    expect((await compactVhd(file)).after).toBeLessThan(BYTES);
  });
});
