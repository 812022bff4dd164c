// Stores on their way to where they stay: they gather in memory, as in the cache of a disk, go into the journal when a batch of them is
// full or somebody wants them to last, and from there to their places.
import type { MappedDisk } from './extent.ts';
import type { KeyMath } from './key-math.ts';
import { RECORD_BYTES } from './ocb-sectors.ts';
import { encodeBatch } from './sealed-journal.ts';
import { ENTRY_BYTES, JOURNAL_HEAD_BYTES, SECTOR_BYTES, type SealedLayout } from './sealed-layout.ts';
import type { SealedStore } from './sealed-store.ts';
import type { SealedSectors } from './sector-cipher.ts';

export interface SealedWriterOptions {
  readonly below: MappedDisk;
  /** Where the journal begins. */
  readonly at: number;
  readonly layout: SealedLayout;
  readonly store: SealedStore;
  readonly cipher: SealedSectors;
  readonly math: KeyMath;
  readonly journalKey: Uint8Array;
  /** Of the next batch. */
  readonly sequence: number;
}

interface Batch {
  /** Where in `plain` each sector is. */
  readonly places: Map<number, number>;
  readonly plain: Uint8Array;
  sealed: Promise<SealedBatch> | null;
  /** In the journal; null before. */
  sequence: number | null;
  /** With a barrier behind it. */
  lasting: boolean;
}
interface SealedBatch {
  readonly sectors: readonly number[];
  readonly records: Uint8Array;
  /** Room for the entries of the journal, and the sectors as they are stored. */
  readonly outgoing: Uint8Array;
}

const PER_512 = SECTOR_BYTES / 512;
/** Besides the one that gathers: one goes to its places, one waits for its barrier, one goes into the journal, and one is sealed. */
const MOST_WAITING = 4;
/** What lies between the entries and the data of a batch is written with them, unless it is more than this. */
const SMALL_GAP = 16_384;
const PIECE = 1 << 20;

/**
 * A batch goes into the part of the journal whose turn it is, and a barrier makes it last; after that it goes to its places, while those
 * behind it go into the journal. At most `unsafeBatches` are there without a barrier, and before a part is used again, what was in it is
 * in its places, with a barrier behind it. When something fails, everything stays where it is, who asked is told, and who asks next tries
 * again.
 */
export class SealedWriter {
  readonly #options: SealedWriterOptions;
  #filling: Batch | null = null;
  /** The oldest first. */
  readonly #waiting: Batch[] = [];
  #sequence: number;
  #writing: Promise<void> | null = null;
  #flushing: Promise<void> | null = null;
  #moving: Promise<void> | null = null;
  /** Nothing goes on by itself until somebody asks again. */
  #failed = false;
  #alone: Promise<unknown> = Promise.resolve();
  readonly #plains: Uint8Array[] = [];
  readonly #outgoing: Uint8Array[] = [];

  constructor(options: SealedWriterOptions) {
    this.#options = options;
    this.#sequence = options.sequence;
  }

  /** What is to be stored in a sector and not in its place yet. To be copied at once. */
  find(sector: number): Uint8Array | null {
    let batch = this.#filling;
    for (let i = this.#waiting.length; ; batch = this.#waiting[i]!) {
      const place = batch?.places.get(sector);
      if (place !== undefined) return batch!.plain.subarray(place * SECTOR_BYTES, (place + 1) * SECTOR_BYTES);
      if (--i < 0) return null;
    }
  }

  /** False when there is no room before `makeRoom`. */
  put(sector: number, from: Uint8Array): boolean {
    const batch = (this.#filling ??= { places: new Map(), plain: this.#plains.pop() ?? new Uint8Array(this.#options.layout.batch * SECTOR_BYTES), sealed: null, sequence: null, lasting: false });
    let place = batch.places.get(sector);
    if (place === undefined) {
      place = batch.places.size;
      if (place >= this.#options.layout.batch) return false;
      batch.places.set(sector, place);
    }
    batch.plain.set(from, place * SECTOR_BYTES);
    return true;
  }

  async makeRoom(): Promise<void> {
    this.#failed = false;
    while (this.#filling !== null && this.#filling.places.size >= this.#options.layout.batch) await this.#send();
  }

  /** All that was put so far will be there after a crash. */
  async commit(): Promise<void> {
    this.#failed = false;
    const asked = this.#filling;
    while (asked !== null && this.#filling === asked) await this.#send();
    const last = this.#waiting.at(-1);
    while (last !== undefined && !last.lasting) await (last.sequence === null ? this.#writeNext() : this.#flushNext());
  }

  /** All that was put so far is in its places. */
  async settle(): Promise<void> {
    await this.commit();
    while (this.#waiting.length > 0) await this.#advance();
  }

  /** While nothing goes to its places. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#alone.then(work);
    this.#alone = result.catch(() => undefined);
    return result;
  }

  /** Forgets what passed through. */
  close(): void {
    for (const bytes of [...this.#plains, ...this.#outgoing, ...this.#waiting.map(({ plain }) => plain), ...(this.#filling === null ? [] : [this.#filling.plain])]) bytes.fill(0);
  }

  /** The batch that gathers goes on its way, or one before it gets further. */
  async #send(): Promise<void> {
    if (this.#waiting.length >= MOST_WAITING) return this.#advance();
    const batch = this.#filling!;
    this.#filling = null;
    this.#waiting.push(batch);
    batch.sealed = this.#seal(batch);
    batch.sealed.catch(() => undefined); // told to who waits for the journal
    this.#goOn();
  }

  /** What can go on goes on. When it fails, who asks for it next is told. */
  #goOn(): void {
    if (this.#failed) return;
    const { unsafeBatches } = this.#options.layout;
    const unsafe = this.#unsafe().length;
    if (this.#writing === null && unsafe < unsafeBatches && this.#waiting.some(({ sequence }) => sequence === null)) this.#writeNext().catch(() => undefined);
    if (this.#flushing === null && unsafe > 0) this.#flushNext().catch(() => undefined);
    if (this.#moving === null && this.#waiting[0]?.lasting === true) this.#moveNext().catch(() => undefined);
  }

  /** What is in the journal without a barrier. */
  #unsafe(): Batch[] {
    return this.#waiting.filter(({ sequence, lasting }) => sequence !== null && !lasting);
  }

  /** The oldest gets further. */
  #advance(): Promise<void> {
    const oldest = this.#waiting[0];
    return oldest?.lasting === true ? this.#moveNext() : oldest?.sequence === null ? this.#writeNext() : this.#flushNext();
  }

  async #writeNext(): Promise<void> {
    await (this.#writing ??= this.#tried(this.#write()).finally(() => {
      this.#writing = null;
    }));
    this.#goOn();
  }

  async #flushNext(): Promise<void> {
    await (this.#flushing ??= this.#tried(this.#flush()).finally(() => {
      this.#flushing = null;
    }));
    this.#goOn();
  }

  async #moveNext(): Promise<void> {
    await (this.#moving ??= this.#tried(this.#move()).finally(() => {
      this.#moving = null;
    }));
    this.#goOn();
  }

