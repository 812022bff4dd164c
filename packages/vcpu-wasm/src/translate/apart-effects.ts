/** Which of the interpreter's functions a region has in place, and which general registers the others change. */
import type { EmitterTable } from '../emitter.ts';
import { AES } from '../emit/aes.ts';
import { AVX_GATHER } from '../emit/avx-gather.ts';
import { AVX_MOVE } from '../emit/avx-move.ts';
import { AVX_PERMUTE } from '../emit/avx-permute.ts';
import { BIT_MANIPULATION } from '../emit/bit-manipulation.ts';
import { F16C } from '../emit/f16c.ts';
import { FMA } from '../emit/fma.ts';
import { SHIFT } from '../emit/shift.ts';
import { SSE_ARITHMETIC } from '../emit/sse-arithmetic.ts';
import { SSE_COMPARE } from '../emit/sse-compare.ts';
import { SSE_CONVERT } from '../emit/sse-convert.ts';
import { SSE_INTEGER } from '../emit/sse-integer.ts';
import { SSE_MOVE } from '../emit/sse-move.ts';
import { SSE_SHUFFLE } from '../emit/sse-shuffle.ts';
import { SSE4 } from '../emit/sse4.ts';
import { SSE4_PRODUCT } from '../emit/sse4-product.ts';
import { STRING } from '../emit/string.ts';
import { TIME_STAMP } from '../emit/time-stamp.ts';
import { X87_ARITHMETIC } from '../emit/x87-arithmetic.ts';
import { X87_CONTROL } from '../emit/x87-control.ts';
import { X87_MOVE } from '../emit/x87-move.ts';
import { X87_IN_PLACE } from '../emit/x87-in-place.ts';
import { X87_TOP } from '../emit/x87-top.ts';
import { X87_TRANSCENDENTAL } from '../emit/x87-transcendental.ts';

export const ALL_REGISTERS = 0xffff;
const RAX = 1 << 0, RCX = 1 << 1, RSI = 1 << 6, RDI = 1 << 7;

const namesOf = (tables: readonly EmitterTable[], others: readonly string[] = []): ReadonlySet<string> => new Set([...others, ...tables.flatMap((table) => Object.keys(table))]);
/** They call nothing but floating-point and x87 functions and ask for the time, and reach registers through their binding alone. */
const IN_PLACE = namesOf([
  AVX_MOVE, AVX_PERMUTE, BIT_MANIPULATION, F16C, FMA, SHIFT, SSE_ARITHMETIC, SSE_COMPARE, SSE_CONVERT, SSE_INTEGER, SSE_MOVE, SSE_SHUFFLE, SSE4, TIME_STAMP,
], ['div', 'idiv', ...X87_IN_PLACE]);
/** Large, or with registers of their own. */
const ONLY_OPERANDS = namesOf([AES, AVX_GATHER, SSE4_PRODUCT, X87_ARITHMETIC, X87_CONTROL, X87_MOVE, X87_TOP, X87_TRANSCENDENTAL]);

/** With a VEX prefix it is the same instruction. */
const has = (names: ReadonlySet<string>, name: string): boolean => names.has(name) || (name.startsWith('v') && names.has(name.slice(1)));

export const isInPlace = (name: string): boolean => has(IN_PLACE, name);
/** General registers that change beyond those that the instruction names as operands, one bit each; with all of them, vector registers may too. */
export function changedRegisters(name: string): number {
  if (name in STRING) return RAX | RCX | RSI | RDI;
  return has(ONLY_OPERANDS, name) ? 0 : ALL_REGISTERS;
}
