/**
 * The host's own arithmetic in place, for operands and results that ask for no care.
 *
 * With MXCSR plain (ordinary-number.ts) there is nothing to note but DE, for a denormal operand, and what an infinite, NaN or
 * tiny result stands for. Infinite and NaN operands show in the result: none of the five operations makes an ordinary number
 * of them. Sums, differences and roots are never tiny and inexact at once, so of their results only the size counts.
 */
import type { CodeWriter, Label } from '../wasm/code-writer.ts';
import * as simd from '../wasm/simd-opcode.ts';
import { DOUBLE, lanesOf, SINGLE } from './float-format.ts';
import type { FloatFormat } from './float-format.ts';
import type { SoftOperation } from './float-functions.ts';
import { pushAsBits, pushAsFloat, pushIsPlain, smallestOrdinary } from './ordinary-number.ts';

/** WebAssembly instructions of each operation: on scalars, then on vectors. */
const INSTRUCTIONS: Readonly<Record<4 | 8, Readonly<Record<SoftOperation, readonly [number, number]>>>> = {
  4: { sqrt: [0x91, simd.F32X4_SQRT], add: [0x92, simd.F32X4_ADD], sub: [0x93, simd.F32X4_SUB], mul: [0x94, simd.F32X4_MUL], div: [0x95, simd.F32X4_DIV] },
  8: { sqrt: [0x9f, simd.F64X2_SQRT], add: [0xa0, simd.F64X2_ADD], sub: [0xa1, simd.F64X2_SUB], mul: [0xa2, simd.F64X2_MUL], div: [0xa3, simd.F64X2_DIV] },
};

/** Constants of a format, made once: 64 bits as halves, and vectors with the same number in each lane. */
interface Constants {
  readonly twiceFraction: Halves;
  readonly twiceInfinity: Halves;
  readonly twiceLeast: Halves;
  readonly twiceOrdinary: Halves;
  readonly normalLanes: readonly number[];
  readonly infinityLanes: readonly number[];
  readonly leastLanes: readonly number[];
}
interface Halves { readonly low: number; readonly high: number }
const halves = (value: bigint): Halves => ({ low: Number(BigInt.asIntN(32, value)), high: Number(BigInt.asIntN(32, value >> 32n)) });
function constantsOf(of: FloatFormat): Constants {
  const least = smallestOrdinary(of);
  return {
    twiceFraction: halves(of.fraction * 2n), twiceInfinity: halves(of.infinity * 2n), twiceLeast: halves(least * 2n), twiceOrdinary: halves((of.infinity - least) * 2n),
    normalLanes: lanesOf(of, of.fraction + 1n), infinityLanes: lanesOf(of, of.infinity), leastLanes: lanesOf(of, least),
  };
}
const OF_SINGLE = constantsOf(SINGLE), OF_DOUBLE = constantsOf(DOUBLE);
const constants = (of: FloatFormat): Constants => (of === SINGLE ? OF_SINGLE : OF_DOUBLE);
const NO_LANES: readonly number[] = [];

const mayUnderflow = (operation: SoftOperation): boolean => operation === 'mul' || operation === 'div';

/** Pushes twice the magnitude of bit pattern x, in the bits of the format: the sign falls out at the top. */
function pushTwice(code: CodeWriter, of: FloatFormat, x: number): void {
  if (of.bytes === 4) code.get(x).wrap().const32(1).shl32().extendU();
  else code.get(x).const(1).shl();
}
/** Pushes whether x is denormal. */
export function pushIsDenormal(code: CodeWriter, of: FloatFormat, x: number): void {
  const { twiceFraction } = constants(of);
  pushTwice(code, of, x);
  code.const(1).sub().const64(twiceFraction.low, twiceFraction.high).ltU();
}

/** Sets `result` to a `operation` b (of the square root, of a), all bit patterns in i64, or branches to `careful`. */
export function hostScalar(code: CodeWriter, of: FloatFormat, operation: SoftOperation, a: number, b: number, result: number, careful: Label): void {
  const { twiceLeast, twiceOrdinary, twiceInfinity } = constants(of);
  pushIsPlain(code);
  code.eqz32();
  pushIsDenormal(code, of, a);
  code.or32();
  if (operation !== 'sqrt') {
    pushIsDenormal(code, of, b);
    code.or32();
  }
  code.brIf(careful);
  code.get(a);
  pushAsFloat(code, of);
  if (operation !== 'sqrt') {
    code.get(b);
    pushAsFloat(code, of);
  }
  code.plain(INSTRUCTIONS[of.bytes][operation][0]);
  pushAsBits(code, of);
  code.set(result);
  pushTwice(code, of, result);
  if (mayUnderflow(operation)) code.const64(twiceLeast.low, twiceLeast.high).sub().const64(twiceOrdinary.low, twiceOrdinary.high);
  else code.const64(twiceInfinity.low, twiceInfinity.high);
  code.geU().brIf(careful);
}

/** Pushes a mask of the lanes of x that are zero. */
function pushZeros(code: CodeWriter, of: FloatFormat, x: number): void { code.get(x).constV128(NO_LANES).simd(of === SINGLE ? simd.F32X4_EQ : simd.F64X2_EQ); }
/** Pushes a mask of the lanes of x that are not zero, yet below the smallest normal number. */
function pushDenormals(code: CodeWriter, of: FloatFormat, x: number): void {
  const single = of === SINGLE;
  pushZeros(code, of, x);
  code.get(x).simd(single ? simd.F32X4_ABS : simd.F64X2_ABS).constV128(constants(of).normalLanes).simd(single ? simd.F32X4_LT : simd.F64X2_LT).simd(simd.V128_XOR);
}
/** The same for all lanes of v128 locals; `scratch` is one more. */
export function hostLanes(code: CodeWriter, of: FloatFormat, operation: SoftOperation, a: number, b: number, result: number, scratch: number, careful: Label): void {
  const single = of === SINGLE;
  const absolute = single ? simd.F32X4_ABS : simd.F64X2_ABS;
  const less = single ? simd.F32X4_LT : simd.F64X2_LT;
  const { infinityLanes, leastLanes } = constants(of);
  pushIsPlain(code);
  code.eqz32().brIf(careful);
  code.get(a);
  if (operation !== 'sqrt') code.get(b);
  code.simd(INSTRUCTIONS[of.bytes][operation][1]).tee(result).simd(absolute).tee(scratch).constV128(infinityLanes).simd(less).simd(simd.V128_NOT);
  pushDenormals(code, of, a);
  code.simd(simd.V128_OR);
  if (operation !== 'sqrt') {
    pushDenormals(code, of, b);
    code.simd(simd.V128_OR);
  }
  if (mayUnderflow(operation)) {
    // A zero that no zero operand explains was too small too.
    code.get(scratch).constV128(leastLanes).simd(less);
    pushZeros(code, of, a);
    pushZeros(code, of, b);
    code.simd(simd.V128_OR);
    pushZeros(code, of, result);
    code.simd(simd.V128_AND).simd(simd.V128_ANDNOT).simd(simd.V128_OR);
  }
  code.simd(simd.V128_ANY_TRUE).brIf(careful);
}
