/**
 * Finds the basic blocks of a region: decoded code that is reached from a hot instruction by direct branches and calls, in
 * its page and in others. Other pages are found through the fetch TLB; generated code asks it again at each change of page.
 */
import { ENDS } from '../code-fetch.ts';
import type { CodeCache, CodePage } from '../code-page.ts';
import * as state from '../cpu-state.ts';
import { FIRST_INSTRUCTION_HANDLER, HANDLER_GOTO, HANDLER_REGION } from '../handler-number.ts';
import type { StateView } from '../state-view.ts';
import { tlbPlace } from '../tlb-place.ts';
import * as uop from '../uop.ts';
import type { HandlerForms } from './handler-forms.ts';
import type { RegionTable } from './region-table.ts';

/** How far a region goes: `large` further, `apart` up to code that another region begins with, but for the heads of loops. */
export type RegionExtent = 'usual' | 'large' | 'apart';
interface Limits { readonly blocks: number; readonly instructions: number; readonly calls: number; readonly entries: number }
const USUAL: Limits = { blocks: 24, instructions: 120, calls: 2, entries: 8 };
const LARGE: Limits = { blocks: 80, instructions: 400, calls: 8, entries: 20 };
/** In a large region an indirect jump may go to places so many bytes from it where regions begin already. */
const NEAR = 1024;
const MOST_PAGES = 6;
const PAGE = 4096;

/** What ends a block. */
export const END_FALL = 0;
export const END_CONDITIONAL = 1;
export const END_JUMP = 2;
/** A call: the next instruction is entered from outside, by the return, unless the return is in the region too. */
export const END_CALL = 3;
export const END_RETURN = 4;
/** The instruction says itself where it goes on (indirect jumps, whatever leaves the program). */
export const END_DYNAMIC = 5;

export interface Block {
  readonly page: CodePage;
  /** Virtual distance of its page from that of the first entry, in pages. */
  readonly delta: number;
  /** Uops of its instructions, in order. */
  readonly uops: number[];
  end: number;
  /** Block of the branch target and of the next instruction; -1: outside the region. */
  taken: number;
  next: number;
  /** Uops to go on with when `next` is outside; when `taken` is: 0 where it is in another page or not decoded. */
  nextUop: number;
  takenUop: number;
}
/** Where a call that is followed in the region comes back to. */
export interface ReturnPoint { readonly block: number; readonly delta: number; readonly offset: number }

export interface Scan {
  readonly blocks: Block[];
  readonly entries: number[];
  readonly pages: ReadonlyMap<CodePage, number>;
  readonly returns: ReturnPoint[];
  readonly instructions: number;
}

const CONDITIONAL: ReadonlySet<string> = new Set(['jcc', 'loop', 'loope', 'loopne', 'jcxz']);

export class RegionScan {
  readonly #cache: CodeCache;
  readonly #view: DataView;
  readonly #table: RegionTable;

  // Of the region being found.
  #state: StateView | null = null;
  #most: Limits = USUAL;
  #blocks: Block[] = [];
  #entries: number[] = [];
  #pages = new Map<CodePage, number>();
  #returns: ReturnPoint[] = [];
  #instructions = 0;
  #isApart = false;
  #ripLow = 0;
  #ripHigh = 0;
  readonly #leaders = new Map<number, number>();
  readonly #owner = new Map<number, number>();
  readonly #waiting: number[] = [];

  constructor(cache: CodeCache, view: DataView, table: RegionTable) {
    this.#cache = cache;
    this.#view = view;
    this.#table = table;
  }

