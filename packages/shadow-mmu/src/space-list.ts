/** The address spaces that are kept: what a processor uses after a switch, found again by root and role. */
import type { ShadowCounters } from './counters.ts';

/** Roots of a space: the frame of the table in CR3, or the four page directories of PAE; -1 where there is none. */
export const ROOTS = 4;

export class SpaceList {
  readonly #most: number;
  readonly #roots: Float64Array;
  readonly #role: Int32Array;
  readonly #lastUse: Float64Array;
  /** Root table of each; 0: not built. */
  readonly table: Int32Array;
  /** Never used for another space. */
  readonly serial: Float64Array;
  /** Changes whenever a translation that was made for this space was dropped. */
  readonly epoch: Float64Array;
  /** Processors that use it now. */
  readonly users: Uint16Array;
  readonly #counters: ShadowCounters;
  count = 0;
  #clock = 0;
  #serial = 0;

  constructor(most: number, counters: ShadowCounters) {
    this.#most = most;
    this.#counters = counters;
    this.#roots = new Float64Array(most * ROOTS);
    this.#role = new Int32Array(most);
    this.#lastUse = new Float64Array(most);
    this.table = new Int32Array(most);
    this.serial = new Float64Array(most);
    this.epoch = new Float64Array(most);
    this.users = new Uint16Array(most);
  }

  /** The space of these roots, now the one used last; -1: unknown. */
  find(role: number, roots: Float64Array): number {
    for (let space = 0; space < this.count; space++) {
      const at = space * ROOTS;
      if (this.#role[space] === role && this.#roots[at] === roots[0] && this.#roots[at + 1] === roots[1] && this.#roots[at + 2] === roots[2] && this.#roots[at + 3] === roots[3]) {
        this.#lastUse[space] = ++this.#clock;
        return space;
      }
    }
    return -1;
  }
  /** Adds one; when there is no room the caller has to evict first. */
  add(role: number, roots: Float64Array): number {
    const space = this.count++;
    this.#roots.set(roots, space * ROOTS);
    this.#role[space] = role;
    this.#lastUse[space] = ++this.#clock;
    this.table[space] = 0;
    this.users[space] = 0;
    this.epoch[space] = 0;
    this.serial[space] = ++this.#serial;
    this.#counters.spaces++;
    return space;
  }
  /** A translation below this root table was dropped. */
  noteLost(root: number): void {
    for (let space = 0; space < this.count; space++) if (this.table[space] === root) this.epoch[space] = (this.epoch[space] as number) + 1;
  }
  get isFull(): boolean { return this.count === this.#most; }
  /** The one not used by any processor that was used longest ago; -1: all are in use. */
  oldest(): number {
    let found = -1;
    for (let space = 0; space < this.count; space++) {
      if (this.users[space] === 0 && (found < 0 || (this.#lastUse[space] as number) < (this.#lastUse[found] as number))) found = space;
    }
    return found;
  }
  /** Removes one. The last takes its number, which is returned. */
  remove(space: number): number {
    const last = --this.count;
    if (space !== last) {
      this.#roots.copyWithin(space * ROOTS, last * ROOTS, last * ROOTS + ROOTS);
      this.#role[space] = this.#role[last] as number;
      this.#lastUse[space] = this.#lastUse[last] as number;
      this.table[space] = this.table[last] as number;
      this.serial[space] = this.serial[last] as number;
      this.users[space] = this.users[last] as number;
      this.epoch[space] = this.epoch[last] as number;
    }
    return last;
  }
}
