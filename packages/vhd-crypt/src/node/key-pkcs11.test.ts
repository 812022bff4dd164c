import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { itWithOracle } from '@vm/testkit/oracle';
import { afterAll, describe, expect, it } from 'vitest';
import { createCipherRegistry } from '../cipher-registry.ts';
import { createDisk } from '../create-disk.ts';
import { luks2 } from '../luks2.ts';
import { memoryFile } from '../memory-file.ts';
import { nodeCiphers, nodeKeyMath, parsePkcs11Uri, pkcs11Keys, type Pkcs11Options } from '../node.ts';
import { openDisk } from '../open-disk.ts';

const MODULE = '/usr/lib/softhsm/libsofthsm2.so';
const folder = mkdtempSync(join(tmpdir(), 'pkcs11-'));
afterAll(() => rmSync(folder, { recursive: true }));
const ciphers = createCipherRegistry([nodeCiphers()]);
const settings = { math: nodeKeyMath() };

describe('secrets that a PKCS #11 token wraps (VHD-23)', () => {
  itWithOracle(it, 'softhsm2-util', 'opens what was made with its AES key or RSA pair, and says what is wrong with tokens, keys and PINs', async (program) => {
    mkdirSync(join(folder, 'tokens'));
    writeFileSync(join(folder, 'softhsm2.conf'), `directories.tokendir = ${join(folder, 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`);
    process.env['SOFTHSM2_CONF'] = join(folder, 'softhsm2.conf'); // the library reads it here
    const run = (...args: string[]): string => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    run('--init-token', '--free', '--label', 'a token', '--pin', '1234', '--so-pin', '5678');
    // The tool takes keys as a line of text: neither 0 nor a line feed may be among the bytes.
    writeFileSync(join(folder, 'aes'), randomBytes(32).map((byte) => byte | 0x40));
    writeFileSync(join(folder, 'rsa'), generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }));
    run('--import', join(folder, 'aes'), '--aes', '--token', 'a token', '--label', 'aes key', '--id', 'a1', '--pin', '1234');
    run('--import', join(folder, 'rsa'), '--token', 'a token', '--label', 'rsa pair', '--id', 'a2', '--pin', '1234');
    for (const object of ['aes key', 'rsa pair']) {
      const options = (more: Partial<Pkcs11Options> = {}): Pkcs11Options => ({ modulePath: MODULE, token: 'a token', object, pin: () => Promise.resolve(new TextEncoder().encode('1234')), ...more });
      const file = memoryFile('disk.raw');
      await createDisk(file, { format: 'raw', bytes: 1 << 20, crypt: 'payload', luks: { ...settings, version: 2, ciphers, keys: pkcs11Keys(options()), keyBits: 256 } });
      const open = async (more: Partial<Pkcs11Options> = {}): Promise<void> => {
        const disk = await openDisk({ ...file, close: () => Promise.resolve() }, { format: 'raw', containers: [luks2(settings)], ciphers, keys: pkcs11Keys(options(more)) });
        expect(disk.encryption?.keySlots).toMatchObject([{ token: 'vm-pkcs11', kdf: 'pbkdf2' }]);
        await disk.close();
      };
      await open();
      await Promise.all([open(), open()]);
      await expect(open({ pin: () => Promise.resolve(new TextEncoder().encode('9999')) })).rejects.toMatchObject({ rule: 'key', message: expect.stringContaining('the PIN is wrong') as string });
      await expect(open({ modulePath: join(folder, 'none.so') })).rejects.toThrow('is no library of PKCS #11');
      // Tokens of the header that another one wrapped are left alone.
      await expect(open({ token: 'another' })).rejects.toMatchObject({ rule: 'keyUnavailable' });
      await expect(open({ object: 'another' })).rejects.toMatchObject({ rule: 'keyUnavailable' });
      await expect(pkcs11Keys(options({ object: 'another' })).enroll!({ purpose: 'add', disk: 'x', uuid: null, attempt: 0 })).rejects.toThrow('the token has no key "another"');
      await expect(pkcs11Keys(options({ token: 'another' })).enroll!({ purpose: 'add', disk: 'x', uuid: null, attempt: 0 })).rejects.toThrow('there is no token "another"');
    }
    expect(existsSync(MODULE)).toBe(true);
  });

  it('are named as in RFC 7512', () => {
    expect(parsePkcs11Uri('pkcs11:token=a%20token;object=key?module-path=/lib/x.so&pin-source=file:/run/pin')).toEqual({ token: 'a token', object: 'key', modulePath: '/lib/x.so', pinSource: '/run/pin' });
    expect(() => parsePkcs11Uri('pkcs11:token=a?module-path=/x&pin-source=y')).toThrow('expected pkcs11:token=NAME;object=NAME');
    expect(() => parsePkcs11Uri('pkcs11:token=a;object=b?pin-value=1234')).toThrow('unknown attribute "pin-value"');
  });
});
