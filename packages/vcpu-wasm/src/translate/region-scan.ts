/** Finds the basic blocks of a region: decoded code of one page that is reached from a hot instruction by direct branches. */
import { ENDS } from '../code-fetch.ts';
import type { CodeCache, CodePage } from '../code-page.ts';
import { FIRST_INSTRUCTION_HANDLER, HANDLER_GOTO, HANDLER_REGION } from '../handler-number.ts';
import * as uop from '../uop.ts';
import type { HandlerForms } from './handler-forms.ts';
import type { RegionTable } from './region-table.ts';

const MOST_BLOCKS = 48;
const MOST_INSTRUCTIONS = 600;
const MOST_ENTRIES = 12;

/** What ends a block. */
export const END_FALL = 0;
export const END_CONDITIONAL = 1;
export const END_JUMP = 2;
/** A call: the next instruction is entered from outside, by the return. */
export const END_CALL = 3;
/** The instruction says itself where it goes on (indirect jumps, returns). */
export const END_DYNAMIC = 4;

export interface Block {
  /** Uops of its instructions, in order. */
  readonly uops: number[];
  end: number;
  /** Block of the branch target and of the next instruction; -1: outside the region. */
  taken: number;
  next: number;
  /** Uop to go on with when `next` is outside. */
  nextUop: number;
}

export interface Scan { readonly page: CodePage; readonly blocks: Block[]; readonly entries: number[]; instructions: number }

const CONDITIONAL: ReadonlySet<string> = new Set(['jcc', 'loop', 'loope', 'loopne', 'jcxz']);

export class RegionScan {
  readonly #cache: CodeCache;
  readonly #view: DataView;
  readonly #table: RegionTable;

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
      const offset = this.#view.getUint16(current + uop.UOP_NEXT, true);
      const target = this.#view.getUint32(current + uop.UOP_DISPLACEMENT, true) || (offset < 4096 ? this.#cache.find(page, offset) : 0);
      if (target === 0) break;
      current = target;
    }
    return current;
  }
  /** The uop of the instruction that follows in memory, 0 when it is not decoded or in the next page. */
  #following(page: CodePage, at: number): number {
    const offset = this.#view.getUint16(at + uop.UOP_NEXT, true);
    return offset < 4096 ? this.#cache.find(page, offset) : 0;
  }
  /** The uop that the direct branch at `at` goes to, 0 when that is not decoded or lies in another page. */
  #target(page: CodePage, at: number): number {
    const view = this.#view;
    const high = view.getInt32(at + uop.UOP_IMMEDIATE + 4, true);
    const low = view.getInt32(at + uop.UOP_IMMEDIATE, true);
    if (high !== low >> 31) return 0;
    const offset = view.getUint16(at + uop.UOP_NEXT, true) + low;
    return offset >= 0 && offset < 4096 ? this.#cache.find(page, offset) : 0;
  }

  scan(page: CodePage, first: number, forms: HandlerForms): Scan {
    const scan: Scan = { page, blocks: [], entries: [], instructions: 0 };
    // Blocks begin at leaders; a leader inside a block found earlier splits it.
    const leaders = new Map<number, number>();
    const owner = new Map<number, number>();
    const waiting: number[] = [];
    const blockAt = (at: number): number => {
      const known = leaders.get(at);
      if (known !== undefined) return known;
      if (scan.blocks.length >= MOST_BLOCKS || this.handlerAt(at) < FIRST_INSTRUCTION_HANDLER) return -1;
      const containing = owner.get(at);
      const made = scan.blocks.push({ uops: [], end: END_FALL, taken: -1, next: -1, nextUop: at }) - 1;
      leaders.set(at, made);
      if (containing === undefined) {
        waiting.push(made);
        return made;
      }
      const block = scan.blocks[containing] as Block;
      const split = scan.blocks[made] as Block;
      const moved = block.uops.splice(block.uops.indexOf(at));
      split.uops.push(...moved);
      for (const inside of moved) owner.set(inside, made);
      split.end = block.end;
      split.taken = block.taken;
      split.next = block.next;
      split.nextUop = block.nextUop;
      block.end = END_FALL;
      block.taken = -1;
      block.next = made;
      return made;
    };
    const enter = (at: number): void => {
      if (scan.entries.length >= MOST_ENTRIES) return;
      const block = blockAt(at);
      if (scan.entries.length > 0 && this.#table.isEntry(at)) return;
      if (block >= 0 && !scan.entries.includes(block)) scan.entries.push(block);
    };
    enter(first);
    for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) {
      const block = scan.blocks[index] as Block;
      let at = block.nextUop;
      let last = -1;
      for (;;) {
        if (owner.has(at) || (block.uops.length > 0 && leaders.has(at)) || scan.instructions >= MOST_INSTRUCTIONS) break;
        const handler = this.handlerAt(at);
        if (handler < FIRST_INSTRUCTION_HANDLER) break;
        const { form } = forms.of(handler, at, page);
        block.uops.push(at);
        owner.set(at, index);
        scan.instructions++;
        const here = at;
        last = at;
        const ends = ENDS.has(form.name);
        at = ends ? this.#following(page, at) : this.#resolve(page, at + uop.UOP_BYTES);
        const direct = form.operands[0]?.letter === 'J';
        if (CONDITIONAL.has(form.name)) block.end = END_CONDITIONAL;
        else if (form.name === 'jmp') block.end = direct ? END_JUMP : END_DYNAMIC;
        else if (form.name === 'call') block.end = END_CALL;
        else if (ends) block.end = END_DYNAMIC;
        else continue;
        if (block.end === END_CONDITIONAL || block.end === END_JUMP) {
          const target = this.#target(page, here);
          const taken = target === 0 ? -1 : blockAt(target);
          // The block may have been split by its own branch.
          (scan.blocks[owner.get(here) as number] as Block).taken = taken;
        }
        if (block.end === END_CALL && at !== 0) enter(at);
        break;
      }
      const ending = scan.blocks[owner.get(last) ?? index] as Block;
      ending.nextUop = at;
      if (last >= 0 && (ending.end === END_FALL || ending.end === END_CONDITIONAL)) ending.next = blockAt(at);
    }
    return { ...scan, entries: scan.entries.filter((entry) => (scan.blocks[entry] as Block).uops.length > 0) };
  }
}
