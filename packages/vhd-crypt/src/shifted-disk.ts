// A header comes before the data of a disk that had none, or goes, in place. Meanwhile the disk is longer, and its first bytes are
// behind the others:
//
//   | header, `dataAt` bytes | the disk from `dataAt` on ... | room | its first `dataAt` bytes | trailer |
//   0                      dataAt                       diskBytes  diskBytes + dataAt          the end
//
// While the header is no header, the mark is in its first sector. It and the trailer say the same, and both have to be there.
import { getAscii, getU32, getU64, isZero, putAscii, putU32, putU64 } from './big-endian.ts';
import { CryptError } from './crypt-error.ts';
import { type Extent, type MappedDisk, pushExtent } from './extent.ts';
import { randomBytes } from './key-math.ts';
import type { Payload } from './payload.ts';

export interface Shift {
  readonly diskBytes: number;
  readonly dataAt: number;
}

const SECTOR = 512;
const STEP = 1 << 20;
const VERSION = 1;
const [MARK, TRAILER] = ['vm-shift', 'vm-trail'];

const movedBytes = ({ diskBytes, dataAt }: Shift): number => Math.min(diskBytes, dataAt);
const movedTo = ({ diskBytes, dataAt }: Shift): number => diskBytes + dataAt;
const trailerAt = (shift: Shift): number => movedTo(shift) + movedBytes(shift);

/** How long the image is meanwhile. */
export const shiftedBytes = (shift: Shift): number => trailerAt(shift) + SECTOR;

function encodeMark(magic: string, { diskBytes, dataAt }: Shift): Uint8Array {
  const sector = new Uint8Array(SECTOR);
  putAscii(sector, 0, magic);
  putU32(sector, 8, VERSION);
  putU64(sector, 16, diskBytes);
  putU64(sector, 24, dataAt);
  return sector;
}

async function readMark(disk: Pick<MappedDisk, 'bytes' | 'read'>, at: number, magic: string): Promise<Shift | null> {
  const sector = new Uint8Array(SECTOR);
  await disk.read(at, sector);
  if (getAscii(sector, 0, magic.length) !== magic || getU32(sector, 8) !== VERSION || !isZero(sector.subarray(32))) return null;
  const shift = { diskBytes: getU64(sector, 16), dataAt: getU64(sector, 24) };
  const { diskBytes, dataAt } = shift;
  return Number.isSafeInteger(diskBytes + 2 * dataAt) && diskBytes >= SECTOR && dataAt >= SECTOR && dataAt % SECTOR === 0 && shiftedBytes(shift) === disk.bytes ? shift : null;
}

/**
 * What a crash at the beginning or the end of such a work left, of an image without encryption: `marked` says whether its first
 * bytes are elsewhere, or it is just too long. Null for any other image. A guest that writes this makes its own disk shorter.
 */
export async function findShift(disk: Pick<MappedDisk, 'bytes' | 'read'>): Promise<{ readonly shift: Shift; readonly marked: boolean } | null> {
  if (disk.bytes < 4 * SECTOR) return null;
  const trailer = await readMark(disk, disk.bytes - SECTOR, TRAILER);
  if (trailer === null) return null;
  const mark = await readMark(disk, 0, MARK);
  return { shift: trailer, marked: mark !== null && mark.diskBytes === trailer.diskBytes && mark.dataAt === trailer.dataAt };
}

