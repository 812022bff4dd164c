/**
 * The short way of an operation: two normal numbers, rounding to nearest with all 64 bits, no exception wanted for an inexact
 * result, and a normal result. Then nothing but PE and C1 can come of it (SDM vol. 1, section 4.9), and all of it is straight code.
 * Each function writes what is done in that case; behind it stands what is done in all others, with the operands as they were.
 */
import { BIAS, exponentOf, INTEGER_BIT, MAXIMUM_EXPONENT, SIGN_BIT } from './format.ts';
import type { Float80 } from './format.ts';
import type { FunctionBuilder } from './function-builder.ts';
import { quotientOf, rootOf } from './quotient-and-root.ts';
import { i32, i64 } from './value.ts';
import type { Value } from './value.ts';
import { divideWide, multiplyWide } from './wide-integer.ts';

/** Writes what is done with a result and the status bits that come of it. */
export type Deliver = (result: Float80, flags: Value) => void;
/** Operands and control word are locals. */
export type OrdinaryBinary = (f: FunctionBuilder, a: Float80, b: Float80, control: Value, deliver: Deliver) => void;

// Of the control word: PM, the precision and the rounding.
const CONTROL_MASK = 0xf20;
const CONTROL_ORDINARY = 0x320;

/** PM is set, and rounding is to nearest, of as many bits as there are. */
export const isControlOrdinary = (control: Value): Value => control.and(CONTROL_MASK).eq(CONTROL_ORDINARY);
/** Neither 0 nor denormal, infinite or a NaN, where the top bit of the significand is set. */
export const isExponentOrdinary = (exponent: Value): Value => exponent.sub(1).ltU(MAXIMUM_EXPONENT - 1);

/** Rounds high:low, whose top bit is set, to its upper half: PE and C1 as they come of it. */
export function roundOrdinary(f: FunctionBuilder, exponent: Value, high: Value, low: Value): Value {
  const up = f.let(low.gtU(i64(INTEGER_BIT).sub(high.and(1))));
  f.add(high, up.extendU());
  f.ifSeldom(high.isZero(), () => {
    f.set(high, i64(INTEGER_BIT));
    f.add(exponent, 1);
  });
  return low.isNotZero().shl(5).or(up.shl(9));
}
function deliverRounded(f: FunctionBuilder, sign: Value, exponent: Value, high: Value, low: Value, deliver: Deliver): void {
  const flags = f.let(roundOrdinary(f, exponent, high, low));
  f.if(isExponentOrdinary(exponent), () => deliver({ significand: high, top: sign.or(exponent) }, flags));
}
/** Shifts high:low left until the top bit is set; high is not 0. */
function normalise(f: FunctionBuilder, exponent: Value, high: Value, low: Value, shift: Value): void {
  f.set(high, high.shl(shift).or(low.shrU(1).shrU(shift.xor(63))));
  f.set(low, low.shl(shift));
  f.set(exponent, exponent.sub(shift));
}
const ifOrdinary = (f: FunctionBuilder, a: Float80, b: Float80, control: Value, yes: (exponentA: Value, exponentB: Value) => void): void => {
  const exponentA = f.let(exponentOf(a));
  const exponentB = f.let(exponentOf(b));
  f.if(isControlOrdinary(control).and(isExponentOrdinary(exponentA)).and(isExponentOrdinary(exponentB)).and(a.significand.and(b.significand).topBit()), () => yes(exponentA, exponentB));
};

/** a + b, or with `flip` a - b. */
const sum = (flip: number): OrdinaryBinary => (f, a, b, control, deliver) => ifOrdinary(f, a, b, control, (exponentA, exponentB) => {
  const differ = f.let(a.top.xor(b.top).xor(flip).and(SIGN_BIT));
  const distance = f.let(exponentA.sub(exponentB));
  // Which of them has the larger exponent nobody foresees, so the two change places without a branch.
  const swap = f.let(distance.topBit());
  const x = f.let(swap.select(b.significand, a.significand));
  const y = f.let(swap.select(a.significand, b.significand));
  const sign = f.let(swap.select(b.top.xor(flip), a.top).and(SIGN_BIT));
  const exponent = f.let(swap.select(exponentB, exponentA).add(1));
  f.set(distance, swap.select(distance.negate(), distance));
  f.if(distance.ltU(64), () => {
    // Both with a bit of room above: x / 2 and y / 2.
    const low = f.let(y.shl(distance.xor(63)));
    const high = f.let(y.shrU(distance).shrU(1));
    const xLow = f.let(x.shl(63));
    f.if(differ, () => {
      f.set(high, x.shrU(1).sub(high).sub(xLow.ltU(low).extendU()));
      f.set(low, xLow.sub(low));
      // A negative difference, which only equal exponents give.
      f.if(high.topBit(), () => {
        f.set(high, high.add(low.isNotZero().extendU()).negate());
        f.set(low, low.negate());
        f.set(sign, sign.xor(SIGN_BIT));
      });
      f.if(high.isNotZero(), () => {
        normalise(f, exponent, high, low, f.let(high.clz().wrap()));
        deliverRounded(f, sign, exponent, high, low, deliver);
      });
    }, () => {
      f.set(low, low.add(xLow));
      f.set(high, high.add(x.shrU(1)).add(low.ltU(xLow).extendU()));
      normalise(f, exponent, high, low, f.let(high.topBit().xor(1)));
      deliverRounded(f, sign, exponent, high, low, deliver);
    });
  });
});

const multiply: OrdinaryBinary = (f, a, b, control, deliver) => ifOrdinary(f, a, b, control, (exponentA, exponentB) => {
  const [high, low] = multiplyWide(f, a.significand, b.significand);
  const exponent = f.let(exponentA.add(exponentB).sub(BIAS - 1));
  normalise(f, exponent, high, low, f.let(high.topBit().xor(1)));
  deliverRounded(f, f.let(a.top.xor(b.top).and(SIGN_BIT)), exponent, high, low, deliver);
});

const divide: OrdinaryBinary = (f, a, b, control, deliver) => ifOrdinary(f, a, b, control, (exponentA, exponentB) => {
  const exponent = f.let(exponentA.sub(exponentB).add(BIAS - 1));
  const { quotient, tail } = quotientOf(f, exponent, f.let(a.significand), b.significand, (high, low, divisor) => divideWide(f, high, low, divisor));
  deliverRounded(f, f.let(a.top.xor(b.top).and(SIGN_BIT)), exponent, quotient, tail, deliver);
});

export interface OrdinaryArithmetic { readonly add: OrdinaryBinary; readonly subtract: OrdinaryBinary; readonly multiply: OrdinaryBinary; readonly divide: OrdinaryBinary }
export const ORDINARY: OrdinaryArithmetic = { add: sum(0), subtract: sum(SIGN_BIT), multiply, divide };

/** The square root of a positive normal number. */
export function ordinarySquareRoot(f: FunctionBuilder, a: Float80, control: Value, deliver: Deliver): void {
  f.if(isControlOrdinary(control).and(isExponentOrdinary(a.top)).and(a.significand.topBit()), () => {
    const { root, tail, exponent } = rootOf(f, a.top, a.significand);
    deliverRounded(f, i32(0), exponent, root, tail, deliver);
  });
}
