/** Where the slot of a page is in its window of the TLBs. */
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