/** The disk of such an image: its first bytes from where they are. */
export function shiftedDisk(name: string, below: MappedDisk, shift: Shift, marked: boolean): MappedDisk {
  const { diskBytes, dataAt } = shift;
  const eachPart = async (at: number, count: number, visit: (place: number, from: number, to: number) => Promise<void>): Promise<void> => {
    if (!Number.isSafeInteger(at) || at < 0 || count < 0 || at + count > diskBytes) throw new CryptError(name, 'request', `${count} bytes at ${at} are not on a disk of ${diskBytes} bytes`);
    const middle = marked ? Math.min(count, Math.max(0, dataAt - at)) : 0;
    if (middle > 0) await visit(movedTo(shift) + at, 0, middle);
    if (middle < count) await visit(at + middle, middle, count);
  };
  return {
    bytes: diskBytes,
    writable: below.writable,
    allocationBytes: below.allocationBytes,
    read: (at, into) => eachPart(at, into.length, (place, from, to) => below.read(place, into.subarray(from, to))),
    write: (at, from) => eachPart(at, from.length, (place, begin, end) => below.write(place, from.subarray(begin, end))),
    flush: () => below.flush(),
    discard: (at, count) => eachPart(at, count, (place, from, to) => below.discard(place, to - from)),
    writeZeroes: (at, count) => eachPart(at, count, (place, from, to) => below.writeZeroes(place, to - from)),
    async extents(at, count) {
      const list: Extent[] = [];
      await eachPart(at, count, async (place, from, to) => {
        for (const extent of await below.extents(place, to - from)) pushExtent(list, { ...extent, at: extent.at - place + at + from });
      });
      return list;
    },
  };
}

/** Makes the image longer. */
export async function growForShift(payload: Payload, shift: Shift): Promise<void> {
  await payload.extend(shiftedBytes(shift), encodeMark(TRAILER, shift));
}

/** The first bytes go behind the others, and the mark comes in their place; from then on they are the header's. */
export async function moveAway(payload: Payload, shift: Shift): Promise<void> {
  await payload.use(async (below) => {
    await copyWithin(below, 0, movedTo(shift), movedBytes(shift));
    await below.flush();
    await below.write(0, encodeMark(MARK, shift));
    await below.flush();
  });
}

/** And a header in the place of the mark: its first sector last. */
export async function replaceMark(payload: Payload, header: Uint8Array): Promise<void> {
  await payload.use(async (below) => {
    for (let at = SECTOR; at < header.length; at += STEP) await below.write(at, header.subarray(at, Math.min(header.length, at + STEP)));
    await below.flush();
    await below.write(0, header.subarray(0, SECTOR));
    await below.flush();
  });
}

/** The header is of no use any more: the mark in its place, if it is not there yet, then what was there before. */
export async function moveBack(payload: Payload, shift: Shift, marked: boolean): Promise<void> {
  await payload.use(async (below) => {
    if (!marked) {
      await below.write(0, encodeMark(MARK, shift));
      await below.flush();
    }
    await copyWithin(below, movedTo(shift) + SECTOR, SECTOR, movedBytes(shift) - SECTOR);
    await below.flush();
    await copyWithin(below, movedTo(shift), 0, SECTOR);
    await below.flush();
  });
  await payload.resize(shift.diskBytes);
}

/** What lay behind is gone, and so is its room. */
export async function dropMoved(payload: Payload, shift: Shift): Promise<void> {
  await payload.use(async (below) => {
    if (below.bytes !== shiftedBytes(shift)) return;
    for (let at = 0; at < movedBytes(shift); at += STEP) await below.write(movedTo(shift) + at, randomBytes(Math.min(STEP, movedBytes(shift) - at)));
    await below.flush();
  });
  await payload.resize(shift.diskBytes + shift.dataAt);
}

/** After a crash: the image as it was before, or as it was to be. False when there is nothing to do. */
export async function settleShift(payload: Payload): Promise<boolean> {
  const found = await payload.use((below) => findShift(below));
  if (found === null) return false;
  if (found.marked) await moveBack(payload, found.shift, true);
  else await payload.resize(found.shift.diskBytes);
  return true;
}

async function copyWithin(below: MappedDisk, from: number, to: number, count: number): Promise<void> {
  const piece = new Uint8Array(Math.min(STEP, count));
  for (let at = 0; at < count; at += STEP) {
    const part = piece.subarray(0, Math.min(STEP, count - at));
    await below.read(from + at, part);
    await below.write(to + at, part);
  }
}
