import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { itWithOracle } from '@vm/testkit/oracle';
import { afterAll, describe, expect, it } from 'vitest';
import { createCipherRegistry } from './cipher-registry.ts';
import { CryptError } from './crypt-error.ts';
import { createDisk, type CreateDiskOptions } from './create-disk.ts';
import { hmacSha256, webKeyMath } from './key-math.ts';
import { luks2, type Luks2Options, readLuks2Facts } from './luks2.ts';
import { formatLuks2 } from './luks2-format.ts';
import { encodeCopy } from './luks2-header.ts';
import { addLuks2Key, backupLuks2, changeLuks2Key, removeLuks2Key, restoreLuks2 } from './luks2-keys.ts';
import { decodeBase64, encodeBase64, type Luks2Metadata } from './luks2-metadata.ts';
import { readLuks2, repairLuks2, writeLuks2 } from './luks2-store.ts';
import { memoryFile, type MemoryFile } from './memory-file.ts';
import { nodeCiphers, nodeKeyMath, openImageFile } from './node.ts';
import { containerBytes, type DiskOptions, openDisk, type OpenedDisk } from './open-disk.ts';
import { keyOf, type KeySource } from './sector-cipher.ts';

const MIB = 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), 'luks2-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const run = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const text = (secret: string): Uint8Array => new TextEncoder().encode(secret);

const PASSPHRASE = 'correct horse';
for (const [name, secret] of [['pw.txt', PASSPHRASE], ['second.txt', 'battery staple'], ['third.txt', 'third']] as const) writeFileSync(at(name), secret);
const keys = keyOf(text(PASSPHRASE));
const ciphers = createCipherRegistry([nodeCiphers()]);
const settings = { math: nodeKeyMath() };
const QUICK = { kdf: 'argon2id', passes: 1, memoryKib: 64, lanes: 1 } as const;
const PBKDF2 = { kdf: 'pbkdf2', iterations: 1000 } as const;
const luks = { ...settings, version: 2, ciphers, keys, cost: QUICK } as const;
const THEIRS = ['luksFormat', '-q', '--type', 'luks2', '--disable-external-tokens', '--key-file', at('pw.txt')];

const pattern = (bytes: number, seed: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + seed + (i >>> 8)) & 0xff);

async function make(path: string, rest: Partial<CreateDiskOptions> = {}): Promise<void> {
  const file = await openImageFile(path, { create: true });
  await createDisk(file, { format: 'raw', bytes: 4 * MIB, crypt: 'payload', luks, ...rest });
  await file.close();
}
const open = async (path: string, rest: Partial<DiskOptions> = {}, options: Partial<Luks2Options> = {}): Promise<OpenedDisk> => openDisk(await openImageFile(path, { writable: true }), { format: path.endsWith('.vhd') ? 'vhd' : 'raw', containers: [luks2({ ...settings, ...options })], ciphers, keys, ...rest });

async function bytesOf(disk: OpenedDisk, offset: number, bytes: number): Promise<Buffer> {
  const got = Buffer.alloc(bytes);
  await disk.read(offset, got);
  return got;
}

