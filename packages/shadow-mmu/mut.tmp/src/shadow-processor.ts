/** One processor's side: what its control registers say, what its loads and stores are translated to, what it invalidates. */
import { ENTRY_RIGHTS, PROCESSOR_LEVELS, PROCESSOR_ROOT, PROCESSOR_TAG, TABLE_BYTES } from './layout.ts';
import type { FirstLevel } from './ports.ts';
import { MODE_LONG, MODE_MASK, normalRole } from './role.ts';
import type { ShadowMmu } from './shadow-mmu.ts';
import { ROOTS } from './space-list.ts';
import { SpaceTags } from './space-tags.ts';

export interface ProcessorPlace {
  readonly first: FirstLevel;
  readonly words: Int32Array;
  /** Offset of its block in the buffer. */
  readonly block: number;
  readonly tags: number;
}

export class ShadowProcessor {
  readonly #mmu: ShadowMmu;
  readonly #first: FirstLevel;
  readonly #words: Int32Array;
  readonly #block: number;
  readonly #tags: SpaceTags;
  readonly roots: Float64Array = new Float64Array(ROOTS).fill(-1);
  /** Without the bits that have no meaning in its mode. */
  role = 0;
  /** Number of the address space in use; -1: to be found. Kept by the tables' owner. */
  space = -1;
  #root = 0;
  #isLong = false;
  /** Of the last translation: the frame, and what else may be done without asking; 0: nothing, it was not kept. */
  frame = 0;
  rights = 0;
  #accesses = 0;
  #flushWaits = false;

  constructor(mmu: ShadowMmu, place: ProcessorPlace) {
    this.#mmu = mmu;
    this.#first = place.first;
    this.#words = place.words;
    this.#block = place.block >>> 2;
    this.#tags = new SpaceTags(place.tags);
    this.#words.fill(0, this.#block, this.#block + 8);
  }

  // ---- Registers -------------------------------------------------------------------------------------------------------------

  /** MOV to CR3, whatever PCID says: `root` is a physical address. In PAE mode `directories` are the frames of the four pointers, -1 where absent. */
  switchTo(root: number, directories: readonly number[] | null = null): void {
    this.#mmu.counters.switches++;
    this.#setRoots(root, directories);
    this.#mmu.synchronize(this);
  }
  /** A change of CR0, CR4 or EFER that changes how tables are read; with the root, because pointers may be loaded again. */
  configure(role: number, root: number, directories: readonly number[] | null = null): void {
    this.#mmu.counters.flushes++;
    this.role = normalRole(role);
    this.#isLong = (role & MODE_MASK) === MODE_LONG;
    this.#words[this.#block + (PROCESSOR_LEVELS >>> 2)] = this.#isLong ? 4 : 3;
    this.#setRoots(root, directories);
    this.#mmu.synchronize(this);
  }
  #setRoots(root: number, directories: readonly number[] | null): void {
    this.roots[0] = Math.floor(root / TABLE_BYTES);
    for (let i = directories === null ? 1 : 0; i < ROOTS; i++) this.roots[i] = directories?.[i] ?? -1;
  }
  /** Everything, global or not: a change of CR4.PGE, INVPCID of other contexts or all. */
  flush(): void {
    this.#mmu.counters.flushes++;
    this.#mmu.synchronize(this);
  }
  /** INVLPG, and INVPCID of one address in the context in use. */
  invalidatePage(low: number, high: number): void {
    this.#mmu.counters.pages++;
    this.#mmu.invalidatePage(this, low, high);
    this.#first.dropPage(low, high);
  }

  // ---- Accesses that the emulator makes in several steps -----------------------------------------------------------------------

  /** From here on a flush asked for by somebody else waits: the frame that was translated to is still to be used. */
  beginAccess(): void { this.#accesses++; }
  endAccess(): void {
    if (--this.#accesses > 0 || !this.#flushWaits) return;
    this.#flushWaits = false;
    this.flush();
  }
  /** A flush for another processor. False: it happens when the access that is under way has ended; until then it has not. */
  requestFlush(): boolean {
    if (this.#accesses > 0) {
      this.#flushWaits = true;
      return false;
    }
    this.flush();
    return true;
  }
  get isFlushed(): boolean { return !this.#flushWaits; }

  // ---- Translation -------------------------------------------------------------------------------------------------------------

  /**
   * HOT. Translates the page of a canonical address for one kind of access. -1: `frame` and `rights` hold the result. Otherwise
   * the error code of the page fault that the guest's tables call for now.
   */
  translate(low: number, high: number, need: number): number {
    const words = this.#words;
    let table = this.#root;
    if (table !== 0) {
      if (this.#isLong) table = words[(table >>> 2) + ((high >>> 7) & 511) * 2] as number;
      if (table !== 0) table = words[(table >>> 2) + (((high << 2) | (low >>> 30)) & 511) * 2] as number;
      if (table !== 0) table = words[(table >>> 2) + ((low >>> 21) & 511) * 2] as number;
      if (table !== 0) {
        const entry = (table >>> 2) + ((low >>> 12) & 511) * 2;
        const rights = words[entry + (ENTRY_RIGHTS >>> 2)] as number;
        if ((rights & need) !== 0) {
          this.#mmu.counters.hits++;
          this.frame = (words[entry] as number) >>> 0;
          this.rights = rights;
          return -1;
        }
      }
    }
    return this.#mmu.fill(this, low, high, need);
  }
  /** Number of the table of level 1 that translates the address now; 0: none. */
  leafTable(low: number, high: number): number {
    const { pool } = this.#mmu;
    let table = this.#root === 0 ? 0 : (this.#root - pool.at) / TABLE_BYTES;
    if (table !== 0 && this.#isLong) table = pool.child(table, (high >>> 7) & 511);
    if (table !== 0) table = pool.child(table, ((high << 2) | (low >>> 30)) & 511);
    if (table !== 0) table = pool.child(table, (low >>> 21) & 511);
    return table;
  }

  // ---- For the owner of the tables -----------------------------------------------------------------------------------------------

  /** Offset of the root table; 0: none yet. */
  setRoot(offset: number): void {
    this.#root = offset;
    this.#words[this.#block + (PROCESSOR_ROOT >>> 2)] = offset;
  }
  chooseTag(serial: number, epoch: number): void {
    const tag = this.#tags.tagFor(serial, epoch);
    if (this.#tags.begunAgain) this.#first.dropAll();
    this.#words[this.#block + (PROCESSOR_TAG >>> 2)] = tag;
    this.#first.useTag(tag);
  }
}
