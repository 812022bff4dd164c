import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { itWithOracle } from '@vm/testkit/oracle';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { formatProgress } from './byte-progress.ts';
import { runCli } from './cli.ts';

let folder = '';
let printed: string[] = [];
let refused: string[] = [];
const at = (name: string): string => join(folder, name);
const MIB = 2 ** 20;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vm-disk-command-'));
  writeFileSync(at('key'), 'geheim');
  printed = [];
  refused = [];
  vi.spyOn(console, 'log').mockImplementation((text: string) => void printed.push(text));
  vi.spyOn(console, 'error').mockImplementation((text: string) => void refused.push(text));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

/** `@` stands for the folder. */
async function vm(...args: readonly string[]): Promise<number> {
  printed.length = refused.length = 0;
  return runCli(['disk', ...args.map((arg) => arg.replaceAll('@', `${folder}/`))]);
}
const encrypted = ['--encrypt', 'payload', '--key-file', '@key', '--iterations', '1000'];
const json = (): Record<string, unknown> => JSON.parse(printed.join('')) as Record<string, unknown>;

/** A disk of 8 MiB whose bytes are known. */
async function makeFilled(name: string): Promise<Buffer> {
  const data = Buffer.alloc(8 * MIB);
  for (let i = 3 * MIB; i < 5 * MIB; i++) data[i] = 1 + ((i * 7 + (i >> 9)) % 255);
  writeFileSync(at('data.img'), data);
  expect(await vm('convert', '@data.img', `@${name}`, '--encrypt', 'payload', '--new-key-file', '@key', '--iterations', '1000')).toBe(0);
  return data;
}
async function expectContents(disk: string, data: Buffer): Promise<void> {
  rmSync(at('back.img'), { force: true });
  expect([await vm('convert', disk, '@back.img'), refused]).toEqual([0, []]);
  expect(readFileSync(at('back.img')).equals(data)).toBe(true);
}

