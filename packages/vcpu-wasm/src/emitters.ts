/** The emitter of every instruction that the engine has, by the name of its row in the instruction tables. */
import type { EmitterTable } from './emitter.ts';
import { AES } from './emit/aes.ts';
import { ARITHMETIC } from './emit/arithmetic.ts';
import { BIT_MANIPULATION } from './emit/bit-manipulation.ts';
import { CONTROL_FLOW } from './emit/control-flow.ts';
import { MOVE } from './emit/move.ts';
import { MULTIPLY } from './emit/multiply.ts';
import { PROTECTION } from './emit/protection.ts';
import { RANDOM_NUMBER } from './emit/random-number.ts';
import { SHIFT } from './emit/shift.ts';
import { SSE_ARITHMETIC } from './emit/sse-arithmetic.ts';
import { SSE_COMPARE } from './emit/sse-compare.ts';
import { SSE_CONVERT } from './emit/sse-convert.ts';
import { SSE_INTEGER } from './emit/sse-integer.ts';
import { SSE_MOVE } from './emit/sse-move.ts';
import { SSE_SHUFFLE } from './emit/sse-shuffle.ts';
import { SSE_STRING } from './emit/sse-string.ts';
import { SSE4 } from './emit/sse4.ts';
import { SSE4_PRODUCT } from './emit/sse4-product.ts';
import { STACK } from './emit/stack.ts';
import { STRING } from './emit/string.ts';
import { SYSTEM } from './emit/system.ts';
import { X87_ARITHMETIC } from './emit/x87-arithmetic.ts';
import { X87_CONTROL } from './emit/x87-control.ts';
import { X87_ENVIRONMENT } from './emit/x87-environment.ts';
import { X87_MOVE } from './emit/x87-move.ts';
import { X87_TOP } from './emit/x87-top.ts';
import { X87_TRANSCENDENTAL } from './emit/x87-transcendental.ts';

export const EMITTERS: EmitterTable = {
  ...ARITHMETIC, ...SHIFT, ...MULTIPLY, ...MOVE, ...STACK, ...CONTROL_FLOW, ...STRING, ...SYSTEM, ...PROTECTION, ...RANDOM_NUMBER,
  ...X87_CONTROL, ...X87_ENVIRONMENT, ...X87_MOVE, ...X87_ARITHMETIC, ...X87_TOP, ...X87_TRANSCENDENTAL,
  ...SSE_MOVE, ...SSE_INTEGER, ...SSE_SHUFFLE, ...SSE_ARITHMETIC, ...SSE_COMPARE, ...SSE_CONVERT, ...SSE4, ...SSE4_PRODUCT, ...SSE_STRING, ...AES, ...BIT_MANIPULATION,
};
