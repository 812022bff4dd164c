import { isZero } from './big-endian.ts';
import type { ContainerBytes } from './container.ts';
import { CryptError } from './crypt-error.ts';
import { type Extent, type MappedDisk, pushExtent } from './extent.ts';
import type { KeyMath } from './key-math.ts';
import { type ReencryptPlan, type ReencryptRecord, writeRecord } from './reencrypt-record.ts';
import type { SectorCipher } from './sector-cipher.ts';
import { StoreGate } from './store-gate.ts';

/** A re-encryption under way, as whoever drives it sees it. */
export interface Reencryption {
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
  /** Encrypts as it will be. */
  readonly cipher: SectorCipher;
  /** What the records announce is stored here, at `plan.dataAt` and on. */
  readonly below: MappedDisk;
}

/**
 * A disk whose beginning is as it will be, and the rest as it was. Zones are encrypted anew one by one, in their places. While that
 * happens to one, all others wait.
 */
export function reencryptingDisk(name: string, options: ReencryptingOptions): { readonly disk: MappedDisk; readonly reencryption: Reencryption; recover(): Promise<void> } {
  const { plan, header, recordAt, recordKey, math, before, after, cipher, below } = options;
  const { diskBytes, zoneBytes, dataAt } = plan;
  const gate = new StoreGate();
  let { record } = options;

  const isDone = (at: number): boolean => at < record.watermark;
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
  const advance = async (watermark: number, zone: Uint8Array | null): Promise<void> => {
    let sequence = record.sequence + 1;
    if (zone !== null && sequence % 2 !== 0) sequence++;
    const next = { sequence, watermark, zone };
    await writeRecord(header, recordAt, plan, next, math, recordKey);
    record = { ...next, watermark: zone === null ? watermark : record.watermark };
  };
  /** What a record announces goes where it belongs. */
  const storeZone = async (watermark: number, zone: Uint8Array): Promise<void> => {
    await below.write(dataAt + watermark, zone);
    await below.flush();
    await advance(watermark + zone.length, null);
    await header.flush();
  };
  const moveZone = async (at: number, count: number): Promise<void> => {
    const data = new Uint8Array(count);
    await before.read(at, data);
    if (isZero(data) && (await isNowhere(at, count))) {
      await advance(at + count, null);
      return header.flush();
    }
    // With a crash halfway neither key would read it, so it is stored beside first.
    await cipher.encrypt(data, data, at / 512);
    await advance(at, data);
    await header.flush();
    return storeZone(at, data);
  };
  /** It reads zeros with either key, as nothing is stored there. */
  const isNowhere = async (at: number, count: number): Promise<boolean> => (await before.extents(at, count)).every(({ depth }) => depth === null);
  const nextZone = (): { readonly at: number; readonly count: number } | null => {
    const { watermark } = record;
    return watermark === diskBytes ? null : { at: watermark, count: Math.min(zoneBytes, diskBytes - watermark) };
  };
  const eachPart = async (at: number, count: number, visit: (disk: MappedDisk, from: number, to: number) => Promise<void>): Promise<void> => {
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
      await eachPart(at, count, async (one, from, to) => {
        for (const extent of await one.extents(at + from, to - from)) pushExtent(list, extent);
      });
      return list;
    },
  };
  return {
    disk,
    reencryption: {
      progress: () => ({ done: record.watermark, total: diskBytes }),
      step: () => gate.alone(async () => {
        const zone = nextZone();
        if (zone === null) return false;
        await moveZone(zone.at, zone.count);
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