describe('vm disk', () => {
  it('makes disks, tells of them without a key, and which engine is chosen here', async () => {
    expect(await vm('create', '@a.vhd', '--size', '64M', '--json', ...encrypted)).toBe(0);
    expect(json()).toMatchObject({ format: 'vhd', bytes: 64 * MIB, vhd: { type: 'dynamic', parents: [] }, encryption: { mode: 'payload', container: 'luks1', cipher: 'aes-xts-plain64', keyBits: 512, keySlots: [0] } });
    const { engine, engines } = json()['encryption'] as { engine: string; engines: { engine: string }[] };
    expect(engine).toBe(engines[0]!.engine);
    expect(engines.map((one) => one.engine)).toEqual(expect.arrayContaining(['node', 'noble']));
    expect(await vm('info', '@a.vhd')).toBe(0);
    expect(printed.join()).toMatch(/encryption {2}luks1 around the payload: aes-xts-plain64, 512 bits, sha256/);
    expect(await vm('create', '@b.vhd', '--size', '3M', '--type', 'fixed', '--compatibility', 'virtualpc', '--json')).toBe(0);
    expect(json()).toMatchObject({ bytes: 3_168_256, encryption: null, vhd: { type: 'fixed' } });
    expect(await vm('create', '@c.img', '--size', '1M', '--json')).toBe(0);
    expect(json()).toMatchObject({ format: 'raw', bytes: MIB, vhd: null });
    expect(readdirSync(folder).sort()).toEqual(['a.vhd', 'b.vhd', 'c.img', 'key']);
  });

  it('converts between all kinds, and says nothing of what is in them', async () => {
    const data = await makeFilled('one.vhd');
    expect(readFileSync(at('one.vhd')).includes(data.subarray(3 * MIB, 3 * MIB + 16))).toBe(false);
    await expectContents('@one.vhd,key=file:@key', data);
    for (const [i, options] of [['--type', 'fixed', '--encrypt', 'payload', '--new-key-file', '@key', '--iterations', '1000'], ['--encrypt', 'file', '--new-key-file', '@key', '--iterations', '1000', '--key-bits', '256'], ['--type', 'dynamic'], ['--type', 'raw']].entries()) {
      const name = `@two-${i}.${options.at(-1) === 'raw' ? 'img' : 'vhd'}`;
      expect([await vm('convert', '@one.vhd', name, '--key-file', '@key', ...options), refused]).toEqual([0, []]);
      await expectContents(i < 2 ? `${name},key=file:@key` : name, data);
    }
  });

  it('resizes in place, and keeps what there was', async () => {
    const data = await makeFilled('one.vhd');
    expect(await vm('resize', '@one.vhd', '4M', '--key-file', '@key')).toBe(2);
    expect(refused.join()).toContain('what lies past them would be lost');
    expect(await vm('resize', '@one.vhd', '3G', '--key-file', '@key', '--json')).toBe(0);
    expect(json()).toEqual({ bytes: 3 * 2 ** 30 });
    expect(await vm('check', '@one.vhd')).toBe(0);
    expect(await vm('resize', '@one.vhd', '8M', '--shrink')).toBe(0);
    await expectContents('@one.vhd,key=file:@key', data);
    expect(await vm('resize', '@data.img', '9M', '--json')).toBe(0);
    expect(statSync(at('data.img')).size).toBe(9 * MIB);
  });

  it('compacts what the guest has zeroed, which only the key shows', async () => {
    const data = await makeFilled('one.vhd');
    const { openDescribedDisk } = await import('./disk-opener.ts');
    const disk = await openDescribedDisk({ file: at('one.vhd'), key: { kind: 'file', path: at('key') } });
    await disk.write(4 * MIB, new Uint8Array(MIB));
    await disk.close();
    data.fill(0, 4 * MIB, 5 * MIB);
    const before = statSync(at('one.vhd')).size;
    expect(await vm('compact', '@one.vhd')).toBe(0);
    expect(printed.join()).toContain('0 blocks given back');
    expect(await vm('compact', '@one.vhd', '--key-file', '@key')).toBe(0);
    expect(printed.join()).toContain('1 blocks given back');
    expect(before - statSync(at('one.vhd')).size).toBeGreaterThanOrEqual(2 * MIB);
    await expectContents('@one.vhd,key=file:@key', data);
    expect(await vm('map', '@one.vhd', '--json', '--key-file', '@key')).toBe(0);
    expect((json() as unknown as { depth: number | null }[]).map(({ depth }) => depth)).toEqual([null, 0, null]);
  });

  it('makes children and merges them', async () => {
    const data = await makeFilled('base.vhd');
    expect(await vm('create', '@top.vhd', '--parent', '@base.vhd')).toBe(0);
    const { openDescribedDisk } = await import('./disk-opener.ts');
    const before = Buffer.from(data);
    const disk = await openDescribedDisk({ file: at('top.vhd'), key: { kind: 'file', path: at('key') } });
    await disk.write(1000, data.subarray(3 * MIB, 3 * MIB + 5000));
    await disk.close();
    data.copy(data, 1000, 3 * MIB, 3 * MIB + 5000);
    await expectContents('@top.vhd,key=file:@key', data);
    // Another child, with a key of its own.
    expect(await vm('create', '@own.vhd', '--parent', '@base.vhd', ...encrypted)).toBe(0);
    expect(['own.vhd', 'top.vhd'].map((name) => readFileSync(at(name)).includes('LUKS'))).toEqual([true, false]);
    await expectContents('@own.vhd,key=file:@key', before);
    rmSync(at('own.vhd'));
    expect(await vm('merge', '@base.vhd', '--key-file', '@key')).toBe(2);
    expect(await vm('merge', '@top.vhd', '--delete', '--key-file', '@key')).toBe(0);
    expect(existsSync(at('top.vhd'))).toBe(false);
    await expectContents('@base.vhd,key=file:@key', data);
  });

  it('finds and mends what is broken, in a whole encrypted file too', async () => {
    expect(await vm('create', '@a.vhd', '--size', '8M')).toBe(0);
    const bytes = readFileSync(at('a.vhd'));
    writeFileSync(at('a.vhd'), bytes.subarray(0, bytes.length - 512));
    expect(await vm('check', '@a.vhd', '--json')).toBe(1);
    expect(json()).toMatchObject({ clean: false, findings: [{ rule: 'footer-back', repair: 'lossless' }] });
    expect(await vm('repair', '@a.vhd')).toBe(0);
    expect(await vm('check', '@a.vhd')).toBe(0);
    expect(await vm('create', '@b.vhd', '--size', '8M', '--encrypt', 'file', '--key-file', '@key', '--iterations', '1000')).toBe(0);
    expect(await vm('check', '@b.vhd', '--key-file', '@key', '--json')).toBe(0);
    expect(json()).toMatchObject({ clean: true, bytes: 8 * MIB });
    expect(await vm('info', '@b.vhd', '--json')).toBe(0);
    expect(json()).toMatchObject({ bytes: null, encryption: { mode: 'file' } });
  });

  it.each([
    [['disk'], 'vm disk: expected create, info, check, repair, convert, resize, compact, merge, key, header, encrypt, decrypt, rekey, map, export'],
    [['disk', 'inof', 'x'], 'vm disk: expected create, info, check, repair, convert, resize, compact, merge, key, header, encrypt, decrypt, rekey, map, export; got inof; did you mean info?'],
    [['disk', 'info'], 'vm disk: info takes DISK'],
    [['disk', 'info', '/nowhere.vhd'], 'vm disk: /nowhere.vhd: there is no such file'],
    [['disk', 'info', '/etc'], 'vm disk: /etc: it is a directory'],
    [['disk', 'info', 'x.vhd', '--size', '1M'], 'vm disk: --size does not go with info'],
    [['disk', 'create', '/tmp/x.vhd'], 'vm disk: --size SIZE is missing'],
    [['disk', 'create', '/nowhere/x.vhd', '--size', '1M'], 'vm disk: /nowhere/x.vhd.partial: there is no such file'],
    [['disk', 'create', '/tmp/x.vhd', '--size', '1M', '--key-bits', '256'], 'vm disk: --key-bits goes with --encrypt'],
    [['disk', 'create', '/tmp/x.vhd', '--size', '3000G'], 'vm disk: /tmp/x.vhd: a dynamic disk of 3221225472000 bytes, the most is 2190433320960'],
    [['disk', 'export', 'x.vhd'], 'vm disk: export needs --socket PATH or --port N'],
    [['disk', 'check', 'x.img'], 'vm disk: x.img: a raw image has no structures; this is for VHD files (.vhd, or format=vhd)'],
    [['disk', 'info', 'x.vhd,key=geheim'], 'vm disk: x.vhd,key=geheim: key: expected prompt, file:FILE, fd:N, env:NAME, service:FILE or pkcs11:token=NAME;object=NAME?module-path=FILE&pin-source=FILE; secrets themselves do not belong on a command line'],
  ])('refuses %j in one line', async (args, line) => {
    expect(await runCli(args)).toBe(2);
    expect([refused, printed]).toEqual([[line], []]);
  });

  it('has a help with examples', async () => {
    expect(await runCli(['disk', '--help'])).toBe(0);
    expect(printed.join()).toContain('vm disk create disk.vhd --size 8G --encrypt payload');
  });

  it('tells rate and time left', () => {
    expect(formatProgress('copying', 0, 100 * MIB, 5000)).toBe('copying  0 %');
    expect(formatProgress('copying', 25 * MIB, 100 * MIB, 500)).toBe('copying  25 %');
    expect(formatProgress('copying', 25 * MIB, 100 * MIB, 2000)).toBe('copying  25 %  12.5 MiB/s  0:06 left');
    expect(formatProgress('copying', MIB, 8000 * MIB, 1000)).toBe('copying  0 %  1.0 MiB/s  2:13:19 left');
  });
});

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));

