/** From instruction pointer to decoded uops: what generated code asks for when its own tables do not answer. */
import {
  createInstruction, decode, DECODE_MORE, DECODE_OK, DECODE_TOO_LONG, METHOD_VECTOR_INDEX, OPERAND_CONTROL, OPERAND_DEBUG, OPERAND_MEMORY, OPERAND_MMX, OPERAND_REGISTER,
  OPERAND_REGISTER_HIGH_BYTE, OPERAND_SEGMENT, OPERAND_ST, OPERAND_XMM, ROWS, VECTOR_GP, VECTOR_UD,
} from '@vm/x86';
import type { Instruction } from '@vm/x86';
import * as state from './cpu-state.ts';
import type { CodeCache, CodePage } from './code-page.ts';
import { isAbsolute } from './form.ts';
import { HandlerTable } from './handler-table.ts';
import { HANDLER_CROSS_PAGE, HANDLER_GOTO, HANDLER_STALE, HANDLER_UNKNOWN } from './handler-number.ts';
import { FETCH } from './page-walk.ts';
import type { LinearMemory } from './linear-memory.ts';
import type { Segmentation } from './segmentation.ts';
import type { StateView } from './state-view.ts';
import * as uop from './uop.ts';

/** Decoding goes on past conditional branches, up to this many instructions. */
const MOST_INSTRUCTIONS = 64;
const LONGEST_INSTRUCTION = 15;
const FIELDS = [uop.UOP_REGISTER_0, uop.UOP_REGISTER_1, uop.UOP_BASE] as const;
/** Instructions after which decoding stops: the next byte is not reached, or not soon. No uop follows theirs. */
export const ENDS: ReadonlySet<string> = new Set(['jmp', 'jmpf', 'call', 'callf', 'ret', 'retf', 'iret', 'syscall', 'sysret', 'sysenter', 'sysexit', 'hlt', 'ud2', 'int3', 'int']);

/** Stands for an encoding that the decoder does not know. */
const NO_ROW = 0xffff;
/** What reaches the stack through RBP too. */
const FRAMES: ReadonlySet<string> = new Set(['enter', 'leave']);
/** By number of the segment register they load. */
const FAR_POINTER_LOADS: readonly string[] = ['les', '', 'lss', 'lds', 'lfs', 'lgs'];

export interface HandlerTables { readonly long: HandlerTable; readonly legacy: HandlerTable }

