import { DEFAULT_BLOCK_BYTES, encodeHeader, HEADER_BYTES } from './dynamic-header.ts';
import { encodeFooter, FOOTER_BYTES, vhdTime, type VhdType } from './footer.ts';
import { geometryOf, MAX_GEOMETRY, roundUpToGeometry } from './geometry.ts';
import type { ImageFile } from './image-file.ts';
import type { VhdDisk } from './open-vhd.ts';
import { encodeUtf16 } from './parent-locator.ts';
import { VhdError } from './vhd-error.ts';

export interface CreateOptions {
  /** A multiple of 512. With `virtualpc` it is rounded up to what a geometry can express. */
  readonly bytes: number;
  readonly type: 'fixed' | 'dynamic';
  /** Default 2 MiB, and Virtual PC knows nothing else. */
  readonly blockBytes?: number;
  /** `exact`: readers take the number of bytes (default). `virtualpc`: also those that trust the geometry see the same size. */
  readonly compatibility?: 'exact' | 'virtualpc';
  /** 16 bytes; random when not given. */
  readonly uniqueId?: Uint8Array;
  /** Milliseconds of the host's time of day. */
  readonly now?: number;
}

export interface CreateChildOptions extends Pick<CreateOptions, 'uniqueId' | 'now'> {
  readonly parent: VhdDisk;
  /** From the child's folder to the parent, slashes forward. */
  readonly path: string;
  readonly absolutePath?: string;
  /** When the parent's file was last changed, in milliseconds. */
  readonly parentChanged?: number;
}

/** Sectors of dynamic disks have 32-bit numbers, and Virtual PC and QEMU stop here too. */
export const MAX_DYNAMIC_BYTES: number = 2040 * 2 ** 30;
const MAX_FIXED_BYTES = 2 ** 46;
const CREATOR = 'vm  ';

declare const crypto: { getRandomValues(into: Uint8Array): void }; // the same in Node and in browsers

/** Makes a VHD in an empty file. */
export async function createVhd(file: ImageFile, options: CreateOptions): Promise<void> {
  const { type, blockBytes = DEFAULT_BLOCK_BYTES } = options;
  const most = type === 'fixed' ? MAX_FIXED_BYTES : MAX_DYNAMIC_BYTES;
  const refuse = (text: string): never => {
    throw new VhdError(file.name, 'size', text);
  };
  if (!Number.isSafeInteger(options.bytes) || options.bytes <= 0 || options.bytes % 512 !== 0) refuse(`a disk of ${options.bytes} bytes, which is no number of whole sectors`);
  const exact = options.compatibility !== 'virtualpc';
  const bytes = exact ? options.bytes : (roundUpToGeometry(options.bytes) ?? refuse(`no geometry for ${options.bytes} bytes`));
  if (bytes > most) refuse(`a ${type} disk of ${bytes} bytes, the most is ${most}`);
  if (blockBytes < 4096 || blockBytes > 256 << 20 || (blockBytes & (blockBytes - 1)) !== 0) refuse(`blocks of ${blockBytes} bytes, not a power of two from 4 KiB to 256 MiB`);
  if (bytes / blockBytes > 1 << 24) refuse(`blocks of ${blockBytes} bytes are too small for ${bytes} bytes`);
  await write(file, { ...options, type, bytes, blockBytes, exact, parent: null });
}

/** Makes a differencing disk in an empty file. From then on nobody may write to the parent. */
export async function createChild(file: ImageFile, options: CreateChildOptions): Promise<void> {
  const { parent } = options;
  const blockBytes = parent.table?.header.blockBytes ?? DEFAULT_BLOCK_BYTES;
  if (parent.bytes > MAX_DYNAMIC_BYTES) throw new VhdError(file.name, 'size', `the parent has ${parent.bytes} bytes, the most is ${MAX_DYNAMIC_BYTES}`);
  await write(file, { ...options, type: 'differencing', bytes: parent.bytes, blockBytes, exact: true, parent: options });
}

interface Plan extends Pick<CreateOptions, 'uniqueId' | 'now'> {
  readonly type: VhdType;
  readonly bytes: number;
  readonly blockBytes: number;
  readonly exact: boolean;
  readonly parent: CreateChildOptions | null;
}

async function write(file: ImageFile, plan: Plan): Promise<void> {
  if ((await file.bytes()) !== 0) throw new VhdError(file.name, 'request', 'the file is not empty');
  const { type, bytes, blockBytes } = plan;
  const uniqueId = plan.uniqueId ?? new Uint8Array(16);
  if (plan.uniqueId === undefined) crypto.getRandomValues(uniqueId);
  const footer = encodeFooter({
    type,
    headerAt: type === 'fixed' ? null : FOOTER_BYTES,
    timestamp: vhdTime(plan.now ?? Date.now()),
    creator: plan.exact ? CREATOR : 'vpc ',
    creatorVersion: plan.exact ? 0x0001_0000 : 0x0005_0003,
    creatorHost: 'Wi2k', // some tools insist on it
    originalBytes: bytes,
    currentBytes: bytes,
    geometry: plan.exact ? MAX_GEOMETRY : geometryOf(bytes / 512),
    uniqueId,
    savedState: false,
  });
  if (type === 'fixed') {
    await file.write(bytes, footer);
    await file.flush();
    return;
  }
  const tableAt = FOOTER_BYTES + HEADER_BYTES;
  const tableEntries = Math.ceil(bytes / blockBytes);
  const table = new Uint8Array(Math.ceil((4 * tableEntries) / 512) * 512).fill(0xff);
  let end = tableAt + table.length;
  const locators: { code: string; at: number; bytes: number }[] = [];
  for (const [code, path] of plan.parent === null ? [] : locatorsOf(plan.parent)) {
    const data = encodeUtf16(path, false);
    locators.push({ code, at: end, bytes: data.length });
    await file.write(end, data);
    end += Math.ceil(data.length / 512) * 512;
  }
  const parent = plan.parent;
  const header = encodeHeader({
    tableAt,
    tableEntries,
    blockBytes,
    parentId: parent?.parent.footer.uniqueId ?? new Uint8Array(16),
    parentTimestamp: parent === null ? 0 : parent.parentChanged === undefined ? parent.parent.footer.timestamp : vhdTime(parent.parentChanged),
    parentName: parent?.path.replace(/^.*\//, '') ?? '',
    locators,
  });
  await file.write(FOOTER_BYTES, header);
  await file.write(tableAt, table);
  await file.write(end, footer);
  await file.flush();
  // With the front copy it becomes a VHD.
  await file.write(0, footer);
  await file.flush();
}

function locatorsOf({ path, absolutePath }: CreateChildOptions): [string, string][] {
  const windows = (text: string): string => text.replaceAll('/', '\\');
  const locators: [string, string][] = [['W2ru', `.\\${windows(path)}`]];
  if (absolutePath !== undefined) locators.push(['W2ku', windows(absolutePath)]);
  return locators;
}

