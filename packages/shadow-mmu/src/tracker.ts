/**
 * Which frames are page tables, which of them may be written to, and what has to be purged for it.
 *
 * A frame is never protected before every processor has lost its right to write to it, and what was made from a frame is
 * marked stale before anybody gets that right: between the two no store can be missed.
 */
import type { ShadowCounters } from './counters.ts';
import { FRAME_COLLECTED, FRAME_OPEN, FRAME_PROTECTED, FRAME_TRACKED, FRAME_UNTRACKED, FRAME_WRITABLE } from './frame-states.ts';
import type { GuestWalk } from './guest-walk.ts';
import type { FirstLevel, TableMemory } from './ports.ts';
import type { PurgePolicy } from './purge-policy.ts';
import { TABLE_ENTRIES } from './layout.ts';
import type { SpaceList } from './space-list.ts';
import { KEY_DIRECT, keyLevel } from './table-key.ts';
import type { TablePool } from './table-pool.ts';

/** How the writable mappings of a page table that was just met are found. */
export type Discovery = 'threshold' | 'search';
/** What just happened to a frame; for tests of the order in which things are done. */
export type TrackerStep = 'stale' | 'open' | 'stripped' | 'revoked' | 'protected';

export interface TrackerParts {
  readonly pool: TablePool;
  readonly memory: TableMemory;
  readonly policy: PurgePolicy;
  readonly counters: ShadowCounters;
  readonly firstLevels: readonly FirstLevel[];
  readonly spaces: SpaceList;
  readonly discovery: Discovery;
  /** Page tables that may stay untracked. */
  readonly threshold: number | 'adaptive';
  readonly onStep: ((step: TrackerStep, frame: number) => void) | null;
}

/** While the threshold adapts, this much may be lost in any case before everything is. */
const LEAST_LOSS = 256;
/** A whole table of pieces of a large page costs about so many fills. */
const PIECES_COST = 8;
/** A comparison costs about this part of a fill. */
const COMPARISONS_A_FILL = 8;
/** Entries that are followed upwards to find whose translations were dropped; beyond that, all of them were. */
const MOST_CLIMBS = 16;

export class Tracker {
  readonly #parts: TrackerParts;
  readonly #state: Uint8Array;
  readonly #untracked: Uint32Array;
  readonly #collected: Uint32Array;
  readonly #one = new Uint32Array(1);
  untrackedCount = 0;
  /** Entries lost, since the last purge of everything, because of tables that are untracked. */
  #lost = 0;
  /** Changes whenever a translation of any space was dropped, or of too many to tell which. */
  epoch = 0;

  constructor(parts: TrackerParts) {
    this.#parts = parts;
    this.#state = new Uint8Array(parts.memory.frames);
    this.#untracked = new Uint32Array(parts.pool.tables + 1);
    this.#collected = new Uint32Array(parts.pool.tables);
  }

  /** Entries of a table were dropped: what first levels hold of the spaces above it is not to be used again after a switch. */
  noteLost(table: number): void {
    this.#climbs = MOST_CLIMBS;
    this.#climb(table);
    if (this.#climbs < 0) this.epoch++;
  }
  #climbs = 0;
  #climb(table: number): void {
    const { pool, spaces } = this.#parts;
    if (pool.rootOf[table] !== 0) spaces.noteLost(table);
    for (let entry = pool.parents[table] as number; entry !== 0 && this.#climbs >= 0; entry = pool.nextParent(entry)) {
      this.#climbs--;
      this.#climb(Math.floor(entry / TABLE_ENTRIES));
    }
  }

