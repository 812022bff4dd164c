import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeDisk } from './disk-descriptor.ts';
import type { LiveDisk, LiveDiskState } from './live-disk.ts';
import { workOnDisks } from './machine-disk-work.ts';
import { openLiveDisk } from './machine-disks.ts';

const MIB = 2 ** 20;
let folder = '';
const at = (name: string): string => join(folder, name);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vm-live-disk-'));
  writeFileSync(at('one'), 'secret one');
  writeFileSync(at('two'), 'secret two');
});
afterEach(() => rmSync(folder, { recursive: true }));

async function contentsOf(disk: LiveDisk): Promise<Buffer> {
  const all = Buffer.alloc(disk.bytes);
  await disk.read(0, all);
  return all;
}

describe('a disk of a running machine', () => {
  it('is encrypted, encrypted anew and decrypted while it is used, and goes on after it was closed in between (VHD-22)', async () => {
    const data = Buffer.alloc(6 * MIB, 'what the guest wrote ');
    writeFileSync(at('disk.img'), data);
    let disk = await openLiveDisk(describeDisk(at('disk.img')));
    const ask = (work: string, more: object = {}): Promise<readonly LiveDiskState[]> => workOnDisks(new Map([['disk0', disk]]), { command: 'disk', work, disk: 'disk0', ...more });
    await expect(ask('decrypt', { key: `file:${at('one')}` })).rejects.toThrow('it is not encrypted');
    await expect(ask('encrypt')).rejects.toThrow('a running machine asks nobody: --key');
    await expect(ask('encrypt', { key: `file:${at('none')}` })).rejects.toThrow('no such file');
    await expect(ask('go')).rejects.toThrow('nothing is under way');
    for (const [round, [work, key, newKey]] of ([['encrypt', 'one', undefined], ['rekey', 'one', 'two'], ['decrypt', 'two', undefined]] as const).entries()) {
      if (work !== 'encrypt') await expect(ask(work, { key: `file:${at(key === 'one' ? 'two' : 'one')}`, newKey: `file:${at('two')}` })).rejects.toThrow('no key slot opens');
      const [begun] = await ask(work, { key: `file:${at(key)}`, iterations: 1000, ...(newKey === undefined ? {} : { newKey: `file:${at(newKey)}` }) });
      expect(begun?.work).toMatchObject({ mode: work, going: true, total: 6 * MIB, problem: null });
      let stores = 0;
      for (let going = true; going; stores++) {
        const from = Buffer.alloc(700 + stores, `store ${round} ${stores} `);
        const to = (stores * 97_003) % (6 * MIB - 100_000);
        data.set(from, to);
        await disk.write(to, from);
        if (stores === 1) {
          // As if the machine ended here.
          await disk.close();
          disk = await openLiveDisk({ ...describeDisk(at('disk.img')), key: { kind: 'file', path: at(newKey ?? key) } });
          const [state] = await ask('list');
          if (state?.work !== null) await ask('go');
        }
        const [state] = await ask('list');
        going = state?.work !== null;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      expect((await ask('list'))[0]).toMatchObject({ encrypted: work !== 'decrypt', work: null });
      expect((await contentsOf(disk)).equals(data)).toBe(true);
    }
    await disk.close();
    expect(readFileSync(at('disk.img')).equals(data)).toBe(true);
  }, 60_000);

  it('keeps still while somebody needs its image, and while it was told to', async () => {
    writeFileSync(at('disk.img'), Buffer.alloc(8 * MIB, 'x'));
    const disk = await openLiveDisk(describeDisk(at('disk.img')));
    await disk.begin('encrypt', { key: { kind: 'file', path: at('one') }, cost: { kdf: 'pbkdf2', iterations: 1000 } });
    await disk.stop();
    const before = disk.state('disk0').work!;
    expect(before).toMatchObject({ going: false, bytesPerSecond: null });
    await disk.quietly(() => Promise.resolve());
    expect(disk.state('disk0').work).toEqual(before);
    disk.go();
    await disk.quietly(async () => {
      const { work } = disk.state('disk0');
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(disk.state('disk0').work).toEqual(work);
    });
    await disk.close();
  });
});
