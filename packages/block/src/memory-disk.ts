import type { BlockBackend } from '@vm/core';
import { checkRange } from './block-error.ts';

/** A disk in memory. `bytes` is its size or its contents, which are not copied. */
export function memoryDisk(bytes: number | Uint8Array): BlockBackend {
  const contents = typeof bytes === 'number' ? new Uint8Array(bytes) : bytes;
  return {
    bytes: contents.length,
    writable: true,
    async read(at, into) {
      checkRange(contents.length, at, into.length);
      into.set(contents.subarray(at, at + into.length));
    },
    async write(at, from) {
      checkRange(contents.length, at, from.length);
      contents.set(from, at);
    },
    flush: () => Promise.resolve(),
    async discard(at, count) {
      checkRange(contents.length, at, count); // a hint: the data may stay
    },
    async writeZeroes(at, count) {
      checkRange(contents.length, at, count);
      contents.fill(0, at, at + count);
    },
  };
}
