/**
 * Images that Virtual PC and Hyper-V made. They lie beside the project, or where VM_RECORDED_DISKS says; without them these
 * tests are left out.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findOracle } from '@vm/testkit/oracle';
import { afterAll, describe, expect, it } from 'vitest';
import { checkVhd } from './check.ts';
import { createChild } from './create-vhd.ts';
import { memoryFile } from './memory-file.ts';
import { openImageFile } from './node.ts';
import { openVhd } from './open-vhd.ts';
import { resizeVhd } from './resize.ts';

const FOLDER = process.env['VM_RECORDED_DISKS'] ?? fileURLToPath(new URL('../../../../shared/data/vhd/', import.meta.url));
const GIB = 2 ** 30;
const folder = mkdtempSync(join(tmpdir(), 'vhd-recorded-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Virtual PC means the geometry, 65,278 cylinders of 16 heads and 255 sectors, and Hyper-V the bytes. */
const IMAGES = [
  { name: 'virtualpc-dynamic.vhd', creator: 'vpc ', bytes: 65_278 * 16 * 255 * 512, uniqueId: '33ea001361914d02b93f88af84296f85' },
  { name: 'hyperv2012r2-dynamic.vhd', creator: 'win ', bytes: 127 * GIB, uniqueId: '6d2d5fc8eebade4c8ceede3a12db7c98' },
];

describe.each(IMAGES)('an image of others, $name', ({ name, creator, bytes, uniqueId }) => {
  const packed = join(FOLDER, `${name}.bz2`);
  const bzip2 = findOracle('bzip2');
  const present = existsSync(packed) && bzip2 !== null;
  const image = (): Buffer => execFileSync(bzip2!, ['-dc', packed], { maxBuffer: 1 << 26 });

  it.skipIf(!present)('opens with the size that its maker means, and without an error [needs recorded disk images]', async () => {
    const file = memoryFile(name, image());
    const disk = await openVhd(file);
    expect([disk.bytes, disk.footer.creator, Buffer.from(disk.footer.uniqueId).toString('hex'), disk.warnings]).toEqual([bytes, creator, uniqueId, []]);
    const report = await checkVhd(file);
    // Both leave some room before the footer, and Virtual PC says more bytes than it means.
    expect(report.clean).toBe(true);
    expect(report.findings.map(({ rule }) => rule)).toEqual(creator === 'vpc ' ? ['geometry', 'orphans'] : ['orphans']);
    const into = new Uint8Array(4096).fill(1);
    for (const at of [0, 63 * 512, bytes / 2, bytes - into.length]) {
      await disk.read(at, into.fill(1));
      expect(into.every((byte) => byte === 0)).toBe(true);
    }
  });

  it.skipIf(!present || findOracle('qemu-io') === null)('is written on, grows and gets a child, and QEMU reads the same [needs recorded disk images]', async () => {
    const path = join(folder, name);
    writeFileSync(path, image());
    const file = await openImageFile(path, { writable: true });
    const disk = await openVhd(file);
    const places = [0, 5 * GIB + 512, bytes - 4096];
    for (const at of places) await disk.write(at, new Uint8Array(4096).fill(0xc3));
    await disk.flush();
    const child = memoryFile('child.vhd');
    await createChild(child, { parent: disk, path: name });
    const over = await openVhd(child, { parents: () => Promise.resolve({ file: { ...file, close: () => Promise.resolve() } }) });
    expect(over.bytes).toBe(bytes);
    await over.write(512, new Uint8Array(512).fill(0x77));
    const got = new Uint8Array(2048);
    await over.read(0, got);
    expect([got[0], got[512], got[1024]]).toEqual([0xc3, 0x77, 0xc3]);
    const told = JSON.parse(execFileSync(findOracle('qemu-img')!, ['info', '-f', 'vpc', '--output=json', path], { encoding: 'utf8' })) as { readonly 'virtual-size': number };
    expect(told['virtual-size']).toBe(bytes);
    for (const at of places) execFileSync(findOracle('qemu-io')!, ['-f', 'vpc', '-c', `read -P 0xc3 ${at} 4096`, path], { stdio: 'pipe' });
    await disk.flush();
    // No geometry is larger than 127 GiB.
    if (creator === 'vpc ') await expect(resizeVhd(file, 200 * GIB)).rejects.toMatchObject({ rule: 'size' });
    else expect(await resizeVhd(file, 200 * GIB)).toBe(200 * GIB);
    expect((await checkVhd(file)).clean).toBe(true);
    for (const at of places) execFileSync(findOracle('qemu-io')!, ['-f', 'vpc', '-c', `read -P 0xc3 ${at} 4096`, path], { stdio: 'pipe' });
    await file.close();
  });
});
