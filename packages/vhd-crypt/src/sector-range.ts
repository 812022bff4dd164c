// Requests for any bytes of a disk whose sectors are encrypted whole.
import { CryptError } from './crypt-error.ts';

/** Refuses what is not wholly on the disk, and stores on a disk that is only read. */
export function checkSectorRange(name: string, disk: { readonly bytes: number; readonly writable: boolean }, at: number, count: number, isStore: boolean): void {
  if (isStore && !disk.writable) throw new CryptError(name, 'request', 'opened for reading');
  if (!Number.isSafeInteger(at) || at < 0 || count < 0 || at + count > disk.bytes) throw new CryptError(name, 'request', `${count} bytes at ${at} are not on a disk of ${disk.bytes} bytes`);
}

/** Reads any bytes by way of the whole sectors around them. */
export async function readAround(sectorBytes: number, at: number, into: Uint8Array, readSectors: (at: number, into: Uint8Array) => Promise<void>): Promise<void> {
  const first = Math.floor(at / sectorBytes) * sectorBytes;
  const end = Math.ceil((at + into.length) / sectorBytes) * sectorBytes;
  if (first === at && end === at + into.length) return readSectors(first, into);
  const whole = new Uint8Array(end - first);
  await readSectors(first, whole);
  into.set(whole.subarray(at - first, at - first + into.length));
}
