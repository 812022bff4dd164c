import { mkdir, mkdtemp, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createChild, createVhd } from './create-vhd.ts';
import { openImageFile, parentsBeside } from './node.ts';
import { openVhd } from './open-vhd.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vhd-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('images in files of the host', () => {
  it('keeps a chain in files, finds the parents beside the child, and warns when one was touched', async () => {
    await mkdir(join(folder, 'base'));
    const [base, child] = [join(folder, 'base', 'a.vhd'), join(folder, 'child.vhd')];
    const baseFile = await openImageFile(base, { create: true });
    await createVhd(baseFile, { bytes: 1 << 20, type: 'dynamic', now: Date.UTC(2020, 1, 1) });
    const below = await openVhd(baseFile);
    await below.write(1000, Uint8Array.of(1, 2, 3));
    const childFile = await openImageFile(child, { create: true });
    await below.flush();
    await createChild(childFile, { parent: below, path: 'base/a.vhd', parentChanged: (await stat(base)).mtimeMs });
    await below.close();
    const disk = await openVhd(childFile, { parents: parentsBeside(child) });
    expect(disk.warnings).toEqual([]);
    await disk.write(1001, Uint8Array.of(9));
    await disk.close();
    await utimes(base, new Date(), new Date(Date.now() + 60_000));
    const again = await openVhd(await openImageFile(child), { parents: parentsBeside(child) });
    expect(again.warnings).toEqual([`${base}: changed since this disk was made from it, or copied`]);
    const into = new Uint8Array(3);
    await again.read(1000, into);
    expect([...into]).toEqual([1, 9, 3]);
    await again.close();
  });

  it('lets one writer in at a time, and takes over from a dead one', async () => {
    const path = join(folder, 'one.vhd');
    const first = await openImageFile(path, { create: true });
    await expect(openImageFile(path, { writable: true })).rejects.toThrow(`process ${process.pid} has it open for writing`);
    await (await openImageFile(path)).close();
    await first.close();
    await writeFile(`${path}.lock`, '999999999\n');
    const second = await openImageFile(path, { writable: true });
    await second.close();
    await expect(stat(`${path}.lock`)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(openImageFile(path, { create: true })).rejects.toMatchObject({ code: 'EEXIST' });
  });

  it('lets the event loop go on while one small request follows the other', async () => {
    const file = await openImageFile(join(folder, 'busy.raw'), { create: true });
    await file.write(0, new Uint8Array(8192).fill(7));
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const into = new Uint8Array(4096);
    for (let i = 0; i < 1_000_000 && turns < 3; i++) {
      if (i % 2 === 0) await file.read(i % 4096, into);
      else await file.write(i % 4096, into);
    }
    clearInterval(timer);
    expect(turns).toBeGreaterThanOrEqual(3); // the timer may fire twice while one request is waited for
    expect(into.every((byte) => byte === 7)).toBe(true);
    await expect(file.read(8000, into)).rejects.toMatchObject({ rule: 'size' });
    await file.close();
    await expect(file.read(0, into)).rejects.toMatchObject({ code: 'EBADF' });
  });

  it('opens no parent outside of the folder, neither by path nor through a link', async () => {
    const source = parentsBeside(join(folder, 'base', 'x.vhd'));
    expect(await source('../child.vhd')).toBeNull();
    expect(await source('/etc/hostname')).toBeNull();
    expect(await source('none.vhd')).toBeNull();
    expect(await source('.')).toBeNull();
    await symlink(join(folder, 'child.vhd'), join(folder, 'base', 'link.vhd'));
    expect(await source('link.vhd')).toBeNull();
    const wider = await parentsBeside(join(folder, 'base', 'x.vhd'), folder)('../child.vhd');
    expect(wider?.file.name).toBe(join(folder, 'child.vhd'));
    await wider?.file.close();
  });
});
