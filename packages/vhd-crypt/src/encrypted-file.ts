import type { OpenedContainer } from './container.ts';
import { CryptError } from './crypt-error.ts';
import type { ImageFile } from './image-file.ts';
import { storeZeroes } from './store-zeroes.ts';

const STEP = 1 << 20;

/**
 * A file in a file, encrypted whole: what is kept in it shows nothing but its length. Requests come one after the other. What
 * growing adds is stored as encrypted zeros, because a hole would decrypt to noise.
 */
export function encryptedFile(file: ImageFile, { cipher, dataAt, facts }: Pick<OpenedContainer, 'cipher' | 'dataAt' | 'facts'>): ImageFile {
  const { sectorBytes } = facts;
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };
  // A part of a sector at the end, where somebody cut the file, cannot be decrypted.
  const length = async (): Promise<number> => Math.floor(Math.max(0, (await file.bytes()) - dataAt) / sectorBytes) * sectorBytes;
  const begin = (at: number): number => Math.floor(at / sectorBytes) * sectorBytes;
  const end = (at: number): number => Math.ceil(at / sectorBytes) * sectorBytes;

  const readSectors = async (at: number, into: Uint8Array): Promise<void> => {
    await file.read(dataAt + at, into);
    await cipher.decrypt(into, into, at / 512);
  };
  const read = async (at: number, into: Uint8Array): Promise<void> => {
    if (into.length === 0) return;
    const [first, after] = [begin(at), end(at + into.length)];
    if (first === at && after === at + into.length) return readSectors(at, into);
    const whole = new Uint8Array(after - first);
    await readSectors(first, whole);
    into.set(whole.subarray(at - first, at - first + into.length));
  };
  const storeSectors = async (at: number, from: Uint8Array): Promise<void> => {
    const encrypted = new Uint8Array(Math.min(STEP, from.length));
    for (let done = 0; done < from.length; done += STEP) {
      const part = encrypted.subarray(0, Math.min(STEP, from.length - done));
      await cipher.encrypt(from.subarray(done, done + part.length), part, (at + done) / 512);
      await file.write(dataAt + at + done, part);
    }
  };
  const grow = async (from: number, to: number): Promise<void> => {
    await storeZeroes(storeSectors, from, to);
  };
  const write = async (at: number, from: Uint8Array): Promise<void> => {
    if (from.length === 0) return;
    const [first, after, has] = [begin(at), end(at + from.length), await length()];
    if (first > has) await grow(has, first);
    if (first === at && after === at + from.length) return storeSectors(at, from);
    const whole = new Uint8Array(after - first);
    if (first < has) await readSectors(first, whole.subarray(0, Math.min(after, has) - first));
    whole.set(from, at - first);
    await storeSectors(first, whole);
  };
  return {
    name: file.name,
    writable: file.writable,
    bytes: () => inTurn(length),
    read: (at, into) => inTurn(() => read(at, into)),
    write: (at, from) => inTurn(() => write(at, from)),
    resize: (bytes) => inTurn(async () => {
      if (bytes % sectorBytes !== 0) throw new CryptError(file.name, 'request', `${bytes} bytes are no whole sectors`);
      const has = await length();
      if (bytes > has) await grow(has, bytes);
      else await file.resize(dataAt + bytes);
    }),
    flush: () => inTurn(() => file.flush()),
    async close() {
      await inTurn(() => cipher.close());
      await file.close();
    },
  };
}
