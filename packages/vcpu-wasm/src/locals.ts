/** Locals of every function that holds emitted instructions: the two parameters, then temporaries by type. */
import { F32, F64, I32, I64, V128 } from './wasm/code-writer.ts';
import type { ValueType } from './wasm/code-writer.ts';

export const S = 0;
export const U = 1;
/** i64 temporaries; VA and V are overwritten by memory accesses. */
export const VA = 2;
export const V = 3;
export const A = 4;
export const B = 5;
export const C = 6;
export const D = 7;
export const R = 8;
export const T = 9;
/** i32 temporaries; P is overwritten by memory accesses, H holds the host address between readForUpdate and update. */
export const P = 10;
export const H = 11;
export const N = 12;
export const M = 13;
export const K = 14;
/** v128 temporaries. */
export const X = 15;
export const Y = 16;
export const Z = 17;
export const W = 18;
/** f64 and f32 temporaries. */
export const F = 19;
export const G = 20;
export const E32 = 21;
export const F32_B = 22;
/** v128 temporaries for ymm registers: the result of the lower half while the upper one is computed, and the upper half of an operand in memory. */
export const LOWER_RESULT = 23;
export const UPPER_OPERAND = 24;
/** Types of the locals after the two parameters S and U. */
export const TEMPORARIES: readonly ValueType[] = [I64, I64, I64, I64, I64, I64, I64, I64, I32, I32, I32, I32, I32, V128, V128, V128, V128, F64, F64, F32, F32, V128, V128];