  stateOf(frame: number): number { return this.#state[frame] ?? 0; }
  isProtected(frame: number): boolean { return ((this.#state[frame] ?? 0) & FRAME_PROTECTED) !== 0; }
  /** Is what is made from this frame stale from the beginning? */
  isUnsure(frame: number): boolean { return ((this.#state[frame] as number) & FRAME_PROTECTED) === 0; }
  #step(step: TrackerStep, frame: number): void { this.#parts.onStep?.(step, frame); }

  /** Before a writable translation of the frame becomes visible: is it to be recorded? */
  noteWritable(frame: number): boolean {
    if (!this.#parts.policy.caches || frame >= this.#state.length) return false;
    const state = this.#state[frame] as number;
    this.#state[frame] = state | FRAME_WRITABLE;
    return this.#parts.discovery === 'search' || (state & FRAME_TRACKED) !== 0;
  }

  // ---- Tables that are walked ------------------------------------------------------------------------------------------------

  /** Sees to it that the tables of a walk are protected or known not to be. False: something changed, walk again. */
  arm(walk: GuestWalk): boolean {
    if (!this.#parts.policy.caches) return true;
    let unchanged = true;
    for (let level = walk.top; level >= walk.leaf && level >= 1; level--) {
      const frame = walk.table[level] as number;
      const state = this.#state[frame] as number;
      if ((state & (FRAME_UNTRACKED | FRAME_OPEN | FRAME_PROTECTED)) !== 0) continue;
      if ((state & FRAME_TRACKED) === 0) {
        this.#parts.counters.discovered++;
        if (this.#parts.discovery === 'threshold') {
          this.#state[frame] = state | FRAME_UNTRACKED;
          this.#untracked[this.untrackedCount++] = frame;
          if (!this.#isOverThreshold()) continue;
          this.#parts.counters.thresholdPurges++;
          this.onPurgeAll();
          return false;
        }
        this.#parts.counters.searches++;
      }
      this.#protect(frame);
      unchanged = false;
    }
    return unchanged;
  }
  /** Empties all tables; set by their owner. */
  onPurgeAll: () => void = () => undefined;
  #isOverThreshold(): boolean {
    const { threshold, pool } = this.#parts;
    if (this.untrackedCount >= pool.tables) return true;
    return threshold === 'adaptive' ? this.#lost > pool.liveEntries - pool.pieceTables * (TABLE_ENTRIES - PIECES_COST) + LEAST_LOSS : this.untrackedCount > threshold;
  }
  #protect(frame: number): void {
    const { pool, counters } = this.#parts;
    counters.stripped += pool.stripWriters(frame);
    this.#step('stripped', frame);
    if (((this.#state[frame] as number) & FRAME_WRITABLE) !== 0) {
      this.#one[0] = frame;
      for (const first of this.#parts.firstLevels) first.revokeWrites(this.#one, 1);
    }
    this.#step('revoked', frame);
    this.#setProtected(frame);
  }
  #setProtected(frame: number): void {
    this.#state[frame] = FRAME_TRACKED | FRAME_PROTECTED;
    this.#parts.counters.protections++;
    this.#parts.memory.watch?.(frame, true);
    this.#step('protected', frame);
  }

  // ---- Stores to them --------------------------------------------------------------------------------------------------------

  /** A processor is about to get a writable translation of the frame; `walk` is how it comes to it. */
  intercept(frame: number, walk: GuestWalk): void {
    if (!this.isProtected(frame)) return;
    this.#parts.counters.intercepts++;
    this.#unprotect(frame, walk.visited(frame));
  }
  /** Memory was written by somebody who has no translation. */
  noteWrite(frame: number): void {
    if (!this.isProtected(frame)) return;
    this.#parts.counters.announced++;
    this.#unprotect(frame, false);
  }
  #unprotect(frame: number, isInUse: boolean): void {
    const { pool, counters } = this.#parts;
    let isLive = isInUse;
    for (let table = pool.firstOf(frame); table !== 0 && !isLive; table = pool.nextOf(table)) {
      isLive = ((pool.key[table] as number) & KEY_DIRECT) === 0 && (pool.liveCount[table] !== 0 || pool.rootOf[table] !== 0);
    }
    if (isLive) {
      for (let table = pool.firstOf(frame); table !== 0; table = pool.nextOf(table)) {
        if (((pool.key[table] as number) & KEY_DIRECT) !== 0) continue;
        pool.markStale(table);
        counters.stale++;
      }
    } else {
      // Nothing was made from it since it was last purged: it is a table no more, or an idle one.
      counters.retired++;
      this.#forgetTables(frame);
    }
    this.#step('stale', frame);
    this.#state[frame] = isLive ? FRAME_TRACKED | FRAME_OPEN : FRAME_TRACKED;
    this.#parts.memory.watch?.(frame, false);
    this.#step('open', frame);
  }
  #forgetTables(frame: number): void {
    const { pool } = this.#parts;
    for (let table = pool.firstOf(frame); table !== 0;) {
      const next = pool.nextOf(table);
      if (((pool.key[table] as number) & KEY_DIRECT) === 0) pool.release(table);
      table = next;
    }
  }

  // ---- Purges ----------------------------------------------------------------------------------------------------------------

  /** Makes everything stale right and protects what it was made from. Costs as much as there is stale, not as there is. */
  purge(): void {
    const { pool, policy, counters, firstLevels } = this.#parts;
    if (pool.staleCount === 0) return;
    let collected = 0;
    let revoked = 0;
    for (let i = 0; i < pool.staleCount; i++) {
      const frame = pool.frame[pool.stale[i] as number] as number;
      const state = this.#state[frame] as number;
      if ((state & FRAME_TRACKED) === 0 || (state & FRAME_COLLECTED) !== 0) continue;
      this.#state[frame] = state | FRAME_COLLECTED;
      this.#collected[collected++] = frame;
      if ((state & FRAME_WRITABLE) !== 0) revoked++;
      counters.stripped += pool.stripWriters(frame);
      this.#step('stripped', frame);
    }
    if (revoked > 0) for (const first of firstLevels) first.revokeWrites(this.#collected, collected);
    for (let i = 0; i < collected; i++) {
      const frame = this.#collected[i] as number;
      this.#step('revoked', frame);
      this.#setProtected(frame);
    }
    // Only now is what the guest's tables hold final.
    for (let i = pool.staleCount - 1; i >= 0; i--) {
      const table = pool.stale[i] as number;
      const { kept } = counters;
      const gone = policy.purge(table);
      counters.purgedTables++;
      if (gone > 0) this.noteLost(table);
      if (this.isProtected(pool.frame[table] as number)) pool.markFresh(table);
      else this.#lost += gone + (counters.kept - kept) / COMPARISONS_A_FILL;
    }
  }
  /** While the threshold adapts: what was lost to untracked tables has reached what a purge of everything would lose. */
  purgeAllIfCostly(): void {
    if (this.#parts.threshold !== 'adaptive' || this.untrackedCount === 0 || !this.#isOverThreshold()) return;
    this.#parts.counters.thresholdPurges++;
    this.onPurgeAll();
  }

  /** Makes right what is stale in a table and in those below it. It goes on being stale: it may be written to. */
  purgeBelow(top: number): void {
    const { pool, policy, counters } = this.#parts;
    const level = keyLevel(pool.key[top] as number);
    for (let i = 0; i < pool.staleCount; i++) {
      const table = pool.stale[i] as number;
      if (pool.liveCount[table] === 0 || keyLevel(pool.key[table] as number) > level) continue;
      this.#climbs = MOST_CLIMBS;
      if (!this.#isBelow(table, top, level)) continue;
      counters.links++;
      counters.purgedTables++;
      if (policy.purge(table) > 0) this.noteLost(table);
    }
  }
  /** Or may it be? */
  #isBelow(table: number, top: number, level: number): boolean {
    const { pool } = this.#parts;
    if (table === top) return true;
    if (keyLevel(pool.key[table] as number) >= level) return false;
    for (let entry = pool.parents[table] as number; entry !== 0; entry = pool.nextParent(entry)) {
      if (--this.#climbs < 0 || this.#isBelow(Math.floor(entry / TABLE_ENTRIES), top, level)) return true;
    }
    return false;
  }

  /** As at INVLPG, which is about entries of the upper levels whatever the address. */
  purgeUpper(isCurrent: (table: number, index: number) => boolean): void {
    const { pool, counters } = this.#parts;
    for (let i = 0; i < pool.staleCount; i++) {
      const table = pool.stale[i] as number;
      if (keyLevel(pool.key[table] as number) === 1) continue;
      for (let index = pool.nextLive(table, 0); index < TABLE_ENTRIES; index = pool.nextLive(table, index + 1)) {
        if (isCurrent(table, index)) continue;
        pool.drop(table, index);
        counters.dropped++;
        this.noteLost(table);
      }
    }
  }

  /** All tables are gone. With no mappings at all there are no writable ones, so every page table met so far is tracked now. */
  everythingGone(): void {
    this.epoch++;
    this.#lost = 0;
    if (!this.#parts.policy.caches) return;
    for (let i = 0; i < this.untrackedCount; i++) {
      const frame = this.#untracked[i] as number;
      this.#state[frame] = FRAME_TRACKED;
    }
    this.untrackedCount = 0;
    for (const first of this.#parts.firstLevels) first.dropAll();
  }
  *untracked(): Generator<number> {
    for (let i = 0; i < this.untrackedCount; i++) yield this.#untracked[i] as number;
  }
}
