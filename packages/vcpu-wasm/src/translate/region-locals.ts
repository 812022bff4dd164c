/** Locals of a region's function, behind those that every function with emitted instructions has. */
import { I32, I64, V128 } from '../wasm/code-writer.ts';
import type { ValueType } from '../wasm/code-writer.ts';
import { EXIT_BUDGET, REGION_EXIT_REASON_SHIFT } from '../cpu-state.ts';
import { TEMPORARIES } from '../locals.ts';

const FIRST = 2 + TEMPORARIES.length;
/** The 16 general registers. */
export const REGISTER: number = FIRST;
/** Arithmetic flags: the last result, sign-extended; then by FLAG_KIND its two operands, or what FLAG_CARRY and FLAG_EXTRA hold. */
export const FLAG_RESULT: number = FIRST + 16;
export const FLAG_A: number = FIRST + 17;
export const FLAG_B: number = FIRST + 18;
/** Tag of data accesses. */
export const DATA_TAG: number = FIRST + 19;
/** Instruction pointer of byte 0 of the page. */
export const PAGE_RIP: number = FIRST + 20;
export const FLAG_KIND: number = FIRST + 21;
/** Instructions left before the region has to be left, counted as if the block being run were done. */
export const BUDGET: number = FIRST + 22;
/** What REGION_EXIT is to be: the instructions of the block being run that are not done, or NO_BUDGET where there is not enough to go on. */
export const UNDONE: number = FIRST + 23;
export const NO_BUDGET: number = EXIT_BUDGET << REGION_EXIT_REASON_SHIFT;
/** Block that a dispatch node is to go on to, plus 1; 0 for none. */
export const SELECTOR: number = FIRST + 24;
/** Decode map of the page being run. */
export const CODE_PAGE: number = FIRST + 25;

/** Accesses to memory of the blocks that were begun. */
export const ACCESSES: number = FIRST + 26;
/** Window of the TLBs that goes with the tag. */
export const TLB_BASE: number = FIRST + 27;
/** The budget that the region was entered with. */
export const BUDGET_BEFORE: number = FIRST + 28;
/** The last page of the stack that the region has read and written: compare word as in the TLB, and what is added to an address there. */
export const STACK_READ: number = FIRST + 29;
export const STACK_READ_ADDEND: number = FIRST + 30;
export const STACK_WRITE: number = FIRST + 31;
export const STACK_WRITE_ADDEND: number = FIRST + 32;
/** Lower halves of vector registers, as many as the region has use for, in the order of their first use. */
export const VECTOR: number = FIRST + 33;

const FIXED: readonly ValueType[] = [
  ...TEMPORARIES, ...Array.from({ length: 21 }, (): ValueType => I64), I32, I32, I32, I32, I32, I32, I32, I32,
  I64, I32, I64, I32,
];
/** Types of all of them, by the number of vectors. */
export const REGION_LOCALS: readonly (readonly ValueType[])[] = Array.from({ length: 17 }, (_, vectors) => [...FIXED, ...Array.from({ length: vectors }, (): ValueType => V128)]);
