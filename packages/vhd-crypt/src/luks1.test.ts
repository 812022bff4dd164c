import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { itWithOracle } from '@vm/testkit/oracle';
import { afterAll, describe, expect, it } from 'vitest';
import { createCipherRegistry } from './cipher-registry.ts';
import { CryptError } from './crypt-error.ts';
import { createDisk, type CreateDiskOptions } from './create-disk.ts';
import { webKeyMath } from './key-math.ts';
import { addLuks1Key, luks1, removeLuks1Key } from './luks1.ts';
import { encodeLuks1, decodeLuks1, type Luks1Header } from './luks1-header.ts';
import { memoryFile } from './memory-file.ts';
import { nobleCiphers } from './noble-aes.ts';
import { nodeCiphers, nodeKeyMath, openImageFile } from './node.ts';
import { containerBytes, type DiskOptions, openDisk } from './open-disk.ts';
import { keyOf, type KeySource } from './sector-cipher.ts';

const MIB = 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), 'luks-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const run = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** QEMU measures how fast it derives keys, and gives up when the host is too busy for that. */
function runMeasuring(program: string, ...args: string[]): string {
  for (let attempt = 1; ; attempt++) {
    try {
      return run(program, ...args);
    } catch (error) {
      if (attempt === 10 || !String(error).includes('accurate CPU usage')) throw error;
    }
  }
}

const text = (secret: string): Uint8Array => new TextEncoder().encode(secret);
const PASSPHRASE = 'correct horse';
writeFileSync(at('pw.txt'), PASSPHRASE);
writeFileSync(at('second.txt'), 'battery staple');
const keys = keyOf(text(PASSPHRASE));
const ciphers = createCipherRegistry([nodeCiphers()]);
const settings = { math: nodeKeyMath() };
const luks = { ...settings, ciphers, keys, iterations: 1000 };
const options: Omit<DiskOptions, 'format'> = { containers: [luks1(settings)], ciphers, keys };

const pattern = (bytes: number, seed: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + seed + (i >>> 8)) & 0xff);

async function make(path: string, rest: Partial<CreateDiskOptions> = {}): Promise<void> {
  const file = await openImageFile(path, { create: true });
  await createDisk(file, { format: 'vhd', bytes: 8 * MIB, crypt: 'payload', luks, ...rest });
  await file.close();
}
const open = async (path: string, rest: Partial<DiskOptions> = {}) => openDisk(await openImageFile(path, { writable: rest.writable ?? true }), { format: path.endsWith('.raw') ? 'raw' : 'vhd', ...options, ...rest });

async function expectBytes(disk: { read(at: number, into: Uint8Array): Promise<void> }, offset: number, wanted: Uint8Array): Promise<void> {
  const got = new Uint8Array(wanted.length);
  await disk.read(offset, got);
  expect(Buffer.from(got).equals(wanted)).toBe(true);
}

const overVpc = (path: string): string => `driver=luks,key-secret=s0,file.driver=vpc,file.file.driver=file,file.file.filename=${path}`;
const secret = ['--object', `secret,id=s0,file=${at('pw.txt')}`];

