import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { itWithOracle } from '@vm/testkit/oracle';
import { afterAll, describe, expect, it } from 'vitest';
import { type CheckReport, checkVhd } from './check.ts';
import { createCipherRegistry } from './cipher-registry.ts';
import { compactVhd } from './compact.ts';
import { convertDisk } from './convert.ts';
import { createDisk } from './create-disk.ts';
import { createChild, createVhd } from './create-vhd.ts';
import { luks1 } from './luks1.ts';
import { memoryFile } from './memory-file.ts';
import { nodeCiphers, nodeKeyMath, openImageFile, parentsBeside } from './node.ts';
import { openDisk } from './open-disk.ts';
import { openVhd, type VhdDisk } from './open-vhd.ts';
import { keyOf } from './sector-cipher.ts';

const MIB = 2 ** 20;
const PYVHDI = '/usr/lib/python3/dist-packages/pyvhdi.cpython-311-x86_64-linux-gnu.so'; // of python3-libvhdi
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

  itWithOracle(it, PYVHDI, 'libvhdi reads fixed, dynamic and differencing disks, and the ciphertext of an encrypted one', async () => {
    const ciphers = createCipherRegistry([nodeCiphers()]);
    const [fixed, dynamic, child, secret] = ['fixed', 'base', 'over', 'secret'].map((name) => at(`libvhdi-${name}.vhd`)) as [string, string, string, string];
    for (const [path, type] of [[fixed, 'fixed'], [dynamic, 'dynamic']] as const) {
      const file = await openImageFile(path, { create: true });
      await createVhd(file, { bytes: 8 * MIB, type });
      const disk = await openVhd(file);
      await fill(disk);
      const contents = await contentsOf(disk);
      await disk.close();
      expect(libvhdi(path).equals(contents)).toBe(true);
    }
    const below = await openVhd(await openImageFile(dynamic));
    const childFile = await openImageFile(child, { create: true });
    await createChild(childFile, { parent: below, path: 'libvhdi-base.vhd' });
    const top = await openVhd(childFile, { parents: parentsBeside(child) });
    // Whole bytes of the bitmap: libvhdi takes the rest of one for set once a bit of it is (20210425).
    for (const offset of [4096, 5 * MIB - 4096, 7 * MIB]) await top.write(offset, Buffer.alloc(8192, 0xa5));
    const contents = await contentsOf(top);
    await top.close();
    await below.close();
    expect(libvhdi(child, dynamic).equals(contents)).toBe(true);
    const keys = keyOf(Buffer.from('a secret'));
    const file = await openImageFile(secret, { create: true });
    await createDisk(file, { format: 'vhd', bytes: 4 * MIB, crypt: 'payload', luks: { math: nodeKeyMath(), ciphers, keys, iterations: 1000 } });
    const encrypted = await openDisk(file, { format: 'vhd', containers: [luks1({ math: nodeKeyMath() })], ciphers, keys });
    await encrypted.write(MIB, Buffer.alloc(MIB, 'not for libvhdi '));
    await encrypted.close();
    const payload = libvhdi(secret);
    expect(payload.includes('not for libvhdi')).toBe(false);
    const again = await openDisk(memoryFile('payload.raw', payload), { format: 'raw', containers: [luks1({ math: nodeKeyMath() })], ciphers, keys });
    const got = Buffer.alloc(MIB);
    await again.read(MIB, got);
    expect(got.equals(Buffer.alloc(MIB, 'not for libvhdi '))).toBe(true);
  });

  itWithOracle(it, PYVHDI, 'refuses what libvhdi refuses, and opens more', async () => {
    const path = at('damaged.vhd');
    const file = await openImageFile(path, { create: true });
    await createVhd(file, { bytes: 8 * MIB, type: 'dynamic' });
    const disk = await openVhd(file);
    await fill(disk);
    const contents = await contentsOf(disk);
    await disk.close();
    const whole = readFileSync(path);
    // The front copy of the footer is enough here, and the one at the end for both.
    for (const [name, damage, theirs] of [['front', (bytes: Buffer) => bytes.fill(0, 0, 512), true], ['end', (bytes: Buffer) => bytes.fill(0, bytes.length - 512), false]] as const) {
      const image = Buffer.from(whole);
      damage(image);
      writeFileSync(at(`damaged-${name}.vhd`), image);
      const ours = await openVhd(memoryFile(name, image), { writable: false });
      expect((await contentsOf(ours)).equals(contents)).toBe(true);
      if (theirs) expect(libvhdi(at(`damaged-${name}.vhd`)).equals(contents)).toBe(true);
      else expect(() => libvhdi(at(`damaged-${name}.vhd`))).toThrow();
    }
  });
});

/** Everything on a disk, as libvhdi reads it. */
function libvhdi(path: string, parent = ''): Buffer {
  const script = [
    'import pyvhdi, sys',
    'disk = pyvhdi.file()',
    'disk.open(sys.argv[1])',
    'if sys.argv[2]:',
    '  parent = pyvhdi.file()',
    '  parent.open(sys.argv[2])',
    '  disk.set_parent(parent)',
    'sys.stdout.buffer.write(disk.read_buffer_at_offset(disk.media_size, 0))',
  ];
  return execFileSync('/usr/bin/python3', ['-c', script.join('\n'), path, parent], { maxBuffer: 64 * MIB, stdio: ['ignore', 'pipe', 'pipe'] });
}
