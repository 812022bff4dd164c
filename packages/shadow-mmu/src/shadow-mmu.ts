/**
 * Shadow page tables of many address spaces, shared by the processors of one machine.
 *
 * The tables change only in what is called here, one call at a time; generated code may read them between calls.
 */
import { ShadowCounters } from './counters.ts';
import { EntryCheck } from './entry-check.ts';
import { GuestWalk } from './guest-walk.ts';
import { HEADER_BYTES, MAX_PROCESSORS, PROCESSOR_BLOCK_BYTES, TABLE_BYTES, TABLE_ENTRIES } from './layout.ts';
import type { FirstLevel, TableMemory } from './ports.ts';
import { createPolicy } from './purge-policy.ts';
import type { PurgePolicy, ShadowPolicyName } from './purge-policy.ts';
import { ShadowProcessor } from './shadow-processor.ts';
import { SpaceList } from './space-list.ts';
import { keyLevel } from './table-key.ts';
import { TablePool } from './table-pool.ts';
import { TableWriter } from './table-writer.ts';
import { Tracker } from './tracker.ts';
import type { Discovery, TrackerStep } from './tracker.ts';

export interface ShadowMmuOptions {
  readonly memory: TableMemory;
  /** One a processor. */
  readonly firstLevels: readonly FirstLevel[];
  readonly policy?: ShadowPolicyName; // default 'cached'
  /** How the writable mappings of a newly met page table are found; default: 'threshold', and 'search' of 'diff'. */
  readonly discovery?: Discovery;
  /** Page tables that may wait untracked until everything is purged for them; default 'adaptive': until waiting has cost as much. */
  readonly threshold?: number | 'adaptive';
  /** Address spaces that are kept; default 80. */
  readonly spaces?: number;
  /** Where the tables lie; default: memory of their own. */
  readonly place?: ShadowPlace;
  /** Tables of 4 KiB, used when `place` is absent; default 2048. */
  readonly tables?: number;
  /** Default 40. */
  readonly physicalBits?: number;
  /** Tags that each first level has; default 510. */
  readonly tags?: number;
  readonly onStep?: (step: TrackerStep, frame: number) => void;
}
/** `bytes` at `offset` of a buffer, at multiples of 4096. */
export interface ShadowPlace { readonly buffer: ArrayBufferLike; readonly offset: number; readonly bytes: number }

/** A translation takes four tables, a root with it, and two more for pieces of large pages. */
const TABLES_A_FILL = 7;
const LEAST_TABLES: number = 2 * TABLES_A_FILL;
const DEFAULT_TABLES = 2048;
const DEFAULT_SPACES = 80;
const DEFAULT_TAGS = 510;
/** Of all tables, the part that is made free at once when there is none. */
const RECLAIMED_PART = 16;

export const shadowBytes = (tables: number): number => HEADER_BYTES + tables * TABLE_BYTES;

export class ShadowMmu {
  readonly counters: ShadowCounters = new ShadowCounters();
  readonly pool: TablePool;
  readonly spaces: SpaceList;
  readonly tracker: Tracker;
  readonly check: EntryCheck;
  readonly policy: PurgePolicy;
  readonly walk: GuestWalk;
  readonly memory: TableMemory;
  readonly processors: readonly ShadowProcessor[];
  readonly #writer: TableWriter;