describe('LUKS1 and other programs', () => {
  itWithOracle(it, 'qemu-io', 'QEMU reads what is written here, and what it writes is read here (VHD-11)', async (qemuIo) => {
    for (const [name, rest] of [['dynamic.vhd', {}], ['fixed.vhd', { type: 'fixed' }], ['aes128.vhd', { luks: { ...luks, keyBits: 256, hash: 'sha1' } }], ['plain.raw', { format: 'raw' }]] as const) {
      const path = at(name);
      await make(path, rest);
      const disk = await open(path);
      await disk.write(4096, new Uint8Array(65536).fill(0xa5));
      await disk.write(5 * MIB - 700, new Uint8Array(1400).fill(0x5a));
      await disk.close();
      const image = name.endsWith('.raw') ? `driver=luks,key-secret=s0,file.driver=file,file.filename=${path}` : overVpc(path);
      // What a dynamic image makes room for holds encrypted zeros.
      const zeros = name === 'dynamic.vhd' || name === 'aes128.vhd' ? [`read -P 0 ${4 * MIB} 512k`] : [];
      const commands = [...zeros, 'read -P 0xa5 4096 65536', `read -P 0x5a ${5 * MIB - 700} 1400`, 'write -P 0x77 7M 64k', `write -P 0x78 ${MIB + 512} 1024`, 'write -z 4096 512', 'flush'];
      const told = run(qemuIo, ...secret, '--image-opts', image, ...commands.flatMap((command) => ['-c', command]));
      expect(told.match(/read \d+\/\d+ bytes/g)).toHaveLength(2 + zeros.length);
      const again = await open(path);
      await expectBytes(again, 7 * MIB, new Uint8Array(65536).fill(0x77));
      await expectBytes(again, MIB + 512, new Uint8Array(1024).fill(0x78));
      await expectBytes(again, 4096, Uint8Array.from({ length: 1024 }, (_, i) => (i < 512 ? 0 : 0xa5)));
      await again.close();
    }
  });

  itWithOracle(it, 'qemu-img', 'opens what QEMU and cryptsetup format', async (qemuImg) => {
    const data = pattern(8 * MIB, 5);
    writeFileSync(at('data.bin'), data);
    for (const [alg, hash] of [['aes-128', 'sha1'], ['aes-256', 'sha512']]) {
      const raw = at(`theirs-${alg}-${hash}.raw`);
      runMeasuring(qemuImg, 'convert', ...secret, '-f', 'raw', '-O', 'luks', '-o', `key-secret=s0,iter-time=10,cipher-alg=${alg},hash-alg=${hash}`, at('data.bin'), raw);
      run(qemuImg, 'convert', '-f', 'raw', '-O', 'vpc', '-o', 'force_size=on', raw, raw.replace('.raw', '.vhd'));
      for (const path of [raw, raw.replace('.raw', '.vhd')]) {
        const disk = await open(path);
        expect(disk.encryption).toMatchObject({ container: 'luks1', cipher: 'aes-xts-plain64', keyBits: alg === 'aes-128' ? 256 : 512 });
        await expectBytes(disk, 0, data);
        await disk.close();
      }
    }
  });

  itWithOracle(it, 'cryptsetup', 'cryptsetup opens, adds and removes keys of containers made here, and these add keys that it opens', async (cryptsetup) => {
    const path = at('slots.raw');
    await make(path, { format: 'raw', luks: { ...luks, iterations: 2000 } });
    const dump = run(cryptsetup, 'luksDump', path);
    expect(dump).toMatch(/Cipher name:\s+aes\nCipher mode:\s+xts-plain64\nHash spec:\s+sha256\nPayload offset:\s+4096\nMK bits:\s+512/);
    expect(dump.match(/ENABLED/g)).toHaveLength(1);
    const test = (file: string): string => run(cryptsetup, 'open', '--test-passphrase', '--key-file', file, path);
    test(at('pw.txt'));
    expect(() => test(at('second.txt'))).toThrow();
    run(cryptsetup, 'luksAddKey', '-q', '--pbkdf-force-iterations', '1000', '--key-file', at('pw.txt'), path, at('second.txt'));
    const second = { ...options, keys: keyOf(text('battery staple')) };
    await (await open(path, second)).close();
    const file = await openImageFile(path, { writable: true });
    expect(await addLuks1Key(await containerBytes(file), settings, ciphers, second.keys, keyOf(text('third')), 1000)).toBe(2);
    writeFileSync(at('third.txt'), 'third');
    test(at('third.txt'));
    expect(await removeLuks1Key(await containerBytes(file), settings, ciphers, keys)).toBe(0);
    await file.close();
    expect(() => test(at('pw.txt'))).toThrow();
    test(at('third.txt'));
    run(cryptsetup, 'luksHeaderBackup', '--header-backup-file', at('header.bin'), path);
    expect(readFileSync(at('header.bin')).subarray(0, 592).equals(readFileSync(path).subarray(0, 592))).toBe(true);
    run(cryptsetup, 'luksRemoveKey', '-q', path, at('third.txt'));
    await expect(open(path, { keys: keyOf(text('third')) })).rejects.toMatchObject({ rule: 'key' });
    await (await open(path, second)).close();
    // Formatted there with data written by us into the payload through their volume key.
    run(cryptsetup, 'luksFormat', '-q', '--type', 'luks1', '--pbkdf-force-iterations', '1000', '--key-file', at('pw.txt'), path);
    const disk = await open(path);
    await disk.write(0, pattern(4096, 1));
    await disk.close();
    run(cryptsetup, 'luksDump', '-q', '--dump-volume-key', '--volume-key-file', at('volume.key'), '--key-file', at('pw.txt'), path);
    const cipher = await nodeCiphers().create('aes-xts-plain64', readFileSync(at('volume.key')), 512);
    const sectors = Uint8Array.from(readFileSync(path).subarray(2 * MIB, 2 * MIB + 4096));
    await cipher.decrypt(sectors, sectors, 0);
    expect(sectors).toEqual(pattern(4096, 1));
  });
});

