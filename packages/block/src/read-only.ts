import type { BlockBackend } from '@vm/core';
import { BlockError } from './block-error.ts';

/** A disk that can only be read. */
export function readOnly(below: BlockBackend): BlockBackend {
  const refuse = (): Promise<never> => Promise.reject(new BlockError('the disk can only be read'));
  return { bytes: below.bytes, writable: false, read: (at, into) => below.read(at, into), write: refuse, flush: () => Promise.resolve(), discard: refuse, writeZeroes: refuse };
}
