import { isZero, putU32 } from './big-endian.ts';
import { type Extent, type MappedDisk, pushExtent } from './extent.ts';
import { checkRange } from './fixed-disk.ts';
import type { ImageFile } from './image-file.ts';
import { SectorBitmap } from './sector-bitmap.ts';
import { StoreGate } from './store-gate.ts';
import { VhdError } from './vhd-error.ts';
import { type BlockTable, blockSpan, endOfUse, freeRooms, placeBlock, tableProblems, UNUSED, type VhdImage } from './vhd-image.ts';

const SECTOR = 512;
const MOST_BITMAPS = 4096; // kept in memory, for 8 GiB of disk

/**
 * A dynamic or a differencing disk. Stores to sectors that have their room happen together, and all others one after the other. What
 * is in flight at a crash leaves each sector old or new, because a block gets its entry in the table, and a sector its bit, only
 * when the data is stored.
 */
export class SparseDisk implements MappedDisk {
  readonly bytes: number;
  readonly writable: boolean;
  readonly #file: ImageFile;
  readonly #image: VhdImage;
  readonly #table: BlockTable;
  readonly #parent: MappedDisk | null;
  readonly #bad: ReadonlyMap<number, string>;
  readonly #bitmaps = new Map<number, SectorBitmap>();
  readonly #footer: Uint8Array;
  #footerAt: number;
  /** First sectors of rooms for blocks that are in nobody's use; null: not looked for yet. */
  #free: number[] | null = null;
  /** The same, but the table may still say otherwise after a crash. */
  #givenUp: number[] = [];
  readonly #gate = new StoreGate();

