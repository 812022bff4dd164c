/**
 * The shadow tables and how they hang together: entries, the parents of each table, the tables of each frame, and the writable
 * mappings of each frame that are recorded.
 *
 * An entry is named by one number, table * 512 + index; 0 is none. Each entry is in at most one doubly linked list: one that
 * leads to a table in the list of that table's parents, a recorded leaf in the list of the writers of its frame.
 */
import { ENTRY_BYTES, HEADER_BYTES, TABLE_BYTES, TABLE_ENTRIES } from './layout.ts';
import { ANY_WRITE, RIGHT_RECORDED } from './role.ts';
import { KEY_DIRECT, keyLevel } from './table-key.ts';

export const NO_FRAME = 0xffff_ffff;
const ENTRY_SHIFT = 9;
const LIVE_WORDS = TABLE_ENTRIES / 32;
/** Book-keeping of one table beside its 4096 bytes: two links an entry, one bit an entry, and the fields below. */
const OWN_BYTES: number = TABLE_ENTRIES * 8 + LIVE_WORDS * 4 + 36;

const isPieces = (key: number): boolean => (key & KEY_DIRECT) !== 0 && keyLevel(key) === 1;

export class TablePool {
  readonly tables: number;
  /** Of the buffer, where table 0 begins. */
  readonly at: number;
  readonly #words: Int32Array;
  readonly #first: number; // index in words of table 0
  // Of entries.
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #live: Int32Array;
  // Of tables.
  readonly frame: Uint32Array;
  readonly key: Int32Array;
  readonly liveCount: Uint16Array;
  readonly parents: Int32Array;
  /** Address spaces of which it is the root. */
  readonly rootOf: Uint16Array;
  readonly isUsed: Uint8Array;
  /** 1 + place in `stale`; 0: not stale. */
  readonly #staleAt: Int32Array;
  readonly #nextOfFrame: Int32Array;
  // Of frames of guest memory.
  readonly #tablesOfFrame: Int32Array;
  readonly #writers: Int32Array;
  readonly #free: Int32Array;
  freeCount = 0;
  /** Entries of all tables. */
  liveEntries = 0;
  /** Tables of pieces of large pages, which are filled at once. */
  pieceTables = 0;
  /** Tables whose guest table may have changed since they were filled. */
  readonly stale: Int32Array;
  staleCount = 0;
  usedMost = 0;

  constructor(buffer: ArrayBufferLike, offset: number, tables: number, frames: number) {
    this.tables = tables;
    this.at = offset + HEADER_BYTES;
    this.#words = new Int32Array(buffer, 0, (this.at + tables * TABLE_BYTES) >>> 2);
    this.#first = this.at >>> 2;
    this.#next = new Int32Array(tables * TABLE_ENTRIES);
    this.#previous = new Int32Array(tables * TABLE_ENTRIES);
    this.#live = new Int32Array(tables * LIVE_WORDS);
    this.frame = new Uint32Array(tables);
    this.key = new Int32Array(tables);
    this.liveCount = new Uint16Array(tables);
    this.parents = new Int32Array(tables);
    this.rootOf = new Uint16Array(tables);
    this.isUsed = new Uint8Array(tables);
    this.#staleAt = new Int32Array(tables);
    this.#nextOfFrame = new Int32Array(tables);
    this.#tablesOfFrame = new Int32Array(frames);
    this.#writers = new Int32Array(frames);
    this.#free = new Int32Array(tables);
    this.stale = new Int32Array(tables);
    for (let table = tables - 1; table > 0; table--) this.#free[this.freeCount++] = table;
    this.#words.fill(0, this.#first, this.#first + (tables * TABLE_BYTES >>> 2));
  }

  get used(): number { return this.tables - 1 - this.freeCount; }
  /** Of tables in use, with their book-keeping. */
  get bytes(): number { return this.used * (TABLE_BYTES + OWN_BYTES); }

  // ---- Entries ---------------------------------------------------------------------------------------------------------------