  constructor(options: ShadowMmuOptions) {
    const { memory, firstLevels, threshold = 'adaptive', physicalBits = 40 } = options;
    const policyName = options.policy ?? 'cached';
    const place = options.place ?? ownPlace(options.tables ?? DEFAULT_TABLES);
    const spaces = Math.max(options.spaces ?? DEFAULT_SPACES, firstLevels.length + 1);
    const tables = (place.bytes - HEADER_BYTES) / TABLE_BYTES;
    if (!Number.isInteger(tables) || place.offset % TABLE_BYTES !== 0) throw new RangeError(`shadow tables: expected multiples of ${TABLE_BYTES} bytes, got ${place.bytes} at ${place.offset}`);
    if (tables < LEAST_TABLES + firstLevels.length) throw new RangeError(`shadow tables: expected ${LEAST_TABLES + firstLevels.length} tables or more, got ${tables}`);
    if (firstLevels.length > MAX_PROCESSORS) throw new RangeError(`shadow tables: expected at most ${MAX_PROCESSORS} processors, got ${firstLevels.length}`);
    if (physicalBits < 33 || physicalBits > 44) throw new RangeError(`shadow tables: expected 33 to 44 physical address bits, got ${physicalBits}`);
    if (typeof threshold === 'number' && !(threshold >= 0)) throw new RangeError(`shadow tables: expected a threshold of 0 or more, got ${threshold}`);
    this.memory = memory;
    this.pool = new TablePool(place.buffer, place.offset, tables, memory.frames);
    this.spaces = new SpaceList(spaces, this.counters);
    this.walk = new GuestWalk(memory, physicalBits);
    this.check = new EntryCheck(this.pool, memory, this.walk);
    this.policy = createPolicy(policyName, { pool: this.pool, check: this.check, counters: this.counters });
    this.tracker = new Tracker({
      pool: this.pool, memory, policy: this.policy, counters: this.counters, firstLevels, spaces: this.spaces, threshold,
      discovery: options.discovery ?? (policyName === 'diff' ? 'search' : 'threshold'), onStep: options.onStep ?? null,
    });
    this.tracker.onPurgeAll = () => this.#purgeAll();
    this.#writer = new TableWriter(this.pool, this.tracker, this.walk, this.counters, this.policy.caches);
    this.processors = firstLevels.map((first, index) => new ShadowProcessor(this, {
      first, words: new Int32Array(place.buffer), block: place.offset + index * PROCESSOR_BLOCK_BYTES, tags: options.tags ?? DEFAULT_TAGS,
    }));
  }

  /** Somebody without a translation of his own (a device, the emulator, a debugger) has written to guest memory. */
  noteGuestWrite(address: number, bytes: number): void {
    const last = Math.floor((address + bytes - 1) / 4096);
    for (let frame = Math.floor(address / 4096); frame <= last; frame++) this.tracker.noteWrite(frame);
  }

  /** A first level has got a right to write to this frame that is not from here, as without paging. */
  noteForeignRight(frame: number): void { this.tracker.noteWritable(frame); }

  /** Memory or registers were changed by somebody who told nobody, as when a saved machine is loaded. Processors have to be configured again. */
  forgetAll(): void {
    if (this.pool.used > 0) this.#purgeAll();
  }

  // ---- What processors ask for -----------------------------------------------------------------------------------------------

