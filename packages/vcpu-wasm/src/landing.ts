/** Where in the table of landings the one of a place in a decode map is. */
import * as state from './cpu-state.ts';
import type { CodeWriter } from './wasm/code-writer.ts';

/** A place is the address of a word, and a page has 4096 of them. */
const WORD_SHIFT = 2, PAGE_SHIFT = 8;
const MASK: number = state.LANDING_COUNT - 1;
const BYTES_SHIFT: number = Math.log2(state.LANDING_BYTES);

/** To be added to the address of the table. */
export const landingOf = (place: number): number => (((place >>> WORD_SHIFT) ^ (place >>> (WORD_SHIFT + PAGE_SHIFT))) & MASK) << BYTES_SHIFT;

/** The same in generated code, from a local; pushes it. */
export function pushLanding(code: CodeWriter, place: number): CodeWriter {
  return code.get(place).const32(WORD_SHIFT).shrU32().get(place).const32(WORD_SHIFT + PAGE_SHIFT).shrU32().xor32().const32(MASK).and32().const32(BYTES_SHIFT).shl32();
}
