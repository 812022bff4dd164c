/**
 * Fused multiply-add: a · b + c with one rounding, exact in 128 bits (SDM vol. 1, sections 14.5.3 and 14.5.4; IEEE 754-2019, section 5.4.1).
 *
 * The product of two significands has its leading one at bit 124 or 125, and the addend is brought to the same scale. What falls out when
 * the smaller of them is moved down is kept as a sticky bit: at that distance no more than one leading bit can cancel.
 */
import type { CodeWriter } from '../wasm/code-writer.ts';
import { I32, I64, V128 } from '../wasm/code-writer.ts';
import * as simd from '../wasm/simd-opcode.ts';
import type { ValueType } from '../wasm/code-writer.ts';
import type { ModuleWriter } from '../wasm/module-writer.ts';
import { pushConstant, ROUND_DOWN } from './float-format.ts';
import type { FloatFormat } from './float-format.ts';
import {
  noteDenormal, noteSignalling, pushIsInfinite, pushIsNan, pushIsZero, pushRounding, pushSign, returnDefaultNan, returnIfNan, takeDenormal, unpack,
} from './float-value.ts';

/** Bits of the last parameter. */
export const NEGATE_PRODUCT = 1;
export const NEGATE_ADDEND = 2;

// Parameters, then locals; DENORMAL has the place that float-value.ts gives it.
const S = 0, A = 1, B = 2, C = 3, MODE = 4;
const SIGN = 5, SIGN_C = 6, MA = 7, MB = 8, MC = 9, EA = 11, EB = 12, EC = 13, N = 14, HIGH = 15, LOW = 16, HIGH_C = 17, LOW_C = 18, T = 19, Q = 20;
const LOCALS: readonly ValueType[] = [I64, I64, I64, I64, I64, I32, I32, I32, I32, I32, I64, I64, I64, I64, I64, I64];

/** (s, a, b, c, mode) -> bits; notes flags. */
export function defineFused(module: ModuleWriter, code: CodeWriter, of: FloatFormat, index: number, round: number): void {
  const flip = (x: number, bit: number): void => {
    code.get(MODE).const32(bit).and32();
    code.if();
    code.get(x);
    pushConstant(code, of.sign);
    code.xor().set(x);
    code.end();
  };
  const either = (test: (x: number) => void): void => {
    test(A);
    test(B);
    code.or32();
  };
  const isZero = (x: number): void => pushIsZero(code, of, x);
  const isInfinite = (x: number): void => pushIsInfinite(code, of, x);
  code.reset();
  for (const x of [A, B, C]) noteSignalling(code, of, x);
  for (const x of [A, B]) returnIfNan(code, of, x);
  // Infinity times zero is invalid, unless the addend is a NaN, which is then the result.
  pushIsNan(code, of, C);
  code.if();
  returnIfNan(code, of, C);
  code.end();
  for (const x of [A, B, C]) takeDenormal(code, of, x);
  flip(A, NEGATE_PRODUCT);
  flip(C, NEGATE_ADDEND);
  pushSign(code, of, A);
  pushSign(code, of, B);
  code.xor().set(SIGN);
  pushSign(code, of, C);
  code.set(SIGN_C);
  either(isInfinite);
  code.if();
  either(isZero);
  code.if();
  returnDefaultNan(code, of);
  code.end();
  isInfinite(C);
  code.get(SIGN).get(SIGN_C).ne().and32();
  code.if();
  returnDefaultNan(code, of);
  code.end();
  noteDenormal(code);
  code.get(SIGN).const(of.bytes * 8 - 1).shl();
  pushConstant(code, of.infinity);
  code.or().return();
  code.end();
  noteDenormal(code);
  isInfinite(C);
  code.if();
  code.get(C).return();
  code.end();
  /** Exact zero sums of different signs are negative only when rounding down. */
  const returnZero = (): void => {
    pushConstant(code, of.sign);
    code.const(0);
    pushRounding(code);
    code.const32(ROUND_DOWN).eq32().select().return();
  };
  unpack(code, of, C, EC, MC);
  either(isZero);
  code.if();
  isZero(C);
  code.if();
  code.get(SIGN).get(SIGN_C).eq();
  code.if();
  code.get(C).return();
  code.end();
  returnZero();
  code.end();
  code.get(S).get(SIGN_C).get(EC).get(MC).call(round).return();
  code.end();
  unpack(code, of, A, EA, MA);
  unpack(code, of, B, EB, MB);
  code.get(EA).get(EB).add32().const32(of.bias).sub32().set(EA);
  // HIGH:LOW = the product.
  code.get(MA).const(32).shrU().get(MB).zeroExtend(4).mul();
  code.get(MA).zeroExtend(4).get(MB).zeroExtend(4).mul().tee(Q).const(32).shrU().add().set(T);
  code.get(MA).zeroExtend(4).get(MB).const(32).shrU().mul().get(T).zeroExtend(4).add().set(LOW);
  code.get(MA).const(32).shrU().get(MB).const(32).shrU().mul().get(T).const(32).shrU().add().get(LOW).const(32).shrU().add().set(HIGH);
  code.get(LOW).const(32).shl().get(Q).zeroExtend(4).or().set(LOW);
  code.get(MC).const(2).shrU().set(HIGH_C).get(MC).const(62).shl().set(LOW_C);
  // The smaller one moves down; a zero has no exponent.
  code.get(EA).get(EC).sub32().set(N);
  code.get(MC).eqz();
  code.if();
  code.const32(0).set(N);
  code.end();
  code.get(N).const32(0).gtS32();
  code.if();
  pushDown(code, HIGH_C, LOW_C, N, T);
  code.else();
  code.const32(0).get(N).sub32().set(EB);
  pushDown(code, HIGH, LOW, EB, T);
  code.get(EA).get(N).sub32().set(EA);
  code.end();
  code.get(SIGN).get(SIGN_C).eq();
  code.if();
  code.get(LOW).get(LOW_C).add().tee(LOW).get(LOW_C).ltU().extendU().get(HIGH).add().get(HIGH_C).add().set(HIGH);
  code.else();
  code.get(LOW).get(LOW_C).ltU().extendU().set(T);
  code.get(LOW).get(LOW_C).sub().set(LOW);
  code.get(HIGH).get(HIGH_C).sub().get(T).sub().tee(HIGH).const(0).ltS();
  code.if();
  code.const(0).get(LOW).sub().set(LOW);
  code.get(HIGH).not().get(LOW).eqz().extendU().add().set(HIGH);
  code.get(SIGN).const(1).xor().set(SIGN);
  code.end();
  code.get(HIGH).get(LOW).or().eqz();
  code.if();
  returnZero();
  code.end();
  code.end();
  // The leading one goes to bit 126, which is bit 62 of the upper half.
  code.get(HIGH).eqz();
  code.if(I64);
  code.get(LOW).clz().const(64).add();
  code.else();
  code.get(HIGH).clz();
  code.end();
  code.const(1).sub().set(T);
  code.get(EA).const32(2).add32().get(T).wrap().sub32().set(EA);
  code.get(T).const(64).geS();
  code.if();
  code.get(LOW).get(T).const(64).sub().shl().set(HIGH).const(0).set(LOW);
  code.else();
  code.get(T).const(0).gtS();
  code.if();
  code.get(HIGH).get(T).shl().get(LOW).const(64).get(T).sub().shrU().or().set(HIGH).get(LOW).get(T).shl().set(LOW);
  code.end();
  code.end();
  code.get(S).get(SIGN).get(EA).get(HIGH).get(LOW).const(0).ne().extendU().or().call(round);
  module.define(index, LOCALS, code);
}

