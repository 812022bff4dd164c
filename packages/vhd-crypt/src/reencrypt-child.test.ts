import { crashCuts, recordSteps, replayCut } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { createCipherRegistry } from './cipher-registry.ts';
import { createDisk, createEncryptedChild } from './create-disk.ts';
import { createChild } from './create-vhd.ts';
import { luks2 } from './luks2.ts';
import { memoryFile, type MemoryFile } from './memory-file.ts';
import { nodeCiphers } from './node.ts';
import { openDisk, type OpenedDisk } from './open-disk.ts';
import { openVhd, type ParentSource } from './open-vhd.ts';
import { quickMath } from './quick-math.ts';
import { rekeyImage } from './reencrypt-image.ts';
import { keyOf } from './sector-cipher.ts';

const [BLOCK, DATA_AT, BYTES, ZONE] = [8192, 327_680, 98_304, 16_384];
const ciphers = createCipherRegistry([nodeCiphers()]);
const settings = { math: quickMath() };
const cost = { kdf: 'pbkdf2', iterations: 1000 } as const;
const secret = (text: string): ReturnType<typeof keyOf> => keyOf(new TextEncoder().encode(text));
const [parentKeys, childKeys, newKeys] = [secret('of the parent'), secret('of the child'), secret('a new one')];
const luks = { ...settings, version: 2, ciphers, cost, keyBits: 256, dataAt: DATA_AT } as const;
const pattern = (bytes: number, seed: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => 1 + ((i * 7 + seed * 31) % 255));

interface Chain {
  readonly base: MemoryFile;
  readonly child: MemoryFile;
  readonly parents: ParentSource;
  readonly data: Buffer;
}

async function contentsOf(disk: OpenedDisk): Promise<Buffer> {
  const all = Buffer.alloc(disk.bytes);
  await disk.read(0, all);
  return all;
}
const still = (file: MemoryFile): MemoryFile => ({ ...file, close: () => Promise.resolve() });
const open = (file: MemoryFile, parents: ParentSource, keys: typeof newKeys): Promise<OpenedDisk> => openDisk(still(file), { format: 'vhd', containers: [luks2(settings)], ciphers, keys, parentKeys, parents });

/** A child over an encrypted parent, with the same key or one of its own, and with stores here and there in both. */
async function chain(kind: 'shared' | 'own'): Promise<Chain> {
  const base = memoryFile('base.vhd');
  await createDisk(base, { format: 'vhd', bytes: BYTES, blockBytes: BLOCK, crypt: 'payload', luks: { ...luks, keys: parentKeys } });
  const below = await open(base, () => Promise.resolve(null), parentKeys);
  for (const [at, count] of [[0, 20_000], [40_000, 30_000], [BYTES - 700, 700]] as const) await below.write(at, pattern(count, at));
  await below.close();
  const parents: ParentSource = () => Promise.resolve({ file: still(base) });
  const child = memoryFile('child.vhd');
  const parent = await openVhd(still(base));
  if (kind === 'own') await createEncryptedChild(child, { parent, path: 'base.vhd', luks: { ...luks, keys: childKeys }, parents });
  else await createChild(child, { parent, path: 'base.vhd' });
  const disk = await open(child, parents, kind === 'own' ? childKeys : parentKeys);
  for (const [at, count] of [[3000, 700], [44_000, 9000], [80_000, 100]] as const) await disk.write(at, pattern(count, at + 1));
  const data = await contentsOf(disk);
  await disk.close();
  return { base, child, parents, data };
}

describe('another key for a differencing disk (VHD-24)', () => {
  it.each(['shared', 'own'] as const)('changes only what it holds itself, when the key before was %s', async (kind) => {
    const { base, child, parents, data } = await chain(kind);
    const keys = kind === 'own' ? childKeys : parentKeys;
    const before = base.contents();
    const owned = async (): Promise<number> => (await (await openVhd(still(child), { parents })).extents(DATA_AT, BYTES)).reduce((sum, { depth, bytes }) => sum + (depth === 0 ? bytes : 0), 0);
    const held = await owned();
    expect(await rekeyImage(child, settings, { format: 'vhd', parents, ciphers, keys: secretsOf(keys, parentKeys), newKeys, cost, zoneBytes: ZONE })).toBe(true);
    expect(await owned()).toBe(held);
    expect(Buffer.from(base.contents()).equals(before)).toBe(true);
    await expect(open(child, parents, keys)).rejects.toMatchObject({ rule: 'key' });
    const disk = await open(child, parents, newKeys);
    expect((await contentsOf(disk)).equals(data)).toBe(true);
    await disk.close();
    // The secret of the child is of no use for the parent, nor the other way round.
    await expect(openDisk(still(child), { format: 'vhd', containers: [luks2(settings)], ciphers, keys: newKeys, parents })).rejects.toMatchObject({ rule: 'key', message: expect.stringContaining('the parent of child.vhd') as string });
    await expect(open(base, parents, newKeys)).rejects.toMatchObject({ rule: 'key' });
  });

  it('loses nothing in a crash at any write', async () => {
    let cuts = 0;
    for (const kind of ['shared', 'own'] as const) {
      const { child, parents, data } = await chain(kind);
      const keys = kind === 'own' ? childKeys : parentKeys;
      const initial = child.contents();
      const { file: watched, steps } = recordSteps(child);
      const options = { format: 'vhd', parents, ciphers, keys: secretsOf(keys, parentKeys), newKeys, cost, zoneBytes: ZONE } as const;
      await rekeyImage(watched, settings, options);
      for (const { kept } of crashCuts(steps, { wholeSets: 2 })) {
        const cut = memoryFile('cut.vhd', initial);
        await replayCut(cut, kept);
        const disk = (await open(cut, parents, newKeys).catch(() => null)) ?? (await open(cut, parents, keys));
        expect((await contentsOf(disk)).equals(data)).toBe(true);
        await disk.close();
        if (cuts++ % 40 !== 0) continue;
        expect(String(await rekeyImage(cut, settings, options).catch((error: Error) => error.message))).toMatch(/true|no key slot opens/);
      }
    }
    console.log(`${cuts} cuts of re-encryptions of differencing disks`);
    expect(cuts).toBeGreaterThan(200);
  }, 120_000);
});

/** One for the disk, another one for its parents. */
function secretsOf(own: typeof newKeys, parent: typeof newKeys): typeof newKeys {
  return { id: 'both', getSecret: (request) => (request.disk.startsWith('the parent') ? parent : own).getSecret(request) };
}
