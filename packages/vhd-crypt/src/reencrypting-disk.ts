import { isZero } from './big-endian.ts';
import type { ContainerBytes } from './container.ts';
import { CryptError } from './crypt-error.ts';
import { type Extent, type MappedDisk, pushExtent } from './extent.ts';
import type { KeyMath } from './key-math.ts';
import { type ReencryptMode, type ReencryptPlan, type ReencryptRecord, writeRecord } from './reencrypt-record.ts';
import type { SectorCipher } from './sector-cipher.ts';
import { StoreGate } from './store-gate.ts';

/** A re-encryption under way, as whoever drives it sees it. */
export interface Reencryption {
  readonly mode: ReencryptMode;
  /** Bytes of the disk that are done, and all of them. */
  progress(): { readonly done: number; readonly total: number };
  /** Moves the next zone; false when there was none left. The disk may be used in between, and while it runs. */
  step(): Promise<boolean>;
}

export interface ReencryptingOptions {
  readonly plan: ReencryptPlan;
  readonly record: ReencryptRecord;
  /** Where the records are. */
  readonly header: ContainerBytes;
  readonly recordAt: number;
  readonly recordKey: Uint8Array;
  readonly math: KeyMath;
  /** The disk as it was before, and as it will be: of the same size, over the same bytes. */
  readonly before: MappedDisk;
  readonly after: MappedDisk;
  /** Of a disk over a parent with a key of its own: the larger of the sectors before and after. Otherwise null. */
  readonly parentUnit: number | null;
  /** Encrypts what comes with a record, as it will be. */
  readonly cipher: SectorCipher;
  /** What the records announce is stored here, at `plan.dataAt` and on. */
  readonly below: MappedDisk;
}

/**
 * A disk of which a part is as it was and a part as it will be. Zones move one by one, from the beginning, or from the end when each
 * goes to a higher place. While one moves, all others wait.
 */