describe('LUKS1 by itself', () => {
  it('opens with the hashes of a browser and AES in JavaScript too', async () => {
    const file = memoryFile('web.raw');
    const web = createCipherRegistry([nobleCiphers()]);
    await createDisk(file, { format: 'raw', bytes: MIB, crypt: 'payload', luks: { math: webKeyMath(), ciphers: web, keys, iterations: 1000 } });
    const disk = await openDisk(file, { format: 'raw', containers: [luks1({ math: webKeyMath() })], ciphers: web, keys });
    await disk.write(100, pattern(3000, 9));
    const other = await openDisk(memoryFile('copy.raw', file.contents()), { format: 'raw', ...options });
    await expectBytes(other, 100, pattern(3000, 9));
    expect([disk.encryption?.engine, other.encryption?.engine]).toEqual(['noble', 'node']);
  });

  it('detects a wrong secret before anything is read or written (VHD-14), and asks again as long as there are others', async () => {
    const file = memoryFile('wrong.vhd');
    await createDisk(file, { format: 'vhd', bytes: MIB, crypt: 'payload', luks });
    const before = file.contents();
    const reads: number[] = [];
    const watched = { ...file, read: (offset: number, into: Uint8Array) => (reads.push(offset), file.read(offset, into)) };
    await expect(openDisk(watched, { format: 'vhd', ...options, keys: keyOf(text('no')) })).rejects.toMatchObject({ rule: 'key', message: 'wrong.vhd: no key slot opens with what was given' });
    expect(Buffer.from(file.contents()).equals(before)).toBe(true);
    expect(reads.length).toBeGreaterThan(0);
    const attempts: number[] = [];
    const asking: KeySource = { id: 'asking', getSecret: ({ attempt }) => Promise.resolve((attempts.push(attempt), text(['no', 'still no', PASSPHRASE][attempt]!))) };
    await (await openDisk(file, { format: 'vhd', ...options, keys: asking })).close();
    expect(attempts).toEqual([0, 1, 2]);
  });

  it('stays closed without a key or without the plug-in (VHD-05)', async () => {
    const file = memoryFile('closed.vhd');
    await createDisk(file, { format: 'vhd', bytes: MIB, crypt: 'payload', luks });
    await expect(openDisk(file, { format: 'vhd', containers: [luks1(settings)], ciphers })).rejects.toMatchObject({ rule: 'keyUnavailable' });
    await expect(openDisk(file, { format: 'vhd' })).rejects.toMatchObject({ rule: 'keyUnavailable' });
    await expect(openDisk(file, { format: 'vhd', ...options, ciphers: createCipherRegistry([]) })).rejects.toMatchObject({ rule: 'keyUnavailable' });
    const asItIs = await openDisk(file, { format: 'vhd', crypt: 'none' });
    await expectBytes(asItIs, 0, Uint8Array.of(0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe));
    const plain = memoryFile('plain.vhd');
    await createDisk(plain, { format: 'vhd', bytes: MIB });
    await expect(openDisk(plain, { format: 'vhd', ...options })).rejects.toMatchObject({ rule: 'request' });
  });

  it('removes a secret so that nothing is left of it, and keeps the last one', async () => {
    const file = memoryFile('remove.raw');
    await createDisk(file, { format: 'raw', bytes: MIB, crypt: 'payload', luks });
    const bytes = await containerBytes(file);
    await expect(removeLuks1Key(bytes, settings, ciphers, keys)).rejects.toMatchObject({ rule: 'request' });
    const before = file.contents();
    expect(await addLuks1Key(bytes, settings, ciphers, keys, keyOf(text('other')), 1000)).toBe(1);
    await removeLuks1Key(bytes, settings, ciphers, keys);
    const after = file.contents();
    // Of each sector of the key's material nothing is as it was.
    for (let sector = 8; sector < 8 + 500; sector++) expect(Buffer.from(before.buffer, sector * 512, 512).equals(Buffer.from(after.buffer, sector * 512, 512))).toBe(false);
    await expect(openDisk(memoryFile('old', after), { format: 'raw', ...options })).rejects.toMatchObject({ rule: 'key' });
    await removeLuks1Key(bytes, settings, ciphers, keyOf(text('other')), true);
    await expect(openDisk(file, { format: 'raw', ...options })).rejects.toThrow('the key was destroyed');
  });

  it('shows no secret in errors, facts or to an inspector (VHD-17)', async () => {
    const file = memoryFile('quiet.vhd');
    await createDisk(file, { format: 'vhd', bytes: MIB, crypt: 'payload', luks });
    const disk = await openDisk(file, { format: 'vhd', ...options });
    const error: unknown = await openDisk(file, { format: 'vhd', ...options, keys: keyOf(text('wrong secret')) }).catch((thrown: unknown) => thrown);
    const shown = `${inspect(disk, { depth: 20, showHidden: true })} ${JSON.stringify(disk)} ${inspect(error, { depth: 20 })} ${JSON.stringify(error)}`;
    for (const word of [PASSPHRASE, 'wrong secret', Array.from(text('wrong')).join(', '), Array.from(text(PASSPHRASE)).slice(0, 5).join(', ')]) expect(shown).not.toContain(word);
    expect(JSON.parse(JSON.stringify(disk)).encryption).toMatchObject({ container: 'luks1', keySlots: [{ slot: 0, iterations: 1000 }] });
  });
});

