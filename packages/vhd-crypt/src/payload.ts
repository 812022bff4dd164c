import type { ContainerBytes } from './container.ts';
import { CryptError } from './crypt-error.ts';
import type { MappedDisk } from './extent.ts';
import { openRaw } from './fixed-disk.ts';
import type { ImageFile } from './image-file.ts';
import { openVhd, type ParentSource, type VhdDisk } from './open-vhd.ts';
import { resizeVhd } from './resize.ts';
import { scrubVhd } from './scrub-vhd.ts';

export type PayloadFormat = { readonly format: 'raw' | 'vhd'; readonly parents?: ParentSource };

/** What an image holds for its guest, encrypted or not, for whoever changes its size too. */
export interface Payload {
  readonly name: string;
  /** Opens it for a while, the file stays open. */
  use<T>(work: (below: MappedDisk, vhd: VhdDisk | null) => Promise<T>): Promise<T>;
  /** Exactly so many bytes, or an error. */
  resize(bytes: number): Promise<void>;
  /** Makes it longer, with something in its last sector. A raw image has both or nothing after a crash. */
  extend(bytes: number, last: Uint8Array): Promise<void>;
  /** Overwrites what was in use before and is not now. */
  scrub(): Promise<void>;
}

export function imagePayload(file: ImageFile, { format, parents }: PayloadFormat): Payload {
  const image: ImageFile = { ...file, close: () => Promise.resolve() };
  const payload: Payload = {
    name: file.name,
    async use(work) {
      const vhd = format === 'raw' ? null : await openVhd(image, parents === undefined ? {} : { parents });
      try {
        return await work(vhd ?? (await openRaw(image)), vhd);
      } finally {
        await vhd?.close();
      }
    },
    async resize(bytes) {
      if (format === 'raw') {
        await image.resize(bytes);
        await image.flush();
      } else if ((await resizeVhd(image, bytes, { shrink: true })) !== bytes) throw new CryptError(file.name, 'request', `it cannot have exactly ${bytes} bytes; copy it (convert)`);
    },
    async extend(bytes, last) {
      if (format !== 'raw') {
        await payload.resize(bytes);
        return payload.use(async (below) => {
          await below.write(bytes - last.length, last);
          await below.flush();
        });
      }
      await image.write(bytes - last.length, last);
      await image.flush();
    },
    scrub: async () => (format === 'raw' ? undefined : scrubVhd(image)),
  };
  return payload;
}

/** A disk as the place of a container. */
export function payloadBytes(name: string, disk: MappedDisk): ContainerBytes {
  return { name, bytes: disk.bytes, writable: disk.writable, read: (at, into) => disk.read(at, into), write: (at, from) => disk.write(at, from), flush: () => disk.flush() };
}