  async #tried(step: Promise<void>): Promise<void> {
    try {
      await step;
    } catch (error) {
      this.#failed = true;
      throw error;
    }
  }

  async #seal({ places, plain }: Batch): Promise<SealedBatch> {
    const { cipher, layout: { batch, entriesBytes } } = this.#options;
    const sectors = Array.from(places.keys());
    const records = new Uint8Array(sectors.length * RECORD_BYTES);
    const outgoing = this.#outgoing.pop() ?? new Uint8Array(entriesBytes + batch * SECTOR_BYTES);
    const bytes = sectors.length * SECTOR_BYTES;
    await cipher.seal(plain.subarray(0, bytes), outgoing.subarray(entriesBytes, entriesBytes + bytes), records, sectors.map((sector) => sector * PER_512));
    return { sectors, records, outgoing };
  }

  /** The oldest that is not there goes into the journal. */
  async #write(): Promise<void> {
    const batch = this.#waiting.find(({ sequence }) => sequence === null);
    if (batch === undefined) return;
    const { below, at, layout: { parts, partBytes, entriesBytes, unsafeBatches }, math, journalKey } = this.#options;
    const { sectors, records, outgoing } = await (batch.sealed ??= this.#seal(batch)).catch((error: unknown) => {
      batch.sealed = null;
      throw error;
    });
    while (this.#unsafe().length >= unsafeBatches) await this.#flushNext();
    const sequence = this.#sequence;
    await encodeBatch(outgoing, sequence, sectors, records, math, journalKey);
    const place = at + (sequence % parts) * partBytes;
    const [entriesEnd, end] = [JOURNAL_HEAD_BYTES + sectors.length * ENTRY_BYTES, entriesBytes + sectors.length * SECTOR_BYTES];
    const gap = entriesBytes - entriesEnd > SMALL_GAP;
    if (gap) await below.write(place, outgoing.subarray(0, Math.ceil(entriesEnd / 512) * 512));
    // In pieces: hosts let one store to a file wait for the other.
    for (let from = gap ? entriesBytes : 0; from < end; from += PIECE) await below.write(place + from, outgoing.subarray(from, Math.min(end, from + PIECE)));
    if (this.#sequence !== sequence) return; // a barrier has failed, and everything behind the one before is written again
    batch.sequence = sequence;
    this.#sequence++;
  }

  async #flush(): Promise<void> {
    const unsafe = this.#unsafe();
    const newest = unsafe.at(-1)?.sequence ?? null;
    if (newest === null) return;
    const { below, layout: { parts, unsafeBatches } } = this.#options;
    // The barrier is also that of what is in its places: after it the parts that come next can be used again.
    for (let oldest = this.#waiting[0]!; oldest.lasting && oldest.sequence! <= newest + unsafeBatches - parts; oldest = this.#waiting[0]!) await this.#moveNext();
    try {
      await below.flush();
    } catch (error) {
      // Whether any of it was stored, nobody knows.
      this.#sequence = unsafe[0]!.sequence!;
      for (const batch of this.#unsafe()) batch.sequence = null;
      throw error;
    }
    for (const batch of unsafe) batch.lasting = true;
  }

  /** The oldest goes from the journal to its places. */
  async #move(): Promise<void> {
    const batch = this.#waiting[0];
    if (batch?.lasting !== true) return;
    const { store, layout: { entriesBytes } } = this.#options;
    const { sectors, records, outgoing } = await batch.sealed!;
    await this.alone(() => store.write(sectors, outgoing.subarray(entriesBytes), records));
    this.#waiting.shift();
    this.#plains.push(batch.plain);
    this.#outgoing.push(outgoing);
  }
}
