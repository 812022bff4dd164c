/** What floating-point instructions of SSE and AVX share: the functions of a format, the flags of an instruction, single elements. */
import type { Emitter } from '../emitter.ts';
import { A, S, W, X, Y } from '../locals.ts';
import type { FloatFormat } from '../float/float-format.ts';
import { SINGLE } from '../float/float-format.ts';
import type { FormatFunctions } from '../float/float-functions.ts';
import { FLOAT_FLAGS } from '../float/float-value.ts';
import { pushExtraordinary } from '../float/ordinary-number.ts';
import * as simd from '../wasm/simd-opcode.ts';

export const functionsOf = (e: Emitter, of: FloatFormat): FormatFunctions => (of === SINGLE ? e.runtime.float.single : e.runtime.float.double);

/** Before the first function that notes flags. */
export function clearFlags(e: Emitter): void { e.code.get(S).const32(0).store32(FLOAT_FLAGS); }
/** Behind the last, and before anything is written: raises #XM where a flag is not masked. */
export function commit(e: Emitter): void { e.commitFloat(); }
/** Pushes the lowest element of source k in a vector of zeros, so that the other lanes raise nothing. Uses A. */
export function readAlone(e: Emitter, k: number): void {
  e.read(e.source(k));
  e.code.set(A).constV128([]).get(A).lane(simd.I64X2_REPLACE_LANE, 0);
}
/** Notes the flags of comparing X with Y, then applies DAZ to both; `quietIsInvalid` pushes whether quiet NaNs are invalid. Uses W. */
export function compareFlags(e: Emitter, of: FloatFormat, quietIsInvalid: () => void): void {
  const { code } = e;
  const { compare, flush } = functionsOf(e, of);
  pushExtraordinary(code, of, X, W);
  pushExtraordinary(code, of, Y, W);
  code.simd(simd.V128_OR).simd(simd.V128_ANY_TRUE);
  code.if();
  code.get(S).get(X).get(Y);
  quietIsInvalid();
  code.call(compare);
  code.get(S).get(X).call(flush).set(X).get(S).get(Y).call(flush).set(Y);
  code.end();
}
