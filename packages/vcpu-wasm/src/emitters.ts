/** The emitter of every instruction that the engine has, by the name of its row in the instruction tables. */
import { ROWS, VEX_MAPS } from '@vm/x86';
import type { EmitterTable, InstructionEmitter } from './emitter.ts';
import { AES } from './emit/aes.ts';
import { ARITHMETIC } from './emit/arithmetic.ts';
import { AVX_GATHER } from './emit/avx-gather.ts';
import { AVX_MOVE } from './emit/avx-move.ts';
import { AVX_PERMUTE } from './emit/avx-permute.ts';
import { BIT_MANIPULATION } from './emit/bit-manipulation.ts';
import { CONTROL_FLOW } from './emit/control-flow.ts';
import { F16C } from './emit/f16c.ts';
import { FMA } from './emit/fma.ts';
import { MOVE } from './emit/move.ts';
import { MULTIPLY } from './emit/multiply.ts';
import { PRIVILEGE_CHANGE } from './emit/privilege-change.ts';
import { SEGMENT_LOAD } from './emit/segment-load.ts';
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
import { XSAVE } from './emit/xsave.ts';
import { X87_ARITHMETIC } from './emit/x87-arithmetic.ts';
import { TIME_STAMP } from './emit/time-stamp.ts';
import { X87_CONTROL } from './emit/x87-control.ts';
import { X87_ENVIRONMENT } from './emit/x87-environment.ts';
import { X87_MOVE } from './emit/x87-move.ts';
import { X87_TOP } from './emit/x87-top.ts';
import { X87_TRANSCENDENTAL } from './emit/x87-transcendental.ts';

const LEGACY: EmitterTable = {
  ...ARITHMETIC, ...SHIFT, ...MULTIPLY, ...MOVE, ...STACK, ...CONTROL_FLOW, ...STRING, ...SYSTEM, ...PRIVILEGE_CHANGE, ...SEGMENT_LOAD, ...PROTECTION, ...RANDOM_NUMBER, ...TIME_STAMP,
  ...X87_CONTROL, ...X87_ENVIRONMENT, ...X87_MOVE, ...X87_ARITHMETIC, ...X87_TOP, ...X87_TRANSCENDENTAL,
  ...SSE_MOVE, ...SSE_INTEGER, ...SSE_SHUFFLE, ...SSE_ARITHMETIC, ...SSE_COMPARE, ...SSE_CONVERT, ...SSE4, ...SSE4_PRODUCT, ...SSE_STRING, ...AES, ...BIT_MANIPULATION, ...XSAVE,
};

/** Instructions with a VEX prefix are those without it but for what their form says: sources apart, 256 bits, zeros above. */
function vexForms(): EmitterTable {
  const forms: Record<string, InstructionEmitter> = {};
  for (const { name, map } of ROWS) {
    const without = map > VEX_MAPS ? LEGACY[name.slice(1)] : undefined;
    if (without !== undefined) forms[name] = { emit: without.emit, apart: true };
  }
  return forms;
}

export const EMITTERS: EmitterTable = { ...vexForms(), ...LEGACY, ...AVX_MOVE, ...AVX_PERMUTE, ...AVX_GATHER, ...FMA, ...F16C };
