import { createCipherRegistry, type CipherRegistry } from './cipher-registry.ts';
import type { ContainerBytes, ContainerFacts, ContainerModule, OpenedContainer } from './container.ts';
import { CryptError } from './crypt-error.ts';
import { encryptedDisk, type EncryptedDiskOptions, type HolePolicy } from './encrypted-disk.ts';
import { encryptedFile } from './encrypted-file.ts';
import type { MappedDisk } from './extent.ts';
import { openRaw } from './fixed-disk.ts';
import type { SizeRule } from './geometry.ts';
import type { ImageFile } from './image-file.ts';
import { openVhd, type ParentSource, type VhdDisk } from './open-vhd.ts';
import { imagePayload, payloadBytes } from './payload.ts';
import type { Reencryption } from './reencrypting-disk.ts';
import type { KeySource } from './sector-cipher.ts';
import { findShift, shiftedDisk } from './shifted-disk.ts';
import { VhdError } from './vhd-error.ts';

export type DiskFormat = 'raw' | 'vhd';

/** Where the encryption is: nowhere, in the disk that the VHD holds, or around the whole file. */
export type CryptMode = 'none' | 'payload' | 'file';

export interface DiskOptions {
  readonly format: DiskFormat;
  readonly writable?: boolean;
  readonly parents?: ParentSource;
  readonly size?: SizeRule;
  /** Default: what the image is found to be; `none` shows the ciphertext as it is. */
  readonly crypt?: CryptMode;
  /** What can be opened. Without any, an encrypted image is refused. */
  readonly containers?: readonly ContainerModule[];
  readonly ciphers?: CipherRegistry;
  /** Given for an image that is not encrypted, it is refused. */
  readonly keys?: KeySource;
  /** Asked only when the image turns out to be encrypted and `keys` is not given. */
  readonly fallbackKeys?: KeySource;
  readonly holes?: HolePolicy;
  /** Opens parents that have keys of their own. Default: the same as for the disk. */
  readonly parentKeys?: KeySource;
  /** What `root` of the disk gave when it was last used: anything older or changed is refused. For containers that prove their sectors. */
  readonly root?: string;
}

/** A disk ready for a machine, whatever it is kept in. */
export interface OpenedDisk extends MappedDisk {
  readonly format: DiskFormat;
  readonly crypt: CryptMode;
  /** Null for a disk without encryption. */
  readonly encryption: ContainerFacts | null;
  readonly holes: HolePolicy;
  readonly vhd: VhdDisk | null;
  /** Goes on with encrypting it anew, while it is used or not; null when that is not under way. */
  readonly reencryption: Reencryption | null;
  readonly warnings: readonly string[];
  /** Stands for all that is stored, where sectors are proved; null elsewhere. Stores what is to be stored. */
  readonly root: (() => Promise<string>) | null;
  /** Stores what is to be stored, forgets the key and closes the files. */
  close(): Promise<void>;
}

const PROBE_BYTES = 4096;
const NO_KEYS: KeySource = { id: 'none', getSecret: () => Promise.resolve(null) };

/** Opens an image, its parents and its encryption. The file is closed when that fails, too. */
export async function openDisk(file: ImageFile, options: DiskOptions): Promise<OpenedDisk> {
  const undo: (() => Promise<void>)[] = [() => file.close()];
  try {
    return await open(file, options, undo);
  } catch (error) {
    for (const step of undo.reverse()) await step().catch(() => undefined);
    throw error;
  }
}

