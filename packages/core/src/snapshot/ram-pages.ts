import type { Ram } from '../engine.ts';
import { VmError } from '../errors.ts';
import type { PageCodec, SavedMachine } from './saved-machine.ts';

export const PAGE_BYTES = 4096;
export const MOST_PAGES = 256; // of a frame
const RUN_PAGES = 64; // looked at as one by a codec that can
const SHORTEST_GAP = 4; // pages of zeros that end a frame: less would cost more than it saves

/** Pages from `from` to before `to` that are not all zeros, in pieces; what is yielded is RAM itself. */
export function* piecesOf({ memory, base, bytes }: Ram, codec: PageCodec | null, from: number = 0, to: number = bytes / PAGE_BYTES): Generator<readonly [first: number, bytes: Uint8Array]> {
  const words = new Uint32Array(memory.buffer, base, bytes / 4);
  const all = new Uint8Array(memory.buffer, base, bytes);
  let first = -1; // of the piece
  let last = -1; // page that is not zero
  const piece = (): readonly [number, Uint8Array] => [first, all.subarray(first * PAGE_BYTES, (last + 1) * PAGE_BYTES)];
  for (let page = from; page < to; page++) {
    const isZeroRun = page % RUN_PAGES === 0 && codec?.isZero?.(all.subarray(page * PAGE_BYTES, Math.min(page + RUN_PAGES, to) * PAGE_BYTES)) === true;
    if (isZeroRun) page += RUN_PAGES - 1;
    else if (!isZero(words, page)) {
      if (first >= 0 && page - first >= MOST_PAGES) {
        yield piece();
        first = -1;
      }
      if (first < 0) first = page;
      last = page;
      continue;
    }
    if (first >= 0 && page - last >= SHORTEST_GAP) {
      yield piece();
      first = -1;
    }
  }
  if (first >= 0) yield piece();
}

/** HOT: all of RAM passes here. */
function isZero(words: Uint32Array, page: number): boolean {
  const from = page * (PAGE_BYTES / 4);
  for (let i = from; i < from + PAGE_BYTES / 4; i += 8) {
    if ((words[i]! | words[i + 1]! | words[i + 2]! | words[i + 3]! | words[i + 4]! | words[i + 5]! | words[i + 6]! | words[i + 7]!) !== 0) return false;
  }
  return true;
}

/** Fills RAM that nobody has stored to yet. `isDirty`: it is not known to be all zeros. Throws VmError E_STATE. */
export function readPages({ memory, base, bytes }: Ram, saved: SavedMachine, codec: PageCodec | null, isDirty: boolean): void {
  const all = new Uint8Array(memory.buffer, base, bytes);
  if (isDirty) all.fill(0);
  for (const { first, pages, packed } of saved.pages) {
    const length = pages * PAGE_BYTES;
    if (pages === 0 || pages > MOST_PAGES || (first + pages) * PAGE_BYTES > bytes) throw new VmError('E_STATE', `the saved machine has pages ${first} to ${first + pages}, which do not lie in its RAM`);
    let content: Uint8Array;
    try {
      content = saved.head.codec === '' ? packed : codec!.unpack(packed, length);
    } catch (cause) {
      throw new VmError('E_STATE', `pages ${first} to ${first + pages} of the saved machine cannot be unpacked`, { cause });
    }
    if (content.length !== length) throw new VmError('E_STATE', `pages ${first} to ${first + pages} of the saved machine have another size`);
    all.set(content, first * PAGE_BYTES);
  }
}
