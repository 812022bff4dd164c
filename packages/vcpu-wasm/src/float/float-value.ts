/**
 * Bit patterns of floating-point values: classes, NaNs, denormals, exponent and significand, as the functions of
 * soft-float.ts take them apart (SDM vol. 1, sections 4.8.3 and 4.9).
 */
import type { CodeWriter } from '../wasm/code-writer.ts';
import { I32, I64 } from '../wasm/code-writer.ts';
import type { ValueType } from '../wasm/code-writer.ts';
import * as state from '../cpu-state.ts';
import { MXCSR_DAZ, MXCSR_DE, MXCSR_IE, MXCSR_ROUNDING_SHIFT, pushConstant } from './float-format.ts';
import type { BinaryFormat } from './float-format.ts';

/** Exceptions of the instruction that runs, i32. */
export const FLOAT_FLAGS: number = state.SCRATCH + 24;

// Parameters and locals of the arithmetic functions.
export const S = 0;
export const A = 1;
export const B = 2;
export const SIGN = 3;
export const MA = 4;
export const MB = 5;
export const T = 6;
export const Q = 7;
export const EA = 8;
export const EB = 9;
export const DENORMAL = 10;
export const N = 11;
export const LOCALS: readonly ValueType[] = [I64, I64, I64, I64, I64, I32, I32, I32, I32];

/** Adds to the flags of the instruction. */
export function note(code: CodeWriter, flags: number): void {
  code.get(S).get(S).load32(FLOAT_FLAGS).const32(flags).or32().store32(FLOAT_FLAGS);
}
export function pushMxcsrBit(code: CodeWriter, bit: number): void { code.get(S).load32(state.MXCSR).const32(bit).and32(); }
export function pushRounding(code: CodeWriter): void { code.get(S).load32(state.MXCSR).const32(MXCSR_ROUNDING_SHIFT).shrU32().const32(3).and32(); }
export function pushMagnitude(code: CodeWriter, of: BinaryFormat, x: number): void {
  code.get(x);
  pushConstant(code, of.sign - 1n);
  code.and();
}
export function pushSign(code: CodeWriter, of: BinaryFormat, x: number): void { code.get(x).const(of.bytes * 8 - 1).shrU(); }
export function pushIsNan(code: CodeWriter, of: BinaryFormat, x: number): void {
  pushMagnitude(code, of, x);
  pushConstant(code, of.infinity);
  code.gtU();
}
export function pushIsInfinite(code: CodeWriter, of: BinaryFormat, x: number): void {
  pushMagnitude(code, of, x);
  pushConstant(code, of.infinity);
  code.eq();
}
export function pushIsZero(code: CodeWriter, of: BinaryFormat, x: number): void {
  pushMagnitude(code, of, x);
  code.eqz();
}
export function returnDefaultNan(code: CodeWriter, of: BinaryFormat): void {
  note(code, MXCSR_IE);
  pushConstant(code, of.defaultNan);
  code.return();
}
/** Returns the sign in local SIGN with the magnitude `bits`. */
export function returnSigned(code: CodeWriter, of: BinaryFormat, bits: bigint): void {
  code.get(SIGN).const(of.bytes * 8 - 1).shl();
  pushConstant(code, bits);
  code.or().return();
}
/** Notes IE when x is a signalling NaN, then returns it made quiet. */
export function returnIfNan(code: CodeWriter, of: BinaryFormat, x: number): void {
  pushIsNan(code, of, x);
  code.if();
  code.get(x);
  pushConstant(code, of.quiet);
  code.or().return();
  code.end();
}
export function noteSignalling(code: CodeWriter, of: BinaryFormat, x: number): void {
  pushIsNan(code, of, x);
  code.get(x);
  pushConstant(code, of.quiet);
  code.and().eqz().and32();
  code.if();
  note(code, MXCSR_IE);
  code.end();
}
/** SDM vol. 1, table 4-7: the first operand's NaN wins, made quiet. */
export function propagateNans(code: CodeWriter, of: BinaryFormat, operands: readonly number[]): void {
  for (const x of operands) noteSignalling(code, of, x);
  for (const x of operands) returnIfNan(code, of, x);
}
/** A denormal operand becomes zero with DAZ, else it is counted in DENORMAL. */
export function takeDenormal(code: CodeWriter, of: BinaryFormat, x: number): void {
  pushMagnitude(code, of, x);
  code.const(1).sub();
  pushConstant(code, of.fraction);
  code.ltU();
  code.if();
  pushMxcsrBit(code, MXCSR_DAZ);
  code.if();
  code.get(x);
  pushConstant(code, of.sign);
  code.and().set(x);
  code.else();
  code.const32(1).set(DENORMAL);
  code.end();
  code.end();
}
export function noteDenormal(code: CodeWriter): void {
  code.get(DENORMAL);
  code.if();
  note(code, MXCSR_DE);
  code.end();
}
/** Exponent and significand of x, which is neither NaN nor infinite; a zero has significand 0. */
export function unpack(code: CodeWriter, of: BinaryFormat, x: number, exponent: number, significand: number): void {
  const fractionBits = of.precision - 1;
  code.get(x).const(fractionBits).shrU().wrap().const32(of.maximumExponent).and32().set(exponent);
  code.get(x);
  pushConstant(code, of.fraction);
  code.and().set(significand);
  code.get(exponent);
  code.if();
  code.get(significand);
  pushConstant(code, of.fraction + 1n);
  code.or().const(62 - fractionBits).shl().set(significand);
  code.else();
  // value = fraction · 2^(1 - bias - fractionBits)
  code.const32(64 - fractionBits).get(significand).clz().wrap().sub32().set(exponent);
  code.get(significand).get(significand).clz().const(1).sub().shl().set(significand);
  code.end();
}
/** Pushes significand >> count with everything lost gathered in bit 0; `count` is an i32 local, not negative. */
export function pushShiftedJam(code: CodeWriter, significand: number, count: number): void {
  code.get(count).const32(62).gtU32();
  code.if(I64);
  code.get(significand).const(0).ne().extendU();
  code.else();
  code.get(significand).get(count).extendU().shrU();
  code.get(significand).get(significand).get(count).extendU().shrU().get(count).extendU().shl().ne().extendU().or();
  code.end();
}
