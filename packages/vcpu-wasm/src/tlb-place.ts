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

/** Of LARGE_PAGES or HUGE_PAGES: by the low bits of the part's number, and by the half of the address space. */
export const largePart = (number: number, high: number): number => (number & LARGE_MASK) | (high & SYSTEM_HALF ? LARGE_MASK + 1 : 0);
/** The same in generated code: pushes it for the address in a local, in parts of 1 << `shift` bytes. */
export function pushLargePart(code: CodeWriter, address: number, shift: number): CodeWriter {
  code.get(address).const(shift).shrU().wrap().const32(LARGE_MASK).and32();
  return code.get(address).const(HALF_BIT).shrU().wrap().const32(1).and32().const32(Math.log2(LARGE_MASK + 1)).shl32().or32();
}
const LARGE_MASK: number = state.LARGE_PARTS / 2 - 1;
/** Bit 47 of canonical addresses. */
const HALF_BIT = 47;
const SYSTEM_HALF: number = 1 << (HALF_BIT - 32);

const CODE_MAP_SHIFT: number = 12 - Math.log2(state.CODE_MAP_BYTES);
const CODE_MAP_MASK: number = (state.CODE_MAP_COUNT - 1) * state.CODE_MAP_BYTES;

/** What is to be added to CODE_MAPS, by where a page lies in the linear memory. */
export const codeMapPlace = (pageOffset: number): number => (pageOffset >>> CODE_MAP_SHIFT) & CODE_MAP_MASK;
/** The same in generated code: takes the one from the stack and pushes the other. */
export function pushCodeMapPlace(code: CodeWriter): CodeWriter { return code.const32(CODE_MAP_SHIFT).shrU32().const32(CODE_MAP_MASK).and32(); }
