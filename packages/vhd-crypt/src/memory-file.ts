import type { ImageFile } from './image-file.ts';

/** A file in memory, which begins with the bytes of `initial`, not to be changed from then on, and shows its own at any time. */
export interface MemoryFile extends ImageFile {
  contents(): Uint8Array;
}

/** Holes cost nothing: pages exist once something else than their absence was written. */
const PAGE = 65536;

export function memoryFile(name = 'memory', initial: Uint8Array = new Uint8Array()): MemoryFile {
  const pages = new Map<number, Uint8Array>();
  // Read where no page is yet, so that many files can begin with the same bytes.
  let length = initial.length;
  let base = initial;
  const eachPart = (at: number, bytes: number, visit: (page: number, from: number, done: number, count: number) => void): void => {
    for (let done = 0; done < bytes; ) {
      const from = (at + done) % PAGE;
      const count = Math.min(PAGE - from, bytes - done);
      visit(Math.floor((at + done) / PAGE), from, done, count);
      done += count;
    }
  };
  const store = (at: number, from: Uint8Array): void => {
    length = Math.max(length, at + from.length);
    eachPart(at, from.length, (page, start, done, count) => {
      let bytes = pages.get(page);
      if (bytes === undefined) {
        pages.set(page, (bytes = new Uint8Array(PAGE)));
        bytes.set(base.subarray(page * PAGE, (page + 1) * PAGE));
      }
      bytes.set(from.subarray(done, done + count), start);
    });
  };
  const load = (at: number, into: Uint8Array): void => {
    eachPart(at, into.length, (page, start, done, count) => {
      const bytes = pages.get(page);
      if (bytes !== undefined) into.set(bytes.subarray(start, start + count), done);
      else {
        const found = base.subarray(page * PAGE + start, page * PAGE + start + count);
        into.set(found, done);
        into.fill(0, done + found.length, done + count);
      }
    });
  };
  return {
    name,
    writable: true,
    bytes: () => Promise.resolve(length),
    read(at, into) {
      if (at < 0 || at + into.length > length) return Promise.reject(new RangeError(`${name}: read of ${into.length} bytes at ${at}, past the end at ${length}`));
      load(at, into);
      return Promise.resolve();
    },
    write(at, from) {
      store(at, from);
      return Promise.resolve();
    },
    resize(bytes) {
      base = base.subarray(0, bytes);
      for (const page of pages.keys()) {
        if (page * PAGE >= bytes) pages.delete(page);
        else if ((page + 1) * PAGE > bytes) pages.get(page)?.fill(0, bytes - page * PAGE);
      }
      length = bytes;
      return Promise.resolve();
    },
    flush: () => Promise.resolve(),
    close: () => Promise.resolve(),
    contents() {
      const all = new Uint8Array(length);
      load(0, all);
      return all;
    },
  };
}