  /** Walks the guest's tables and keeps what comes out. -1, or the error code of a page fault. */
  fill(p: ShadowProcessor, low: number, high: number, need: number): number {
    const { walk, counters, tracker } = this;
    for (;;) {
      this.#reserve(); // first, because it may purge everything
      counters.guestWalks++;
      const error = walk.run(p.role, p.roots, low, high, need);
      if (error >= 0) {
        counters.faults++;
        return error;
      }
      if (!walk.setBits()) continue;
      if (!this.#isCachable()) {
        counters.uncached++;
        p.frame = walk.frame;
        p.rights = 0;
        return error;
      }
      // Otherwise walk again: while its right to do so was being taken away, another processor may have stored to what was read.
      if (tracker.arm(walk)) break;
    }
    this.#writer.write(p.role, this.#root(p), low, high, need);
    p.frame = walk.frame;
    p.rights = this.#writer.rights;
    return -1;
  }
  /** All tables lie in RAM, and so does what stands for a large page. */
  #isCachable(): boolean {
    const { walk, memory } = this;
    for (let level = walk.top; level >= walk.leaf; level--) if (!memory.isRam(walk.table[level] as number)) return false;
    return walk.leaf === 1 || walk.frame - (walk.frame % TABLE_ENTRIES) < memory.frames;
  }
  #root(p: ShadowProcessor): number {
    if (p.space < 0) this.#useSpace(p);
    const known = this.spaces.table[p.space] as number;
    if (known !== 0) return known;
    const root = this.#writer.makeRoot(p.role, p.roots[0] as number);
    this.pool.rootOf[root] = (this.pool.rootOf[root] as number) + 1;
    this.spaces.table[p.space] = root;
    for (const other of this.processors) if (other.space === p.space) other.setRoot(this.pool.offset(root));
    return root;
  }

  /** After this nothing that was cached for processor `p` and may be wrong is used again. */
  synchronize(p: ShadowProcessor): void {
    if (this.policy.caches) {
      this.tracker.purge();
      this.tracker.purgeAllIfCostly();
    } else {
      this.tracker.epoch++; // a first level may have answered itself, from tables that were never seen here
      if (this.pool.used > 0) {
        this.counters.wholePurges++;
        this.#purgeAll();
      }
    }
    this.#useSpace(p);
  }
  #useSpace(p: ShadowProcessor): void {
    const { spaces } = this;
    this.#leaveSpace(p);
    let space = spaces.find(p.role, p.roots);
    if (space < 0) {
      if (spaces.isFull) this.#evictSpace(spaces.oldest());
      space = spaces.add(p.role, p.roots);
    }
    spaces.users[space] = (spaces.users[space] as number) + 1;
    p.space = space;
    const table = spaces.table[space] as number;
    p.setRoot(table === 0 ? 0 : this.pool.offset(table));
    p.chooseTag(spaces.serial[space] as number, this.tracker.epoch + (spaces.epoch[space] as number));
  }
  #leaveSpace(p: ShadowProcessor): void {
    if (p.space >= 0) this.spaces.users[p.space] = (this.spaces.users[p.space] as number) - 1;
    p.space = -1;
  }

  /** INVLPG: the page, and whatever is kept of the levels above it. */
  invalidatePage(p: ShadowProcessor, low: number, high: number): void {
    const { pool, tracker, check } = this;
    tracker.purgeUpper(this.#isCurrent);
    const table = p.leafTable(low, high);
    const index = (low >>> 12) & 511;
    if (table === 0 || !pool.isStale(table) || !pool.isLive(table, index) || check.isCurrent(table, index)) return;
    pool.drop(table, index);
    this.counters.dropped++;
    tracker.noteLost(table);
  }
  readonly #isCurrent = (table: number, index: number): boolean => this.check.isCurrent(table, index);

  // ---- Room ------------------------------------------------------------------------------------------------------------------

  #reserve(): void {
    const { pool, spaces } = this;
    if (pool.freeCount >= TABLES_A_FILL) return;
    const target = Math.max(TABLES_A_FILL, Math.floor(pool.tables / RECLAIMED_PART));
    this.#releaseOrphans(target);
    while (pool.freeCount < target) {
      const oldest = spaces.oldest();
      if (oldest < 0) break;
      this.#evictSpace(oldest);
      this.#releaseOrphans(target);
    }
    if (pool.freeCount >= TABLES_A_FILL) return;
    this.counters.pressurePurges++;
    this.#purgeAll();
  }
  /** From the top level down, because a table that goes leaves others without parents. */
  #releaseOrphans(target: number): void {
    const { pool } = this;
    for (let level = 4; level >= 1; level--) {
      for (let table = 1; table < pool.tables; table++) {
        if (pool.isUsed[table] === 0 || keyLevel(pool.key[table] as number) !== level || !pool.isOrphan(table)) continue;
        if (pool.liveCount[table] !== 0) this.tracker.epoch++;
        pool.release(table);
        this.counters.evictedTables++;
        if (pool.freeCount >= target) return;
      }
    }
  }
  #evictSpace(space: number): void {
    const { pool, spaces } = this;
    this.counters.evictedSpaces++;
    const root = spaces.table[space] as number;
    if (root !== 0) {
      pool.rootOf[root] = (pool.rootOf[root] as number) - 1;
      if (pool.isOrphan(root)) {
        this.tracker.epoch++;
        pool.release(root);
      }
    }
    const moved = spaces.remove(space);
    for (const p of this.processors) if (p.space === moved) p.space = space;
  }
  #purgeAll(): void {
    const { pool, spaces } = this;
    for (const p of this.processors) {
      p.space = -1;
      p.setRoot(0);
    }
    spaces.count = 0;
    pool.releaseAll();
    this.tracker.everythingGone();
  }

  *counts(): Generator<readonly [name: string, count: number]> {
    yield* this.counters.counts();
    yield ['tables', this.pool.used];
    yield ['tablesMost', this.pool.usedMost];
    yield ['bytes', this.pool.bytes];
    yield ['entries', this.pool.liveEntries];
    yield ['untracked', this.tracker.untrackedCount];
  }
}

function ownPlace(tables: number): ShadowPlace {
  const bytes = shadowBytes(tables);
  return { buffer: new ArrayBuffer(bytes), offset: 0, bytes };
}
