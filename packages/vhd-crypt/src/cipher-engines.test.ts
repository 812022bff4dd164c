import { inspect } from 'node:util';
import { cipherConformance } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { createCipherRegistry } from './cipher-registry.ts';
import { nobleCiphers } from './noble-aes.ts';
import { nodeCiphers } from './node/node-aes.ts';
import { opensslCiphers } from './node/openssl-aes.ts';
import { workerCiphers } from './node/worker-ciphers.ts';
import { keyOf } from './sector-cipher.ts';

const noble = nobleCiphers();
const openssl = opensslCiphers();
const hasKoffi = await openssl.isAvailable();

describe('the engine noble', () => {
  // The slowest: the large sectors are enough here, and the small ones where the others are compared with it.
  for (const { name, run } of cipherConformance({ ...noble, sectorBytes: [4096], ciphers: ['aes-xts-plain64'] })) it(name, run);
});

describe.each([nodeCiphers(), ...(hasKoffi ? [openssl] : [])])('the engine $engine', (module) => {
  for (const { name, run } of cipherConformance({ ...module, sectorBytes: [512, 4096] }, { reference: noble })) it(name, run);

  it('has sectors of 1 and 2 KiB too', async () => {
    for (const { name, run } of cipherConformance({ ...module, sectorBytes: [1024, 2048], ciphers: ['aes-xts-plain64'], keyBytes: [64] })) if (name.includes('by its number')) await run();
  });
});

describe.each([nodeCiphers(), noble])('the engine $engine in workers', (module) => {
  // All of it in workers, and with two parts of each range at least.
  const inWorkers = { ...workerCiphers({ module, workers: 2, leastBytes: 0 }), ciphers: ['aes-xts-plain64'], keyBytes: [64], sectorBytes: [4096] };
  for (const { name, run } of cipherConformance(inWorkers, { reference: module })) it(name, run);
});

describe('ciphers in workers', () => {
  const key = Uint8Array.from({ length: 64 }, (_, i) => 201 + (i % 50));

  it('do many ranges at once, large ones in parts, and small ones in process', async () => {
    const cipher = await workerCiphers({ module: nodeCiphers(), workers: 2, leastBytes: 8192 }).create('aes-xts-plain64', key, 512);
    const reference = await nodeCiphers().create('aes-xts-plain64', key, 512);
    await Promise.all([512, 8192, 8704, 300_032, 3 << 20, 65_536, 1 << 20, 4096].map(async (bytes, i) => {
      const data = Uint8Array.from({ length: bytes }, (_, at) => at * 13 + i);
      const [theirs, ours] = [new Uint8Array(bytes), new Uint8Array(bytes)];
      await Promise.all([cipher.encrypt(data, ours, i * 1000), reference.encrypt(data, theirs, i * 1000)]);
      expect(Buffer.from(ours).equals(theirs)).toBe(true);
      await cipher.decrypt(ours, ours, i * 1000);
      expect(Buffer.from(ours).equals(data)).toBe(true);
    }));
    expect(inspect(cipher, { depth: 9, showHidden: true })).not.toMatch(/201|c9ca/);
    for (const one of [cipher, reference]) await one.close();
    await cipher.close();
    for (const bytes of [512, 1 << 20]) await expect(cipher.encrypt(new Uint8Array(bytes), new Uint8Array(bytes), 0)).rejects.toThrow('closed');
  });

  it('refuse what the plug-in refuses, and say why a worker has none', async () => {
    await expect(workerCiphers({ module: nodeCiphers() }).create('aes-xts-plain64', new Uint8Array(64), 512)).rejects.toMatchObject({ rule: 'key' });
    await expect(workerCiphers({ module: { ...nodeCiphers(), engine: 'token' } }).create('aes-xts-plain64', key, 512)).rejects.toMatchObject({ rule: 'request' });
    await expect(workerCiphers({ module: nodeCiphers(), make: 'noSuchExport' }).create('aes-xts-plain64', key, 512)).rejects.toThrow('exports no noSuchExport');
    await expect(workerCiphers({ module: nodeCiphers(), url: new URL('file:///does/not/exist.ts') }).create('aes-xts-plain64', key, 512)).rejects.toThrow('exist.ts');
    const cipher = await workerCiphers({ module: nodeCiphers(), workers: 1, leastBytes: 0 }).create('aes-xts-plain64', key, 512);
    await expect(cipher.encrypt(new Uint8Array(512), new Uint8Array(512), -1)).rejects.toMatchObject({ rule: 'request' });
    await expect(cipher.encrypt(new Uint8Array(100), new Uint8Array(100), 0)).rejects.toThrow(RangeError);
    await cipher.close();
  });
});

