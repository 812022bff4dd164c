import { CryptError } from './crypt-error.ts';
import type { MappedDisk } from './extent.ts';
import { readIntegrityJournal, replayIntegrityJournal } from './integrity-journal.ts';
import { type IntegrityLayout, parseSuperblock, placeOf, SUPERBLOCK_BYTES } from './integrity-layout.ts';
import type { SealedSectors } from './sector-cipher.ts';
import { checkSectorRange, readAround } from './sector-range.ts';
import { StoreGate } from './store-gate.ts';
import { storeZeroes } from './store-zeroes.ts';

const STEP = 1 << 20;

/** What is needed of what lies below. */
export type BelowIntegrity = Pick<MappedDisk, 'bytes' | 'writable' | 'read' | 'write' | 'flush'>;

/**
 * The disk in the layout of dm-integrity. What Linux left in its journal goes to its place first, or is shown when the disk is only read.
 * Stores go to their places without the journal, the sector first; after a crash those under way may be refused until they are stored again.
 */
export async function openIntegrityDisk(name: string, below: BelowIntegrity, at: number, sectorBytes: number, cipher: SealedSectors): Promise<MappedDisk> {
  const layout = await readLayout(name, below, at, sectorBytes, cipher.recordBytes);
  const bytes = layout.dataSectors * 512;
  const { found: journal, used } = await readIntegrityJournal(below, at, layout);
  if (below.writable && used) {
    await replayIntegrityJournal(below, at, layout, journal);
    journal.clear();
  }
  const step = sectorBytes / 512;
  const gate = new StoreGate();
  const check = (from: number, count: number, isStore: boolean): void => checkSectorRange(name, { bytes, writable: below.writable }, from, count, isStore);
  /** Whole sectors of one run at a time, and not too many. */
  const eachPart = async (from: number, count: number, visit: (place: ReturnType<typeof placeOf>, done: number, partBytes: number, numbers: readonly number[]) => Promise<void>): Promise<void> => {
    for (let done = 0; done < count; ) {
      const sector = (from + done) / 512;
      const left = (layout.runSectors - (sector % layout.runSectors)) * 512;
      const partBytes = Math.min(count - done, left, STEP);
      await visit(placeOf(layout, sector), done, partBytes, Array.from({ length: partBytes / sectorBytes }, (_, i) => sector + i * step));
      done += partBytes;
    }
  };
  const readSectors = (from: number, into: Uint8Array): Promise<void> => eachPart(from, into.length, async ({ data, tag }, done, partBytes, numbers) => {
    const part = into.subarray(done, done + partBytes);
    const tags = new Uint8Array(numbers.length * layout.tagBytes);
    await below.read(at + tag, tags);
    await below.read(at + data, part);
    for (const [i, number] of journal.size === 0 ? [] : numbers.entries()) {
      const waiting = journal.get(number);
      if (waiting === undefined) continue;
      part.set(waiting.data, i * sectorBytes);
      tags.set(waiting.tag, i * layout.tagBytes);
    }
    const failed = await cipher.open(part, part, tags, numbers);
    if (failed >= 0) throw new CryptError(name, 'integrity', `sector ${numbers[failed]!} is not what was stored there: the image was changed or damaged, or nothing was ever stored there`);
  });
  const writeSectors = (from: number, bytesOf: Uint8Array): Promise<void> => eachPart(from, bytesOf.length, async ({ data, tag }, done, partBytes, numbers) => {
    const stored = new Uint8Array(partBytes);
    const tags = new Uint8Array(numbers.length * layout.tagBytes);
    await cipher.seal(bytesOf.subarray(done, done + partBytes), stored, tags, numbers);
    await below.write(at + data, stored);
    await below.write(at + tag, tags);
  });
  const storeAny = async (from: number, data: Uint8Array): Promise<void> => {
    const [first, last] = [Math.floor(from / sectorBytes) * sectorBytes, Math.ceil((from + data.length) / sectorBytes) * sectorBytes];
    const whole = new Uint8Array(last - first);
    // Only the ends are read: what lies between is stored whole.
    if (first !== from) await readSectors(first, whole.subarray(0, sectorBytes));
    if (last !== from + data.length && (last - first > sectorBytes || first === from)) await readSectors(last - sectorBytes, whole.subarray(whole.length - sectorBytes));
    whole.set(data, from - first);
    await writeSectors(first, whole);
  };
  const write = async (from: number, data: Uint8Array): Promise<void> => {
    check(from, data.length, true);
    if (data.length > 0) await gate.alone(() => storeAny(from, data));
  };
  return {
    bytes,
    writable: below.writable,
    allocationBytes: null,
    async read(from, into) {
      check(from, into.length, false);
      if (into.length > 0) await gate.together(() => readAround(sectorBytes, from, into, readSectors));
    },
    write,
    flush: () => gate.alone(() => below.flush()),
    async discard(from, count) {
      check(from, count, true);
    },
    async writeZeroes(from, count) {
      check(from, count, true);
      await storeZeroes(write, from, from + count);
    },
    async extents(from, count) {
      check(from, count, false);
      return [{ at: from, bytes: count, depth: 0 }];
    },
  };
}

async function readLayout(name: string, below: BelowIntegrity, at: number, sectorBytes: number, tagBytes: number): Promise<IntegrityLayout> {
  const block = new Uint8Array(SUPERBLOCK_BYTES);
  await below.read(at, block);
  const layout = parseSuperblock(block, below.bytes - at);
  if (typeof layout === 'string') throw new CryptError(name, 'header', layout);
  if (layout.sectorBytes !== sectorBytes || layout.tagBytes !== tagBytes) throw new CryptError(name, 'header', `dm-integrity has sectors of ${layout.sectorBytes} bytes with tags of ${layout.tagBytes}, and the container says ${sectorBytes} and ${tagBytes}`);
  return layout;
}
