import type { ContainerBytes } from './container.ts';
import { CryptError } from './crypt-error.ts';
import { type KeyMath, randomBytes } from './key-math.ts';
import { BINARY_BYTES, COPY_BYTES, copyBytes, decodeCopy, encodeCopy, type Luks2Copy } from './luks2-header.ts';
import { type KdfLimits, type Luks2Metadata, parseMetadata } from './luks2-metadata.ts';

export interface Luks2Settings extends KdfLimits {
  readonly math: KeyMath;
}

/** The header of a disk: the better one of its two copies. */
export interface Luks2Header {
  readonly copy: Luks2Copy;
  readonly metadata: Luks2Metadata;
  /** What is wrong with either copy; null for both when all is well. */
  readonly problems: readonly (string | null)[];
}

type Found = { readonly copy: Luks2Copy; readonly metadata: Luks2Metadata };

/** Takes the newer of the two copies, or the one that is whole. `detachedBytes` is the size of the data when that is somewhere else. */
export async function readLuks2(bytes: ContainerBytes, settings: Luks2Settings, detachedBytes?: number): Promise<Luks2Header> {
  const first = await readCopy(bytes, 0, settings, detachedBytes);
  const places = typeof first === 'string' ? COPY_BYTES : [first.copy.bytes];
  let second: Found | string = 'no header of LUKS2';
  for (const at of places) {
    second = await readCopy(bytes, at, settings, detachedBytes);
    // Of an image in an image an older one could be found further on.
    if (second !== 'no header of LUKS2') break;
  }
  if (typeof first === 'string' && typeof second === 'string') throw new CryptError(bytes.name, 'header', `LUKS2 header: ${first}; its second copy: ${second}`);
  if (typeof second === 'string') return { ...(first as Found), problems: [null, second] };
  if (typeof first === 'string') return { ...second, problems: [first, null] };
  const [better, older] = first.copy.sequence >= second.copy.sequence ? [first, second] : [second, first];
  const isOlder = (one: Found): string | null => (one === older && older.copy.sequence !== better.copy.sequence ? 'it is older' : null);
  return { ...better, problems: [isOlder(first), isOlder(second)] };
}

async function readCopy(bytes: ContainerBytes, at: number, settings: Luks2Settings, detachedBytes: number | undefined): Promise<Found | string> {
  if (at + BINARY_BYTES > bytes.bytes) return 'no header of LUKS2';
  const first = new Uint8Array(BINARY_BYTES);
  await bytes.read(at, first);
  const count = copyBytes(first, at);
  if (typeof count === 'string') return count;
  if (at + count > bytes.bytes) return 'a header that is cut off';
  const all = new Uint8Array(count);
  await bytes.read(at, all);
  const copy = await decodeCopy(all, at, settings.math);
  if (typeof copy === 'string') return copy;
  const metadata = parseMetadata(copy.json, { copyBytes: count, totalBytes: bytes.bytes, ...(detachedBytes === undefined ? {} : { detachedBytes }) }, settings);
  return typeof metadata === 'string' ? metadata : { copy, metadata };
}

/** Both copies, one after the other, so that one of them is whole at any time. */
export async function writeLuks2(bytes: ContainerBytes, { copy, problems }: Luks2Header, metadata: Luks2Metadata, { math }: Luks2Settings): Promise<Luks2Header> {
  const next = { ...copy, sequence: copy.sequence + 1, json: JSON.stringify(metadata) };
  // First the copy that is of no use anyway.
  const order = problems[1] === null ? [0, copy.bytes] : [copy.bytes, 0];
  const all: Uint8Array[] = [];
  for (const at of order) {
    const encoded = await encodeCopy({ ...next, salt: randomBytes(64) }, at, math);
    if (encoded === null) throw new CryptError(bytes.name, 'request', 'the header has no room for so much');
    all.push(encoded);
  }
  for (const [i, at] of order.entries()) {
    await bytes.write(at, all[i]!);
    await bytes.flush();
  }
  return { copy: next, metadata, problems: [null, null] };
}

/** Makes both copies the same again. */
export async function repairLuks2(bytes: ContainerBytes, settings: Luks2Settings, detachedBytes?: number): Promise<readonly (string | null)[]> {
  const header = await readLuks2(bytes, settings, detachedBytes);
  if (header.problems.some((problem) => problem !== null)) await writeLuks2(bytes, header, header.metadata, settings);
  return header.problems;
}
