import { execFileSync } from 'node:child_process';
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { itWithOracle } from '@vm/testkit/oracle';
import { type CipherModule, createCipherRegistry, keyOf, type KeySource, luks2, openDisk } from '@vm/vhd-crypt';
import { nodeCiphers, nodeKeyMath, openImageFile, pkcs11Keys } from '@vm/vhd-crypt/node';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runCli } from './cli.ts';
import { openSnapshotFile, writeSnapshotFile } from './snapshot-file.ts';

const MIB = 2 ** 20;
const QUICK = ['--kdf', 'argon2id', '--iterations', '1', '--kdf-memory', '64K'];
const GUEST = 'what the guest wrote to its disk ';
const SOFTHSM = '/usr/lib/softhsm/libsofthsm2.so';
const TOKEN = 'a bearer token of the service';

let folder = '';
let said = '';
/** What nobody may see, by name. */
let hidden: Map<string, Buffer>;
const at = (name: string): string => join(folder, name);
/** What is text lies at the beginning of files: headers and their metadata. */
const MOST_TEXT = 256 << 10;
/** Files that hold secrets because the user put them there. */
const OWN = /^(secret-.*|token|data\.img|back\.img)$/;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vm-disk-secrets-'));
  mkdirSync(at('tmp'));
  vi.stubEnv('TMPDIR', at('tmp'));
  said = '';
  hidden = new Map([['token', Buffer.from(TOKEN)]]);
  const listen = (text: unknown): boolean => {
    said += `${typeof text === 'string' ? text : Buffer.from(text as Uint8Array).toString('latin1')}\n`;
    return true;
  };
  for (const name of ['log', 'error', 'warn', 'info', 'debug'] as const) vi.spyOn(console, name).mockImplementation(listen);
  for (const stream of [process.stdout, process.stderr]) vi.spyOn(stream, 'write').mockImplementation(listen);
  writeFileSync(at('token'), TOKEN);
  writeFileSync(at('data.img'), Buffer.alloc(4 * MIB, GUEST));
  for (const name of ['one', 'two', 'three', 'wrong']) {
    const secret = Buffer.from(randomBytes(18).toString('base64'));
    hidden.set(name, secret);
    writeFileSync(at(`secret-${name}`), secret);
  }
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

/** `@` stands for the folder. After each command nothing that was said and no file shows anything. */
async function vm(expected: number, ...args: readonly string[]): Promise<void> {
  const code = await runCli(['disk', ...args.map((arg) => arg.replaceAll('@', `${folder}/`))]);
  expect([args.join(' '), code, code === expected ? '' : said]).toEqual([args.join(' '), expected, '']);
  expect([args.join(' '), ...shownIn(Buffer.from(said, 'latin1')), ...shownInFiles()]).toEqual([args.join(' ')]);
}

/** The names of what stands in bytes: as it is, in hexadecimal, in base64 wherever that began, and with two bytes a character. */
function shownIn(bytes: Buffer): string[] {
  const text = bytes.subarray(0, MOST_TEXT);
  return [...hidden].filter(([, secret]) => bytes.includes(secret) || formsOf(secret).some((form) => text.includes(form))).map(([name]) => name);
}
function formsOf(secret: Buffer): Buffer[] {
  const hex = secret.toString('hex');
  const base64 = [0, 1, 2].map((before) => Buffer.concat([Buffer.alloc(before), secret]).toString('base64').slice(before === 0 ? 0 : 4, Math.floor((before + secret.length) / 3) * 4));
  return [Buffer.from(hex), Buffer.from(hex.toUpperCase()), ...base64.map((text) => Buffer.from(text)), Buffer.from(secret.toString('latin1'), 'utf16le')];
}
function shownInFiles(): string[] {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => statSync(at(path)).isFile());
  expect(paths.filter((path) => path.startsWith('tmp/'))).toEqual([]);
  return paths.filter((path) => !OWN.test(path)).flatMap((path) => shownIn(readFileSync(at(path))).map((name) => `${name} in ${path}`));
}

