/** Where the slot of a page is in its window of the TLBs, and where its decode map is noted. */
import * as state from './cpu-state.ts';
import type { CodeWriter } from './wasm/code-writer.ts';

/** A page's number times TLB_STRIDE is its address shifted right so far. */
const SHIFT: number = 12 - Math.log2(state.TLB_STRIDE);
const MASK: number = (state.TLB_ENTRIES - 1) * state.TLB_STRIDE;

/** What is to be added to TLB_BASE, by the low half of a linear address. */
export const tlbPlace = (low: number): number => (low >>> SHIFT) & MASK;

/** The same in generated code: takes a linear address from the stack and pushes what is to be added to TLB_BASE. */
export function pushTlbPlace(code: CodeWriter): CodeWriter {
  return code.wrap().const32(SHIFT).shrU32().const32(MASK).and32();
}

const CODE_MAP_SHIFT: number = 12 - Math.log2(state.CODE_MAP_BYTES);
const CODE_MAP_MASK: number = (state.CODE_MAP_COUNT - 1) * state.CODE_MAP_BYTES;

/** What is to be added to CODE_MAPS, by where a page lies in the linear memory. */
export const codeMapPlace = (pageOffset: number): number => (pageOffset >>> CODE_MAP_SHIFT) & CODE_MAP_MASK;
/** The same in generated code: takes the one from the stack and pushes the other. */
export function pushCodeMapPlace(code: CodeWriter): CodeWriter { return code.const32(CODE_MAP_SHIFT).shrU32().const32(CODE_MAP_MASK).and32(); }
