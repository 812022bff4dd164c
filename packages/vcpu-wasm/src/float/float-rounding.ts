/** Rounding of an exact result to its format, with overflow and underflow (SDM vol. 1, sections 4.8.4, 4.9.1.4 to 4.9.1.6 and 10.2.3.3). */
import type { CodeWriter } from '../wasm/code-writer.ts';
import { I32, I64 } from '../wasm/code-writer.ts';
import type { ModuleWriter } from '../wasm/module-writer.ts';
import {
  MXCSR_FTZ, MXCSR_OE, MXCSR_OM, MXCSR_PE, MXCSR_UE, MXCSR_UM, pushConstant, ROUND_DOWN, ROUND_NEAREST, ROUND_UP,
} from './float-format.ts';
import type { BinaryFormat } from './float-format.ts';
import { note, pushMxcsrBit, pushRounding, pushShiftedJam } from './float-value.ts';

export function defineRound(module: ModuleWriter, code: CodeWriter, of: BinaryFormat, index: number): void {
  // (s, sign, exponent, significand) -> bits. The significand's leading one is bit 62.
  const SIGN_BIT = 1, EXPONENT = 2, SIGNIFICAND = 3, INCREMENT = 4, LOST = 5, MODE = 6, TINY = 7, SHIFT = 8;
  const dropped = 62 - (of.precision - 1);
  const half = 1n << BigInt(dropped - 1);
  const low = (1n << BigInt(dropped)) - 1n;
  const packed = (bits: bigint): void => {
    code.get(SIGN_BIT).const(of.bytes * 8 - 1).shl();
    pushConstant(code, bits);
    code.or();
  };
  const noteHere = (flags: number): void => note(code, flags);
  const noteLost = (): void => {
    code.get(SIGNIFICAND);
    pushConstant(code, low);
    code.and().const(0).ne();
    code.if();
    noteHere(MXCSR_PE);
    code.end();
  };
  code.reset();
  pushRounding(code);
  code.set(MODE);
  // What is added before cutting: half, or all ones away from zero.
  pushConstant(code, half);
  code.set(INCREMENT).get(MODE);
  code.if();
  pushConstant(code, low);
  code.const(0);
  code.get(MODE).const32(ROUND_UP).const32(ROUND_DOWN).get(SIGN_BIT).eqz().select().eq32();
  code.select().set(INCREMENT);
  code.end();
  code.get(EXPONENT).const32(0).leS32();
  code.if();
  // Tiny unless rounding as if the exponent had no limit reaches the smallest normal number.
  code.get(EXPONENT).const32(0).ltS32().get(SIGNIFICAND).get(INCREMENT).add().const(63).shrU().eqz().or32().tee(TINY);
  code.if();
  pushMxcsrBit(code, MXCSR_UM);
  code.if();
  pushMxcsrBit(code, MXCSR_FTZ);
  code.if();
  noteHere(MXCSR_UE | MXCSR_PE);
  packed(0n);
  code.return();
  code.end();
  code.else();
  // A handler would get the result with its exponent wrapped: inexact only if the normal precision is.
  noteHere(MXCSR_UE);
  noteLost();
  code.const(0).return();
  code.end();
  code.end();
  code.const32(1).get(EXPONENT).sub32().set(SHIFT);
  pushShiftedJam(code, SIGNIFICAND, SHIFT);
  code.set(SIGNIFICAND).const32(0).set(EXPONENT);
  code.else();
  code.get(EXPONENT).const32(1).sub32().set(EXPONENT); // the leading one of the significand adds it again
  code.end();
  code.get(SIGNIFICAND);
  pushConstant(code, low);
  code.and().tee(LOST).const(0).ne();
  code.if();
  noteHere(MXCSR_PE);
  code.get(TINY);
  code.if();
  noteHere(MXCSR_UE);
  code.end();
  code.end();
  code.get(SIGNIFICAND).get(INCREMENT).add().const(dropped).shrU().set(SIGNIFICAND);
  // Ties go to even.
  code.get(MODE).const32(ROUND_NEAREST).eq32().get(LOST);
  pushConstant(code, half);
  code.eq().and32();
  code.if();
  code.get(SIGNIFICAND).const(-2).and().set(SIGNIFICAND);
  code.end();
  code.get(EXPONENT).extendS().const(of.precision - 1).shl().get(SIGNIFICAND).add().tee(SIGNIFICAND);
  pushConstant(code, of.infinity);
  code.ltU().get(EXPONENT).const32(of.maximumExponent).ltS32().and32();
  code.if(I64);
  code.get(SIGN_BIT).const(of.bytes * 8 - 1).shl().get(SIGNIFICAND).or();
  code.else();
  noteHere(MXCSR_OE);
  pushMxcsrBit(code, MXCSR_OM);
  code.if();
  noteHere(MXCSR_PE);
  code.end();
  // Modes that do not round away from zero stop at the largest number.
  packed(of.infinity);
  packed(of.infinity - 1n);
  code.get(INCREMENT).const(0).ne().select();
  code.end();
  module.define(index, [I64, I64, I32, I32, I32], code);
}
