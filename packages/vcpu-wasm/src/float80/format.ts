/** The extended format: a 64-bit significand with an explicit integer bit, and sign and exponent in 16 bits (SDM vol. 1, section 4.2.2). */
import type { FunctionBuilder } from './function-builder.ts';
import { i32, i64 } from './value.ts';
import type { Value } from './value.ts';

export const BIAS = 16383;
export const MAXIMUM_EXPONENT = 0x7fff;
export const SIGN_BIT = 0x8000;
/** What the exponent of a result is moved by when overflow or underflow is not masked (SDM vol. 1, section 8.5.4). */
export const EXPONENT_WRAP = 24576;

// The status word, SDM vol. 1, section 8.1.3. Functions give their exceptions and condition codes in these places.
export const IE = 0x01;
export const DE = 0x02;
export const ZE = 0x04;
export const OE = 0x08;
export const UE = 0x10;
export const PE = 0x20;
export const SF = 0x40;
export const ES = 0x80;
export const C0 = 0x100;
export const C1 = 0x200;
export const C2 = 0x400;
export const C3 = 0x4000;
export const BUSY = 0x8000;
export const EXCEPTIONS = 0x3f;
/** Found before anything is computed: no result when they are not masked. */
export const BEFORE: number = IE | DE | ZE;

// The control word, section 8.1.5: masks stand where the exceptions stand in the status word.
export const PRECISION_SHIFT = 8;
export const PRECISION_MASK = 0x300;
export const ROUNDING_SHIFT = 10;
export const ROUND_NEAREST = 0;
export const ROUND_DOWN = 1;
export const ROUND_UP = 2;
export const ROUND_TO_ZERO = 3;

/** The significand of 1, and of infinity. */
export const INTEGER_BIT: bigint = 1n << 63n;
export const QUIET_BIT: bigint = 1n << 62n;
export const DEFAULT_NAN: bigint = 3n << 62n;

/** A number of the extended format as two expressions. */
export interface Float80 { readonly significand: Value; readonly top: Value }

export const float80 = (significand: Value, top: Value): Float80 => ({ significand, top });
/** Integer indefinite, section 4.8.3.7: what an invalid operation gives. */
export const defaultNan = (): [Value, Value] => [i64(DEFAULT_NAN), i32(0xffff)];
export const infinity = (sign: Value): [Value, Value] => [i64(INTEGER_BIT), sign.shl(15).or(MAXIMUM_EXPONENT)];
export const zero = (sign: Value): [Value, Value] => [i64(0n), sign.shl(15)];

export const exponentOf = (x: Float80): Value => x.top.and(MAXIMUM_EXPONENT);
export const signOf = (x: Float80): Value => x.top.shrU(15);
export const isMaximum = (x: Float80): Value => exponentOf(x).eq(MAXIMUM_EXPONENT);
/** Exponent without integer bit: formats that no processor since the 387 takes (section 8.2.2). */
export const isUnsupported = (x: Float80): Value => exponentOf(x).isNotZero().and(x.significand.topBit().isZero());
export const isNan = (x: Float80): Value => isMaximum(x).and(x.significand.shl(1).isNotZero());
export const isNanOrUnsupported = (x: Float80): Value => isNan(x).or(isUnsupported(x));
export const isSignalling = (x: Float80): Value => isNan(x).and(x.significand.and(i64(QUIET_BIT)).isZero());
/** Infinity, when it is known to be no NaN and supported. */
export const isInfinite: (x: Float80) => Value = isMaximum;
export const isZero = (x: Float80): Value => x.significand.isZero().and(exponentOf(x).isZero());
export const isDenormal = (x: Float80): Value => exponentOf(x).isZero().and(x.significand.isNotZero());
/** DE when it is a denormal or a pseudo-denormal. */
export const denormalFlag = (x: Float80): Value => isDenormal(x).shl(1);

/** Keeps sign, exponent and a significand whose top bit is set, of a number that is not 0; the exponent may be negative. */
export function normalised(f: FunctionBuilder, x: Float80): { sign: Value; exponent: Value; significand: Value } {
  const sign = f.let(signOf(x));
  const exponent = f.let(exponentOf(x));
  const significand = f.let(x.significand);
  f.if(exponent.isZero(), () => {
    const shift = f.let(significand.clz().wrap());
    f.set(significand, significand.shl(shift));
    f.set(exponent, i32(1).sub(shift));
  });
  return { sign, exponent, significand };
}
/** The rounding mode of a control word. */
export const roundingOf = (control: Value): Value => control.shrU(ROUNDING_SHIFT).and(3);
