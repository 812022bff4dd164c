/** Where the entry of a page is in its window of the TLBs, for generated code. */
import * as state from './cpu-state.ts';
import type { CodeWriter } from './wasm/code-writer.ts';

/** A page's number times TLB_STRIDE is its address shifted right so far. */
export const TLB_PLACE_SHIFT: number = 12 - Math.log2(state.TLB_STRIDE);

/** Takes a linear address from the stack and pushes what is to be added to TLB_BASE. */
export function pushTlbPlace(code: CodeWriter): CodeWriter {
  return code.wrap().const32(TLB_PLACE_SHIFT).shrU32().const32((state.TLB_ENTRIES - 1) * state.TLB_STRIDE).and32();
}
