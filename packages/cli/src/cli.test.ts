import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runCli } from './cli.ts';

let folder = '';
let printed: string[] = [];
let refused: string[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vm-cli-'));
  printed = [];
  refused = [];
  vi.spyOn(console, 'log').mockImplementation((text: string) => void printed.push(text));
  vi.spyOn(console, 'error').mockImplementation((text: string) => void refused.push(text));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

describe('refuses with one line and exit code 2', () => {
  it.each([
    [['boto'], 'vm: unknown command boto; did you mean boot?'],
    [['destroy'], 'vm: unknown command destroy; vm --help lists the commands'],
    [['--versoin'], 'vm: unknown option --versoin; vm --help lists the commands'],
    [['help', 'bot'], 'vm: unknown command bot; did you mean boot?'],
    [['boot'], 'vm boot: --kernel FILE is missing, or --multiboot FILE or --rom FILE'],
    [['boot', '--kernel', 'x', '--rom', 'y'], 'vm boot: --kernel and --rom exclude each other'],
    [['boot', '--kernel', 'x', '--module', 'y'], 'vm boot: --module goes with --multiboot'],
    [['boot', '--rom', 'x', '--append', 'y'], 'vm boot: --append goes with --kernel or --multiboot'],
    [['boot', '--multiboot', 'x', '--initrd', 'y'], 'vm boot: --initrd goes with --kernel'],
    [['boot', '--rom', 'x', '--post-port', '0x10000'], 'vm boot: --post-port: expected a port such as 0xe9, got "0x10000"'],
    [['boot', '--rom', 'x', '--char-port', 'com1'], 'vm boot: --char-port: expected a port such as 0xe9, got "com1"'],
    [['boot', '--rom', 'x', '--pass', '256'], 'vm boot: --pass: expected a byte such as 0xff, got "256"'],
    [['boot', '--rom', '/does/not/exist'], 'vm boot: --rom /does/not/exist: there is no such file'],
    [['boot', '--rom', '/dev/null'], 'vm boot: ROM: expected pages of 4 KiB, as in 64 KiB, and at most 8 MiB; got 0 bytes'],
    [['boot', '--multiboot', '/dev/null'], 'vm boot: multiboot: no multiboot header in its first 8 KiB'],
    [['boot', '--multiboot', '/dev/null', '--module', '/a file'], 'vm boot: --module /a: there is no such file'],
    [['boot', '--kernal', 'x'], 'vm boot: unknown option --kernal; did you mean --kernel?'],
    [['boot', 'bzImage'], 'vm boot: unexpected "bzImage"; values follow an option, as in --kernel FILE'],
    [['boot', '--kernel', 'x', '--prompt', '$'], 'vm boot: --prompt goes with --script'],
    [['boot', '--kernel', '/does/not/exist'], 'vm boot: --kernel /does/not/exist: there is no such file'],
    [['boot', '--kernel', '/'], 'vm boot: --kernel /: it is a directory'],
    [['boot', '--kernel', '/dev/null', '--memory', '0'], 'vm boot: --memory: expected a size such as 512M or 2G, got "0"'],
    [['boot', '--kernel', '/dev/null', '--stats=xml'], 'vm boot: --stats: expected nothing or json, got "xml"'],
    [['boot', '--kernel', '/dev/null'], 'vm boot: kernel: expected at least 1024 bytes, got 0'],
    [['boot', '--kernel', '/dev/null', '--seed', '4294967296'], 'vm boot: --seed: expected a number from 0 to 4294967295, got "4294967296"'],
    [['guest'], 'vm guest: expected fetch NAME or list'],
    [['guest', 'fecth', 'x'], 'vm guest: expected fetch NAME or list, got fecth x; did you mean fetch?'],
    [['guest', 'fetch'], 'vm guest: fetch needs the name of a package, for example linux-image-cloud-amd64'],
    [['guest', 'fetch', '../x'], 'vm guest: "../x" is no name of a Debian package'],
    [['guest', 'fetch', 'a1', 'b'], 'vm guest: fetch takes one name, got a1 b'],
    [['guest', 'fetch', 'linux', '--arch', 'arm64'], 'vm guest: --arch: expected amd64 or i386, got "arm64"'],
    [['start', 'now'], 'vm start: unexpected "now"'],
  ])('%j', async (args, line) => {
    expect(await runCli(args)).toBe(2);
    expect([refused, printed]).toEqual([[line], []]);
  });

  it('a kernel that is none, and an initrd that does not fit', async () => {
    const text = join(folder, 'text');
    writeFileSync(text, 'This is no kernel, whatever its name says.\n'.repeat(100));
    expect(await runCli(['boot', '--kernel', text])).toBe(2);
    expect(refused).toEqual(['vm boot: kernel: it is neither a bzImage nor an ELF file: the boot signature 55 aa at 0x1fe is missing']);
    const kernel = join(folder, 'kernel');
    writeFileSync(kernel, smallKernel());
    expect(await runCli(['boot', '--kernel', kernel, '--initrd', text, '--memory', '1M'])).toBe(2);
    expect(refused[1]).toMatch(/^vm boot: too little RAM: the kernel needs RAM up to 2 MiB, below 4 GiB there are 1 MiB$/);
  });
});

describe('vm start', () => {
  afterEach(() => vi.unstubAllEnvs());

  it('says in three lines what to do where there is neither a guest nor apt-get', async () => {
    vi.stubEnv('VM_CACHE', folder);
    vi.stubEnv('PATH', folder);
    expect(await runCli(['start'])).toBe(2);
    expect(refused).toHaveLength(1);
    expect(refused[0]!.split('\n')).toHaveLength(3);
    expect(refused[0]).toContain('VM_KERNEL=/path/to/vmlinuz VM_INITRD=/path/to/initrd npm start');
  });

  it('wants both files of a guest', async () => {
    vi.stubEnv('VM_KERNEL', '/boot/vmlinuz');
    expect(await runCli(['start'])).toBe(2);
    expect(refused).toEqual(['vm start: VM_KERNEL and VM_INITRD go together; VM_INITRD is missing']);
  });

  it('says which of them cannot be read', async () => {
    vi.stubEnv('VM_KERNEL', '/does/not/exist');
    vi.stubEnv('VM_INITRD', '/etc/passwd');
    expect(await runCli(['start'])).toBe(2);
    expect(refused).toEqual(['vm start: VM_KERNEL /does/not/exist: there is no such file']);
  });
});

it.each([[['--help']], [['help']], [[]]])('lists its commands for %j', async (args) => {
  expect(await runCli(args)).toBe(0);
  for (const name of ['start', 'boot', 'guest', 'exec']) expect(printed.join()).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
});

it.each([[['boot', '--help']], [['help', 'boot']], [['boot', '--kernel', 'x', '-h']]])('explains a command with options and examples for %j', async (args) => {
  expect(await runCli(args)).toBe(0);
  expect(printed.join()).toContain('--kernel FILE');
  expect(printed.join()).toContain('examples:\n  vm boot ');
});

it('knows each command by the name that the command has', async () => {
  for (const name of ['start', 'boot', 'run', 'devices', 'guest', 'disk', 'snapshot', 'ctl', 'exec', 'longmode']) {
    expect(await runCli(['help', name])).toBe(0);
    expect(printed.pop()).toMatch(new RegExp(`^usage: vm ${name}\\b`));
  }
});

it('prints its version', async () => {
  expect(await runCli(['--version'])).toBe(0);
  expect(printed.join()).toMatch(/^\d+\.\d+\.\d+$/);
});

/** A setup header and some code, enough to be looked at. */
function smallKernel(): Uint8Array {
  const image = new Uint8Array(4096);
  const view = new DataView(image.buffer);
  view.setUint8(0x1f1, 1);
  view.setUint32(0x1f4, (4096 - 1024) / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint8(0x201, 0x6a);
  view.setUint32(0x202, 0x5372_6448, true);
  view.setUint16(0x206, 0x20f, true);
  view.setUint8(0x211, 1);
  view.setUint16(0x236, 1, true);
  return image;
}