describe('LUKS1 headers that want harm', () => {
  const slot = (i: number): Luks1Header['slots'][number] => ({ active: i === 0, iterations: i === 0 ? 1000 : 0, salt: new Uint8Array(32), materialSector: 8 + i * 504, stripes: 4000 });
  const good: Luks1Header = { cipher: 'aes-xts-plain64', hash: 'sha256', dataSector: 4096, keyBytes: 64, digest: new Uint8Array(20), digestSalt: new Uint8Array(32), digestIterations: 1000, uuid: 'x', slots: Array.from({ length: 8 }, (_, i) => slot(i)) };
  const withSlot = (i: number, change: object): Luks1Header => ({ ...good, slots: good.slots.map((one, j) => (i === j ? { ...one, ...change } : one)) });
  it.each<[string, Luks1Header | Uint8Array, string | RegExp]>([
    ['iterations for hours', withSlot(0, { iterations: 0xffff_ffff }), 'key slot 0 wants 4294967295 iterations'],
    ['no iterations', withSlot(0, { iterations: 0 }), 'key slot 0 wants 0 iterations'],
    ['a digest for hours', { ...good, digestIterations: 0xffff_ffff }, '4294967295 iterations for the digest'],
    ['slots over each other', withSlot(1, { materialSector: 16 }), 'key slots 0 and 1 overlap'],
    ['a slot over the header', withSlot(2, { materialSector: 1 }), 'key slot 2 lies over the header'],
    ['a slot over the data', withSlot(7, { materialSector: 4000 }), 'key slot 7 lies over the data'],
    ['another number of stripes', withSlot(3, { stripes: 4_000_000 }), 'key slot 3 has 4000000 stripes'],
    ['a huge key', { ...good, keyBytes: 0xffff_fff0 }, 'a key of 4294967280 bytes'],
    ['no key', { ...good, keyBytes: 0 }, 'a key of 0 bytes'],
    ['data past the end', { ...good, dataSector: 0xffff_ffff }, 'past the end'],
    ['a detached header', { ...good, dataSector: 0 }, 'detached header'],
    ['LUKS2', encodeLuks1(good).map((byte, i) => (i === 7 ? 2 : byte)), 'version 2 of LUKS'],
    ['a slot in no state', encodeLuks1(good).map((byte, i) => (i === 211 ? 9 : byte)), 'key slot 0 is neither'],
    ['names that move the cursor', encodeLuks1(good).map((byte, i) => (i === 8 ? 27 : byte)), 'no text'],
  ])('%s', (_name, header, problem) => {
    const bytes = header instanceof Uint8Array ? header : encodeLuks1(header);
    expect(decodeLuks1(bytes, 16 * MIB, 20_000_000)).toMatch(problem);
  });

  it('a good one is read as it was written, and ciphers and hashes that nobody does are named', async () => {
    expect(decodeLuks1(encodeLuks1(good), 16 * MIB, 20_000_000)).toEqual(good);
    const file = memoryFile('odd.raw');
    await file.resize(4 * MIB);
    for (const [change, message] of [[{ cipher: 'serpent-xts-plain64' }, /no plug-in does the cipher "serpent-xts-plain64"/], [{ hash: 'ripemd160' }, /the hash "ripemd160"/], [{ keyBytes: 48 }, /a key of 384 bits/]] as const) {
      await file.write(0, encodeLuks1({ ...good, ...change }));
      await expect(openDisk(file, { format: 'raw', ...options })).rejects.toThrow(message);
    }
  });

  it('mutated at random are opened or refused with a reason, in bounded time, and never written to', async () => {
    const file = memoryFile('mutated.raw');
    await createDisk(file, { format: 'raw', bytes: 65536, crypt: 'payload', luks });
    const image = file.contents();
    const least = { containers: [luks1({ math: nodeKeyMath(), mostIterations: 1000 })], ciphers: createCipherRegistry([nodeCiphers()], 'first'), keys };
    let state = 42;
    const random = (most: number): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) % most;
    const begin = performance.now();
    const seen = new Map<string, number>();
    for (let i = 0; i < 120; i++) {
      const changed = image.slice();
      for (let changes = 1 + random(3); changes > 0; changes--) changed[random(4) === 0 ? random(208) : 100 + random(492)] = random(3) === 0 ? 0xff : random(256);
      const mutated = memoryFile('mutated.raw', random(20) === 0 ? changed.subarray(0, random(70_000)) : changed);
      const before = mutated.contents();
      const result = await openDisk(mutated, { format: 'raw', ...least }).then(async (disk) => {
        await disk.read(0, new Uint8Array(512));
        return 'opened';
      }, (error: unknown) => {
        if (!(error instanceof CryptError)) throw error;
        return error.rule;
      });
      seen.set(result, (seen.get(result) ?? 0) + 1);
      expect(Buffer.from(mutated.contents()).equals(before)).toBe(true);
    }
    console.log(`120 mutated LUKS headers in ${Math.round(performance.now() - begin)} ms: ${Array.from(seen, ([what, count]) => `${count} ${what}`).join(', ')}`);
    for (const what of ['opened', 'header', 'key']) expect(seen.get(what)).toBeGreaterThan(3);
  });
});