const children: ReturnType<typeof spawn>[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** The command in a process of its own, until it says something or ends. */
function start(...args: readonly string[]): { readonly child: ReturnType<typeof spawn>; readonly first: Promise<string>; readonly ended: Promise<number | null> } {
  const child = spawn(process.execPath, ['--conditions=vm-source', '--disable-warning=ExperimentalWarning', MAIN, 'disk', ...args.map((arg) => arg.replaceAll('@', `${folder}/`))], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const first = new Promise<string>((resolve) => {
    let text = '';
    child.stdout!.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.endsWith('\n')) resolve(text.trim());
    });
    child.on('exit', () => resolve(text));
  });
  return { child, first, ended: new Promise((resolve) => child.on('exit', resolve)) };
}

describe('vm disk export', () => {
  itWithOracle(it, 'qemu-io', 'serves an encrypted disk to QEMU, which stores and reads as with any disk', async (qemuIo) => {
    const data = await makeFilled('one.vhd');
    const { child, first, ended } = start('export', '@one.vhd', '--key-file', '@key', '--socket', '@s.sock');
    const uri = await first;
    expect(uri).toBe(`nbd+unix:///?socket=${folder}/s.sock`);
    expect(statSync(at('s.sock')).mode & 0o777).toBe(0o700);
    const map = JSON.parse(execFileSync('qemu-img', ['map', '--output=json', '-f', 'raw', uri], { encoding: 'utf8' })) as { start: number; zero: boolean }[];
    expect(map.map(({ start: begin, zero }) => [begin / MIB, zero])).toEqual([[0, true], [2, false], [6, true]]);
    const qemu = (...commands: readonly string[]): string => execFileSync(qemuIo, ['-f', 'raw', uri, ...commands.flatMap((command) => ['-c', command])], { encoding: 'utf8' });
    expect(qemu('read -P 0 0 3M', 'write -P 0xa5 1000 70000', 'read -P 0xa5 1000 70000', 'write -z 4M 64k', 'read -P 0 4M 64k', 'write -f -P 0x11 8388096 512', 'discard 6M 1M', 'flush')).not.toContain('failed');
    data.fill(0xa5, 1000, 71_000).fill(0, 4 * MIB, 4 * MIB + 65536).fill(0x11, 8 * MIB - 512);
    const many = Array.from({ length: 40 }, (_, i) => `aio_write -P ${i + 1} ${i * 4096 + 5 * MIB} 4096`);
    expect(qemu(...many, 'aio_flush')).not.toContain('failed');
    for (let i = 0; i < 40; i++) data.fill(i + 1, 5 * MIB + i * 4096, 5 * MIB + (i + 1) * 4096);
    execFileSync('qemu-img', ['convert', '-O', 'raw', uri, at('served.img')]);
    expect(readFileSync(at('served.img')).equals(data)).toBe(true);
    // A second writer is refused while it runs.
    expect(await vm('export', '@one.vhd', '--key-file', '@key', '--socket', '@t.sock')).toBe(2);
    expect(refused.join()).toContain('has it open for writing');
    child.kill('SIGINT');
    expect(await ended).toBe(0);
    expect(existsSync(at('s.sock'))).toBe(false);
    await expectContents('@one.vhd,key=file:@key', data);
    expect(await vm('check', '@one.vhd')).toBe(0);
  });

  itWithOracle(it, 'nbdcopy', 'takes a whole disk over several connections, and gives it back the same', async (nbdcopy) => {
    await makeFilled('one.vhd');
    const data = Buffer.from(Uint8Array.from({ length: 8 * MIB }, (_, i) => (Math.floor(i / MIB) % 3 === 2 ? 0 : (i * 7) ^ (i >> 9))));
    writeFileSync(at('data.img'), data);
    const { child, first, ended } = start('export', '@one.vhd', '--key-file', '@key', '--socket', '@c.sock');
    const uri = await first;
    execFileSync(nbdcopy, ['--connections=4', '--requests=32', '--request-size=131072', '--flush', at('data.img'), uri]);
    execFileSync(nbdcopy, [uri, at('copy.img')]);
    expect(readFileSync(at('copy.img')).equals(data)).toBe(true);
    child.kill('SIGINT');
    expect(await ended).toBe(0);
    await expectContents('@one.vhd,key=file:@key', data);
    expect(await vm('check', '@one.vhd')).toBe(0);
  });

  itWithOracle(it, 'nbdinfo', 'tells libnbd its size and what it can do, on a port too', async (nbdinfo) => {
    await makeFilled('one.vhd');
    const { child, first, ended } = start('export', '@one.vhd,readonly', '--key-file', '@key', '--port', '0', '--json');
    let text = await first;
    while (!text.endsWith('}')) await new Promise((resolve) => setTimeout(resolve, 10)); // the document comes in one piece
    const { uri, encryption } = JSON.parse(text) as { uri: string; encryption: object };
    expect(encryption).toMatchObject({ container: 'luks1' });
    const facts = JSON.parse(execFileSync(nbdinfo, ['--json', uri], { encoding: 'utf8' })) as { protocol: string; structured: boolean; exports: object[] };
    expect([facts.protocol, facts.structured]).toEqual(['newstyle-fixed', true]);
    expect(facts.exports[0]).toMatchObject({ 'export-size': 8 * MIB, is_read_only: true, can_multi_conn: true, can_df: true, contexts: ['base:allocation'] });
    const map = execFileSync(nbdinfo, ['--map', uri], { encoding: 'utf8' });
    expect(map).toMatch(/^\s+0\s+2097152\s+3\s+hole,zero\n\s+2097152\s+4194304\s+0\s+data\n\s+6291456\s+2097152\s+3\s+hole,zero/);
    text = execFileSync(nbdinfo, ['--list', uri], { encoding: 'utf8' });
    expect(text).toContain('export-size: 8388608');
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
  });
});