export class CodeFetch {
  readonly #state: StateView;
  readonly #memory: LinearMemory;
  readonly #segments: Segmentation;
  readonly #cache: CodeCache;
  readonly #handlers: HandlerTables;
  readonly #ends: Uint8Array;
  readonly #frames: Uint8Array;
  /** 1 + segment number for les, lds, lss, lfs and lgs. */
  readonly #targets: Uint8Array;
  /** 1 where the index of the memory operand is a vector register. */
  readonly #gathers: Uint8Array;
  /** Low bits of an x87 escape opcode in their place in the opcode register; -1 for other rows. */
  readonly #escapes: Int16Array;
  readonly #instruction: Instruction = createInstruction();
  readonly #bytes = new Uint8Array(32);
  /** Instructions without an emitter that were met, by name. */
  readonly unknown: Map<string, number> = new Map<string, number>();
  decoded = 0;
  /** How often all decoded code was dropped for want of room. */
  get flushes(): number { return this.#cache.generation; }
  /** Set while a fault would be one of fetching: RIP in the state is right then. */
  fetching = false;

  constructor(view: StateView, memory: LinearMemory, segments: Segmentation, cache: CodeCache, handlers: HandlerTables) {
    this.#state = view;
    this.#memory = memory;
    this.#segments = segments;
    this.#cache = cache;
    this.#handlers = handlers;
    view.set64(state.PAGE_BYTES, 4096, 0);
    this.#ends = Uint8Array.from(ROWS, (row) => (ENDS.has(row.name) ? 1 : 0));
    this.#frames = Uint8Array.from(ROWS, (row) => (FRAMES.has(row.name) ? 1 : 0));
    this.#targets = Uint8Array.from(ROWS, (row) => FAR_POINTER_LOADS.indexOf(row.name) + 1);
    this.#gathers = Uint8Array.from(ROWS, (row) => (row.operands.some((operand) => operand.method === METHOD_VECTOR_INDEX) ? 1 : 0));
    this.#escapes = Int16Array.from(ROWS, (row) => (row.map === 0 && (row.opcode & 0xf8) === 0xd8 ? (row.opcode & 7) << 8 : -1));
  }

  /** Name of the instruction that `raiseUnknown` is for. */
  unknownName(at: number): string {
    return ROWS[this.#state.view.getUint16(at + uop.UOP_IMMEDIATE_2, true)]?.name ?? 'an invalid encoding';
  }

  /** Raises what an instruction without an emitter, or without a meaning, raises. */
  raiseUnknown(at: number): never {
    const { view } = this.#state;
    const name = this.unknownName(at);
    this.unknown.set(name, (this.unknown.get(name) ?? 0) + 1);
    const vector = view.getInt32(at + uop.UOP_IMMEDIATE, true);
    return this.#memory.raise(vector, vector === VECTOR_GP ? 0 : -1);
  }

  /** Address of the decode map of a page, 0: there is no room for it. */
  mapOf(offset: number, mode: number): number {
    return this.#cache.isFull(MOST_INSTRUCTIONS * 2 + 4) ? 0 : this.#cache.page(offset, mode).map;
  }

  /** The uop at RIP; raises the faults of fetching. Sets PAGE_RIP. */
  resolve(): number {
    this.fetching = true;
    const found = this.#resolve();
    this.fetching = false;
    return found;
  }
  #resolve(): number {
    const s = this.#state;
    const ripLow = s.get(state.RIP);
    const ripHigh = s.high(state.RIP);
    const long = this.#segments.is64Bit();
    let low = ripLow;
    let high = ripHigh;
    if (!long) {
      if (ripLow > s.limit(state.CS)) this.#memory.raise(VECTOR_GP, 0);
      low = (s.base(state.CS) + ripLow) >>> 0;
      high = 0;
    }
    this.#memory.fetchMisses++;
    this.#memory.walk.translate(low, high, FETCH);
    const { offset } = this.#memory.walk;
    if (offset < 0) this.#memory.raise(VECTOR_GP, 0); // instructions outside RAM
    const mode = long ? 64 : (s.attributes(state.CS) & 0x40_0000) !== 0 ? 32 : 16;
    if (this.#cache.isFull(MOST_INSTRUCTIONS * 2 + 4)) this.#cache.flush();
    const at = offset & 4095;
    const page = this.#cache.page(offset - at, mode);
    const pageLow = (low - at) >>> 0;
    if (this.#memory.walk.cachable) this.#memory.tlb.fillFetch(pageLow, high, page.offset, page.map);
    const pageRip = ripLow - at;
    s.set64(state.PAGE_RIP, pageRip >>> 0, pageRip < 0 ? (long ? ripHigh - 1 : 0xffff_ffff) >>> 0 : ripHigh);
    s.set(state.CODE_PAGE, page.map);
    return this.#cache.find(page, at) || this.#decodeFrom(page, at, low, high, mode);
  }

  /** The uop of the in-page target of a direct branch, stored in the branch. */
  link(branch: number): number {
    const { view } = this.#state;
    const target = view.getUint16(branch + uop.UOP_NEXT, true) + view.getInt32(branch + uop.UOP_IMMEDIATE, true);
    const page = this.#cache.ofMap(this.#state.get(state.CODE_PAGE));
    let found = this.#cache.find(page, target);
    if (found === 0) {
      const { generation } = this.#cache;
      const pageRip = this.#state.get(state.PAGE_RIP) + target;
      const carry = pageRip > 0xffff_ffff ? 1 : 0;
      this.#state.set64(state.RIP, pageRip >>> 0, page.mode === 64 ? (this.#state.high(state.PAGE_RIP) + carry) >>> 0 : 0);
      found = this.resolve();
      if (generation !== this.#cache.generation) return found; // the branch itself is gone
    }
    view.setUint32(branch + uop.UOP_DISPLACEMENT, found, true);
    return found;
  }

  /** The uop that replaces one that was invalidated. */
  renew(stale: number): number {
    const { view } = this.#state;
    const page = this.#cache.ofMap(this.#state.get(state.CODE_PAGE));
    const offset = view.getUint16(stale + uop.UOP_NEXT, true) - view.getUint8(stale + uop.UOP_LENGTH);
    // An instruction that spans two pages goes stale with the second one and still stands in the map of the first.
    if (offset < 4096) {
      const listed = this.#cache.find(page, offset);
      if (listed !== 0 && view.getUint16(listed + uop.UOP_HANDLER, true) === HANDLER_STALE) this.#cache.enter(page, offset, 0);
    }
    this.setRip(stale, this.#segments.is64Bit());
    return this.resolve();
  }

  /** Before an instruction that spans two pages: is the second still the one that it was decoded from? */
  crossPage(check: number): number {
    const s = this.#state;
    const next = s.view.getUint16(check + uop.UOP_IMMEDIATE_2, true);
    const page = this.#cache.ofMap(s.get(state.CODE_PAGE));
    // Linear address of the next page.
    const ripLow = s.get(state.PAGE_RIP);
    let low = ripLow;
    let high = s.high(state.PAGE_RIP);
    if (page.mode !== 64) { low = (s.base(state.CS) + ripLow) >>> 0; high = 0; }
    const nextLow = (low + 4096) >>> 0;
    if (nextLow === 0 && page.mode === 64) high = (high + 1) >>> 0;
    this.setRip(check, this.#segments.is64Bit());
    this.fetching = true;
    this.#memory.walk.translate(nextLow, high, FETCH);
    this.fetching = false;
    const offset = this.#memory.walk.offset < 0 ? -1 : this.#memory.walk.offset;
    if (offset === s.view.getUint32(check + uop.UOP_DISPLACEMENT, true)) return check + uop.UOP_BYTES;
    // Another page lies behind now: decode again.
    s.view.setUint16(check + uop.UOP_HANDLER, HANDLER_STALE, true);
    this.#cache.enter(page, next, 0);
    return this.resolve();
  }
  /** RIP = the instruction that `at` stands for; `long`: decoded for 64-bit mode. */
  setRip(at: number, long: boolean): void {
    const s = this.#state;
    const sum = s.get(state.PAGE_RIP) + s.view.getUint16(at + uop.UOP_NEXT, true) - s.view.getUint8(at + uop.UOP_LENGTH);
    s.set64(state.RIP, sum >>> 0, long ? (s.high(state.PAGE_RIP) + (sum > 0xffff_ffff ? 1 : sum < 0 ? -1 : 0)) >>> 0 : 0);
  }

  /** Decodes from `at` of the page up to an instruction that never falls through. Answers the first uop. */
  #decodeFrom(page: CodePage, at: number, linearLow: number, linearHigh: number, mode: number): number {
    const { u8 } = this.#state;
    const cache = this.#cache;
    const instruction = this.#instruction;
    let first = 0;
    let offset = at;
    for (let count = 0; count < MOST_INSTRUCTIONS; count++) {
      const known = offset < 4096 ? cache.find(page, offset) : 0;
      if (known !== 0 || offset > 4095) {
        this.#goto(page, offset, known);
        return first;
      }
      const available = 4096 - offset;
      let result = decode(mode as 16 | 32 | 64, u8, page.offset + offset, Math.min(available, LONGEST_INSTRUCTION), instruction);
      if (result === DECODE_MORE && available < LONGEST_INSTRUCTION) {
        // Only the instruction that is wanted now may touch the next page; the others wait until they are reached.
        if (count > 0) { this.#goto(page, offset, 0); return first; }
        return this.#decodeAcross(page, offset, linearLow, linearHigh, mode);
      }
      const made = this.#emit(page, offset, mode, result);
      if (first === 0) first = made;
      if (result !== DECODE_OK || this.#ends[instruction.row] === 1) return first;
      offset += instruction.length;
      result = DECODE_OK;
    }
    this.#goto(page, offset, 0);
    return first;
  }

  /** An instruction that ends in the next page: a check of that page stands before it. */
  #decodeAcross(page: CodePage, at: number, linearLow: number, linearHigh: number, mode: number): number {
    const s = this.#state;
    const available = 4096 - at;
    const pageLow = (linearLow - (linearLow & 4095)) >>> 0;
    const nextLow = (pageLow + 4096) >>> 0;
    this.#memory.walk.translate(nextLow, nextLow === 0 && mode === 64 ? (linearHigh + 1) >>> 0 : linearHigh, FETCH);
    const nextOffset = this.#memory.walk.offset;
    if (nextOffset < 0) this.#memory.raise(VECTOR_GP, 0);
    this.#bytes.set(s.u8.subarray(page.offset + at, page.offset + 4096));
    this.#bytes.set(s.u8.subarray(nextOffset, nextOffset + LONGEST_INSTRUCTION), available);
    const result = decode(mode as 16 | 32 | 64, this.#bytes, 0, LONGEST_INSTRUCTION, this.#instruction);
    const check = this.#blank(HANDLER_CROSS_PAGE, at, 0);
    s.view.setUint32(check + uop.UOP_DISPLACEMENT, nextOffset, true);
    s.view.setUint16(check + uop.UOP_IMMEDIATE_2, at, true);
    const made = this.#emit(page, at, mode, result);
    this.#cache.enter(page, at, check);
    const nextPage = this.#cache.page(nextOffset, mode);
    this.#cache.depend(page, check, at, available);
    this.#cache.depend(nextPage, check, 0, Math.max(1, this.#instruction.length - available));
    this.#cache.depend(nextPage, made, 0, 1);
    this.#memory.markCode(nextOffset);
    if (result === DECODE_OK && this.#ends[this.#instruction.row] !== 1) this.#goto(page, at + this.#instruction.length, 0);
    return check;
  }

  #blank(handler: number, next: number, length: number): number {
    const at = this.#cache.allocate();
    const { view } = this.#state;
    this.#state.u32.fill(0, at >>> 2, (at + uop.UOP_BYTES) >>> 2);
    view.setUint16(at + uop.UOP_HANDLER, handler, true);
    view.setUint16(at + uop.UOP_NEXT, next, true);
    view.setUint8(at + uop.UOP_LENGTH, length);
    return at;
  }
  #goto(page: CodePage, offset: number, target: number): void {
    const at = this.#blank(HANDLER_GOTO, offset, 0);
    this.#state.view.setUint32(at + uop.UOP_DISPLACEMENT, target, true);
    page.uops.push(at);
  }

  /** Makes the uop of the instruction just decoded at `at`. */
  #emit(page: CodePage, at: number, mode: number, result: number): number {
    const { view } = this.#state;
    const i = this.#instruction;
    const long = mode === 64;
    const length = Math.max(1, i.length);
    const made = this.#blank(HANDLER_UNKNOWN, at + length, length);
    this.#cache.enter(page, at, made);
    this.#cache.depend(page, made, at, length);
    this.#memory.markCode(page.offset);
    if (result !== DECODE_OK) {
      view.setUint16(made + uop.UOP_IMMEDIATE_2, NO_ROW, true);
      view.setInt32(made + uop.UOP_IMMEDIATE, result === DECODE_TOO_LONG ? VECTOR_GP : VECTOR_UD, true);
      return made;
    }
    this.decoded++;
    const branch = at + length + i.immediateLow;
    const near = HandlerTable.isDirectBranch(i) && (long || (mode === 32 && i.operandSize === 4)) && branch >= 0 && branch < 4096;
    const handler = (long ? this.#handlers.long : this.#handlers.legacy).find(i, near);
    view.setUint16(made + uop.UOP_HANDLER, handler, true);
    if (handler === HANDLER_UNKNOWN) {
      view.setInt32(made + uop.UOP_IMMEDIATE, VECTOR_UD, true);
      view.setUint16(made + uop.UOP_IMMEDIATE_2, i.row, true);
      return made;
    }
    view.setInt32(made + uop.UOP_IMMEDIATE, i.immediateLow, true);
    view.setInt32(made + uop.UOP_IMMEDIATE + 4, i.immediateHigh, true);
    const escape = this.#escapes[i.row] as number;
    view.setUint16(made + uop.UOP_IMMEDIATE_2, escape < 0 ? i.immediate2 : escape | i.modrm, true);
    let field = 0;
    for (let k = 0; k < i.operandCount; k++) {
      const offset = registerOffset(i.operandKind[k] as number, i.operandNumber[k] as number);
      // A fourth operand is a register that the immediate names.
      if (offset >= 0) view.setUint16(made + (k === 3 ? uop.UOP_IMMEDIATE_2 : FIELDS[field++] as number), offset, true);
    }
    view.setUint8(made + uop.UOP_SEGMENT, this.#frames[i.row] === 1 ? state.SS : i.segment);
    view.setUint8(made + uop.UOP_SIZE, i.operandSize);
    const target = this.#targets[i.row] as number;
    if (target !== 0) view.setUint8(made + uop.UOP_TARGET_SEGMENT, target - 1);
    if (i.isMemory !== 0) this.#memoryOperand(made, at + length, long);
    else if (long) view.setUint16(made + uop.UOP_SEGMENT_BASE, i.segment >= state.FS ? state.SEGMENT_BASE + i.segment * 8 : state.ZERO, true);
    return made;
  }
  #memoryOperand(made: number, next: number, long: boolean): void {
    const { view } = this.#state;
    const i = this.#instruction;
    let displacement = i.displacementLow;
    let base: number = state.ZERO;
    let index: number = i.index < 0 ? state.ZERO : this.#gathers[i.row] === 1 ? state.XMM + i.index * 16 : state.GPR + i.index * 8;
    let { scale } = i;
    if (i.base === 16) {
      base = state.PAGE_RIP;
      displacement += next;
      // The distance counts from the end of the instruction, which may lie in the next page.
      if (displacement > 0x7fff_ffff) {
        displacement -= 2 * 4096;
        index = state.PAGE_BYTES;
        scale = 1;
      }
    } else if (i.base >= 0) base = state.GPR + i.base * 8;
    view.setUint16(made + uop.UOP_BASE, base, true);
    view.setUint16(made + uop.UOP_INDEX, index, true);
    view.setUint8(made + uop.UOP_SCALE, scale);
    view.setInt32(made + uop.UOP_DISPLACEMENT, displacement, true);
    view.setUint16(made + uop.UOP_SEGMENT_BASE, long ? (i.segment >= state.FS ? state.SEGMENT_BASE + i.segment * 8 : state.ZERO) : state.SEGMENT_BASE + i.segment * 8, true);
    if (isAbsolute(i)) {
      // A 64-bit absolute offset takes the place of the immediate, which such instructions do not have.
      view.setInt32(made + uop.UOP_IMMEDIATE, i.displacementLow, true);
      view.setInt32(made + uop.UOP_IMMEDIATE + 4, i.displacementHigh, true);
    }
  }
}

/** Where a register operand stands in the processor block; -1 for operands that are no registers. */
function registerOffset(kind: number, number: number): number {
  switch (kind) {
    case OPERAND_REGISTER: return state.GPR + number * 8;
    case OPERAND_REGISTER_HIGH_BYTE: return state.GPR + (number & 3) * 8 + 1;
    case OPERAND_XMM: return state.XMM + number * 16;
    case OPERAND_MMX: return state.X87 + (number & 7) * 16;
    case OPERAND_SEGMENT: return state.SEGMENT + number * state.SEGMENT_STRIDE;
    case OPERAND_CONTROL: case OPERAND_DEBUG: case OPERAND_ST: return number;
    case OPERAND_MEMORY: default: return -1;
  }
}
