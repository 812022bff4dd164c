import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { itWithOracle } from '@vm/testkit/oracle';
import { afterAll, describe, expect, it } from 'vitest';
import { type CheckReport, checkVhd } from './check.ts';
import { compactVhd } from './compact.ts';
import { convertDisk } from './convert.ts';
import { createChild, createVhd } from './create-vhd.ts';
import { openImageFile } from './node.ts';
import { openVhd, type VhdDisk } from './open-vhd.ts';

const MIB = 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), 'vhd-oracle-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const run = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

async function contentsOf(disk: VhdDisk): Promise<Buffer> {
  const all = Buffer.alloc(disk.bytes);
  await disk.read(0, all);
  return all;
}

async function check(path: string): Promise<CheckReport> {
  const file = await openImageFile(path);
  try {
    return await checkVhd(file);
  } finally {
    await file.close();
  }
}

/** A few stores over block borders, in no order. */
async function fill(disk: VhdDisk): Promise<void> {
  for (const [offset, bytes] of [[5 * MIB - 3000, 9000], [100, 700], [disk.bytes - 512, 512], [2 * MIB - 512, 1024], [5 * MIB, MIB]] as const) {
    await disk.write(offset, Uint8Array.from({ length: bytes }, (_, i) => 1 + ((offset + i * 7) % 251)));
  }
}

describe('VHD files and other programs', () => {
  itWithOracle(it, 'qemu-img', 'qemu-img reads what is written here, also after it was compacted', async (qemu) => {
    for (const type of ['fixed', 'dynamic'] as const) {
      for (const compatibility of ['exact', 'virtualpc'] as const) {
        const path = at(`ours-${type}-${compatibility}.vhd`);
        const file = await openImageFile(path, { create: true });
        await createVhd(file, { bytes: 8 * MIB - 1536, type, compatibility });
        const disk = await openVhd(file);
        await fill(disk);
        const contents = await contentsOf(disk);
        await disk.flush();
        expect(JSON.parse(run(qemu, 'info', '-f', 'vpc', '--output=json', path))['virtual-size']).toBe(contents.length);
        const compare = (): void => {
          run(qemu, 'convert', '-f', 'vpc', '-O', 'raw', path, at('theirs.raw'));
          expect(readFileSync(at('theirs.raw')).equals(contents)).toBe(true);
        };
        compare();
        if (type === 'dynamic') {
          await disk.write(2 * MIB, Buffer.alloc(2 * MIB));
          contents.fill(0, 2 * MIB, 4 * MIB);
          expect((await compactVhd(file)).droppedBlocks).toBe(1);
          compare();
        }
        await file.close();
      }
    }
  });

  itWithOracle(it, 'qemu-img', 'reads what qemu-img writes, and writes on', async (qemu) => {
    const raw = await openImageFile(at('source.raw'), { create: true });
    const source = await openImageFile(at('source.vhd'), { create: true });
    await createVhd(source, { bytes: 8 * MIB, type: 'dynamic' });
    const disk = await openVhd(source);
    await fill(disk);
    await convertDisk(disk, raw, { type: 'raw' });
    const contents = readFileSync(at('source.raw'));
    for (const options of ['subformat=dynamic', 'subformat=fixed', 'subformat=dynamic,force_size=on', 'subformat=fixed,force_size=on']) {
      const path = at(`${options}.vhd`);
      run(qemu, 'convert', '-f', 'raw', '-O', 'vpc', '-o', options, at('source.raw'), path);
      const file = await openImageFile(path, { writable: true });
      const theirs = await openVhd(file);
      expect(theirs.warnings).toEqual([]);
      const size = JSON.parse(run(qemu, 'info', '-f', 'vpc', '--output=json', path))['virtual-size'];
      expect(theirs.bytes).toBe(size);
      const got = await contentsOf(theirs);
      expect(got.subarray(0, contents.length).equals(contents)).toBe(true);
      await theirs.write(3 * MIB + 100, Buffer.from('written on'));
      got.write('written on', 3 * MIB + 100);
      await theirs.close();
      expect((await check(path)).findings).toEqual([]);
      run(qemu, 'convert', '-f', 'vpc', '-O', 'raw', path, at('again.raw'));
      expect(readFileSync(at('again.raw')).equals(got)).toBe(true);
    }
    await raw.close();
    await disk.close();
  });

  itWithOracle(it, 'qemu-img', 'rounds sizes as qemu-img does, and makes an empty disk as small', async (qemu) => {
    for (const mib of [1, 3, 7, 64, 100, 513, 4097, 32_255, 130_048]) {
      const path = at(`size-${mib}.vhd`);
      run(qemu, 'create', '-q', '-f', 'vpc', path, `${mib}M`);
      const theirs = await check(path);
      const file = await openImageFile(at(`ours-${mib}.vhd`), { create: true });
      await createVhd(file, { bytes: mib * MIB, type: 'dynamic', compatibility: 'virtualpc' });
      const ours = await checkVhd(file);
      await file.close();
      expect([ours.bytes, ours.findings]).toEqual([theirs.bytes, []]);
      expect(Math.abs(ours.fileBytes - statSync(path).size)).toBeLessThanOrEqual(512);
    }
  });

  itWithOracle(it, '7zz', '7-Zip reads a chain of differencing disks as it is read here', async (zip) => {
    const [base, child] = [await openImageFile(at('base.vhd'), { create: true }), await openImageFile(at('child.vhd'), { create: true })];
    await createVhd(base, { bytes: 8 * MIB, type: 'dynamic' });
    const below = await openVhd(base);
    await fill(below);
    await createChild(child, { parent: below, path: 'base.vhd' });
    const top = await openVhd(child, { parents: () => Promise.resolve({ file: base }) });
    for (const offset of [512, 3 * 512, 4 * 512, 5 * MIB - 512, 7 * MIB]) await top.write(offset, Buffer.alloc(600, 0xa5));
    const contents = await contentsOf(top);
    await top.flush();
    run(zip, 't', at('child.vhd'));
    const theirs = execFileSync(zip, ['e', '-so', at('child.vhd')], { maxBuffer: 64 * MIB, stdio: ['ignore', 'pipe', 'pipe'] });
    expect(theirs.equals(contents)).toBe(true);
    await top.close(); // and its parent
  });
});