/** (s, a, b, c, mode of even lanes, mode of odd lanes) -> all lanes; notes flags. */
export function definePackedFused(module: ModuleWriter, code: CodeWriter, of: FloatFormat, index: number, fused: number): void {
  const EVEN = 4, RESULT = 6;
  const single = of.bytes === 4;
  code.reset();
  for (let lane = 0; lane < 16 / of.bytes; lane++) {
    code.get(RESULT).get(S);
    for (const x of [A, B, C]) {
      code.get(x).lane(single ? simd.I32X4_EXTRACT_LANE : simd.I64X2_EXTRACT_LANE, lane);
      if (single) code.extendU();
    }
    code.get(EVEN + (lane & 1)).call(fused);
    if (single) code.wrap();
    code.lane(single ? simd.I32X4_REPLACE_LANE : simd.I64X2_REPLACE_LANE, lane).set(RESULT);
  }
  code.get(RESULT);
  module.define(index, [V128], code);
}

/** Moves the 128 bits down by local `count`, 0 or more, and keeps whether anything was lost in bit 0. */
function pushDown(code: CodeWriter, high: number, low: number, count: number, scratch: number): void {
  code.get(count).const32(127).gtS32();
  code.if();
  code.get(high).get(low).or().const(0).ne().extendU().set(low).const(0).set(high);
  code.else();
  code.get(count).const32(63).gtS32();
  code.if();
  code.get(low).const(0).ne().extendU().set(scratch).get(high).set(low).const(0).set(high).get(count).const32(64).sub32().set(count);
  code.else();
  code.const(0).set(scratch);
  code.end();
  code.get(count);
  code.if();
  // What is shifted out of the lower half, moved to its top.
  code.get(low).const(64).get(count).extendU().sub().shl().const(0).ne().extendU().get(scratch).or().set(scratch);
  code.get(low).get(count).extendU().shrU().get(high).const(64).get(count).extendU().sub().shl().or().set(low).get(high).get(count).extendU().shrU().set(high);
  code.end();
  code.get(low).get(scratch).or().set(low);
  code.end();
}
