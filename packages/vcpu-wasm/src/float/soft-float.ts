/**
 * Binary floating point in integers: every rounding mode, flush-to-zero, denormals-are-zero, NaN propagation and the six
 * exception flags as SSE defines them (SDM vol. 1, sections 4.8, 4.9 and 11.5).
 *
 * WebAssembly rounds to nearest only, reports no exceptions and leaves NaN payloads open, so whatever is not an ordinary
 * number in the ordinary mode is computed here. Values are bit patterns in i64. An unpacked number is a biased exponent
 * and a significand whose leading one is bit 62. Flags are gathered in FLOAT_FLAGS; the caller commits them.
 */
import type { CodeWriter } from '../wasm/code-writer.ts';
import { I32, I64 } from '../wasm/code-writer.ts';
import type { ModuleWriter } from '../wasm/module-writer.ts';
import { defineFromOther } from './float-conversion.ts';
import { DOUBLE, MXCSR_ZE, pushConstant, ROUND_DOWN, SINGLE } from './float-format.ts';
import type { BinaryFormat, FloatFormat } from './float-format.ts';
import type { FloatFunctions } from './float-functions.ts';
import { defineRound } from './float-rounding.ts';
import { defineFused } from './fused.ts';
import {
  A, B, EA, EB, LOCALS, MA, MB, N, note, noteDenormal, noteSignalling, propagateNans, pushIsInfinite, pushIsNan, pushIsZero, pushRounding,
  pushShiftedJam, pushSign, Q, returnDefaultNan, returnSigned, S, SIGN, T, takeDenormal, unpack,
} from './float-value.ts';

export interface SoftFloat {
  /** The rounding of single precision. */
  readonly roundSingle: number;
  define(): void;
}

/** Rounds SIGN, EA, MA. */
function returnRounded(code: CodeWriter, round: number): void { code.get(S).get(SIGN).get(EA).get(MA).call(round).return(); }

function defineAdd(module: ModuleWriter, code: CodeWriter, of: FloatFormat, index: number, round: number, subtract: boolean): void {
  code.reset();
  propagateNans(code, of, [A, B]);
  takeDenormal(code, of, A);
  takeDenormal(code, of, B);
  if (subtract) {
    code.get(B);
    pushConstant(code, of.sign);
    code.xor().set(B);
  }
  pushSign(code, of, A);
  code.set(SIGN);
  pushIsInfinite(code, of, A);
  code.if();
  pushIsInfinite(code, of, B);
  code.get(A).get(B).ne().and32();
  code.if();
  returnDefaultNan(code, of);
  code.end();
  noteDenormal(code);
  code.get(A).return();
  code.end();
  noteDenormal(code);
  pushIsInfinite(code, of, B);
  code.if();
  code.get(B).return();
  code.end();
  /** Exact zero sums of different signs are negative only when rounding down. */
  const returnZero = (): void => {
    pushConstant(code, of.sign);
    code.const(0);
    pushRounding(code);
    code.const32(ROUND_DOWN).eq32().select().return();
  };
  pushIsZero(code, of, B);
  code.if();
  pushIsZero(code, of, A);
  code.if();
  code.get(A).get(B).eq();
  code.if();
  code.get(A).return();
  code.end();
  returnZero();
  code.end();
  unpack(code, of, A, EA, MA);
  returnRounded(code, round);
  code.end();
  pushIsZero(code, of, A);
  code.if();
  pushSign(code, of, B);
  code.set(SIGN);
  unpack(code, of, B, EA, MA);
  returnRounded(code, round);
  code.end();
  // A gets the larger exponent.
  unpack(code, of, A, EA, MA);
  unpack(code, of, B, EB, MB);
  code.get(EA).get(EB).ltS32();
  code.if();
  code.get(A).get(B).set(A).set(B);
  code.get(EA).get(EB).set(EA).set(EB);
  code.get(MA).get(MB).set(MA).set(MB);
  code.end();
  pushSign(code, of, A);
  code.set(SIGN);
  code.get(EA).get(EB).sub32().set(N);
  pushShiftedJam(code, MB, N);
  code.set(MB);
  pushSign(code, of, B);
  code.get(SIGN).eq();
  code.if();
  code.get(MA).get(MB).add().tee(MA).const(0).ltS();
  code.if();
  code.get(MA).const(1).shrU().get(MA).const(1).and().or().set(MA);
  code.get(EA).const32(1).add32().set(EA);
  code.end();
  code.else();
  code.get(MA).get(MB).sub().tee(MA).eqz();
  code.if();
  returnZero();
  code.end();
  code.get(MA).const(0).ltS();
  code.if();
  code.const(0).get(MA).sub().set(MA);
  code.get(SIGN).const(1).xor().set(SIGN);
  code.end();
  code.get(MA).clz().const(1).sub().set(T);
  code.get(MA).get(T).shl().set(MA);
  code.get(EA).get(T).wrap().sub32().set(EA);
  code.end();
  returnRounded(code, round);
  code.unreachable();
  module.define(index, LOCALS, code);
}

