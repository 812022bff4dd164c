import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { VmError } from '@vm/core';
import { buildBusyboxInitramfs } from './busybox-initramfs.ts';
import { runChild } from './child-process.ts';
import type { KernelModule } from './kernel-module.ts';
import { withFileLock } from './file-lock.ts';
import type { CachedGuest, GuestCache } from './guest-cache.ts';
import { type DebianPackage, hasApt, PrivateApt } from './private-apt.ts';
import { explainFileError } from './host-file.ts';
import { makeFolder, requireSpace } from './host-folder.ts';
import type { Progress } from './progress.ts';

export interface FetchOptions {
  readonly architecture?: string; // default: what the name says
  /** Fetch again even when the cache has it. */
  readonly refresh?: boolean;
  /** Lines of a sources.list to take packages from; default: those of the host. */
  readonly sources?: string;
}

const MOST_BYTES = 320 * 2 ** 20; // lists of packages, a kernel with its modules, and what is kept of it
const BUSYBOX = 'busybox-static';
const KERNEL_PATTERN = 'boot/vmlinuz-*';
// Modules are absent where they are part of the kernel.
const MODULES = ['drivers/acpi/button', 'drivers/input/evdev'];
const DRIVERS: Readonly<Record<string, readonly string[]>> = {
  virtio: ['virtio', 'virtio_ring', 'virtio_pci', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev'].map((name) => `drivers/virtio/${name}`).concat('drivers/block/virtio_blk', 'drivers/char/hw_random/virtio-rng', 'drivers/char/virtio_console'),
  ata: ['drivers/ata/libata', 'drivers/ata/ata_piix', 'drivers/scsi/scsi_mod', 'drivers/scsi/scsi_common', 'drivers/scsi/sd_mod', 'block/t10-pi', 'lib/crc-t10dif', 'crypto/crct10dif_common', 'crypto/crct10dif_generic', 'lib/crc64', 'lib/crc64-rocksoft', 'crypto/crc64_rocksoft_generic'],
  hyperv: ['drivers/hv/hv_vmbus'],
  disk: ['fs/ext4/ext4', 'fs/jbd2/jbd2', 'fs/mbcache', 'lib/crc16', 'lib/libcrc32c', 'crypto/crc32c_generic'],
};
const BUSYBOX_PATTERN = 'bin/busybox';
const UNPACK = `file=$1 folder=$2; shift 2
dpkg-deb --fsys-tarfile "$file" | tar -x -C "$folder" --wildcards --no-anchored "$@" 2>&1
find "$folder" -name '*.ko.xz' -exec xz -d {} + 2>/dev/null
exit 0`;

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
  makeFolder(folder);
  requireSpace(folder, MOST_BYTES, name); // apt-get does not come back from a full disk
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
  const take = async (one: DebianPackage, patterns: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>> => {
    progress.step(`fetching ${one.name} ${one.version}`);
    const file = await apt.download(one, (percent) => progress.percent(percent));
    progress.step(`unpacking ${one.name}`);
    const files = await readFromPackage(file, join(folder, 'unpacked'), patterns, one.name);
    rmSync(file);
    return files;
  };
  const files = await take(image, [KERNEL_PATTERN, ...[...MODULES, ...Object.values(DRIVERS).flat()].map((path) => `kernel/${path}.ko*`)]);
  const kernel = fileLike(files, /(^|\/)boot\/vmlinuz-/, image.name);
  const modulesAt = (paths: readonly string[]): KernelModule[] => Array.from(files, ([path, bytes]) => ({ path, name: basename(path), bytes })).filter(({ path }) => paths.some((wanted) => path.endsWith(`/kernel/${wanted}.ko`)));
  const drivers = Object.fromEntries(Object.entries(DRIVERS).map(([set, paths]) => [set, modulesAt(paths)]));
  const initramfs = buildBusyboxInitramfs(fileLike(await take(busybox, [BUSYBOX_PATTERN]), /(^|\/)bin\/busybox$/, busybox.name), modulesAt(MODULES), drivers);
  const packages = [image, busybox].map((one) => ({ name: one.name, version: one.version, sha256: one.sha256 }));
  return cache.store({ name, architecture, packages, known: initramfs.known }, { kernel, initrd: initramfs.bytes });
}

function fileLike(files: ReadonlyMap<string, Uint8Array>, wanted: RegExp, name: string): Uint8Array {
  const path = Array.from(files.keys()).find((one) => wanted.test(one));
  if (path === undefined) throw new VmError('E_HOST', `${name} has no file like ${wanted.source}`);
  return files.get(path)!;
}

/** The files of a package that fit the patterns of tar, by path. The rest is not unpacked: the modules of a kernel are hundreds of megabytes. */
async function readFromPackage(file: string, folder: string, patterns: readonly string[], name: string): Promise<ReadonlyMap<string, Uint8Array>> {
  rmSync(folder, { recursive: true, force: true });
  try {
    makeFolder(folder);
    // sh, because the programs are joined by a pipe; paths come as arguments and are not read as shell text. tar fails when a pattern
    // fits nothing, which is for the caller to judge; what matters here is whether it could write.
    const errors = await runChild('sh', ['-c', UNPACK, 'sh', file, folder, ...patterns]);
    if (/No space left|Disk quota|Cannot (open|write)/.test(errors)) throw new VmError('E_HOST', `cannot unpack ${name} into ${folder}: ${errors.trim().split('\n')[0]!}`);
    const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => statSync(join(folder, path)).isFile());
    return new Map(paths.map((path) => [path, readFileSync(join(folder, path))]));
  } catch (error) {
    if (VmError.is(error)) throw error;
    throw new VmError('E_HOST', `cannot unpack ${name} into ${folder}: ${explainFileError(error)}`, { cause: error });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
