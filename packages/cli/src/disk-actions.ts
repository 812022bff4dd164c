import { existsSync, renameSync, rmSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { checkVhd, type CheckReport, compactVhd, type ContainerBytes, createChild, createDisk, type CreateDiskOptions, createEncryptedChild, type CryptMode, type ImageFile, mergeIntoParent, type NewContainer, openDisk, type OpenedDisk, openImage, openRaw, openVhd, readHeaderFacts, repairVhd, resizeVhd, type VhdDisk } from '@vm/vhd-crypt';
import { nodeKeyMath, parentsBeside } from '@vm/vhd-crypt/node';
import { createByteProgress } from './byte-progress.ts';
import { formatByteSize } from './byte-size.ts';
import type { DiskDescriptor } from './disk-descriptor.ts';
import { askedOnce, diskOptions, openDescribedDisk, openNamedFile } from './disk-opener.ts';
import { type DiskValues, newLuks } from './disk-settings.ts';
import type { StopSignal } from './stop-signal.ts';
import { UsageError } from './usage-error.ts';

const STEP = 2 << 20; // a block of a VHD: one that is all zeros gets no room

export async function createImage({ file: path, format }: DiskDescriptor, values: DiskValues): Promise<void> {
  const { parent, size, type } = values;
  if (parent !== undefined) {
    if (size !== undefined || type !== undefined || values.encrypt === 'file') throw new UsageError('a differencing disk has size and layout of its --parent; --encrypt payload gives it a key of its own');
    return createOver(path, parent, newLuks(values, 'key'));
  }
  if (size === undefined) throw new UsageError('--size SIZE is missing');
  const luks = newLuks(values, 'key');
  await newFile(path, async (file) => createDisk(file, { ...layoutOf(path, format, values), bytes: Math.ceil(size / 512) * 512, ...(luks === undefined ? {} : { luks }) }));
}

function layoutOf(path: string, format: DiskDescriptor['format'], { type, encrypt, compatibility }: DiskValues): Pick<CreateDiskOptions, 'format' | 'type' | 'crypt' | 'compatibility'> {
  const isRaw = type === 'raw' || (type === undefined && (format ?? (/\.(a?vhd|vpc)$/i.test(path) ? 'vhd' : 'raw')) === 'raw');
  return {
    format: isRaw ? 'raw' : 'vhd',
    ...(type === undefined || type === 'raw' ? {} : { type }),
    ...(encrypt === undefined ? {} : { crypt: encrypt }),
    ...(compatibility === undefined ? {} : { compatibility }),
  };
}

async function createOver(path: string, parentPath: string, luks: NewContainer | undefined): Promise<void> {
  const base = await openNamedFile(parentPath, {});
  try {
    const parent = await openVhd(base, { parents: parentsBeside(parentPath) });
    const options = { parent, path: relative(dirname(resolve(path)), resolve(parentPath)), absolutePath: resolve(parentPath) };
    const parents = (): Promise<{ readonly file: ImageFile; readonly parents: ReturnType<typeof parentsBeside> }> => Promise.resolve({ file: { ...base, close: () => Promise.resolve() }, parents: parentsBeside(parentPath) });
    const inner = luks === undefined ? undefined : await besideParent(parentPath, parent, luks);
    await newFile(path, (file) => (inner === undefined ? createChild(file, options) : createEncryptedChild(file, { ...options, luks: inner, parents })));
    await parent.close();
  } finally {
    await base.close();
  }
}

/** A differencing disk has the size of its parent, so its data begins where that of its parent does. */
async function besideParent(path: string, parent: VhdDisk, luks: NewContainer): Promise<NewContainer> {
  const dataAt = await headerBytes({ name: path, bytes: parent.bytes, read: parent.read }, undefined);
  if (luks.version === 2 && dataAt > 0) return { ...luks, dataAt };
  if (luks.version !== 2 && dataAt !== 0 && dataAt !== 2 << 20) throw new UsageError(`${path}: its data begins at ${formatByteSize(dataAt)}, so a disk over it takes --luks 2`);
  return luks;
}

/** A file that is there whole or not at all. */
async function newFile(path: string, fill: (file: ImageFile) => Promise<void>): Promise<void> {
  if (existsSync(path)) throw new UsageError(`${path}: it is there already`);
  const partial = `${path}.partial`;
  rmSync(partial, { force: true });
  const file = await openNamedFile(partial, { create: true });
  try {
    // Errors name the file that was asked for.
    await fill({ ...file, name: path });
    await file.close();
    if (existsSync(path)) throw new UsageError(`${path}: it is there already`);
    renameSync(partial, path);
  } catch (error) {
    await file.close();
    rmSync(partial, { force: true });
    throw error;
  }
}

export async function convertImage(from: DiskDescriptor, to: DiskDescriptor, values: DiskValues, signal: StopSignal): Promise<number> {
  const luks = newLuks(values, 'new-key');
  const source = await openDescribedDisk(from, { writable: false });
  try {
    const bytes = Math.ceil((values.size ?? source.bytes) / 512) * 512;
    if (bytes < source.bytes) throw new UsageError(`${bytes} bytes are fewer than the ${source.bytes} of ${from.file}`);
    await newFile(to.file, async (file) => {
      const layout = layoutOf(to.file, to.format, values);
      // Asked for once: what creates the container keeps it for opening it again.
      const secret = luks === undefined ? null : await luks.keys.getSecret({ purpose: 'create', disk: to.file, uuid: null, attempt: 0 });
      if (luks !== undefined && secret === null) throw new UsageError(`${to.file}: nobody gives a secret for it`);
      const keys = { id: 'kept', getSecret: async ({ attempt }: { readonly attempt: number }) => (attempt === 0 && secret !== null ? Uint8Array.from(secret) : null) };
      try {
        await createDisk(file, { ...layout, bytes, ...(luks === undefined ? {} : { luks: { ...luks, keys } }) });
        const target = await openDisk({ ...file, close: () => Promise.resolve() }, { ...diskOptions({ file: to.file, format: layout.format }), crypt: values.encrypt ?? 'none', keys });
        await copy(source, target, values.encrypt !== undefined && layout.type === 'fixed', signal);
        await target.close();
      } finally {
        secret?.fill(0);
      }
    });
    return bytes;
  } finally {
    await source.close();
  }
}

/** Zeros are not copied where the new disk reads zeros anyway. */
async function copy(from: OpenedDisk, to: OpenedDisk, everything: boolean, signal: StopSignal): Promise<void> {
  const progress = createByteProgress(process.stderr, 'copying');
  const buffer = new Uint8Array(STEP);
  const holes = !everything && (to.format === 'raw' ? to.encryption === null : true);
  try {
    for (let at = 0; at < to.bytes; at += STEP) {
      if (signal.aborted) throw new UsageError('stopped; the old disk is as it was, and there is no new one');
      const part = buffer.subarray(0, Math.min(STEP, to.bytes - at));
      part.fill(0);
      if (at < from.bytes) await from.read(at, part.subarray(0, Math.min(part.length, from.bytes - at)));
      if (!holes || part.some((byte) => byte !== 0)) await to.write(at, part);
      progress.update(at + part.length, to.bytes);
    }
    await to.flush();
  } finally {
    progress.done();
  }
}

/** What checking and mending work on: the VHD itself, which a whole encrypted file hides. */
async function withImage<T>(descriptor: DiskDescriptor, writable: boolean, work: (image: ImageFile) => Promise<T>): Promise<T> {
  const options = diskOptions(descriptor);
  if (options.format === 'raw') throw new UsageError(`${descriptor.file}: a raw image has no structures; this is for VHD files (.vhd, or format=vhd)`);
  const { image } = await openImage(await openNamedFile(descriptor.file, { writable }), descriptor.crypt === 'none' ? { ...options, crypt: 'none' } : options);
  try {
    return await work(image);
  } finally {
    await image.close();
  }
}

export const checkImage = (descriptor: DiskDescriptor): Promise<CheckReport> => withImage(descriptor, false, checkVhd);
export const repairImage = (descriptor: DiskDescriptor, dropBlocks: boolean): Promise<CheckReport> => withImage(descriptor, true, (image) => repairVhd(image, { dropBlocks }));

/** The size is the guest's; what encryption takes stays on top. */
export async function resizeImage(descriptor: DiskDescriptor, bytes: number, shrink: boolean): Promise<number> {
  const asked = Math.ceil(bytes / 512) * 512;
  const options = { shrink };
  if (diskOptions(descriptor).format === 'raw') return resizeRaw(descriptor, asked, shrink);
  return withImage(descriptor, true, async (image) => {
    const taken = await headerOfImage(image, descriptor);
    return (await resizeVhd(image, asked + taken, options)) - taken;
  });
}

async function resizeRaw(descriptor: DiskDescriptor, bytes: number, shrink: boolean): Promise<number> {
  const file = await openNamedFile(descriptor.file, { writable: true });
  try {
    const taken = await headerOfImage(file, descriptor);
    const before = (await file.bytes()) - taken;
    if (bytes < before && !shrink) throw new UsageError(`${bytes} bytes are fewer than the ${before} of the disk, and what lies past them would be lost; --shrink does it`);
    await file.resize(bytes + taken);
    await file.flush();
    return bytes;
  } finally {
    await file.close();
  }
}

async function headerOfImage(image: ImageFile, descriptor: DiskDescriptor): Promise<number> {
  const vhd = diskOptions(descriptor).format === 'raw' ? null : await openVhd({ ...image, close: () => Promise.resolve() }, { writable: false, parents: parentsBeside(descriptor.file) });
  const disk = vhd ?? (await openRaw(image, false));
  try {
    return await headerBytes({ name: descriptor.file, bytes: disk.bytes, read: (at, into) => disk.read(at, into) }, descriptor.crypt);
  } finally {
    await vhd?.close();
  }
}

/** What a container takes of the payload; 0 without one. */
async function headerBytes(disk: Pick<ContainerBytes, 'name' | 'bytes' | 'read'>, crypt: CryptMode | undefined): Promise<number> {
  const first = new Uint8Array(6);
  if (disk.bytes >= first.length) await disk.read(0, first);
  if (crypt === 'none' || String.fromCharCode(...first) !== 'LUKS\xba\xbe') return 0;
  return (await readHeaderFacts({ ...disk, write: () => Promise.reject(new Error('read only')), flush: () => Promise.resolve() }, { math: nodeKeyMath() })).dataAt;
}

/** With a key, blocks whose guest wrote zeros go too; without one they look like any others. */
export async function compactImage(descriptor: DiskDescriptor, signal: StopSignal): Promise<string> {
  const progress = createByteProgress(process.stderr, 'compacting');
  try {
    return await withImage(descriptor, true, async (image) => {
      const plain = descriptor.key === undefined || descriptor.holes === 'noise' ? null : await openDisk({ ...image, writable: false, close: () => Promise.resolve() }, { ...diskOptions(descriptor), writable: false, ...((await isPayload(image, descriptor)) ? {} : { crypt: 'none' as const }) });
      const table = plain?.vhd?.table ?? null;
      const isEmptyFor = plain === null || plain.encryption === null || plain.vhd === null || table === null ? undefined : emptyBlocks(plain, plain.vhd.bytes - plain.bytes, table.header.blockBytes);
      const { before, after, droppedBlocks, movedBlocks } = await compactVhd(image, { signal, progress: (done, total) => progress.update(done, total), ...(isEmptyFor === undefined ? {} : { isEmptyFor }) });
      return `${formatByteSize(before)} to ${formatByteSize(after)}, ${droppedBlocks} blocks given back, ${movedBlocks} moved`;
    });
  } finally {
    progress.done();
  }
}

async function isPayload(image: ImageFile, descriptor: DiskDescriptor): Promise<boolean> {
  return (await headerOfImage(image, descriptor)) > 0;
}

/** Whether the guest would read zeros in a block of the payload that is wholly its own. */
function emptyBlocks(plain: OpenedDisk, dataAt: number, blockBytes: number): (block: number) => Promise<boolean> {
  const buffer = new Uint8Array(blockBytes);
  return async (block) => {
    const begin = block * blockBytes - dataAt;
    if (begin < 0) return false;
    const part = buffer.subarray(0, Math.min(blockBytes, plain.bytes - begin));
    await plain.read(begin, part);
    return part.every((byte) => byte === 0);
  };
}

export async function mergeImage(descriptor: DiskDescriptor, remove: boolean, signal: StopSignal): Promise<string> {
  const { file: path } = descriptor;
  const find = parentsBeside(path);
  const options = diskOptions(descriptor);
  const keys = askedOnce(options.keys ?? options.fallbackKeys);
  const progress = createByteProgress(process.stderr, 'merging');
  let parentPath = '';
  let told = '';
  const child = await openDisk(await openNamedFile(path, { writable: true }), { ...options, writable: false, fallbackKeys: keys, parents: async (name) => {
    const found = await find(name);
    if (found !== null) parentPath = found.file.name;
    return found;
  } });
  try {
    if (child.vhd === null || child.vhd.parent === null) throw new UsageError(`${path}: it has no parent to be merged into`);
    const parent = await openDisk(await openNamedFile(parentPath, { writable: true }), { ...options, format: 'vhd', fallbackKeys: keys, parents: parentsBeside(parentPath) });
    try {
      if (parent.vhd === null) throw new UsageError(`${parentPath}: it is no VHD`);
      const plain = child.encryption === null ? {} : { plain: { child, parent, dataAt: child.vhd.bytes - child.bytes, sameKey: child.encryption.uuid === parent.encryption?.uuid } };
      told = `${formatByteSize(await mergeIntoParent(child.vhd, parent.vhd, { signal, progress: (done, total) => progress.update(done, total), ...plain }))} stored in ${parentPath}`;
    } finally {
      await parent.close();
    }
  } finally {
    progress.done();
    keys.close();
    await child.close();
  }
  if (!remove) return told;
  rmSync(path);
  return `${told}, ${path} removed`;
}