/** What MUL and DIV share: NaNs, denormals, the sign of the result. */
function beginProduct(code: CodeWriter, of: FloatFormat): void {
  code.reset();
  propagateNans(code, of, [A, B]);
  takeDenormal(code, of, A);
  takeDenormal(code, of, B);
  pushSign(code, of, A);
  pushSign(code, of, B);
  code.xor().set(SIGN);
}

function defineMultiply(module: ModuleWriter, code: CodeWriter, of: FloatFormat, index: number, round: number): void {
  beginProduct(code, of);
  pushIsInfinite(code, of, A);
  pushIsInfinite(code, of, B);
  code.or32();
  code.if();
  pushIsZero(code, of, A);
  pushIsZero(code, of, B);
  code.or32();
  code.if();
  returnDefaultNan(code, of);
  code.end();
  noteDenormal(code);
  returnSigned(code, of, of.infinity);
  code.end();
  noteDenormal(code);
  pushIsZero(code, of, A);
  pushIsZero(code, of, B);
  code.or32();
  code.if();
  returnSigned(code, of, 0n);
  code.end();
  unpack(code, of, A, EA, MA);
  unpack(code, of, B, EB, MB);
  code.get(EA).get(EB).add32().const32(of.bias).sub32().set(EA);
  // The product of two significands with the leading one at bit 63: upper half in T, what is below only as sticky.
  code.get(MA).const(1).shl().set(MA).get(MB).const(1).shl().set(MB);
  code.get(MA).const(32).shrU().get(MB).zeroExtend(4).mul();
  code.get(MA).zeroExtend(4).get(MB).zeroExtend(4).mul().tee(Q).const(32).shrU().add().set(T);
  code.get(MA).zeroExtend(4).get(MB).const(32).shrU().mul().get(T).zeroExtend(4).add().set(A);
  code.get(MA).const(32).shrU().get(MB).const(32).shrU().mul().get(T).const(32).shrU().add().get(A).const(32).shrU().add();
  code.get(A).const(32).shl().get(Q).zeroExtend(4).or().const(0).ne().extendU().or().tee(MA);
  code.const(0).ltS();
  code.if();
  code.get(MA).const(1).shrU().get(MA).const(1).and().or().set(MA);
  code.get(EA).const32(1).add32().set(EA);
  code.end();
  returnRounded(code, round);
  code.unreachable();
  module.define(index, LOCALS, code);
}

function defineDivide(module: ModuleWriter, code: CodeWriter, of: FloatFormat, index: number, round: number): void {
  const digits = of.precision + 2;
  beginProduct(code, of);
  pushIsInfinite(code, of, A);
  code.if();
  pushIsInfinite(code, of, B);
  code.if();
  returnDefaultNan(code, of);
  code.end();
  noteDenormal(code);
  returnSigned(code, of, of.infinity);
  code.end();
  pushIsInfinite(code, of, B);
  code.if();
  noteDenormal(code);
  returnSigned(code, of, 0n);
  code.end();
  pushIsZero(code, of, B);
  code.if();
  pushIsZero(code, of, A);
  code.if();
  returnDefaultNan(code, of);
  code.end();
  note(code, MXCSR_ZE);
  returnSigned(code, of, of.infinity);
  code.end();
  noteDenormal(code);
  pushIsZero(code, of, A);
  code.if();
  returnSigned(code, of, 0n);
  code.end();
  unpack(code, of, A, EA, MA);
  unpack(code, of, B, EB, MB);
  code.get(EA).get(EB).sub32().const32(of.bias).add32().set(EA);
  code.get(MA).get(MB).ltU();
  code.if();
  code.get(MA).const(1).shl().set(MA);
  code.get(EA).const32(1).sub32().set(EA);
  code.end();
  // One digit a turn; the remainder stays below twice the divisor.
  code.const32(digits).set(N);
  const loop = code.loop();
  code.get(Q).const(1).shl().set(Q);
  code.get(MA).get(MB).geU();
  code.if();
  code.get(MA).get(MB).sub().set(MA);
  code.get(Q).const(1).or().set(Q);
  code.end();
  code.get(MA).const(1).shl().set(MA);
  code.get(N).const32(1).sub32().tee(N).brIf(loop);
  code.end();
  code.get(Q).const(63 - digits).shl().get(MA).const(0).ne().extendU().or().set(MA);
  returnRounded(code, round);
  code.unreachable();
  module.define(index, LOCALS, code);
}

