import type { Extent, MappedDisk } from './extent.ts';
import type { ImageFile } from './image-file.ts';
import { VhdError } from './vhd-error.ts';

const ZEROS = new Uint8Array(1 << 20);

/** Refuses what is not wholly on the disk, and stores on a disk that is only read. */
export function checkRange(file: ImageFile, disk: { readonly bytes: number; readonly writable: boolean }, at: number, bytes: number, store: boolean): void {
  if (store && !disk.writable) throw new VhdError(file.name, 'read-only', 'opened for reading');
  if (!Number.isSafeInteger(at) || at < 0 || bytes < 0 || at + bytes > disk.bytes) throw new VhdError(file.name, 'range', `${bytes} bytes at ${at} are not on a disk of ${disk.bytes} bytes`);
}

/** The first bytes of a file as a disk: a raw image, or the data of a fixed VHD. */
export function fixedDisk(file: ImageFile, bytes: number, writable: boolean): MappedDisk {
  const disk: MappedDisk = {
    bytes,
    writable,
    allocationBytes: null,
    extents: (at, count) => Promise.resolve<Extent[]>(count === 0 ? [] : [{ at, bytes: count, depth: 0 }]),
    async read(at, into) {
      checkRange(file, disk, at, into.length, false);
      await file.read(at, into);
    },
    async write(at, from) {
      checkRange(file, disk, at, from.length, true);
      await file.write(at, from);
    },
    async flush() {
      if (writable) await file.flush();
    },
    async discard(at, count) {
      checkRange(file, disk, at, count, true); // a hint: the data may stay
    },
    async writeZeroes(at, count) {
      checkRange(file, disk, at, count, true);
      for (let done = 0; done < count; done += ZEROS.length) await file.write(at + done, ZEROS.subarray(0, Math.min(ZEROS.length, count - done)));
    },
  };
  return disk;
}

/** A raw image. What is left over after the last sector is not part of the disk. */
export async function openRaw(file: ImageFile, writable: boolean = file.writable): Promise<MappedDisk> {
  return fixedDisk(file, Math.floor((await file.bytes()) / 512) * 512, writable);
}