describe('the registry of ciphers', () => {
  it('takes the engine that is fastest here, and says how fast the others were', async () => {
    const registry = createCipherRegistry([noble, nodeCiphers()]);
    const { engine, cipher, speeds } = await registry.create('disk', 'aes-xts-plain64', new Uint8Array(64).map((_, i) => i), 512);
    expect(engine).toBe(speeds[0]!.engine);
    expect(speeds.map((speed) => speed.engine).sort()).toEqual(['noble', 'node']);
    expect(speeds[0]!.bytesPerSecond).toBeGreaterThanOrEqual(speeds[1]!.bytesPerSecond);
    await cipher.close();
    const first = createCipherRegistry([noble, nodeCiphers()], 'first');
    expect((await first.create('disk', 'aes-xts-plain64', new Uint8Array(64).map((_, i) => i), 512)).engine).toBe('noble');
  });

  it('passes over an engine that this host cannot run, and says who is missing when there is no other', async () => {
    const absent = { ...nodeCiphers(), engine: 'token', isAvailable: () => Promise.resolve(false) };
    const key = new Uint8Array(64).map((_, i) => i);
    expect((await createCipherRegistry([absent, noble]).create('disk', 'aes-xts-plain64', key, 512)).engine).toBe('noble');
    await expect(createCipherRegistry([absent]).create('disk', 'aes-xts-plain64', key, 512)).rejects.toMatchObject({ rule: 'keyUnavailable', message: 'disk: token cannot run on this host' });
    await expect(createCipherRegistry([]).create('disk', 'aes-xts-plain64', key, 512)).rejects.toMatchObject({ rule: 'keyUnavailable' });
    await expect(createCipherRegistry([noble]).create('disk', 'capi:xts(aes)-plain64', key, 512)).rejects.toMatchObject({ rule: 'keyUnavailable' });
    await expect(createCipherRegistry([noble]).create('disk', 'aes-xts-plain64', key, 520)).rejects.toMatchObject({ rule: 'cipher' });
  });

  it('copies keys and secrets, of Buffers too, whose owner wipes them', async () => {
    const key = Buffer.from(Uint8Array.from({ length: 64 }, (_, i) => i * 3 + 1));
    const results: string[] = [];
    for (const module of [noble, nodeCiphers(), ...(hasKoffi ? [openssl] : [])]) {
      const given = Buffer.from(key);
      const cipher = await module.create('aes-xts-plain64', given, 512);
      given.fill(0);
      const bytes = new Uint8Array(512);
      await cipher.encrypt(bytes, bytes, 5);
      results.push(Buffer.from(bytes).toString('hex'));
      await cipher.close();
    }
    expect(new Set(results).size).toBe(1);
    const source = keyOf(key);
    const request = { purpose: 'open', disk: 'disk', uuid: null, attempt: 0 } as const;
    (await source.getSecret(request))?.fill(0);
    expect(Buffer.from((await source.getSecret(request))!).equals(key)).toBe(true);
    expect(key[0]).toBe(1);
  });

  it('refuses a key of two equal halves (VHD-11), and shows no key to an inspector (VHD-17)', async () => {
    for (const module of [noble, nodeCiphers(), ...(hasKoffi ? [openssl] : [])]) {
      await expect(module.create('aes-xts-plain64', new Uint8Array(64).fill(7), 512)).rejects.toMatchObject({ rule: 'key' });
      const cipher = await module.create('aes-xts-plain64', Uint8Array.from({ length: 64 }, (_, i) => 201 + (i % 50)), 512);
      expect(inspect(cipher, { depth: 9, showHidden: true })).not.toMatch(/201|c9ca/);
      await cipher.close();
    }
  });
});