  offset(table: number): number { return this.at + table * TABLE_BYTES; }
  #word(table: number, index: number): number { return this.#first + table * (TABLE_BYTES >>> 2) + index * (ENTRY_BYTES >>> 2); }
  /** Number of the table that an upper entry leads to; 0: none. */
  child(table: number, index: number): number { return this.#words[this.#word(table, index) + 1] as number; }
  frameOf(table: number, index: number): number { return (this.#words[this.#word(table, index)] as number) >>> 0; }
  rightsOf(table: number, index: number): number { return this.#words[this.#word(table, index) + 1] as number; }
  isLive(table: number, index: number): boolean {
    return (((this.#live[table * LIVE_WORDS + (index >> 5)] as number) >>> (index & 31)) & 1) !== 0;
  }
  /** The first live entry at or after `index`; TABLE_ENTRIES: none. */
  nextLive(table: number, index: number): number {
    let word = index >> 5;
    if (word >= LIVE_WORDS) return TABLE_ENTRIES;
    let bits = (this.#live[table * LIVE_WORDS + word] as number) & (-1 << (index & 31));
    while (bits === 0) {
      if (++word === LIVE_WORDS) return TABLE_ENTRIES;
      bits = this.#live[table * LIVE_WORDS + word] as number;
    }
    return (word << 5) + 31 - Math.clz32(bits & -bits);
  }
  #setLive(table: number, index: number): void {
    const at = table * LIVE_WORDS + (index >> 5);
    this.#live[at] = (this.#live[at] as number) | (1 << (index & 31));
    this.liveCount[table] = (this.liveCount[table] as number) + 1;
    this.liveEntries++;
  }

  /** Makes an entry of an upper level, which is empty, lead to `child`. */
  link(table: number, index: number, child: number): void {
    const word = this.#word(table, index);
    this.#words[word] = this.offset(child);
    this.#words[word + 1] = child;
    this.#setLive(table, index);
    const entry = (table << ENTRY_SHIFT) | index;
    const head = this.parents[child] as number;
    this.#next[entry] = head;
    this.#previous[entry] = 0;
    if (head !== 0) this.#previous[head] = entry;
    this.parents[child] = entry;
  }
  /** Puts a translation into an empty entry of level 1. The bit that says so is set here when the writer is to be recorded. */
  install(table: number, index: number, frame: number, rights: number, record: boolean): void {
    const word = this.#word(table, index);
    this.#words[word] = frame;
    this.#words[word + 1] = record ? rights | RIGHT_RECORDED : rights;
    this.#setLive(table, index);
    if (!record) return;
    const entry = (table << ENTRY_SHIFT) | index;
    const head = this.#writers[frame] as number;
    this.#next[entry] = head;
    this.#previous[entry] = 0;
    if (head !== 0) this.#previous[head] = entry;
    this.#writers[frame] = entry;
  }
  /** Empties an entry. The table that it led to stays, unless it is one of pieces that nobody else uses. */
  drop(table: number, index: number): void {
    const word = this.#word(table, index);
    const entry = (table << ENTRY_SHIFT) | index;
    const second = this.#words[word + 1] as number;
    const frame = (this.#words[word] as number) >>> 0;
    this.#words[word + 1] = 0;
    this.#words[word] = 0;
    const at = table * LIVE_WORDS + (index >> 5);
    this.#live[at] = (this.#live[at] as number) & ~(1 << (index & 31));
    this.liveCount[table] = (this.liveCount[table] as number) - 1;
    this.liveEntries--;
    if (keyLevel(this.key[table] as number) > 1) {
      this.#unlink(entry, this.parents, second);
      if (((this.key[second] as number) & KEY_DIRECT) !== 0 && this.parents[second] === 0) this.release(second);
    } else if ((second & RIGHT_RECORDED) !== 0) this.#unlink(entry, this.#writers, frame);
  }
  #unlink(entry: number, heads: Int32Array, list: number): void {
    const next = this.#next[entry] as number;
    const previous = this.#previous[entry] as number;
    if (previous === 0) heads[list] = next;
    else this.#next[previous] = next;
    if (next !== 0) this.#previous[next] = previous;
  }
  /** Empties all entries and says how many there were. */
  clear(table: number): number {
    const count = this.liveCount[table] as number;
    for (let index = this.nextLive(table, 0); index < TABLE_ENTRIES; index = this.nextLive(table, index + 1)) this.drop(table, index);
    return count;
  }

  // ---- Writers of a frame ----------------------------------------------------------------------------------------------------

  countWriters(frame: number): number {
    let count = 0;
    for (let entry = this.#writers[frame] as number; entry !== 0; entry = this.#next[entry] as number) count++;
    return count;
  }
  /** Makes all recorded mappings of the frame read-only, and says how many there were. */
  stripWriters(frame: number): number {
    let count = 0;
    for (let entry = this.#writers[frame] as number; entry !== 0; entry = this.#next[entry] as number) {
      const word = this.#word(entry >>> ENTRY_SHIFT, entry & (TABLE_ENTRIES - 1)) + 1;
      this.#words[word] = (this.#words[word] as number) & ~(ANY_WRITE | RIGHT_RECORDED);
      count++;
    }
    this.#writers[frame] = 0;
    return count;
  }

  // ---- Tables ----------------------------------------------------------------------------------------------------------------

  /** The table made from `frame` for `key`; 0: there is none. */
  find(frame: number, key: number): number {
    let table = this.#tablesOfFrame[frame] as number;
    while (table !== 0 && this.key[table] !== key) table = this.#nextOfFrame[table] as number;
    return table;
  }
  /** The tables of a frame one after the other, the direct ones among them; 0 ends. */
  firstOf(frame: number): number { return this.#tablesOfFrame[frame] as number; }
  nextOf(table: number): number { return this.#nextOfFrame[table] as number; }
  /** NO_FRAME: made from no table of the guest. There has to be a free one. */
  create(frame: number, key: number): number {
    const table = this.#free[--this.freeCount] as number;
    this.frame[table] = frame;
    this.key[table] = key;
    this.isUsed[table] = 1;
    if (isPieces(key)) this.pieceTables++;
    if (frame !== NO_FRAME) {
      this.#nextOfFrame[table] = this.#tablesOfFrame[frame] as number;
      this.#tablesOfFrame[frame] = table;
    }
    if (this.used > this.usedMost) this.usedMost = this.used;
    return table;
  }
  /** Gives a table back, unlinked from everything. It may not be a root. */
  release(table: number): void {
    this.clear(table);
    for (let entry = this.parents[table] as number; entry !== 0; entry = this.parents[table] as number) this.#dropParent(table, entry);
    const frame = this.frame[table] as number;
    if (frame !== NO_FRAME) {
      if (this.#tablesOfFrame[frame] === table) this.#tablesOfFrame[frame] = this.#nextOfFrame[table] as number;
      else {
        let before = this.#tablesOfFrame[frame] as number;
        while (this.#nextOfFrame[before] !== table) before = this.#nextOfFrame[before] as number;
        this.#nextOfFrame[before] = this.#nextOfFrame[table] as number;
      }
    }
    this.markFresh(table);
    this.isUsed[table] = 0;
    if (isPieces(this.key[table] as number)) this.pieceTables--;
    this.#free[this.freeCount++] = table;
  }
  /** Gives all tables back, roots too, without undoing one link after the other. Costs as much as is live. */
  releaseAll(): void {
    for (let table = 1, left = this.used; left > 0; table++) {
      if (this.isUsed[table] === 0) continue;
      left--;
      const isLeaf = keyLevel(this.key[table] as number) === 1;
      for (let index = this.nextLive(table, 0); index < TABLE_ENTRIES; index = this.nextLive(table, index + 1)) {
        const word = this.#word(table, index);
        if (isLeaf && ((this.#words[word + 1] as number) & RIGHT_RECORDED) !== 0) this.#writers[(this.#words[word] as number) >>> 0] = 0;
        this.#words[word] = 0;
        this.#words[word + 1] = 0;
      }
      this.#live.fill(0, table * LIVE_WORDS, (table + 1) * LIVE_WORDS);
      const frame = this.frame[table] as number;
      if (frame !== NO_FRAME) this.#tablesOfFrame[frame] = 0;
      this.liveCount[table] = 0;
      this.parents[table] = 0;
      this.rootOf[table] = 0;
      this.#staleAt[table] = 0;
      this.isUsed[table] = 0;
      this.#free[this.freeCount++] = table;
    }
    this.staleCount = 0;
    this.liveEntries = 0;
    this.pieceTables = 0;
  }
  /** As drop, for the parent entry of a table that is being released. */
  #dropParent(table: number, entry: number): void {
    const parent = entry >>> ENTRY_SHIFT;
    const index = entry & (TABLE_ENTRIES - 1);
    const word = this.#word(parent, index);
    this.#words[word + 1] = 0;
    this.#words[word] = 0;
    const at = parent * LIVE_WORDS + (index >> 5);
    this.#live[at] = (this.#live[at] as number) & ~(1 << (index & 31));
    this.liveCount[parent] = (this.liveCount[parent] as number) - 1;
    this.liveEntries--;
    this.#unlink(entry, this.parents, table);
  }
  /** Nothing leads to it. */
  isOrphan(table: number): boolean { return this.parents[table] === 0 && this.rootOf[table] === 0; }
  /** The entry after one in a list that begins in `parents`; 0 ends. */
  nextParent(entry: number): number { return this.#next[entry] as number; }
  /** The entries that lead to a table. */
  *parentsOf(table: number): Generator<number> {
    for (let entry = this.parents[table] as number; entry !== 0; entry = this.#next[entry] as number) yield entry;
  }

  isStale(table: number): boolean { return this.#staleAt[table] !== 0; }
  markStale(table: number): void {
    if (this.#staleAt[table] !== 0) return;
    this.stale[this.staleCount++] = table;
    this.#staleAt[table] = this.staleCount;
  }
  /** Takes a table off the list; the last one takes its place. */
  markFresh(table: number): void {
    const at = (this.#staleAt[table] as number) - 1;
    if (at < 0) return;
    const last = this.stale[--this.staleCount] as number;
    this.stale[at] = last;
    this.#staleAt[last] = at + 1;
    this.#staleAt[table] = 0;
  }
}
