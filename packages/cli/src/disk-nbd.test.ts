import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findOracle, itWithOracle } from '@vm/testkit/oracle';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runCli } from './cli.ts';

const MIB = 2 ** 20;
const QUICK = ['--luks', '2', '--kdf', 'argon2id', '--iterations', '1', '--kdf-memory', '64K'];
const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
let folder = '';
const at = (name: string): string => join(folder, name);
const children: ReturnType<typeof spawn>[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vm-disk-nbd-'));
  writeFileSync(at('key'), 'geheim');
  vi.spyOn(console, 'log').mockImplementation(() => undefined);
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

/** A disk of 4 MiB with something everywhere. */
async function make(name: string, ...options: readonly string[]): Promise<Buffer> {
  const data = Buffer.from(Uint8Array.from({ length: 4 * MIB }, (_, i) => 1 + ((i * 7 + (i >> 9)) % 255)));
  writeFileSync(at('data.img'), data);
  expect(await runCli(['disk', 'convert', at('data.img'), at(name), '--encrypt', 'payload', '--new-key-file', at('key'), ...options])).toBe(0);
  return data;
}
async function contentsOf(name: string): Promise<Buffer> {
  rmSync(at('back.img'), { force: true });
  expect(await runCli(['disk', 'convert', `${at(name)},key=file:${at('key')}`, at('back.img')])).toBe(0);
  return readFileSync(at('back.img'));
}
/** The address of the disk, while `work` is done with it. */
async function served(disk: string, work: (uri: string) => void): Promise<void> {
  const child = spawn(process.execPath, ['--conditions=vm-source', '--disable-warning=ExperimentalWarning', MAIN, 'disk', 'export', disk, '--socket', at('socket')], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const ended = new Promise((resolve) => child.on('exit', resolve));
  const uri = await new Promise<string>((resolve) => {
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.endsWith('\n')) resolve(text.trim());
    });
    child.on('exit', () => resolve(text));
  });
  work(uri);
  child.kill('SIGINT');
  expect(await ended).toBe(0);
}

describe('vm disk export of LUKS2, and of ciphertext', () => {
  itWithOracle(it, 'qemu-io', 'stores parts of sectors of 4 KiB, many at once, and loses none', async (qemuIo) => {
    const data = await make('disk.vhd', ...QUICK);
    const stores = Array.from({ length: 64 }, (_, i) => ({ at: MIB + ((i * 13) % 64) * 512, value: i + 1 }));
    await served(`${at('disk.vhd')},key=file:${at('key')}`, (uri) => {
      const commands = [...stores.map((store) => `aio_write -P ${store.value} ${store.at} 512`), 'aio_flush', 'write -P 0xa5 700 9000', 'flush'];
      expect(execFileSync(qemuIo, ['-f', 'raw', uri, ...commands.flatMap((command) => ['-c', command])], { encoding: 'utf8' })).not.toContain('failed');
    });
    for (const store of stores) data.fill(store.value, store.at, store.at + 512);
    data.fill(0xa5, 700, 9700);
    expect((await contentsOf('disk.vhd')).equals(data)).toBe(true);
  });

  itWithOracle(it, 'qemu-img', 'gives a VHD away without its key: QEMU decrypts the other side\'s LUKS1', async (qemuImg) => {
    const data = await make('disk.vhd', '--iterations', '1000');
    await served(`${at('disk.vhd')},crypt=none,readonly`, () => {
      const options = `driver=luks,key-secret=s,file.driver=nbd,file.server.type=unix,file.server.path=${at('socket')}`;
      execFileSync(qemuImg, ['convert', '--object', `secret,id=s,file=${at('key')}`, '--image-opts', options, '-O', 'raw', at('theirs.img')]);
    });
    expect(readFileSync(at('theirs.img')).subarray(0, data.length).equals(data)).toBe(true);
  });

  itWithOracle(it, 'nbdcopy', 'gives a VHD away without its key: what was copied is LUKS2 for cryptsetup, and opens', async (nbdcopy) => {
    const data = await make('disk.vhd', ...QUICK);
    await served(`${at('disk.vhd')},crypt=none,readonly`, (uri) => void execFileSync(nbdcopy, [uri, at('copy.img')]));
    const cryptsetup = findOracle('cryptsetup');
    if (cryptsetup !== null) execFileSync(cryptsetup, ['open', '--test-passphrase', '--key-file', at('key'), at('copy.img')], { stdio: 'pipe' });
    expect(readFileSync(at('copy.img')).includes(data.subarray(0, 16))).toBe(false);
    expect((await contentsOf('copy.img')).subarray(0, data.length).equals(data)).toBe(true);
  });
});
