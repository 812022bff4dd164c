import { sameBytes } from './big-endian.ts';
import type { MappedDisk } from './extent.ts';
import { fixedDisk } from './fixed-disk.ts';
import { type Footer, vhdTime } from './footer.ts';
import type { SizeRule } from './geometry.ts';
import type { ImageFile } from './image-file.ts';
import { locatorPath } from './parent-locator.ts';
import { SparseDisk } from './sparse-disk.ts';
import { VhdError } from './vhd-error.ts';
import { readImage, type BlockTable } from './vhd-image.ts';

export interface ParentFile {
  readonly file: ImageFile;
  /** When it was last changed, in milliseconds of the host's time of day. */
  readonly changed?: number;
  /** Where the parent's own parent is looked for. */
  readonly parents?: ParentSource;
}

/** Finds a parent by one of the paths that a child names, slashes forward; null when there is no such file. */
export type ParentSource = (path: string) => Promise<ParentFile | null>;

export interface OpenOptions {
  /** Default: as the file is. Parents are only ever read. */
  readonly writable?: boolean;
  readonly parents?: ParentSource;
  /** Default: by the creator of the image. */
  readonly size?: SizeRule;
}

/** A VHD as a disk. */
export interface VhdDisk extends MappedDisk {
  readonly footer: Footer;
  readonly parent: VhdDisk | null;
  /** The blocks of a dynamic or differencing disk; null for a fixed one. */
  readonly sparse: SparseDisk | null;
  readonly table: BlockTable | null;
  /** What does not keep the disk from being used, but somebody should know. */
  readonly warnings: readonly string[];
  /** Stores what is to be stored, and closes the file and those of its parents. */
  close(): Promise<void>;
}

const MOST_PARENTS = 64;

export async function openVhd(file: ImageFile, options: OpenOptions = {}): Promise<VhdDisk> {
  return open(file, options, []);
}

async function open(file: ImageFile, options: OpenOptions, children: readonly Uint8Array[]): Promise<VhdDisk> {
  const image = await readImage(file, options.size);
  const { footer, table } = image;
  const writable = options.writable ?? file.writable;
  if (writable && !file.writable) throw new VhdError(file.name, 'read-only', 'the file is opened for reading');
  if (children.some((id) => sameBytes(id, footer.uniqueId))) throw new VhdError(file.name, 'parent', 'the chain of parents comes back to where it was');
  if (children.length > MOST_PARENTS) throw new VhdError(file.name, 'parent', `more than ${MOST_PARENTS} parents`);
  const warnings: string[] = [];
  if (image.frontProblem !== null) warnings.push(`footer at the beginning: ${image.frontProblem}`);
  if (image.backProblem !== null) warnings.push(`footer at the end: ${image.backProblem}`);
  const parent = footer.type === 'differencing' && table !== null ? await openParent(file, table, options, [...children, footer.uniqueId], warnings) : null;
  try {
    if (parent !== null && parent.bytes !== image.bytes) throw new VhdError(file.name, 'parent', `the parent has ${parent.bytes} bytes, this disk ${image.bytes}`);
    const sparse = table === null ? null : new SparseDisk(file, image, table, parent, writable);
    if (writable) await sparse?.mendFooters();
    return describe(file, sparse ?? fixedDisk(file, image.bytes, writable), { footer, parent, sparse, table, warnings });
  } catch (error) {
    await parent?.close();
    throw error;
  }
}

function describe(file: ImageFile, disk: MappedDisk, facts: Pick<VhdDisk, 'footer' | 'parent' | 'sparse' | 'table' | 'warnings'>): VhdDisk {
  return {
    ...facts,
    bytes: disk.bytes,
    writable: disk.writable,
    allocationBytes: disk.allocationBytes,
    extents: (at, bytes) => disk.extents(at, bytes),
    read: (at, into) => disk.read(at, into),
    write: (at, from) => disk.write(at, from),
    flush: () => disk.flush(),
    discard: (at, bytes) => disk.discard(at, bytes),
    writeZeroes: (at, bytes) => disk.writeZeroes(at, bytes),
    async close() {
      await disk.flush();
      await file.close();
      await facts.parent?.close();
    },
  };
}

async function openParent(file: ImageFile, table: BlockTable, options: OpenOptions, children: readonly Uint8Array[], warnings: string[]): Promise<VhdDisk> {
  const paths = await parentPaths(file, table);
  if (options.parents === undefined) throw new VhdError(file.name, 'parent', `a differencing disk, and nobody says where its parent is (${paths.join(', ') || 'it names none'})`);
  const { parentId, parentTimestamp } = table.header;
  let other = '';
  for (const path of paths) {
    const found = await options.parents(path);
    if (found === null) continue;
    try {
      const { footer } = await readImage(found.file);
      if (sameBytes(footer.uniqueId, parentId)) {
        const parents = found.parents ?? options.parents;
        const parent = await open(found.file, { writable: false, parents, ...(options.size === undefined ? {} : { size: options.size }) }, children);
        // Copying a file changes its time, so this tells nothing for sure.
        const known = [footer.timestamp, ...(found.changed === undefined ? [] : [vhdTime(found.changed)])];
        if (!known.includes(parentTimestamp)) warnings.push(`${found.file.name}: changed since this disk was made from it, or copied`);
        warnings.push(...parent.warnings);
        return parent;
      }
    } catch (error) {
      await found.file.close();
      throw error;
    }
    other = `; ${found.file.name} is another disk`;
    await found.file.close();
  }
  throw new VhdError(file.name, 'parent', `no parent under ${paths.join(', ') || 'any name'}${other}`);
}

const MOST_PATH_BYTES = 65536;

/** In the order in which they are tried: relative, by name, absolute. */
export async function parentPaths(file: ImageFile, table: BlockTable): Promise<string[]> {
  const { locators, parentName } = table.header;
  const end = await file.bytes();
  const byCode = new Map<string, string>();
  for (const { code, at, bytes } of locators) {
    if (bytes > MOST_PATH_BYTES || at + bytes > end) continue;
    const data = new Uint8Array(bytes);
    await file.read(at, data);
    const path = locatorPath(code, data);
    if (path !== null) byCode.set(code, path);
  }
  const paths = [byCode.get('W2ru'), parentName.replaceAll('\\', '/'), byCode.get('W2ku'), byCode.get('MacX')];
  return [...new Set(paths.filter((path): path is string => path !== undefined && path !== ''))];
}