describe('vm disk and a file system of the guest', () => {
  itWithOracle(it, 'mkfs.ext4', 'shows nothing of it on the host: no boot sector, superblock, name or contents (VHD-01, VHD-03)', async (mkfs) => {
    mkdirSync(at('tree'));
    for (let i = 0; i < 20; i++) writeFileSync(at(`tree/a-file-with-a-name-${i}.txt`), `This is the text of file ${i}, which nobody else may read.\n`.repeat(200));
    execFileSync(mkfs, ['-q', '-F', '-L', 'SECRETLABEL', '-d', at('tree'), at('fs.img'), '8M']);
    const plain = readFileSync(at('fs.img'));
    const fragments = new Set<string>();
    for (let offset = 0; offset < plain.length; offset += 16) {
      const text = plain.toString('latin1', offset, offset + 16);
      if (new Set(text).size > 4) fragments.add(text);
    }
    expect(fragments.size).toBeGreaterThan(200);
    for (const mode of ['payload', 'file']) {
      expect(await vm('convert', '@fs.img', `@${mode}.vhd`, '--encrypt', mode, '--new-key-file', '@key', '--iterations', '1000')).toBe(0);
      const stored = readFileSync(at(`${mode}.vhd`)).toString('latin1');
      for (let offset = 0; offset + 16 <= stored.length; offset++) if (fragments.has(stored.slice(offset, offset + 16))) throw new Error(`${mode}: 16 bytes of the guest at ${offset}`);
      for (const word of ['SECRETLABEL', 'a-file-with-a-name', 'nobody else']) expect(stored.includes(word)).toBe(false);
      await expectContents(`@${mode}.vhd,key=file:@key`, plain);
    }
    // Nothing else was left behind.
    expect(readdirSync(folder).sort()).toEqual(['back.img', 'file.vhd', 'fs.img', 'key', 'payload.vhd', 'tree']);
  });
});

describe('vm disk and Ctrl-C', () => {
  it('leaves the old disk and no new one when a copy is stopped', async () => {
    expect(await vm('create', '@big.img', '--size', '6G')).toBe(0);
    const { child, ended } = start('convert', '@big.img', '@new.vhd', '--encrypt', 'payload', '--new-key-file', '@key', '--iterations', '1000');
    while (!existsSync(at('new.vhd.partial'))) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 100));
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    expect(readdirSync(folder).sort()).toEqual(['big.img', 'key']);
  });
});
