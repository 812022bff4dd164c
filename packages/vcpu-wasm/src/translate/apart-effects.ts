/** General registers that the interpreter's functions change, beyond those that the instruction names as operands. */
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
import { X87_ARITHMETIC } from '../emit/x87-arithmetic.ts';
import { X87_CONTROL } from '../emit/x87-control.ts';
import { X87_MOVE } from '../emit/x87-move.ts';
import { X87_TOP } from '../emit/x87-top.ts';
import { X87_TRANSCENDENTAL } from '../emit/x87-transcendental.ts';

const ALL_REGISTERS = 0xffff;
const RAX = 1 << 0, RCX = 1 << 1, RDX = 1 << 2, RSI = 1 << 6, RDI = 1 << 7;

const ONLY_OPERANDS: ReadonlySet<string> = new Set([
  AES, AVX_GATHER, AVX_MOVE, AVX_PERMUTE, BIT_MANIPULATION, F16C, FMA, SHIFT, SSE_ARITHMETIC, SSE_COMPARE, SSE_CONVERT, SSE_INTEGER, SSE_MOVE,
  SSE_SHUFFLE, SSE4, SSE4_PRODUCT, X87_ARITHMETIC, X87_CONTROL, X87_MOVE, X87_TOP, X87_TRANSCENDENTAL,
].flatMap((table) => Object.keys(table)));

/** One bit for each register. */
export function changedRegisters(name: string): number {
  if (name in STRING) return RAX | RCX | RSI | RDI;
  if (name === 'div' || name === 'idiv') return RAX | RDX;
  // With a VEX prefix it is the same instruction.
  return ONLY_OPERANDS.has(name) || (name.startsWith('v') && ONLY_OPERANDS.has(name.slice(1))) ? 0 : ALL_REGISTERS;
}