/** Makes the key of the disk something to look for too. */
async function hideKeyOf(name: string, secret: Buffer | KeySource, what: string): Promise<void> {
  const module = nodeCiphers();
  // Halves: of XTS either one alone would be too much.
  const hide = (key: Uint8Array): void => [key.slice(0, key.length / 2), key.slice(key.length / 2)].forEach((half, i) => void hidden.set(`${what}, half ${i}`, Buffer.from(half)));
  const watched: CipherModule = {
    ...module,
    create: (cipher, key, sectorBytes) => (hide(key), module.create(cipher, key, sectorBytes)),
    createSealed: (cipher, key, sectorBytes) => (hide(key), module.createSealed!(cipher, key, sectorBytes)),
  };
  const file = await openImageFile(at(name));
  const before = hidden.size;
  const disk = await openDisk(file, { format: name.endsWith('.vhd') ? 'vhd' : 'raw', containers: [luks2({ math: nodeKeyMath() })], ciphers: createCipherRegistry([watched]), keys: secret instanceof Uint8Array ? keyOf(secret) : secret, writable: false });
  await disk.close();
  expect(hidden.size).toBeGreaterThan(before);
}

/** A service that wraps secrets and sees each of them. */
async function withService<T>(work: (url: string) => Promise<T>): Promise<T> {
  const key = randomBytes(32);
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (more: string) => (body += more)).on('end', () => {
      if (request.headers.authorization !== `Bearer ${TOKEN}`) return void response.writeHead(401).end();
      const asked = JSON.parse(body) as { readonly plaintext?: string; readonly wrapped?: string };
      if (asked.plaintext !== undefined) {
        const secret = Buffer.from(asked.plaintext, 'base64');
        hidden.set(`wrapped ${hidden.size}`, secret);
        const iv = randomBytes(16);
        const cipher = createCipheriv('aes-256-ctr', key, iv);
        response.end(JSON.stringify({ wrapped: Buffer.concat([iv, cipher.update(secret)]).toString('base64') }));
      } else {
        const bytes = Buffer.from(asked.wrapped ?? '', 'base64');
        response.end(JSON.stringify({ plaintext: createDecipheriv('aes-256-ctr', key, bytes.subarray(0, 16)).update(bytes.subarray(16)).toString('base64') }));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

describe('what commands about encrypted disks say and leave behind (VHD-01, VHD-17)', () => {
  it.each(['disk.vhd', 'disk.img'])('shows no secret, no key and nothing of the guest while %s is encrypted, encrypted anew and decrypted in place', async (name) => {
    const [one, two, wrong] = ['one', 'two', 'wrong'].map((which) => ['--key-file', `@secret-${which}`]) as [string[], string[], string[]];
    // What is looked for is found where it is.
    expect(shownIn(Buffer.from(`key: ${hidden.get('one')!.toString('hex')}`))).toEqual(['one']);
    expect(shownIn(Buffer.concat([Buffer.from('{"a":"'), Buffer.from(Buffer.concat([Buffer.alloc(4, 9), hidden.get('two')!, Buffer.alloc(5, 7)]).toString('base64'))]))).toEqual(['two']);
    await vm(0, 'convert', '@data.img', `@${name}`);
    await vm(0, 'encrypt', `@${name}`, ...one, ...QUICK);
    hidden.set('guest', Buffer.from(GUEST.slice(0, 16)));
    await hideKeyOf(name, hidden.get('one')!, 'first key');
    await vm(2, 'encrypt', `@${name}`, ...one, ...QUICK);
    for (const json of [[], ['--json']]) {
      await vm(0, 'info', `@${name}`, ...json);
      await vm(0, 'map', `@${name}`, ...one, ...json);
      await vm(2, 'map', `@${name}`, ...wrong, ...json);
    }
    await vm(0, 'key', 'add', `@${name}`, ...one, '--new-key-file', '@secret-two', ...QUICK);
    await vm(2, 'key', 'change', `@${name}`, ...wrong, '--new-key-file', '@secret-three', ...QUICK);
    await vm(0, 'header', 'backup', `@${name}`, '@header');
    await vm(0, 'key', 'list', `@${name}`, '--json');
    await vm(2, 'rekey', `@${name}`, ...wrong, '--new-key-file', '@secret-three', ...QUICK);
    await vm(0, 'rekey', `@${name}`, ...one, '--new-key-file', '@secret-three', ...QUICK, '--json');
    await hideKeyOf(name, hidden.get('three')!, 'second key');
    await vm(2, 'map', `@${name}`, ...two);
    await vm(2, 'decrypt', `@${name}`, ...wrong);
    hidden.delete('guest');
    await vm(0, 'decrypt', `@${name}`, '--key-file', '@secret-three');
    await vm(0, 'convert', `@${name}`, '@back.img');
    expect(readFileSync(at('back.img')).equals(readFileSync(at('data.img')))).toBe(true);
    expect(readdirSync(folder).toSorted()).toEqual(['back.img', 'data.img', name, 'header', 'secret-one', 'secret-three', 'secret-two', 'secret-wrong', 'tmp', 'token'].toSorted());
  }, 120_000);

  it('shows nothing of a disk with sealed sectors either, also when one of them was changed', async () => {
    await vm(0, 'convert', '@data.img', '@disk.img', '--encrypt', 'payload', '--luks', '2', '--cipher', 'aes-ocb-random', '--new-key-file', '@secret-one', ...QUICK);
    hidden.set('guest', Buffer.from(GUEST.slice(0, 16)));
    await hideKeyOf('disk.img', hidden.get('one')!, 'key');
    await vm(0, 'info', '@disk.img', '--json');
    await vm(2, 'convert', '@disk.img,key=file:@secret-wrong', '@back.img');
    const image = readFileSync(at('disk.img'));
    image[image.length - MIB]! ^= 1;
    writeFileSync(at('disk.img'), image);
    said = '';
    await vm(2, 'convert', '@disk.img,key=file:@secret-one', '@back.img');
    expect(said).toMatch(/sector \d+/);
    expect(readdirSync(folder).filter((name) => name.startsWith('back'))).toEqual([]);
  }, 120_000);

  it('shows none of the environment, of a descriptor and of a service, nor the secrets that the service wraps', () => withService(async (url) => {
    vi.stubEnv('VM_TEST_SECRET', hidden.get('one')!.toString());
    writeFileSync(at('service.json'), JSON.stringify({ url, key: 'disks', tokenFile: at('token') }));
    const descriptor = openSync(at('secret-two'), 'r');
    try {
      await vm(0, 'create', '@disk.img', '--size', '4M', '--encrypt', 'payload', '--luks', '2', ...QUICK, '--key', 'env:VM_TEST_SECRET');
      await hideKeyOf('disk.img', hidden.get('one')!, 'key');
      await vm(0, 'key', 'add', '@disk.img,key=env:VM_TEST_SECRET', '--new-key-fd', String(descriptor), ...QUICK);
      const before = hidden.size;
      await vm(0, 'key', 'add', '@disk.img,key=env:VM_TEST_SECRET', '--new-key', 'service:@service.json');
      expect(hidden.size).toBeGreaterThan(before);
      await vm(0, 'map', '@disk.img', '--key', 'service:@service.json', '--json');
      await vm(0, 'info', '@disk.img', '--json');
      writeFileSync(at('token'), hidden.get('wrong')!);
      await vm(2, 'map', '@disk.img', '--key', 'service:@service.json');
      // Where somebody types the secret itself for a source of it.
      await vm(2, 'map', '@disk.img', '--key', hidden.get('three')!.toString());
    } finally {
      closeSync(descriptor);
    }
  }), 120_000);

  it('shows none of what somebody types, right or wrong', async () => {
    const answers: Buffer[] = [];
    const terminal = Object.assign(new EventEmitter(), {
      isTTY: true,
      setRawMode: () => undefined,
      pause: () => undefined,
      resume: () => void setImmediate(() => terminal.emit('data', Buffer.concat([answers.shift()!, Buffer.from('\r')]))),
    });
    vi.spyOn(process, 'stdin', 'get').mockReturnValue(terminal as unknown as typeof process.stdin);
    const types = (...names: string[]): void => void answers.push(...names.map((name) => Buffer.from(hidden.get(name)!)));
    types('one', 'wrong', 'one', 'one');
    await vm(0, 'create', '@disk.img', '--size', '4M', '--encrypt', 'payload', '--luks', '2', ...QUICK, '--key', 'prompt');
    expect(said).toContain('The two differ.');
    await hideKeyOf('disk.img', hidden.get('one')!, 'key');
    types('wrong', 'one');
    await vm(0, 'map', '@disk.img', '--json');
    types('wrong', 'wrong', 'three');
    await vm(2, 'map', '@disk.img');
    types('one', 'two', 'two');
    await vm(0, 'key', 'change', '@disk.img', '--new-key', 'prompt', ...QUICK);
    types('two');
    await vm(0, 'convert', '@disk.img', '@back.img');
    expect(answers).toEqual([]);
  }, 120_000);

  itWithOracle(it, 'softhsm2-util', 'shows none of a token: not its PIN, its key, nor what it wraps', async (program) => {
    const [pin, aes] = [hidden.get('one')!, randomBytes(32).map((byte) => byte | 0x40)];
    hidden.set('aes', Buffer.from(aes));
    mkdirSync(at('tokens'));
    writeFileSync(at('softhsm2.conf'), `directories.tokendir = ${at('tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`);
    process.env['SOFTHSM2_CONF'] = at('softhsm2.conf'); // the library reads it here
    writeFileSync(at('secret-aes'), aes);
    const run = (...args: string[]): void => void execFileSync(program, args, { stdio: 'pipe' });
    run('--init-token', '--free', '--label', 'a token', '--pin', pin.toString(), '--so-pin', hidden.get('two')!.toString());
    run('--import', at('secret-aes'), '--aes', '--token', 'a token', '--label', 'aes key', '--id', 'a1', '--pin', pin.toString());
    const token = (file: string): string => `pkcs11:token=a%20token;object=aes%20key?module-path=${SOFTHSM}&pin-source=${at(file)}`;
    await vm(0, 'create', '@disk.img', '--size', '4M', '--encrypt', 'payload', '--luks', '2', '--key', token('secret-one'));
    const keys = pkcs11Keys({ modulePath: SOFTHSM, token: 'a token', object: 'aes key', pin: () => Promise.resolve(Uint8Array.from(pin)) });
    const watched: KeySource = {
      id: 'watched',
      async getSecret(request) {
        const secret = await keys.getSecret(request);
        if (secret !== null) hidden.set('wrapped', Buffer.from(secret));
        return secret;
      },
    };
    await hideKeyOf('disk.img', watched, 'key');
    expect(hidden.has('wrapped')).toBe(true);
    await vm(0, 'map', '@disk.img', '--key', token('secret-one'), '--json');
    await vm(0, 'info', '@disk.img', '--json');
    await vm(2, 'map', '@disk.img', '--key', token('secret-wrong'));
    await vm(0, 'key', 'add', '@disk.img', '--key', token('secret-one'), '--new-key-file', '@secret-three', ...QUICK);
    await vm(0, 'convert', '@disk.img', '@back.img', '--key-file', '@secret-three');
  });

  it('shows nothing of a saved machine that is encrypted, and leaves no file when it cannot be written', async () => {
    const machine = Buffer.alloc(3 * MIB, 'what the guest has in its memory ');
    hidden.set('memory', machine.subarray(0, 16));
    await writeSnapshotFile(at('saved.vms'), (sink) => Promise.resolve(sink(machine)), keyOf(hidden.get('one')!));
    await hideKeyOf('saved.vms', hidden.get('one')!, 'key');
    expect(shownInFiles()).toEqual([]);
    const refused = await openSnapshotFile(at('saved.vms'), { kind: 'file', path: at('secret-wrong') }).then(() => 'opened', (error: unknown) => `${(error as Error).stack} ${JSON.stringify(error)}`);
    expect(refused).toContain('no key slot opens');
    await writeSnapshotFile(at('never.vms'), async (sink) => {
      await sink(machine);
      throw new Error('no more');
    }, keyOf(hidden.get('two')!)).catch((error: unknown) => (said += (error as Error).stack));
    expect([...shownIn(Buffer.from(said + refused)), ...shownInFiles()]).toEqual([]);
    expect(readdirSync(folder).filter((name) => name.includes('never'))).toEqual([]);
  }, 120_000);
});