  constructor(file: ImageFile, image: VhdImage, table: BlockTable, parent: MappedDisk | null, writable: boolean) {
    this.bytes = image.bytes;
    this.writable = writable;
    this.#file = file;
    this.#image = image;
    this.#table = table;
    this.#parent = parent;
    this.#bad = new Map(tableProblems(image).map(({ block, text }) => [block, text]));
    this.#footer = image.footerBytes;
    this.#footerAt = image.backAt;
    if (writable) for (const text of this.#bad.values()) throw new VhdError(file.name, 'block', `${text}; it opens for reading, and repair can drop the block`);
  }

  get blockBytes(): number {
    return this.#table.header.blockBytes;
  }

  get allocationBytes(): number | null {
    return this.#parent === null ? this.blockBytes : null;
  }

  async extents(at: number, bytes: number): Promise<readonly Extent[]> {
    checkRange(this.#file, this, at, bytes, false);
    const list: Extent[] = [];
    for (const { block, offset, count } of this.#chunks(at, bytes)) {
      const base = block * this.blockBytes;
      const bitmap = await this.ownSectors(block);
      for (const run of bitmap?.runs(offset, count) ?? [{ begin: offset, end: offset + count, present: false }]) {
        const range = { at: base + run.begin, bytes: run.end - run.begin };
        if (run.present) pushExtent(list, { ...range, depth: 0 });
        else if (this.#parent === null) pushExtent(list, { ...range, depth: null });
        else for (const below of await this.#parent.extents(range.at, range.bytes)) pushExtent(list, { ...below, depth: below.depth === null ? null : below.depth + 1 });
      }
    }
    return list;
  }

  /** A disk that is written has two good copies of its footer, the front one first. */
  async mendFooters(): Promise<void> {
    const { frontProblem, backProblem, backAt } = this.#image;
    if (frontProblem === null && backProblem === null) return;
    if (backProblem !== null) this.#footerAt = Math.max(backAt, endOfUse(this.#image));
    await this.#file.write(0, this.#footer);
    await this.#file.flush();
    await this.#file.write(this.#footerAt, this.#footer);
    await this.#file.flush();
  }

  async read(at: number, into: Uint8Array): Promise<void> {
    checkRange(this.#file, this, at, into.length, false);
    for (const { block, offset, done, count } of this.#chunks(at, into.length)) await this.#readChunk(block, offset, into.subarray(done, done + count));
  }

  async write(at: number, from: Uint8Array): Promise<void> {
    checkRange(this.#file, this, at, from.length, true);
    const done = await this.#gate.together(async () => {
      if (!this.#hasRoom(at, from.length)) return false;
      for (const { block, offset, done: begin, count } of this.#chunks(at, from.length)) await this.#file.write((this.#table.entries[block] ?? 0) * SECTOR + this.#table.bitmapBytes + offset, from.subarray(begin, begin + count));
      return true;
    });
    if (done) return;
    await this.#gate.alone(async () => {
      // Bits of the bitmap stand for whole sectors.
      const begin = Math.floor(at / SECTOR) * SECTOR;
      const end = Math.ceil((at + from.length) / SECTOR) * SECTOR;
      let whole = from;
      if (begin !== at || end !== at + from.length) {
        whole = new Uint8Array(end - begin);
        await this.read(begin, whole.subarray(0, SECTOR));
        await this.read(end - SECTOR, whole.subarray(whole.length - SECTOR));
        whole.set(from, at - begin);
      }
      for (const { block, offset, done, count } of this.#chunks(begin, whole.length)) await this.#writeChunk(block, offset, whole.subarray(done, done + count));
    });
  }

  flush(): Promise<void> {
    return this.#gate.alone(() => (this.writable ? this.#barrier() : Promise.resolve()));
  }

  /** Gives up blocks that it covers whole, whose room others take then. Sectors alone have none of their own, and stay. */
  discard(at: number, bytes: number): Promise<void> {
    return this.#gate.alone(async () => {
      checkRange(this.#file, this, at, bytes, true);
      if (this.#parent !== null) return; // what the parent holds would show
      for (const { block, count } of this.#chunks(at, bytes)) if (this.#isWhole(block, count)) await this.#drop(block);
    });
  }

  async writeZeroes(at: number, bytes: number): Promise<void> {
    checkRange(this.#file, this, at, bytes, true);
    for (const { block, offset, count } of this.#chunks(at, bytes)) {
      if (this.#parent === null && this.#isWhole(block, count)) await this.discard(block * this.blockBytes, count);
      else if (this.#parent !== null || this.#table.entries[block] !== UNUSED) await this.write(block * this.blockBytes + offset, new Uint8Array(count));
    }
  }

  /** Whole sectors that are stored where they are, with nothing else to change. */
  #hasRoom(at: number, bytes: number): boolean {
    if (at % SECTOR !== 0 || bytes % SECTOR !== 0) return false;
    for (let block = Math.floor(at / this.blockBytes); block * this.blockBytes < at + bytes; block++) {
      if (this.#table.entries[block] === UNUSED || this.#bitmaps.get(block)?.isFull !== true) return false;
    }
    return true;
  }

  /** Which sectors of a block this file holds itself; null when it has none of them. */
  async ownSectors(block: number): Promise<SectorBitmap | null> {
    if (this.#table.entries[block] === UNUSED) return null;
    this.#checkBlock(block);
    return this.#bitmap(block);
  }

  *#chunks(at: number, bytes: number): Generator<{ block: number; offset: number; done: number; count: number }> {
    for (let done = 0; done < bytes; ) {
      const block = Math.floor((at + done) / this.blockBytes);
      const offset = at + done - block * this.blockBytes;
      const count = Math.min(this.blockBytes - offset, bytes - done);
      yield { block, offset, done, count };
      done += count;
    }
  }

  async #readChunk(block: number, offset: number, into: Uint8Array): Promise<void> {
    const entry = this.#table.entries[block] ?? UNUSED;
    if (entry === UNUSED) return this.#readBelow(block, offset, into);
    this.#checkBlock(block);
    const dataAt = entry * SECTOR + this.#table.bitmapBytes;
    const bitmap = await this.#bitmap(block);
    for (const run of bitmap.runs(offset, into.length)) {
      const part = into.subarray(run.begin - offset, run.end - offset);
      if (run.present) await this.#file.read(dataAt + run.begin, part);
      else await this.#readBelow(block, run.begin, part);
    }
  }

  /** An image that is only read may have blocks where none can be, as long as nobody asks for them. */
  #checkBlock(block: number): void {
    const bad = this.#bad.get(block);
    if (bad !== undefined) throw new VhdError(this.#file.name, 'block', bad);
  }

  async #readBelow(block: number, offset: number, into: Uint8Array): Promise<void> {
    if (this.#parent === null) into.fill(0);
    else await this.#parent.read(block * this.blockBytes + offset, into);
  }

  async #writeChunk(block: number, offset: number, from: Uint8Array): Promise<void> {
    const entry = this.#table.entries[block] ?? UNUSED;
    if (entry === UNUSED) {
      if (this.#parent !== null || !isZero(from)) await this.#allocate(block, offset, from);
      return;
    }
    const bitmap = await this.#bitmap(block);
    await this.#file.write(entry * SECTOR + this.#table.bitmapBytes + offset, from);
    const after = bitmap.with(offset, from.length);
    if (after === bitmap) return;
    await this.#file.flush();
    await this.#file.write(entry * SECTOR, after.bytes);
    this.#bitmaps.set(block, after);
  }

  /** Room, data and bitmap, a barrier, and the entry of the table last. */
  async #allocate(block: number, offset: number, from: Uint8Array): Promise<void> {
    const { bitmapBytes, header } = this.#table;
    const reused = await this.#takeFree();
    const start = reused ?? (await this.#grow());
    const empty = SectorBitmap.empty(bitmapBytes, header.blockBytes);
    // Readers that know no bitmaps agree with all others when a block of a dynamic disk is whole.
    const bitmap = this.#parent === null ? SectorBitmap.full(bitmapBytes, header.blockBytes) : empty.with(offset, from.length);
    if (reused === null) await this.#file.write(start + bitmapBytes + offset, from);
    else {
      // Something else was there.
      const whole = new Uint8Array(header.blockBytes);
      whole.set(from, offset);
      await this.#file.write(start + bitmapBytes, whole);
    }
    await this.#file.write(start, bitmap.bytes);
    await this.#barrier();
    await this.#pointTo(block, start / SECTOR);
    this.#remember(block, bitmap);
  }

  /** Room for a block behind all others; the footer goes to the new end first. What is there reads as zeros. */
  async #grow(): Promise<number> {
    const start = placeBlock(this.#footerAt, this.#table.bitmapBytes);
    if (start / SECTOR >= UNUSED) throw new VhdError(this.#file.name, 'size', 'a VHD file cannot grow beyond 2 TiB');
    const footerAt = start + blockSpan(this.#table);
    await this.#file.write(footerAt, this.#footer);
    // From here on this space is used up, also when what follows fails: only new space is known to hold zeros.
    this.#footerAt = footerAt;
    return start;
  }

  /** Room that nobody uses, between blocks and before the footer; null when there is none. */
  async #takeFree(): Promise<number | null> {
    if (this.#free === null) {
      const rooms = freeRooms({ ...this.#image, table: this.#table }, this.#footerAt);
      // What made them free may not be stored yet, here or by who had the file open before.
      if (rooms.length > 0) await this.#file.flush();
      [this.#free, this.#givenUp] = [rooms, []];
    } else if (this.#free.length === 0 && this.#givenUp.length > 0) await this.#barrier();
    const sector = this.#free.pop();
    return sector === undefined ? null : sector * SECTOR;
  }

  async #drop(block: number): Promise<void> {
    const entry = this.#table.entries[block] ?? UNUSED;
    if (entry === UNUSED) return;
    await this.#pointTo(block, UNUSED);
    this.#bitmaps.delete(block);
    this.#givenUp.push(entry);
  }

  async #pointTo(block: number, sector: number): Promise<void> {
    const { entries, header } = this.#table;
    const entry = new Uint8Array(4);
    putU32(entry, 0, sector);
    await this.#file.write(header.tableAt + 4 * block, entry);
    entries[block] = sector;
  }

  async #barrier(): Promise<void> {
    await this.#file.flush();
    this.#free?.push(...this.#givenUp.splice(0));
  }

  /** All of a block that the disk has: the last one may be longer than its rest. */
  #isWhole(block: number, count: number): boolean {
    return count === Math.min(this.blockBytes, this.bytes - block * this.blockBytes);
  }

  async #bitmap(block: number): Promise<SectorBitmap> {
    const known = this.#bitmaps.get(block);
    if (known !== undefined) return known;
    const bytes = new Uint8Array(this.#table.bitmapBytes);
    await this.#file.read((this.#table.entries[block] ?? 0) * SECTOR, bytes);
    // A store may have been quicker, and knows better.
    return this.#bitmaps.get(block) ?? this.#remember(block, SectorBitmap.of(bytes, this.blockBytes));
  }

  #remember(block: number, bitmap: SectorBitmap): SectorBitmap {
    if (this.#bitmaps.size >= MOST_BITMAPS) this.#bitmaps.clear();
    this.#bitmaps.set(block, bitmap);
    return bitmap;
  }
}