  /** The handler of the instruction that stands at a uop, whether or not a region begins there. */
  handlerAt(at: number): number {
    const handler = this.#view.getUint16(at + uop.UOP_HANDLER, true);
    return handler === HANDLER_REGION ? this.#table.originalHandler(at) : handler;
  }
  /** Follows jumps of the decoder; the answer may be no instruction. */
  #resolve(page: CodePage, at: number): number {
    let current = at;
    for (let hops = 0; hops < 8 && this.#view.getUint16(current + uop.UOP_HANDLER, true) === HANDLER_GOTO; hops++) {
      const target = this.#view.getUint32(current + uop.UOP_DISPLACEMENT, true) || this.#following(page, current);
      if (target === 0) break;
      current = target;
    }
    return current;
  }
  /** The uop of the instruction that follows in memory, 0 when it is not decoded or in the next page. */
  #following(page: CodePage, at: number): number {
    const offset = this.#view.getUint16(at + uop.UOP_NEXT, true);
    return offset < PAGE ? this.#cache.find(page, offset) : 0;
  }
  /** The page at a virtual distance from the first, null when the fetch TLB does not know it. */
  #pageAt(delta: number, mode: number): CodePage | null {
    for (const [page, known] of this.#pages) if (known === delta) return page;
    if (this.#pages.size >= MOST_PAGES) return null;
    const s = this.#state as StateView;
    const sum = this.#ripLow + delta * PAGE;
    const low = sum >>> 0;
    const high = mode === 64 ? (this.#ripHigh + Math.floor(sum / 0x1_0000_0000)) >>> 0 : 0;
    const entry = s.get(state.TLB_BASE) - s.at + state.FETCH_TLB + tlbPlace(low);
    if (s.get(entry) !== ((low | s.get(state.FETCH_TAG)) >>> 0) || s.high(entry) !== high) return null;
    const page = this.#cache.ofMap(s.get(entry + state.TLB_CODE_PAGE));
    if (page.mode !== mode || this.#pages.has(page)) return null;
    this.#pages.set(page, delta);
    return page;
  }
  /** The block that the direct branch at `at` goes to; -1 when that is not decoded, not known, or too much. */
  #target(from: Block, at: number): number {
    const view = this.#view;
    if (this.#isCut(from, at)) return -1;
    const low = view.getInt32(at + uop.UOP_IMMEDIATE, true);
    if (view.getInt32(at + uop.UOP_IMMEDIATE + 4, true) !== low >> 31) return -1;
    const distance = view.getUint16(at + uop.UOP_NEXT, true) + low;
    const pages = Math.floor(distance / PAGE);
    const page = pages === 0 ? from.page : this.#pageAt(from.delta + pages, from.page.mode);
    if (page === null) return -1;
    const found = this.#cache.find(page, distance - pages * PAGE);
    return found === 0 ? -1 : this.#blockAt(found, at, page, from.delta + pages);
  }
  /** Outside 64-bit mode an operand size of 16 bits cuts the instruction pointer (SDM vol. 1, section 7.3.8.1): not the distance says where it goes. */
  #isCut({ page }: Block, at: number): boolean { return page.mode !== 64 && this.#view.getUint8(at + uop.UOP_SIZE) === 2; }
  /** The uop that the direct branch at `at` goes to; 0 when that is in another page or not decoded. */
  #targetUop(from: Block, at: number): number {
    if (this.#isCut(from, at)) return 0;
    const distance = this.#view.getUint16(at + uop.UOP_NEXT, true) + this.#view.getInt32(at + uop.UOP_IMMEDIATE, true);
    return distance >= 0 && distance < PAGE ? this.#cache.find(from.page, distance) : 0;
  }

  /**
   * Left to the region that begins there: code behind `from`, in the order in which it was decoded. What lies before it is the
   * head of a loop most of the time, and a loop in two regions goes from one to the other at each turn.
   */
  #isLeft(at: number, from: number): boolean { return this.#isApart && at > from && this.#table.isTaken(at); }
  /** The block that begins at a uop which is reached from another; -1: the region does not hold it. */
  #blockAt(at: number, from: number, page: CodePage, delta: number): number {
    const known = this.#leaders.get(at);
    if (known !== undefined) return known;
    if (this.#isLeft(at, from)) return -1;
    if (this.#blocks.length >= this.#most.blocks || this.handlerAt(at) < FIRST_INSTRUCTION_HANDLER) return -1;
    const containing = this.#owner.get(at);
    const split: Block = { page, delta, uops: [], end: END_FALL, taken: -1, next: -1, nextUop: at, takenUop: 0 };
    const made = this.#blocks.push(split) - 1;
    this.#leaders.set(at, made);
    if (containing === undefined) {
      this.#waiting.push(made);
      return made;
    }
    // A leader inside a block found earlier splits it.
    const block = this.#blocks[containing] as Block;
    split.uops.push(...block.uops.splice(block.uops.indexOf(at)));
    for (const inside of split.uops) this.#owner.set(inside, made);
    split.end = block.end;
    split.taken = block.taken;
    split.next = block.next;
    split.nextUop = block.nextUop;
    split.takenUop = block.takenUop;
    block.end = END_FALL;
    block.taken = -1;
    block.takenUop = 0;
    block.next = made;
    return made;
  }
  #enter(at: number, from: number, page: CodePage, delta: number): number {
    const block = this.#blockAt(at, from, page, delta);
    const first = this.#entries.length === 0;
    if (block >= 0 && this.#entries.length < this.#most.entries && !this.#entries.includes(block) && (first || this.#most === LARGE || !this.#table.isEntry(at))) this.#entries.push(block);
    return block;
  }

  /** The region that begins at uop `first` of `page`, byte 0 of which has the given instruction pointer on the processor. */
  scan(processor: StateView, page: CodePage, first: number, ripLow: number, ripHigh: number, forms: HandlerForms, extent: RegionExtent): Scan {
    this.#state = processor;
    this.#most = extent === 'large' ? LARGE : USUAL;
    this.#blocks = [];
    this.#entries = [];
    this.#pages = new Map([[page, 0]]);
    this.#returns = [];
    this.#instructions = 0;
    this.#isApart = extent === 'apart';
    this.#ripLow = ripLow;
    this.#ripHigh = ripHigh;
    this.#leaders.clear();
    this.#owner.clear();
    this.#waiting.length = 0;
    this.#enter(first, first, page, 0);
    for (let index = this.#waiting.shift(); index !== undefined; index = this.#waiting.shift()) this.#fill(index, forms);
    const begins = (block: number): boolean => (this.#blocks[block] as Block).uops.length > 0;
    return { blocks: this.#blocks, entries: this.#entries.filter(begins), pages: this.#pages, returns: this.#returns, instructions: this.#instructions };
  }
  #fill(index: number, forms: HandlerForms): void {
    const block = this.#blocks[index] as Block;
    const { page, delta } = block;
    let at = block.nextUop;
    let last = -1;
    // The block may be split by its own branch: what is at its end belongs to whatever block that is in then.
    const ending = (): Block => this.#blocks[this.#owner.get(last) ?? index] as Block;
    for (;;) {
      if (this.#owner.has(at) || (last >= 0 && (this.#leaders.has(at) || this.#isLeft(at, last))) || this.#instructions >= this.#most.instructions) break;
      const handler = this.handlerAt(at);
      if (handler < FIRST_INSTRUCTION_HANDLER) break;
      const { form } = forms.of(handler, at, page);
      block.uops.push(at);
      this.#owner.set(at, index);
      this.#instructions++;
      last = at;
      const ends = ENDS.has(form.name);
      at = ends ? this.#following(page, at) : this.#resolve(page, at + uop.UOP_BYTES);
      const direct = form.operands[0]?.letter === 'J';
      if (CONDITIONAL.has(form.name)) block.end = END_CONDITIONAL;
      else if (form.name === 'jmp') block.end = direct ? END_JUMP : END_DYNAMIC;
      else if (form.name === 'call') block.end = END_CALL;
      else if (form.name === 'ret') block.end = END_RETURN;
      else if (ends) block.end = END_DYNAMIC;
      else continue;
      if (form.name === 'jmp' && !direct && this.#most === LARGE) this.#near(page, delta, last);
      if (block.end === END_CONDITIONAL || block.end === END_JUMP) {
        const taken = this.#target(block, last);
        ending().taken = taken;
        ending().takenUop = this.#targetUop(block, last);
      } else if (block.end === END_CALL && at !== 0) this.#call(block, last, at, direct);
      break;
    }
    const end = ending();
    end.nextUop = at;
    if (last >= 0 && (end.end === END_FALL || end.end === END_CONDITIONAL)) end.next = this.#blockAt(at, last, page, delta);
  }
  /** Places around an indirect jump that were found by it, or by others like it. */
  #near(page: CodePage, delta: number, jump: number): void {
    const from = this.#view.getUint16(jump + uop.UOP_NEXT, true);
    for (const at of this.#table.entriesIn(page)) {
      const offset = this.#view.getUint16(at + uop.UOP_NEXT, true);
      if (Math.abs(offset - from) <= NEAR) this.#enter(at, jump, page, delta);
    }
  }
  #call(block: Block, at: number, next: number, direct: boolean): void {
    const back = this.#enter(next, at, block.page, block.delta);
    if (!direct) return;
    (this.#blocks[this.#owner.get(at) as number] as Block).takenUop = this.#targetUop(block, at);
    if (back < 0 || this.#returns.length >= this.#most.calls) return;
    const taken = this.#target(block, at);
    if (taken < 0) return;
    (this.#blocks[this.#owner.get(at) as number] as Block).taken = taken;
    this.#returns.push({ block: back, delta: block.delta, offset: this.#view.getUint16(at + uop.UOP_NEXT, true) });
  }
}
