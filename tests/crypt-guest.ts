import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { type CachedGuest, type CpioEntry, createProgress, defaultCacheFolder, fetchGuest, GuestCache, writeCpio } from '@vm/cli';
import { type KernelModule, orderModules } from '../packages/cli/src/kernel-module.ts';
import { type DebianPackage, PrivateApt } from '../packages/cli/src/private-apt.ts';

/** What cryptsetup needs of the kernel: the device mapper, what LUKS2 is encrypted with by default, Adiantum, and the way to all of it from programs. */
const MODULES = [
  ...['dm-mod', 'dm-crypt', 'dm-bufio', 'dm-integrity'].map((name) => `drivers/md/${name}`),
  ...['xts', 'ecb', 'authenc', 'gf128mul', 'ghash-generic', 'ctr', 'gcm', 'adiantum', 'nhpoly1305', 'chacha_generic', 'xor', 'async_tx/async_tx', 'async_tx/async_xor', 'af_alg', 'algif_skcipher', 'algif_hash', 'algif_aead'].map((name) => `crypto/${name}`),
  ...['libchacha', 'libpoly1305'].map((name) => `lib/crypto/${name}`),
];
/** The library that others load where a thread ends; nobody is linked with it. */
const LOADED_LATER = '/lib/x86_64-linux-gnu/libgcc_s.so.1';

export interface CryptGuest {
  readonly kernel: string;
  readonly initrd: Uint8Array;
}

/**
 * A guest of Debian with the host's cryptsetup, the libraries it is linked with, and the modules of the guest's own kernel, from the
 * package that the kernel came from; `files` lie at its root. `load-modules` loads them.
 */
export async function cryptGuest(name: string, cryptsetup: string, folder: string, files: Readonly<Record<string, Uint8Array>>): Promise<CryptGuest> {
  const { guest, modules } = await guestWithModules(name, MODULES, folder);
  const file = (path: string, bytes: Uint8Array, mode = 0o644): CpioEntry => ({ kind: 'file', path, bytes, mode });
  const entries: CpioEntry[] = [
    ...['lib64', 'lib/x86_64-linux-gnu', 'run', 'run/cryptsetup', 'crypt-modules'].map((path): CpioEntry => ({ kind: 'folder', path })),
    ...librariesOf(cryptsetup).map((path) => file(path.slice(1).replace(/^usr\//, ''), readFileSync(path), 0o755)),
    file('sbin/cryptsetup', readFileSync(cryptsetup), 0o755),
    ...modules.map((module) => file(`crypt-modules/${module.name}`, module.bytes)),
    file('bin/load-modules', Buffer.from(`#!/bin/sh\n${modules.map((module) => `insmod /crypt-modules/${module.name}\n`).join('')}`), 0o755),
    ...Object.entries(files).map(([path, bytes]) => file(path, bytes)),
  ];
  return { kernel: guest.kernel, initrd: gzipSync(Buffer.concat([gunzipSync(readFileSync(guest.initrd)), writeCpio(entries)]), { level: 1 }) };
}

/** A guest from the cache or fetched, and modules of its own kernel by their places below /lib/modules/.../kernel, each behind those that it needs. */
export async function guestWithModules(name: string, wanted: readonly string[], folder: string): Promise<{ readonly guest: CachedGuest; readonly modules: readonly KernelModule[] }> {
  const cache = new GuestCache(defaultCacheFolder());
  const progress = createProgress(process.stderr);
  let guest = await fetchGuest(cache, name, progress);
  const apt = await PrivateApt.open(join(cache.folder, 'apt', 'amd64'), 'amd64', null);
  const [made] = guest.record.packages;
  let image = await apt.find(made!.name);
  if (image?.version !== made!.version) {
    // The package is no longer to be had: a kernel and its modules come from one.
    guest = await fetchGuest(cache, name, progress, { refresh: true });
    image = await apt.find(guest.record.packages[0]!.name);
  }
  const modules = orderModules(modulesOf(await apt.download(image as DebianPackage, () => {}), wanted, join(folder, 'modules')));
  return { guest, modules };
}

/** The libraries of a program, with those they need, and their loader. */
export function librariesOf(program: string): string[] {
  const linked = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...new Set([...linked.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path]) => path!).concat(LOADED_LATER))];
}

function modulesOf(packageFile: string, paths: readonly string[], folder: string): { name: string; bytes: Uint8Array }[] {
  mkdirSync(folder);
  try {
    const wanted = paths.map((path) => `'*/kernel/${path}.ko*'`).join(' ');
    // tar fails for a module that is a part of the kernel.
    execFileSync('sh', ['-c', `dpkg-deb --fsys-tarfile "$0" | tar -x -C "$1" --wildcards ${wanted} 2>/dev/null; find "$1" -name '*.ko.xz' -exec xz -d {} +`, packageFile, folder], { stdio: 'pipe' });
    const found = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ko'));
    return found.map((path) => ({ name: basename(path), bytes: readFileSync(join(folder, path)) }));
  } finally {
    rmSync(folder, { recursive: true });
    rmSync(packageFile);
  }
}