describe('LUKS2 and cryptsetup', () => {
  itWithOracle(it, 'cryptsetup', 'opens what cryptsetup formats: Argon2 and PBKDF2, all sizes of sectors', async (cryptsetup) => {
    for (const [name, ...options] of [
      ['argon2id', '--pbkdf', 'argon2id', '--pbkdf-memory', '1024', '--pbkdf-parallel', '2', '--pbkdf-force-iterations', '4', '--sector-size', '512'],
      ['argon2i', '--pbkdf', 'argon2i', '--pbkdf-memory', '512', '--pbkdf-parallel', '1', '--pbkdf-force-iterations', '4', '--sector-size', '4096', '--label', 'a label'],
      ['pbkdf2', '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000', '--hash', 'sha512', '--key-size', '256', '--luks2-metadata-size', '64k', '--luks2-keyslots-size', '1m', '--sector-size', '1024'],
    ] as const) {
      const path = at(`theirs-${name}.raw`);
      execFileSync('truncate', ['-s', '20M', path]);
      run(cryptsetup, ...THEIRS, ...options, path);
      const disk = await open(path);
      expect(disk.encryption).toMatchObject({ container: 'luks2', cipher: 'aes-xts-plain64', keyBits: name === 'pbkdf2' ? 256 : 512, sectorBytes: name === 'argon2id' ? 512 : name === 'argon2i' ? 4096 : 1024, keySlots: [{ slot: 0, kdf: name }] });
      await disk.write(1000, pattern(70_000, 1));
      await disk.close();
      const key = dumpKey(cryptsetup, path);
      const { dataAt, sectorBytes } = await factsOf(path);
      // With the key that cryptsetup tells.
      const plain = await decrypted(path, dataAt, key, sectorBytes, 0, 73_728);
      expect(plain.subarray(1000, 71_000).equals(pattern(70_000, 1))).toBe(true);
    }
  });

  itWithOracle(it, 'cryptsetup', 'cryptsetup opens what is formatted here, and changes its keys, which open here', async (cryptsetup) => {
    for (const cost of [QUICK, PBKDF2]) {
      const path = at(`ours-${cost.kdf}.raw`);
      await make(path, { luks: { ...luks, cost, label: 'ours' } });
      const dump = run(cryptsetup, 'luksDump', path);
      expect(dump).toMatch(/Version:\s+2/);
      expect(dump).toMatch(/Label:\s+ours/);
      expect(dump).toContain('sector: 4096 [bytes]');
      const test = (file: string): string => run(cryptsetup, 'open', '--test-passphrase', '--disable-external-tokens', '--key-file', at(file), path);
      test('pw.txt');
      expect(() => test('second.txt')).toThrow();
      run(cryptsetup, 'luksAddKey', '-q', '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000', '--key-file', at('pw.txt'), path, at('second.txt'));
      const second = keyOf(text('battery staple'));
      await (await open(path, { keys: second })).close();
      const file = await openImageFile(path, { writable: true });
      const bytes = await containerBytes(file);
      expect(await addLuks2Key(bytes, settings, { ciphers, keys: second, cost }, keyOf(text('third')))).toBe(2);
      test('third.txt');
      expect(await removeLuks2Key(bytes, settings, { ciphers, keys })).toBe(0);
      expect(() => test('pw.txt')).toThrow();
      expect(await changeLuks2Key(bytes, settings, { ciphers, keys: second, cost }, keys)).toEqual({ removed: 1, added: 0 });
      test('pw.txt');
      run(cryptsetup, 'luksKillSlot', '-q', path, '2', '--key-file', at('pw.txt'));
      expect((await readLuks2Facts(bytes, settings)).keySlots.map(({ slot }) => slot)).toEqual([0]);
      await expect(removeLuks2Key(bytes, settings, { ciphers, keys })).rejects.toThrow('it is the last secret');
      await file.close();
      run(cryptsetup, 'luksHeaderBackup', path, '--header-backup-file', at(`theirs-${cost.kdf}.bak`));
      // Each takes the backup of the other.
      const damaged = await openImageFile(path, { writable: true });
      const ours = await backupLuks2(await containerBytes(damaged), settings);
      await damaged.write(0, new Uint8Array(2 * MIB));
      await restoreLuks2(await containerBytes(damaged), await containerBytes(memoryFile('backup', readFileSync(at(`theirs-${cost.kdf}.bak`)))), settings);
      test('pw.txt');
      await damaged.write(0, new Uint8Array(2 * MIB));
      await damaged.close();
      writeFileSync(at(`ours-${cost.kdf}.bak`), ours);
      run(cryptsetup, 'luksHeaderRestore', '-q', path, '--header-backup-file', at(`ours-${cost.kdf}.bak`));
      test('pw.txt');
      await (await open(path)).close();
    }
  });

  itWithOracle(it, 'cryptsetup', 'with the header in another file', async (cryptsetup) => {
    const [data, header] = [at('detached.raw'), at('detached.hdr')];
    execFileSync('truncate', ['-s', '4M', data, header]);
    const headerFile = await openImageFile(header, { writable: true });
    const bytes = await containerBytes(headerFile);
    await formatLuks2(bytes, settings, { ...luks, detached: true });
    const disk = await open(data, { crypt: 'payload', holes: 'noise' }, { header: bytes });
    expect([disk.bytes, disk.encryption?.container]).toEqual([4 * MIB, 'luks2']);
    await disk.write(MIB, pattern(9000, 3));
    await disk.close();
    run(cryptsetup, 'open', '--test-passphrase', '--header', header, '--key-file', at('pw.txt'), data);
    run(cryptsetup, 'luksChangeKey', '-q', '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000', '--key-file', at('pw.txt'), header, at('second.txt'));
    const again = await open(data, { crypt: 'payload', keys: keyOf(text('battery staple')) }, { header: bytes });
    expect((await bytesOf(again, MIB, 9000)).equals(pattern(9000, 3))).toBe(true);
    await again.close();
    await headerFile.close();
    const theirs = at('theirs.hdr');
    execFileSync('truncate', ['-s', '16M', theirs]);
    run(cryptsetup, ...THEIRS, '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000', '--header', theirs, data);
    const theirFile = await openImageFile(theirs);
    const third = await open(data, { crypt: 'payload' }, { header: await containerBytes(theirFile) });
    expect(third.bytes).toBe(4 * MIB);
    await third.close();
    await theirFile.close();
  });

  itWithOracle(it, 'grub-fstest', 'GRUB decrypts what is stored here, and what cryptsetup made and was written to here', async (grub) => {
    for (const [name, sectorBytes] of [['grub-512.raw', 512], ['grub-4096.raw', 4096]] as const) {
      const path = at(name);
      await make(path, { luks: { ...luks, cost: PBKDF2, sectorBytes } });
      const disk = await open(path);
      await disk.write(0, pattern(4096, 9));
      await disk.close();
      const told = execFileSync(grub, ['-C', path, 'hex', '(crypto0)0+1'], { input: `${PASSPHRASE}\n`, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
      const hex = Array.from(told.matchAll(/^[0-9a-f]{8}\s+((?:[0-9a-f]{2}\s+){16})/gm), ([, row]) => row!.replaceAll(/\s+/g, '')).join('');
      expect(hex).toBe(Buffer.from(pattern(512, 9)).toString('hex'));
    }
  });
});

describe('LUKS2', () => {
  const small = { ...luks, dataAt: MIB };
  async function fresh(): Promise<MemoryFile> {
    const file = memoryFile('disk.raw');
    await createDisk(file, { format: 'raw', bytes: 65536, crypt: 'payload', luks: small });
    return file;
  }
  const opened = (file: MemoryFile, rest: Partial<DiskOptions> = {}): Promise<OpenedDisk> => openDisk({ ...file, close: () => Promise.resolve() }, { format: 'raw', containers: [luks2(settings)], ciphers, keys, ...rest });

  it('lies in a VHD whose size is that of the guest, with unused parts that take no room', async () => {
    const path = at('small.vhd');
    await make(path, { format: 'vhd', bytes: 64 * MIB });
    const disk = await open(path);
    expect(disk.bytes).toBe(64 * MIB);
    expect(await bytesOf(disk, 32 * MIB, 512)).toEqual(Buffer.alloc(512));
    await disk.write(63 * MIB, pattern(4096, 2));
    await disk.close();
    expect(readFileSync(path).length).toBeLessThan(7 * MIB);
    const again = await open(path);
    expect((await bytesOf(again, 63 * MIB, 4096)).equals(pattern(4096, 2))).toBe(true);
    await again.close();
  });

  it('opens with either copy of the header, and mends the other for who has the secret (VHD-18)', async () => {
    for (const [where, count] of [[0, 512], [4096, 100], [0x4000, 4096], [0x5000, 12]] as const) {
      const file = await fresh();
      const before = file.contents();
      await file.write(where, new Uint8Array(count).fill(0x55));
      const broken = file.contents();
      await expect(opened(file, { crypt: 'payload', keys: keyOf(text('wrong')) })).rejects.toMatchObject({ rule: 'key' });
      expect(Buffer.from(file.contents()).equals(broken)).toBe(true);
      await (await opened(file, { crypt: 'payload', writable: false })).close();
      expect(Buffer.from(file.contents()).equals(broken)).toBe(true);
      await (await opened(file, { crypt: 'payload' })).close();
      expect((await readLuks2(await containerBytes(file), settings)).problems).toEqual([null, null]);
      expect(Buffer.from(file.contents().subarray(0x8000)).equals(before.subarray(0x8000))).toBe(true);
      await file.write(where, new Uint8Array(count).fill(0x55));
      expect((await repairLuks2(await containerBytes(file), settings)).filter((one) => one !== null)).toHaveLength(1);
      expect(await repairLuks2(await containerBytes(file), settings)).toEqual([null, null]);
    }
  });

  it('takes the newer copy when a change was cut off between the two', async () => {
    const file = await fresh();
    const first = file.contents().slice(0, 0x4000);
    await addLuks2Key(await containerBytes(file), settings, { ciphers, keys, cost: QUICK }, keyOf(text('second')));
    await file.write(0, first);
    const header = await readLuks2(await containerBytes(file), settings);
    expect([Object.keys(header.metadata.keyslots), header.problems]).toEqual([['0', '1'], ['it is older', null]]);
  });

  it('reads several segments, each with its own key, cipher and numbers', async () => {
    const file = await fresh();
    const bytes = await containerBytes(file);
    const header = await readLuks2(bytes, settings);
    const segment = header.metadata.segments[0]!;
    const metadata: Luks2Metadata = {
      ...header.metadata,
      segments: { 0: { ...segment, size: '16384' }, 1: { ...segment, offset: String(MIB + 16384), size: '8192', iv_tweak: '1000', sector_size: 512 }, 2: { ...segment, offset: String(MIB + 24576), iv_tweak: '48' } },
      digests: { 0: { ...header.metadata.digests[0]!, segments: ['0', '1', '2'] } },
    };
    await writeLuks2(bytes, header, metadata, settings);
    const disk = await opened(file);
    const data = pattern(65536, 8);
    await disk.write(0, data);
    expect((await bytesOf(disk, 0, 65536)).equals(data)).toBe(true);
    await disk.write(20_000, pattern(9000, 77));
    data.set(pattern(9000, 77), 20_000);
    expect((await bytesOf(disk, 0, 65536)).equals(data)).toBe(true);
    await disk.close();
    // The last one has the numbers that it would have without the others.
    await writeLuks2(bytes, await readLuks2(bytes, settings), header.metadata, settings);
    const plain = await opened(file);
    const got = await bytesOf(plain, 0, 65536);
    expect(got.subarray(24576).equals(data.subarray(24576))).toBe(true);
    expect(got.subarray(0, 16384).equals(data.subarray(0, 16384))).toBe(true);
    expect(got.subarray(16384, 24576).equals(data.subarray(16384, 24576))).toBe(false);
    await plain.close();
  });

  it('derives the same in browsers as in Node, and by HMAC as its specification says', async () => {
    const cost = { variant: 'argon2id', passes: 2, memoryKib: 128, lanes: 2 } as const;
    const [secret, salt] = [text('secret'), pattern(32, 1)];
    expect(Buffer.from(await webKeyMath().argon2(cost, secret, salt, 64)).equals(await nodeKeyMath().argon2(cost, secret, salt, 64))).toBe(true);
    expect(Buffer.from(await webKeyMath().argon2({ ...cost, variant: 'argon2i' }, secret, salt, 64)).equals(await nodeKeyMath().argon2({ ...cost, variant: 'argon2i' }, secret, salt, 64))).toBe(true);
    // RFC 4231, test cases 2 and 6.
    expect(Buffer.from(await hmacSha256(nodeKeyMath(), text('Jefe'), text('what do ya want for nothing?'))).toString('hex')).toBe('5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843');
    expect(Buffer.from(await hmacSha256(nodeKeyMath(), new Uint8Array(131).fill(0xaa), text('Test Using Larger Than Block-Size Key - Hash Key First'))).toString('hex')).toBe('60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54');
  });

  it('refuses what would take the host\'s memory or time, and what would show the guest\'s data', async () => {
    const file = await fresh();
    const bytes = await containerBytes(file);
    const header = await readLuks2(bytes, settings);
    const { metadata } = header;
    const slot = metadata.keyslots[0]!;
    const withSlot = (change: object): object => ({ ...metadata, keyslots: { 0: { ...slot, ...change } } });
    const withSegment = (change: object): object => ({ ...metadata, segments: { 0: { ...metadata.segments[0]!, ...change } } });
    for (const [changed, message] of [
      [withSlot({ kdf: { ...slot.kdf, memory: 4 * MIB } }), 'wants 4194304 KiB of memory'],
      [withSlot({ kdf: { ...slot.kdf, time: 4_000_000_000 } }), 'wants 4000000000 passes'],
      [withSlot({ kdf: { ...slot.kdf, cpus: 1000 } }), 'wants 1000 processors'],
      [withSlot({ kdf: { ...slot.kdf, memory: 1e300 } }), 'wants 1e+300 KiB'],
      [withSlot({ kdf: { ...slot.kdf, salt: '%%%%' } }), 'does not say how its key is derived'],
      [withSlot({ kdf: { type: 'pbkdf2', hash: 'sha256', iterations: 4_000_000_000, salt: slot.kdf!.salt } }), 'wants 4000000000 iterations'],
      [withSlot({ key_size: 4 * MIB }), 'a key of 4194304 bytes'],
      [withSlot({ af: { type: 'luks1', stripes: 4_000_000, hash: 'sha256' } }), 'does not spread its key'],
      [withSlot({ area: { ...slot.area, offset: '0' } }), 'outside of the area'],
      [withSlot({ area: { ...slot.area, size: '18446744073709551615' } }), 'outside of the area'],
      [{ ...metadata, keyslots: { 0: slot, 1: slot } }, 'key slots 0 and 1 overlap'],
      [{ ...metadata, keyslots: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [i, slot])) }, 'more than 32 key slots'],
      [{ ...metadata, digests: { 0: { ...metadata.digests[0]!, iterations: 1e12 } } }, 'iterations for digest 0'],
      [{ ...metadata, digests: { 0: { ...metadata.digests[0]!, segments: ['7'] } } }, 'names what is not there'],
      [{ ...metadata, digests: {} }, 'nothing proves the key of segment 0'],
      [{ ...metadata, segments: {} , digests: { 0: { ...metadata.digests[0]!, segments: [] } } }, 'there is no segment'],
      [withSegment({ type: 'linear' }), 'is of the kind "linear"'],
      [withSegment({ encryption: 'cipher_null-ecb' }), 'no plug-in does the cipher "cipher_null-ecb"'],
      [withSegment({ offset: '4096' }), 'lies over the header'],
      [withSegment({ offset: '99999999999' }), 'is not on the disk'],
      [withSegment({ sector_size: 3 }), 'does not say how it is encrypted'],
      [{ ...metadata, config: { ...metadata.config, requirements: { mandatory: ['online-reencrypt-v2'] } } }, 'being re-encrypted by cryptsetup'],
      [{ ...metadata, config: { ...metadata.config, requirements: { mandatory: ['\u001b[2J'] } } }, 'it requires "\\u001b[2J"'],
      [{ ...metadata, config: { ...metadata.config, keyslots_size: '99999999999' } }, 'an area of key slots that is not there'],
      [[], 'metadata that is no object'],
      [{ ...metadata, tokens: { x: {} } }, 'tokens with "x"'],
    ] as const) {
      await writeLuks2(bytes, header, changed as unknown as Luks2Metadata, settings);
      await expect(opened(file)).rejects.toThrow(message);
    }
  });

  it('mutated at random it is opened or refused with a reason, and never written to, unless its user has the secret and a copy is mended', async () => {
    const image = (await fresh()).contents();
    const limits = { ...settings, mostIterations: 2000, mostMemoryKib: 256, mostWork: 1 };
    const header = await readLuks2(await containerBytes(memoryFile('x', image)), settings);
    const least = { format: 'raw', containers: [luks2(limits)], ciphers, keys, crypt: 'payload', writable: false } as const;
    let state = 4242;
    const random = (most: number): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) % most;
    const seen = new Map<string, number>();
    for (let i = 0; i < 400; i++) {
      const changed = image.slice();
      if (random(2) === 0) for (let changes = 1 + random(3); changes > 0; changes--) changed[random(2) === 0 ? random(0x8000) : 0x8000 + random(256_000)] = random(256);
      else {
        // Metadata that somebody who knows the format has spoiled: the checksums are right.
        const json = header.copy.json.split('');
        for (let changes = 1 + random(3); changes > 0; changes--) {
          const place = random(json.length);
          json.splice(place, random(3), ['9', '-1', '"', '{', '[[[[', '\u0000', 'null', '1e9', '', '\ud800'][random(10)]!);
        }
        for (const where of [0, 0x4000]) {
          const copy = await encodeCopy({ ...header.copy, json: json.join('') }, where, settings.math);
          if (copy !== null) changed.set(copy, where);
        }
      }
      const mutated = memoryFile('mutated.raw', random(20) === 0 ? changed.subarray(0, random(MIB)) : changed);
      const before = Buffer.from(mutated.contents());
      const result = await openDisk(mutated, least).then(async (disk) => {
        await disk.read(0, new Uint8Array(512));
        return 'opened';
      }, (error: unknown) => {
        if (!(error instanceof CryptError)) throw error;
        return error.rule;
      });
      seen.set(result, (seen.get(result) ?? 0) + 1);
      expect(before.equals(mutated.contents())).toBe(true);
    }
    console.log(`400 mutated LUKS2 headers: ${Array.from(seen, ([what, count]) => `${count} ${what}`).join(', ')}`);
    for (const what of ['opened', 'header', 'key']) expect(seen.get(what)).toBeGreaterThan(3);
  });

  it('keeps what a source of secrets wraps in a token, and gives it back for opening', async () => {
    const mask = pattern(32, 99);
    const masked = (bytes: Uint8Array): Uint8Array => bytes.map((byte, i) => byte ^ mask[i]!);
    const service: KeySource = {
      id: 'service',
      getSecret: ({ tokens = [], attempt }) => Promise.resolve(tokens.filter(({ type }) => type === 'a-service').map(({ wrapped }) => masked(decodeBase64(String(wrapped))))[attempt] ?? null),
      enroll: () => {
        const secret = crypto.getRandomValues(new Uint8Array(32));
        return Promise.resolve({ secret, token: { type: 'a-service', wrapped: encodeBase64(masked(secret)) } });
      },
    };
    const file = memoryFile('disk.raw');
    await createDisk(file, { format: 'raw', bytes: 65536, crypt: 'payload', luks: { ...small, keys: service } });
    await (await opened(file, { keys: service })).close();
    const bytes = await containerBytes(file);
    expect(await addLuks2Key(bytes, settings, { ciphers, keys: service }, service)).toBe(1);
    expect((await readLuks2Facts(bytes, settings)).keySlots).toEqual([0, 1].map((slot) => ({ slot, iterations: 1000, kdf: 'pbkdf2', token: 'a-service' })));
    expect(await removeLuks2Key(bytes, settings, { ciphers, keys: service })).toBe(0);
    expect(Object.values((await readLuks2(bytes, settings)).metadata.tokens).map(({ keyslots }) => keyslots)).toEqual([['1']]);
    await (await opened(file, { keys: service })).close();
    await expect(opened(file, { keys: keyOf(text('guessed')) })).rejects.toMatchObject({ rule: 'key' });
  });

  it('shows no secret in its facts, its errors and its header', async () => {
    const file = await fresh();
    const disk = await opened(file);
    const told = JSON.stringify(disk.encryption) + (await readLuks2(await containerBytes(file), settings)).copy.json;
    expect(told).not.toContain(PASSPHRASE);
    expect(told).not.toContain(Buffer.from(PASSPHRASE).toString('base64'));
    expect(decodeBase64('AAEC')).toEqual(Uint8Array.of(0, 1, 2));
    await disk.close();
    await expect(disk.read(0, new Uint8Array(512))).rejects.toThrow('closed');
  });
});

function dumpKey(cryptsetup: string, path: string): Buffer {
  const file = `${path}.vk`;
  run(cryptsetup, 'luksDump', '--dump-volume-key', '--volume-key-file', file, '--key-file', at('pw.txt'), '-q', path);
  return readFileSync(file);
}

async function factsOf(path: string): Promise<{ readonly dataAt: number; readonly sectorBytes: number }> {
  const file = await openImageFile(path);
  try {
    return await readLuks2Facts(await containerBytes(file), settings);
  } finally {
    await file.close();
  }
}

async function decrypted(path: string, dataAt: number, key: Buffer, sectorBytes: number, offset: number, bytes: number): Promise<Buffer> {
  const { cipher } = await ciphers.create(path, 'aes-xts-plain64', key, sectorBytes);
  const data = Buffer.from(readFileSync(path).subarray(dataAt + offset, dataAt + offset + bytes));
  await cipher.decrypt(data, data, offset / 512);
  return data;
}
