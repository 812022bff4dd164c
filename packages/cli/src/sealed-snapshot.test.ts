import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { itWithOracle } from '@vm/testkit/oracle';
import { keyOf } from '@vm/vhd-crypt';
import { openImageFile } from '@vm/vhd-crypt/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isSealed, openSealed } from './sealed-snapshot.ts';
import { writeSnapshotFile } from './snapshot-file.ts';

const keys = keyOf(new TextEncoder().encode('a secret'));
const saved = Buffer.alloc(2_500_000, 'what is in the memory of the guest ');
let folder = '';
const at = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'vm-sealed-'));
  await writeSnapshotFile(at('sealed.vms'), async (sink) => {
    for (let i = 0; i < saved.length; i += 700_001) await sink(saved.subarray(i, i + 700_001));
  }, keys);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true }));

async function open(name: string, secret = keys): Promise<Uint8Array> {
  const file = await openImageFile(at(name));
  try {
    return await openSealed(file, secret);
  } finally {
    await file.close();
  }
}

describe('a saved machine that is encrypted (VHD-26)', () => {
  it('opens with its secret, byte for byte, and with no other; nothing of it is readable', async () => {
    const file = readFileSync(at('sealed.vms'));
    expect([isSealed(file), file.includes('memory of the guest'), statSync(at('sealed.vms')).mode & 0o777]).toEqual([true, false, 0o600]);
    expect(Buffer.from(await open('sealed.vms')).equals(saved)).toBe(true);
    await expect(open('sealed.vms', keyOf(new Uint8Array(8)))).rejects.toMatchObject({ rule: 'key' });
  });

  it('is refused when anything of its data was changed, or is missing', async () => {
    const file = readFileSync(at('sealed.vms'));
    const places = [1 << 20, (1 << 20) + 30, (1 << 20) + 4096, (1 << 20) + 1_000_000, (1 << 20) + 4096 + saved.length - 1];
    for (const changed of [...places.map((place) => file.with(place, file[place]! ^ 1)), file.subarray(0, file.length - 4096), file.subarray(0, (1 << 20) + 4096)]) {
      writeFileSync(at('changed.vms'), changed);
      await expect(open('changed.vms')).rejects.toThrow('it was changed, or cut off');
    }
  }, 60_000);

  it('leaves no file behind when it cannot be written', async () => {
    await expect(writeSnapshotFile(at('never.vms'), () => Promise.reject(new Error('no memory')), keys)).rejects.toThrow('no memory');
    await expect(writeSnapshotFile(at('never.vms'), () => Promise.resolve(), { id: 'none', getSecret: () => Promise.resolve(null) })).rejects.toMatchObject({ rule: 'keyUnavailable' });
    expect(readdirSync(folder).filter((name) => name.includes('never'))).toEqual([]);
  });

  itWithOracle(it, 'cryptsetup', 'is LUKS2 for cryptsetup', (cryptsetup) => {
    writeFileSync(at('secret'), 'a secret');
    execFileSync(cryptsetup, ['open', '--test-passphrase', '--key-file', at('secret'), at('sealed.vms')], { stdio: 'pipe' });
    expect(execFileSync(cryptsetup, ['luksDump', at('sealed.vms')], { encoding: 'utf8' })).toContain('vm saved machine');
  });
});
