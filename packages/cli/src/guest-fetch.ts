import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { VmError } from '@vm/core';
import { buildBusyboxInitramfs } from './busybox-initramfs.ts';
import { runChild } from './child-process.ts';
import { withFileLock } from './file-lock.ts';
import type { CachedGuest, GuestCache } from './guest-cache.ts';
import { type DebianPackage, hasApt, PrivateApt } from './private-apt.ts';
import type { Progress } from './progress.ts';

export interface FetchOptions {
  readonly architecture?: string; // default: what the name says
  /** Fetch again even when the cache has it. */
  readonly refresh?: boolean;
  /** Lines of a sources.list to take packages from; default: those of the host. */
  readonly sources?: string;
}

const BUSYBOX = 'busybox-static';

/** Debian's architecture for the kernels of a name. */
export function architectureOf(name: string): string {
  return /(^|-)(686|586|i386)(-|$)/.test(name) ? 'i386' : 'amd64';
}

/** A kernel by the name of its Debian package, with an initramfs made for it. From the cache when it is there. Throws VmError E_HOST. */
export async function fetchGuest(cache: GuestCache, name: string, progress: Progress, options: FetchOptions = {}): Promise<CachedGuest> {
  const architecture = options.architecture ?? architectureOf(name);
  const cached = options.refresh === true ? null : cache.find(name, architecture);
  if (cached !== null) return cached;
  if (options.sources === undefined && !hasApt()) throw new VmError('E_HOST', 'fetching a guest needs apt-get and its sources, which this host has not');
  try {
    return await withFileLock(join(cache.folder, 'lock'), (owner) => progress.step(`waiting for process ${owner}, which fetches too`), async () => {
      const meanwhile = options.refresh === true ? null : cache.find(name, architecture);
      return meanwhile ?? (await fetchInto(cache, name, architecture, progress, options.sources ?? null));
    });
  } finally {
    progress.done();
  }
}

async function fetchInto(cache: GuestCache, name: string, architecture: string, progress: Progress, sources: string | null): Promise<CachedGuest> {
  const folder = join(cache.folder, 'apt', architecture);
  const apt = await PrivateApt.open(folder, architecture, sources);
  progress.step(`reading the lists of packages (${architecture})`);
  // One source of several may be out of order, and the package be in another.
  const trouble = await apt.update((percent) => progress.percent(percent)).catch((error: unknown) => error);
  const find = async (wanted: string): Promise<DebianPackage> => {
    const one = await apt.find(wanted);
    if (one !== null) return one;
    throw trouble instanceof Error ? trouble : new VmError('E_HOST', `this host's package sources have no package ${wanted} for ${architecture}`);
  };
  const image = await find(name);
  const busybox = await find(BUSYBOX);
  const take = async (one: DebianPackage, wanted: RegExp): Promise<Uint8Array> => {
    progress.step(`fetching ${one.name} ${one.version}`);
    const file = await apt.download(one, (percent) => progress.percent(percent));
    progress.step(`unpacking ${one.name}`);
    const bytes = await readFromPackage(file, join(folder, 'unpacked'), wanted, one.name);
    rmSync(file);
    return bytes;
  };
  const kernel = await take(image, /^boot\/vmlinuz-/);
  const initramfs = buildBusyboxInitramfs(await take(busybox, /^(usr\/)?bin\/busybox$/));
  const packages = [image, busybox].map((one) => ({ name: one.name, version: one.version, sha256: one.sha256 }));
  return cache.store({ name, architecture, packages, known: initramfs.known }, { kernel, initrd: initramfs.bytes });
}

/** One file of a package. Only the folder it may lie in is unpacked: the modules of a kernel are hundreds of megabytes. */
async function readFromPackage(file: string, folder: string, wanted: RegExp, name: string): Promise<Uint8Array> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  try {
    // sh, because the two programs are joined by a pipe; paths come as arguments and are not read as shell text.
    await runChild('sh', ['-c', 'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards --no-anchored "boot/vmlinuz-*" "bin/busybox" 2>/dev/null; exit 0', 'sh', file, folder]);
    const path = readdirSync(folder, { recursive: true, encoding: 'utf8' }).find((one) => wanted.test(one));
    if (path === undefined) throw new VmError('E_HOST', `${name} has no file like ${wanted.source}`);
    return readFileSync(join(folder, path));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
