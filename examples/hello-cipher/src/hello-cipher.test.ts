import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cipherConformance } from '@vm/testkit';
import { findOracle, itWithOracle } from '@vm/testkit/oracle';
import { createCipherRegistry, createDisk, keyOf, luks1, memoryFile, openDisk, plainContainer } from '@vm/vhd-crypt';
import { nodeCiphers, nodeKeyMath } from '@vm/vhd-crypt/node';
import { describe, expect, it } from 'vitest';
import { essivCiphers, helperCiphers } from './index.ts';

const secret = new TextEncoder().encode('geheim');
const math = nodeKeyMath();

describe('a cipher from outside', () => {
  for (const { name, run } of cipherConformance(essivCiphers())) it(name, run);

  it('serves a LUKS1 disk as soon as it is in the registry, by the name in the header; without it the disk stays closed', async () => {
    const file = memoryFile('essiv.vhd');
    const ciphers = createCipherRegistry([essivCiphers(), nodeCiphers()]);
    const luks = { math, ciphers, keys: keyOf(secret), iterations: 1000, cipher: 'aes-cbc-essiv:sha256', keyBits: 256 } as const;
    await createDisk(file, { format: 'vhd', bytes: 1 << 20, crypt: 'payload', luks });
    const disk = await openDisk(file, { format: 'vhd', containers: [luks1({ math })], ciphers, keys: keyOf(secret) });
    expect(disk.encryption).toMatchObject({ cipher: 'aes-cbc-essiv:sha256', engine: 'essiv-example', keyBits: 256 });
    await disk.write(1000, secret);
    await disk.flush();
    const only = createCipherRegistry([nodeCiphers()]);
    await expect(openDisk(memoryFile('essiv.vhd', file.contents()), { format: 'vhd', containers: [luks1({ math })], ciphers: only, keys: keyOf(secret) })).rejects.toMatchObject({ rule: 'keyUnavailable' });
  });

  itWithOracle(it, 'qemu-img', 'reads what QEMU encrypts with it', async (qemuImg) => {
    const folder = mkdtempSync(join(tmpdir(), 'hello-cipher-'));
    try {
      const data = Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * 13 + (i >> 8)) & 0xff);
      writeFileSync(join(folder, 'key'), secret);
      writeFileSync(join(folder, 'data'), data);
      // QEMU measures how fast it derives keys, and gives up when the host is too busy for that.
      for (let attempt = 1; ; attempt++) {
        try {
          execFileSync(qemuImg, ['convert', '--object', `secret,id=s0,file=${folder}/key`, '-f', 'raw', '-O', 'luks', '-o', 'key-secret=s0,iter-time=10,cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256', `${folder}/data`, `${folder}/image`]);
          break;
        } catch (error) {
          if (attempt === 10 || !String(error).includes('accurate CPU usage')) throw error;
        }
      }
      const disk = await openDisk(memoryFile('theirs.raw', readFileSync(join(folder, 'image'))), { format: 'raw', containers: [luks1({ math })], ciphers: createCipherRegistry([essivCiphers()]), keys: keyOf(secret) });
      const got = new Uint8Array(data.length);
      await disk.read(0, got);
      expect(Buffer.from(got).equals(data)).toBe(true);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe.skipIf(findOracle('openssl') === null)('a cipher in a helper program', () => {
  for (const { name, run } of cipherConformance(helperCiphers())) it(name, run);

  it('is XTS with the two keys that openssl makes of what it is given', async () => {
    const key = Uint8Array.from({ length: 64 }, (_, i) => i + 5);
    const derived = [0, 32].map((at) => createHash('sha256').update(Buffer.from(key.subarray(at, at + 32)).toString('hex')).digest());
    const [helper, node] = [await helperCiphers().create('openssl-xts-plain64', key, 512), await nodeCiphers().create('aes-xts-plain64', Buffer.concat(derived), 512)];
    const data = Uint8Array.from({ length: 100 * 512 }, (_, i) => i * 3);
    const [theirs, ours] = [new Uint8Array(data.length), new Uint8Array(data.length)];
    await helper.encrypt(data, theirs, 1 << 20);
    await node.encrypt(data, ours, 1 << 20);
    expect(Buffer.from(theirs).equals(ours)).toBe(true);
    for (const cipher of [helper, node]) await cipher.close();
  });

  it('serves a disk beside one with another technique, and says so when its program is missing', async () => {
    const keys = keyOf(Uint8Array.from({ length: 64 }, (_, i) => i + 5));
    const image = new Uint8Array(1 << 20);
    const open = (name: string, module: ReturnType<typeof helperCiphers>) => openDisk(memoryFile('disk.raw', image), { format: 'raw', crypt: 'payload', containers: [plainContainer({ cipher: name })], ciphers: createCipherRegistry([module]), keys });
    const [first, second] = [await open('openssl-xts-plain64', helperCiphers()), await open('aes-xts-plain64', nodeCiphers())];
    await Promise.all([first.write(700, secret), second.write(700, secret)]);
    for (const disk of [first, second]) {
      const got = new Uint8Array(secret.length);
      await disk.read(700, got);
      expect(got).toEqual(secret);
      await disk.close();
    }
    await expect(open('openssl-xts-plain64', helperCiphers('/does/not/exist'))).rejects.toMatchObject({ rule: 'keyUnavailable' });
  });

  it('keeps the key out of the list of processes', async () => {
    const key = Uint8Array.from({ length: 64 }, (_, i) => 255 - i);
    const cipher = await helperCiphers().create('openssl-xts-plain64', key, 512);
    await cipher.encrypt(new Uint8Array(512), new Uint8Array(512), 0);
    const shown = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ');
      } catch {
        return ''; // it has ended
      }
    });
    const helpers = shown.filter((line) => line.includes('-aes-256-ecb'));
    expect(helpers.length).toBeGreaterThanOrEqual(3);
    expect(helpers.join()).not.toMatch(/fffefd/i);
    await cipher.close();
  });
});