export function reencryptingDisk(name: string, options: ReencryptingOptions): { readonly disk: MappedDisk; readonly reencryption: Reencryption; recover(): Promise<void> } {
  const { plan, header, recordAt, recordKey, math, before, after, cipher, below, parentUnit } = options;
  const { mode, diskBytes, zoneBytes, dataAt } = plan;
  const gate = new StoreGate();
  let { record } = options;

  const isDone = (at: number): boolean => (mode === 'encrypt' ? at >= record.watermark : at < record.watermark);
  /** Calls for each part that lies on one side of the watermark. */
  const parts = (at: number, count: number): readonly { readonly disk: MappedDisk; readonly from: number; readonly to: number }[] => {
    const middle = record.watermark - at;
    const cuts = middle > 0 && middle < count ? [0, middle, count] : [0, count];
    return cuts.slice(1).map((to, i) => ({ disk: isDone(at + cuts[i]!) ? after : before, from: cuts[i]!, to }));
  };
  const check = (at: number, count: number, store: boolean): void => {
    if (store && !below.writable) throw new CryptError(name, 'request', 'opened for reading');
    if (!Number.isSafeInteger(at) || at < 0 || count < 0 || at + count > diskBytes) throw new CryptError(name, 'request', `${count} bytes at ${at} are not on a disk of ${diskBytes} bytes`);
  };
  /** `zone`: announced, and not there yet. */
  const advance = async (at: number, count: number, zone: Uint8Array | null): Promise<void> => {
    let sequence = record.sequence + 1;
    if (zone !== null && sequence % 2 !== 0) sequence++;
    const watermark = zone !== null || mode === 'encrypt' ? at : at + count;
    const next = { sequence, watermark, zone };
    await writeRecord(header, recordAt, plan, next, math, recordKey);
    record = next;
  };
  /** What a record announces goes where it belongs. */
  const storeZone = async (at: number, zone: Uint8Array): Promise<void> => {
    await below.write(dataAt + at, zone);
    await below.flush();
    await advance(at, zone.length, null);
    await header.flush();
  };
  /** Of a differencing disk only what it holds itself moves: the rest is encrypted with another key, in another file. */
  const ownPart = async (at: number, count: number): Promise<{ readonly count: number; readonly own: boolean }> => {
    if (parentUnit === null) return { count, own: true };
    const extents = (await below.extents(dataAt + at, count)).filter(({ depth }) => depth === 0);
    const isOwn = (from: number): boolean => extents.some((one) => one.at < dataAt + from + parentUnit && one.at + one.bytes > dataAt + from);
    const own = isOwn(at);
    let end = at + parentUnit;
    while (end < at + count && isOwn(end) === own) end += parentUnit;
    return { count: Math.min(count, end - at), own };
  };
  const moveZone = async (at: number, most: number): Promise<void> => {
    const { count, own } = await ownPart(at, most);
    if (!own) {
      await advance(at, count, null);
      return header.flush();
    }
    const data = new Uint8Array(count);
    await before.read(at, data);
    const zero = isZero(data);
    if (zero && (await isNowhere(before, at, count)) && (await isNowhere(after, at, count))) await advance(at, count, null);
    else if (mode === 'rekey') {
      // In its own place: with a crash halfway neither key would read it, so it is stored beside first.
      await cipher.encrypt(data, data, at / 512);
      await advance(at, count, data);
      await header.flush();
      return storeZone(at, data);
    } else {
      // In a place where nothing lies that is still needed. Plain zeros may give it up, encrypted ones overwrite what it was.
      if (zero && mode === 'decrypt') await after.writeZeroes(at, count);
      else await after.write(at, data);
      await after.flush();
      await advance(at, count, null);
    }
    await header.flush();
  };
  /** It reads zeros whatever is in the file. */
  const isNowhere = async (one: MappedDisk, at: number, count: number): Promise<boolean> => (await one.extents(at, count)).every(({ depth }) => depth === null);
  const nextZone = (): { readonly at: number; readonly count: number } | null => {
    const { watermark } = record;
    if (mode === 'encrypt') {
      const at = (Math.ceil(watermark / zoneBytes) - 1) * zoneBytes;
      return watermark === 0 ? null : { at, count: watermark - at };
    }
    return watermark === diskBytes ? null : { at: watermark, count: Math.min(zoneBytes, diskBytes - watermark) };
  };
  const eachPart = async (at: number, count: number, visit: (disk: MappedDisk, from: number, to: number) => Promise<void>): Promise<void> => {
    if (record.zone !== null) throw new CryptError(name, 'request', 'a zone of its re-encryption could not be stored');
    for (const { disk, from, to } of parts(at, count)) await visit(disk, from, to);
  };
  const disk: MappedDisk = {
    bytes: diskBytes,
    writable: below.writable,
    allocationBytes: null,
    async read(at, into) {
      check(at, into.length, false);
      await gate.together(() => eachPart(at, into.length, (one, from, to) => one.read(at + from, into.subarray(from, to))));
    },
    async write(at, from) {
      check(at, from.length, true);
      await gate.together(() => eachPart(at, from.length, (one, begin, end) => one.write(at + begin, from.subarray(begin, end))));
    },
    flush: () => below.flush(),
    async discard(at, count) {
      check(at, count, true);
      await gate.together(() => eachPart(at, count, (one, from, to) => one.discard(at + from, to - from)));
    },
    async writeZeroes(at, count) {
      check(at, count, true);
      await gate.together(() => eachPart(at, count, (one, from, to) => one.writeZeroes(at + from, to - from)));
    },
    async extents(at, count) {
      check(at, count, false);
      const list: Extent[] = [];
      await gate.together(() => eachPart(at, count, async (one, from, to) => {
        for (const extent of await one.extents(at + from, to - from)) pushExtent(list, extent);
      }));
      return list;
    },
  };
  return {
    disk,
    reencryption: {
      mode,
      progress: () => ({ done: mode === 'encrypt' ? diskBytes - record.watermark : record.watermark, total: diskBytes }),
      step: () => gate.alone(async () => {
        const zone = nextZone();
        if (zone === null) return false;
        // Of one that could not be stored before, what is in its place may be neither old nor new.
        if (record.zone !== null) await storeZone(record.watermark, record.zone);
        else await moveZone(zone.at, zone.count);
        return true;
      }),
    },
    async recover() {
      const { zone, watermark } = record;
      if (zone === null) return;
      if (!below.writable) throw new CryptError(name, 'request', 'its re-encryption was cut off halfway through a zone; it has to be opened for stores once');
      await storeZone(watermark, zone);
    },
  };
}
