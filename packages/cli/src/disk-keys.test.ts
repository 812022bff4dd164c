import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { itWithOracle } from '@vm/testkit/oracle';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runCli } from './cli.ts';

let folder = '';
let printed: string[] = [];
let refused: string[] = [];
const at = (name: string): string => join(folder, name);
const MIB = 2 ** 20;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vm-disk-keys-'));
  for (const name of ['one', 'two', 'three']) writeFileSync(at(name), `secret number ${name}`);
  vi.spyOn(console, 'log').mockImplementation((text: string) => void printed.push(text));
  vi.spyOn(console, 'error').mockImplementation((text: string) => void refused.push(text));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

/** `@` stands for the folder. */
async function vm(...args: readonly string[]): Promise<number> {
  printed = [];
  refused = [];
  return runCli(['disk', ...args.map((arg) => arg.replaceAll('@', `${folder}/`))]);
}
const json = (): Record<string, unknown> => JSON.parse(printed.join('')) as Record<string, unknown>;
const slots = (): readonly number[] => (json()['slots'] as { slot: number }[]).map(({ slot }) => slot);
const QUICK = ['--kdf', 'argon2id', '--iterations', '1', '--kdf-memory', '64K'];

describe('vm disk key and header', () => {
  it.each([['1', ['--iterations', '1000'], ['--iterations', '1000']], ['2', ['--luks', '2', ...QUICK], QUICK]] as const)('add, change, list and remove secrets of LUKS%s, and bring back a header', async (version, create, cost) => {
    const data = Buffer.alloc(4 * MIB, 'what the guest wrote ');
    writeFileSync(at('data.img'), data);
    expect([await vm('convert', '@data.img', '@disk.vhd', '--encrypt', 'payload', ...create, '--new-key-file', '@one'), refused]).toEqual([0, []]);
    expect(await vm('info', '@disk.vhd', '--json')).toBe(0);
    expect(json()).toMatchObject({ bytes: 4 * MIB, encryption: { container: `luks${version}`, sectorBytes: version === '1' ? 512 : 4096, keySlots: [0] } });
    expect(await vm('header', 'backup', '@disk.vhd', '@disk.header')).toBe(0);
    expect(statSync(at('disk.header')).mode & 0o777).toBe(0o600);
    expect(await vm('header', 'backup', '@disk.vhd', '@disk.header')).toBe(2);
    expect([await vm('key', 'add', '@disk.vhd', '--key-file', '@one', '--new-key-file', '@two', ...cost, '--json'), refused]).toEqual([0, []]);
    expect(slots()).toEqual([0, 1]);
    expect(await vm('key', 'change', '@disk.vhd', '--key-file', '@one', '--new-key-file', '@three', ...cost, '--json')).toBe(0);
    expect(slots()).toEqual([1, 2]);
    expect(await vm('key', 'add', '@disk.vhd', '--key-file', '@one', '--new-key-file', '@two', ...cost)).toBe(2);
    expect(refused.join()).toContain('no key slot opens');
    expect(await vm('key', 'remove', '@disk.vhd', '--key-file', '@two', '--json')).toBe(0);
    expect(slots()).toEqual([2]);
    expect(await vm('key', 'remove', '@disk.vhd', '--key-file', '@three')).toBe(2);
    expect(refused.join()).toContain('it is the last secret');
    expect(await vm('key', 'list', '@disk.vhd')).toBe(0);
    expect(printed.join()).toMatch(version === '1' ? /^ 2 {2}pbkdf2, 1000 rounds$/ : /^ 2 {2}argon2id, 1 passes over 64.0 KiB$/);
    const file = readFileSync(at('disk.vhd'));
    expect(file.includes('secret number')).toBe(false);
    expect(await vm('header', 'restore', '@disk.vhd', '@disk.header')).toBe(0);
    expect(await vm('convert', '@disk.vhd,key=file:@one', '@back.img')).toBe(0);
    expect(readFileSync(at('back.img')).equals(data)).toBe(true);
    expect(await vm('create', '@other.vhd', '--size', '4M', '--encrypt', 'payload', ...create, '--key-file', '@one')).toBe(0);
    expect(await vm('header', 'restore', '@other.vhd', '@disk.header')).toBe(2);
    expect(refused.join()).toContain('the backup is that of');
    expect(await vm('key', 'remove', '@disk.vhd', '--key-file', '@one', '--even-last')).toBe(0);
    expect(await vm('convert', '@disk.vhd,key=file:@one', '@gone.img')).toBe(2);
    expect(refused.join()).toContain('the key was destroyed');
  });

  itWithOracle(it, 'cryptsetup', 'makes LUKS2 in raw images that cryptsetup knows, differencing disks too, and takes headers of other files', async (cryptsetup) => {
    expect([await vm('create', '@disk.img', '--size', '4M', '--encrypt', 'payload', '--luks', '2', ...QUICK, '--key-file', '@one'), refused]).toEqual([0, []]);
    execFileSync(cryptsetup, ['open', '--test-passphrase', '--key-file', at('one'), at('disk.img')], { stdio: 'pipe' });
    expect(await vm('key', 'remove', '@disk.img', '--slot', '0', '--key-file', '@one')).toBe(2);
    expect(await vm('create', '@base.vhd', '--size', '4M', '--encrypt', 'payload', '--key-file', '@one', '--iterations', '1000')).toBe(0);
    expect([await vm('create', '@over.vhd', '--parent', '@base.vhd', '--encrypt', 'payload', '--luks', '2', ...QUICK, '--key-file', '@one'), refused]).toEqual([0, []]);
    expect([await vm('map', '@over.vhd', '--key-file', '@one'), refused]).toEqual([0, []]);
    execFileSync('truncate', ['-s', '4M', at('data.img'), at('data.header')]);
    execFileSync(cryptsetup, ['luksFormat', '-q', '--type', 'luks2', '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000', '--luks2-metadata-size', '16k', '--luks2-keyslots-size', '1m', '--key-file', at('one'), '--header', at('data.header'), at('data.img')], { stdio: 'pipe' });
    expect([await vm('map', '@data.img,header=@data.header,holes=noise', '--key-file', '@one'), refused]).toEqual([0, []]);
    expect([await vm('key', 'add', '@data.img,header=@data.header', '--key-file', '@one', '--new-key-file', '@two', ...QUICK), refused]).toEqual([0, []]);
    execFileSync(cryptsetup, ['open', '--test-passphrase', '--key-file', at('two'), '--header', at('data.header'), at('data.img')], { stdio: 'pipe' });
  });

  it('gives a disk another key in place, which only the new secret opens', async () => {
    const data = Buffer.alloc(4 * MIB, 'what the guest wrote ');
    writeFileSync(at('data.img'), data);
    for (const name of ['disk.vhd', 'disk.img']) {
      expect([await vm('convert', '@data.img', `@${name}`, '--encrypt', 'payload', '--luks', '2', ...QUICK, '--new-key-file', '@one'), refused]).toEqual([0, []]);
      expect([await vm('rekey', `@${name}`, '--key-file', '@one', '--new-key-file', '@two', ...QUICK), refused]).toEqual([0, []]);
      expect(await vm('map', `@${name}`, '--key-file', '@one')).toBe(2);
      rmSync(at('back.img'), { force: true });
      expect(await vm('convert', `@${name},key=file:@two`, '@back.img')).toBe(0);
      expect(readFileSync(at('back.img')).equals(data)).toBe(true);
    }
    expect(await vm('rekey', '@data.img', '--key-file', '@one', '--new-key-file', '@two')).toBe(2);
    expect(refused.join()).toContain('it is no LUKS2');
  });

  it('encrypts a disk in place, which only its secret opens, and decrypts it again', async () => {
    const data = Buffer.alloc(4 * MIB, 'what the guest wrote ');
    writeFileSync(at('disk.img'), data);
    expect(await vm('convert', '@disk.img', '@disk.vhd')).toBe(0);
    for (const name of ['disk.vhd', 'disk.img']) {
      expect([await vm('encrypt', `@${name}`, '--key-file', '@one', ...QUICK), refused]).toEqual([0, []]);
      expect(readFileSync(at(name)).includes('what the guest wrote')).toBe(false);
      expect(await vm('info', `@${name}`, '--json')).toBe(0);
      expect(json()).toMatchObject({ bytes: 4 * MIB, encryption: { container: 'luks2', sectorBytes: 4096, keySlots: [0] } });
      expect(await vm('map', `@${name}`, '--key-file', '@two')).toBe(2);
      expect(await vm('encrypt', `@${name}`, '--key-file', '@one', ...QUICK)).toBe(2);
      expect(refused.join()).toContain('it is encrypted already');
      expect(await vm('decrypt', `@${name}`, '--key-file', '@two')).toBe(2);
      expect([await vm('decrypt', `@${name}`, '--key-file', '@one'), refused]).toEqual([0, []]);
      rmSync(at('back.img'), { force: true });
      expect(await vm('convert', `@${name}`, '@back.img')).toBe(0);
      expect(readFileSync(at('back.img')).equals(data)).toBe(true);
    }
    expect(readFileSync(at('disk.img')).equals(data)).toBe(true);
    expect(await vm('encrypt', '@disk.img,header=@x', '--key-file', '@one')).toBe(2);
  });

  it('says which disks are not changed in place, and why, and leaves them as they are', async () => {
    for (const [name, args, message] of [
      ['luks1', ['--iterations', '1000'], 'the header of LUKS1 has no room for the records of work in place'],
      ['sealed', ['--luks', '2', '--cipher', 'aes-ocb-random', ...QUICK], 'its sectors are proved by "vm-sealed", and work in place changes ciphertext alone'],
      ['tags', ['--luks', '2', '--integrity', 'hmac-sha256', ...QUICK], 'its sectors are proved by "hmac(sha256)", and work in place changes ciphertext alone'],
    ] as const) {
      expect([await vm('create', `@${name}.img`, '--size', '1M', '--encrypt', 'payload', ...args, '--key-file', '@one'), refused]).toEqual([0, []]);
      const before = readFileSync(at(`${name}.img`));
      for (const action of ['decrypt', 'rekey'] as const) {
        expect(await vm(action, `@${name}.img`, '--key-file', '@one', ...(action === 'rekey' ? ['--new-key-file', '@two', ...QUICK] : []))).toBe(2);
        expect(refused.join()).toContain(message);
      }
      expect(readFileSync(at(`${name}.img`)).equals(before)).toBe(true);
    }
    expect(await vm('rekey', '@luks1.img,header=@sealed.img', '--key-file', '@one', '--new-key-file', '@two', ...QUICK)).toBe(2);
    expect(refused.join()).toContain('rekey is for disks whose LUKS2 header is before their data, where the records of the work are kept');
  });

  itWithOracle(it, 'cryptsetup', 'makes disks with tags that cryptsetup knows, and tells a sector that was changed', async (cryptsetup) => {
    for (const [integrity, told] of [['hmac-sha256', /cipher: aes-xts-plain64[^]*integrity: hmac\(sha256\)/], ['aead', /cipher: aes-gcm-random[^]*integrity: aead/]] as const) {
      const data = Buffer.alloc(MIB, 'what the guest wrote ');
      writeFileSync(at('data.img'), data);
      expect([await vm('convert', '@data.img', `@${integrity}.img`, '--encrypt', 'payload', '--luks', '2', '--integrity', integrity, ...QUICK, '--new-key-file', '@one'), refused]).toEqual([0, []]);
      expect(execFileSync(cryptsetup, ['luksDump', at(`${integrity}.img`)], { encoding: 'utf8' })).toMatch(told);
      execFileSync(cryptsetup, ['open', '--test-passphrase', '--key-file', at('one'), at(`${integrity}.img`)]);
      expect([await vm('convert', `@${integrity}.img`, `@${integrity}.back`, '--key-file', '@one'), refused]).toEqual([0, []]);
      expect(readFileSync(at(`${integrity}.back`)).equals(data)).toBe(true);
      const changed = readFileSync(at(`${integrity}.img`));
      changed[changed.length - 100_000]! ^= 1;
      writeFileSync(at('changed.img'), changed);
      expect(await vm('convert', '@changed.img', '@changed.back', '--key-file', '@one')).toBe(2);
      expect(refused.join()).toMatch(/sector \d+ is not what was stored there/);
    }
  });

  it('takes secrets from the environment and where else a key says, and tells what is wrong with a description of a service', async () => {
    vi.stubEnv('VM_TEST_SECRET', 'secret number one');
    expect([await vm('create', '@disk.img', '--size', '4M', '--encrypt', 'payload', '--luks', '2', ...QUICK, '--key', 'env:VM_TEST_SECRET'), refused]).toEqual([0, []]);
    expect([await vm('key', 'add', '@disk.img,key=env:VM_TEST_SECRET', '--new-key', `file:${at('two')}`, ...QUICK), refused]).toEqual([0, []]);
    expect(await vm('map', '@disk.img', '--key-file', '@two')).toBe(0);
    for (const [args, message] of [
      [['--key', 'env:VM_TEST_NONE'], 'the environment has no VM_TEST_NONE'],
      [['--key', 'env:VM_TEST_SECRET', '--key-file', '@one'], '--key, --key-file and --key-fd exclude each other'],
      [['--key', 'hunter2'], 'secrets themselves do not belong on a command line'],
      [['--key', `service:${at('one')}`], 'one: '],
      [['--key', `service:${at('service.json')}`], 'expected { "url": "https://...", "key": "name", "tokenFile": "file" }'],
      [['--key', `service:${at('clear.json')}`], 'expected https, got http://example.org'],
      [['--key', `pkcs11:token=a;object=b?module-path=${at('none.so')}&pin-source=${at('one')}`], 'nobody gives a secret'],
    ] as const) {
      writeFileSync(at('service.json'), '{"url":"https://example.org"}');
      writeFileSync(at('clear.json'), '{"url":"http://example.org","key":"a","tokenFile":"one"}');
      expect(await vm('map', '@disk.img', ...args)).toBe(2);
      expect(refused.join()).toContain(message);
    }
    vi.unstubAllEnvs();
  });

  it('refuses options that go with nothing', async () => {
    for (const [args, message] of [
      [['create', '@x.img', '--size', '4M', '--luks', '2'], '--luks goes with --encrypt'],
      [['create', '@x.img', '--size', '4M', '--encrypt', 'payload', '--kdf', 'argon2id', '--key-file', '@one'], '--kdf argon2id goes with --luks 2'],
      [['create', '@x.img', '--size', '4M', '--encrypt', 'payload', '--integrity', 'aead', '--key-file', '@one'], '--integrity goes with --luks 2'],
      [['create', '@x.img', '--size', '4M', '--encrypt', 'payload', '--sector-bytes', '4096', '--key-file', '@one'], '--sector-bytes goes with --luks 2'],
      [['create', '@x.vhd', '--size', '4M', '--encrypt', 'file', '--luks', '2', ...QUICK, '--key-file', '@one'], 'a whole file is encrypted with LUKS1'],
      [['key', 'forget', '@x.img'], 'no such file'],
      [['header', 'restore', '@x.img', '@y'], 'no such file'],
    ] as const) {
      expect(await vm(...args)).toBe(2);
      expect(refused.join()).toContain(message);
    }
  });
});
