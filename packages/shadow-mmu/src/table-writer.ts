/** Puts the outcome of a walk into the shadow tables, and makes the tables that lead there. */
import type { ShadowCounters } from './counters.ts';
import type { GuestWalk } from './guest-walk.ts';
import { shadowIndex, TABLE_ENTRIES } from './layout.ts';
import { ACCESS_ALL, ANY_WRITE, MODE_32, MODE_LONG, MODE_MASK, RIGHT_HUGE, RIGHT_LARGE, RIGHTS, rightsOf } from './role.ts';
import { directKey, KEY_DIRECT, keyAccess, KEY_DIRTY, keyLevel, keyPart, keyRole, tableKey } from './table-key.ts';
import { NO_FRAME } from './table-pool.ts';
import type { TablePool } from './table-pool.ts';
import type { Tracker } from './tracker.ts';

const HUGE_FRAMES = 512 * 512;
/** What the rights say of the page, by the level of the guest's entry. */
const sizeOf = (leaf: number): number => (leaf === 1 ? 0 : leaf === 2 ? RIGHT_LARGE : RIGHT_LARGE | RIGHT_HUGE);

export class TableWriter {
  readonly #pool: TablePool;
  readonly #tracker: Tracker;
  readonly #walk: GuestWalk;
  readonly #counters: ShadowCounters;
  readonly #fillsPieces: boolean;
  /** Of the translation last written. */
  rights = 0;

  /** `fillsPieces`: a large page is filled as a whole, which pays when it is kept. */
  constructor(pool: TablePool, tracker: Tracker, walk: GuestWalk, counters: ShadowCounters, fillsPieces: boolean) {
    this.#fillsPieces = fillsPieces;
    this.#pool = pool;
    this.#tracker = tracker;
    this.#walk = walk;
    this.#counters = counters;
  }

  makeRoot(role: number, frame: number): number {
    if ((role & MODE_MASK) !== MODE_LONG) return this.#pool.create(NO_FRAME, tableKey(3, 0, ACCESS_ALL, role));
    const key = tableKey(4, 0, ACCESS_ALL, role);
    return this.#pool.find(frame, key) || this.#create(frame, key);
  }
  #create(frame: number, key: number): number {
    const table = this.#pool.create(frame, key);
    if ((key & KEY_DIRECT) === 0) {
      if (this.#tracker.isUnsure(frame)) this.#pool.markStale(table);
    } else if (this.#fillsPieces && keyLevel(key) === 1) this.#fillPieces(table, frame, key);
    return table;
  }

  /** There has to be room, and the tables of the walk have to be armed. */
  write(role: number, root: number, low: number, high: number, need: number): void {
    const walk = this.#walk;
    const table = this.#path(role, root, low, high);
    if ((need & ANY_WRITE) !== 0) this.#tracker.intercept(walk.frame, walk);
    this.#leaf(table, shadowIndex(1, low, high), walk.frame, walk.rights | sizeOf(walk.leaf));
  }

  /** The table of level 1 for the address. */
  #path(role: number, root: number, low: number, high: number): number {
    const walk = this.#walk;
    let table = root;
    for (let level = keyLevel(this.#pool.key[root] as number); level > 1; level--) {
      const child = level - 1;
      let frame: number, key: number;
      if (child >= walk.leaf) {
        const part = (role & MODE_MASK) !== MODE_32 ? 0 : child === 2 ? low >>> 30 : (low >>> 21) & 1;
        frame = walk.table[child] as number;
        key = tableKey(child, part, walk.access[child] as number, role);
      } else {
        frame = walk.frame - (walk.frame % (child === 1 ? TABLE_ENTRIES : HUGE_FRAMES));
        key = directKey(child, walk.leaf, walk.leafAccess, walk.dirty, role);
      }
      table = this.#step(table, shadowIndex(level, low, high), frame, key);
    }
    return table;
  }
  #step(table: number, index: number, frame: number, key: number): number {
    const pool = this.#pool;
    const present = pool.child(table, index);
    if (present !== 0) {
      if (pool.frame[present] === frame && pool.key[present] === key) return present;
      pool.drop(table, index);
      this.#tracker.noteLost(table);
    }
    let child = pool.find(frame, key);
    if (child !== 0) {
      this.#counters.shares++;
      // What is stale may be used by those who could have cached it while it was right. Whoever comes to it by a new entry
      // could not, so it is made right first.
      if ((key & KEY_DIRECT) === 0) this.#tracker.purgeBelow(child);
    } else child = this.#create(frame, key);
    pool.link(table, index, child);
    return child;
  }

  #leaf(table: number, index: number, frame: number, wanted: number): void {
    const pool = this.#pool;
    const rights = this.#tracker.isProtected(frame) ? wanted & ~ANY_WRITE : wanted;
    this.rights = rights;
    if (pool.isLive(table, index)) {
      const old = pool.rightsOf(table, index);
      const sameFrame = pool.frameOf(table, index) === frame;
      if (sameFrame && (old & RIGHTS) === (rights & RIGHTS)) return; // of a large page, filled just now
      if (!sameFrame || (old & RIGHTS & ~rights) !== 0) this.#tracker.noteLost(table);
      pool.drop(table, index);
    }
    this.#counters.fills++;
    pool.install(table, index, frame, rights, (rights & ANY_WRITE) !== 0 && this.#tracker.noteWritable(frame));
  }
  /** All 512 pieces of a large page at once: they need no guest table. */
  #fillPieces(table: number, first: number, key: number): void {
    this.#counters.largeFills++;
    const all = rightsOf(keyRole(key), keyAccess(key), (key & KEY_DIRTY) !== 0) | sizeOf(keyPart(key) + 1);
    for (let index = 0; index < TABLE_ENTRIES; index++) {
      const frame = first + index;
      const rights = this.#tracker.isProtected(frame) ? all & ~ANY_WRITE : all;
      this.#pool.install(table, index, frame, rights, (rights & ANY_WRITE) !== 0 && this.#tracker.noteWritable(frame));
    }
  }
}