function defineSquareRoot(module: ModuleWriter, code: CodeWriter, of: FloatFormat, index: number, round: number): void {
  const digits = of.precision + 2;
  code.reset();
  propagateNans(code, of, [A]);
  takeDenormal(code, of, A);
  pushIsZero(code, of, A);
  code.if();
  code.get(A).return();
  code.end();
  pushSign(code, of, A);
  code.wrap();
  code.if();
  returnDefaultNan(code, of);
  code.end();
  pushIsInfinite(code, of, A);
  code.if();
  code.get(A).return();
  code.end();
  noteDenormal(code);
  unpack(code, of, A, EA, MA);
  // An even true exponent; the significand then lies between 1 and 4, with its point below bit 62.
  code.get(EA).const32(of.bias).sub32().tee(EA).const32(1).and32();
  code.if();
  code.get(MA).const(1).shl().set(MA);
  code.end();
  code.get(EA).const32(1).shrS32().const32(of.bias).add32().set(EA);
  // Two digits of the radicand in, one digit of the root out: MB = remainder, Q = root.
  code.const32(digits).set(N);
  const loop = code.loop();
  code.get(MB).const(2).shl().get(MA).const(62).shrU().or().set(MB);
  code.get(MA).const(2).shl().set(MA);
  code.get(Q).const(2).shl().const(1).or().set(T);
  code.get(Q).const(1).shl().set(Q);
  code.get(MB).get(T).geU();
  code.if();
  code.get(MB).get(T).sub().set(MB);
  code.get(Q).const(1).or().set(Q);
  code.end();
  code.get(N).const32(1).sub32().tee(N).brIf(loop);
  code.end();
  code.get(Q).const(63 - digits).shl().get(MB).get(MA).or().const(0).ne().extendU().or().set(MA);
  returnRounded(code, round);
  code.unreachable();
  module.define(index, LOCALS, code);
}

function defineFromInteger(module: ModuleWriter, code: CodeWriter, of: FloatFormat, index: number, round: number): void {
  const VALUE = 1, SIGN_BIT = 2, ZEROS = 3;
  code.reset();
  code.get(VALUE).eqz();
  code.if();
  code.const(0).return();
  code.end();
  code.get(VALUE).const(63).shrU().set(SIGN_BIT);
  code.get(VALUE).const(63).shrS().tee(ZEROS).get(VALUE).xor().get(ZEROS).sub().set(VALUE);
  code.get(VALUE).clz().set(ZEROS);
  code.get(S).get(SIGN_BIT).const32(of.bias + 63).get(ZEROS).wrap().sub32();
  code.get(ZEROS).eqz();
  code.if(I64);
  code.get(VALUE).const(1).shrU().get(VALUE).const(1).and().or();
  code.else();
  code.get(VALUE).get(ZEROS).const(1).sub().shl();
  code.end();
  code.call(round);
  module.define(index, [I64, I64], code);
}

/** (s, value) in format `from` -> format `to`. */
export function defineConvert(module: ModuleWriter, code: CodeWriter, from: BinaryFormat, to: BinaryFormat, index: number, round: number): void {
  // The parameter b of the arithmetic functions is a local here.
  code.reset();
  pushSign(code, from, A);
  code.set(SIGN);
  noteSignalling(code, from, A);
  pushIsNan(code, from, A);
  code.if();
  code.get(SIGN).const(to.bytes * 8 - 1).shl();
  pushConstant(code, to.infinity | to.quiet);
  code.or().get(A);
  pushConstant(code, from.fraction);
  code.and();
  if (to.precision > from.precision) code.const(to.precision - from.precision).shl();
  else code.const(from.precision - to.precision).shrU();
  code.or().return();
  code.end();
  takeDenormal(code, from, A);
  noteDenormal(code);
  pushIsInfinite(code, from, A);
  code.if();
  returnSigned(code, to, to.infinity);
  code.end();
  pushIsZero(code, from, A);
  code.if();
  returnSigned(code, to, 0n);
  code.end();
  unpack(code, from, A, EA, MA);
  code.get(EA).const32(to.bias - from.bias).add32().set(EA);
  returnRounded(code, round);
  code.unreachable();
  module.define(index, [I64, ...LOCALS], code);
}

export function declareSoftFloat(module: ModuleWriter, code: CodeWriter, { single, double }: FloatFunctions): SoftFloat {
  const declareUnary = (): number => module.declare({ parameters: [I32, I64], results: [I64] });
  const declareRound = (): number => module.declare({ parameters: [I32, I64, I32, I64], results: [I64] });
  const roundSingle = declareRound();
  const roundDouble = declareRound();
  const [toSingle, toDouble] = [declareUnary(), declareUnary()];
  const define = (): void => {
    for (const [of, { soft, fromInteger, fromOther, fused }, round, convert] of [[SINGLE, single, roundSingle, toSingle], [DOUBLE, double, roundDouble, toDouble]] as const) {
      defineRound(module, code, of, round);
      defineAdd(module, code, of, soft.add, round, false);
      defineAdd(module, code, of, soft.sub, round, true);
      defineMultiply(module, code, of, soft.mul, round);
      defineDivide(module, code, of, soft.div, round);
      defineSquareRoot(module, code, of, soft.sqrt, round);
      defineFromInteger(module, code, of, fromInteger, round);
      defineFused(module, code, of, fused, round);
      defineConvert(module, code, of === SINGLE ? DOUBLE : SINGLE, of, convert, round);
      defineFromOther(module, code, of, fromOther, convert);
    }
  };
  return { roundSingle, define };
}