/** The VHD in a file that may be encrypted whole: what checking, repairing and compacting work on. `crypt` says which it was. */
export async function openImage(file: ImageFile, options: DiskOptions): Promise<{ readonly image: ImageFile; readonly container: OpenedContainer | null }> {
  try {
    return await openWholeFile(file, options, []);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openWholeFile(file: ImageFile, options: DiskOptions, undo: (() => Promise<void>)[]): Promise<{ readonly image: ImageFile; readonly container: OpenedContainer | null }> {
  const { format, crypt, keys = options.fallbackKeys ?? NO_KEYS, ciphers = createCipherRegistry([]) } = options;
  // A raw image has nothing around its payload.
  if (format === 'raw' || crypt === 'none' || crypt === 'payload') return { image: file, container: null };
  const module = await findContainer(file, await file.bytes(), options, crypt === 'file');
  // A fixed VHD begins with its payload; its footer at the end tells it from a file that is encrypted whole.
  if (module === null || (crypt !== 'file' && (await hasFooter(file)))) return { image: file, container: null };
  const container = await module.open(await containerBytes(file), { ciphers, keys });
  undo.push(() => container.cipher.close());
  return { image: encryptedFile(file, container), container };
}

async function open(file: ImageFile, options: DiskOptions, undo: (() => Promise<void>)[]): Promise<OpenedDisk> {
  const { format, keys = options.fallbackKeys ?? NO_KEYS, ciphers = createCipherRegistry([]), holes = 'zero' } = options;
  const writable = options.writable ?? file.writable;
  const outer = await openWholeFile(file, options, undo);
  const { image } = outer;
  let { container } = outer;
  let crypt: CryptMode | null = container === null ? (options.crypt ?? null) : 'file';
  const { parents, size } = options;
  const vhd = format === 'raw' ? null : await openVhd(image, { writable, ...(parents === undefined ? {} : { parents }), ...(size === undefined ? {} : { size }) });
  if (vhd !== null) undo.push(() => vhd.close());
  let disk: MappedDisk = vhd ?? (await openRaw(image, writable));
  const opened: OpenedContainer[] = [];
  undo.push(async () => {
    for (const { cipher } of opened) await cipher.close();
  });
  if (crypt === null || crypt === 'payload') {
    const plain = await openPayload(file.name, disk, vhd, { ...options, keys, ciphers }, crypt === 'payload', opened);
    if (plain !== null) {
      disk = plain;
      container = opened[0] ?? null;
    } else if (options.keys !== undefined && crypt === null) throw new CryptError(file.name, 'request', 'it is not encrypted, and a key was given for it');
    crypt = plain === null ? 'none' : 'payload';
    // Encrypting it was cut off at the beginning, or decrypting it at the end.
    const found = plain === null ? await findShift(disk) : null;
    if (found !== null) disk = shiftedDisk(file.name, disk, found.shift, found.marked);
  }
  const { bytes, allocationBytes } = disk;
  const root = opened[0]?.root ?? null;
  if (options.root !== undefined && root === null) throw new CryptError(file.name, 'request', 'it has no root: its sectors are not proved');
  let closed = false;
  return {
    bytes, writable: disk.writable, allocationBytes, format, crypt, holes, vhd,
    encryption: container?.facts ?? null,
    reencryption: opened[0]?.reencryption ?? null,
    warnings: vhd?.warnings ?? [],
    root,
    read: (at, into) => disk.read(at, into),
    write: (at, from) => disk.write(at, from),
    flush: () => disk.flush(),
    discard: (at, count) => disk.discard(at, count),
    writeZeroes: (at, count) => disk.writeZeroes(at, count),
    extents: (at, count) => disk.extents(at, count),
    async close() {
      if (closed) return;
      closed = true;
      try {
        if (disk.writable) await disk.flush();
      } finally {
        for (const { cipher } of opened) await cipher.close();
      }
      try {
        const { finish, reencryption = null } = opened[0] ?? {};
        const { done, total } = reencryption?.progress() ?? { done: 0, total: 1 };
        if (disk.writable && done === total) await finish?.(imagePayload(image, { format, ...(parents === undefined ? {} : { parents }) }));
      } finally {
        if (vhd === null) await image.close();
        else await vhd.close();
      }
    },
  };
}

type PayloadOptions = DiskOptions & { readonly keys: KeySource; readonly ciphers: CipherRegistry };

/**
 * Decrypts the disk that an image holds; null when it is not encrypted. A differencing disk with a container of its own has a key
 * of its own, and its parents are opened with theirs; one that shows its parent's container shares that key.
 */
async function openPayload(name: string, payload: MappedDisk, vhd: VhdDisk | null, options: PayloadOptions, wanted: boolean, opened: OpenedContainer[]): Promise<MappedDisk | null> {
  const { keys, ciphers, holes = 'zero' } = options;
  const bytes = payloadBytes(name, payload);
  const module = await findContainer(bytes, payload.bytes, options, wanted);
  if (module === null) return null;
  const container = await module.open(bytes, { ciphers, keys });
  opened.push(container);
  const decrypt = async (rest: EncryptedDiskOptions): Promise<MappedDisk> => (await container.makeDisk?.(payload, rest)) ?? encryptedDisk(name, payload, container, rest);
  const below = vhd?.parent ?? null;
  const { root } = options;
  if (below === null || !(await hasOwnKey(name, module, payload, below))) return decrypt({ holes, ...(root === undefined ? {} : { root }) });
  const parent = (await openPayload(`the parent of ${name}`, below, below, { ...options, keys: options.parentKeys ?? keys }, false, opened)) ?? below;
  if (payload.bytes - container.dataAt !== parent.bytes) throw new CryptError(name, 'request', `the disk of its parent has ${parent.bytes} bytes, and this one ${payload.bytes - container.dataAt}`);
  return decrypt({ holes, parent });
}

async function hasOwnKey(name: string, module: ContainerModule, payload: MappedDisk, below: MappedDisk): Promise<boolean> {
  const first = new Uint8Array(Math.min(PROBE_BYTES, below.bytes));
  await below.read(0, first);
  if (module.identify === undefined) return false;
  return !module.probe(first) || (await module.identify(payloadBytes(name, payload))) !== (await module.identify(payloadBytes(name, below)));
}

/** The container that begins an image. One that nobody was asked to open is refused: its guest would write over it. */
async function findContainer(from: Pick<ContainerBytes, 'name' | 'read'>, bytes: number, options: DiskOptions, wanted: boolean): Promise<ContainerModule | null> {
  const first = new Uint8Array(Math.min(PROBE_BYTES, bytes));
  await from.read(0, first);
  const { containers = [] } = options;
  const found = containers.find((one) => one.probe(first)) ?? (wanted ? containers.find(({ id }) => id === 'plain') : undefined);
  if (found !== undefined) return found;
  if (wanted) {
    const readOnly: ContainerBytes = { name: from.name, bytes, read: (at, into) => from.read(at, into), write: () => Promise.reject(new CryptError(from.name, 'request', 'only looked at')), flush: () => Promise.resolve() };
    for (const one of containers) if ((await one.search?.(readOnly)) === true) return one;
  }
  if (wanted) throw new CryptError(from.name, 'header', `no container that can be opened begins it; there are ${containers.map(({ id }) => id).join(', ') || 'none'}`);
  // Known by its first six bytes, also where nobody can open it.
  if (String.fromCharCode(...first.subarray(0, 4)) === 'LUKS' && first[4] === 0xba && first[5] === 0xbe) throw new CryptError(from.name, 'keyUnavailable', 'it is encrypted with LUKS, and no plug-in that opens it was given; as it is it opens without encryption (crypt=none)');
  return null;
}

async function hasFooter(file: ImageFile): Promise<boolean> {
  const size = await file.bytes();
  const at = Math.ceil(size / 512) * 512 - 512;
  const sector = new Uint8Array(8);
  if (size < 1024 || at + sector.length > size) return false;
  await file.read(at, sector);
  return String.fromCharCode(...sector) === 'conectix';
}

/** A file as the place of a container. */
export async function containerBytes(file: ImageFile): Promise<ContainerBytes> {
  return { name: file.name, bytes: await file.bytes(), writable: file.writable, read: (at, into) => file.read(at, into), write: (at, from) => file.write(at, from), flush: () => file.flush() };
}

/** By the name of the file, and never by its contents: those of a raw image are the guest's. */
export function formatOfName(name: string): DiskFormat {
  return /\.(a?vhd|vpc)$/i.test(name) ? 'vhd' : 'raw';
}

export function asFormat(name: string, text: string): DiskFormat {
  if (text === 'raw' || text === 'vhd') return text;
  if (text === 'vpc') return 'vhd';
  throw new VhdError(name, 'request', `format ${JSON.stringify(text)}; there are raw and vhd`);
}
