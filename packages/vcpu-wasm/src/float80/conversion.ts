/** Between the extended format and single, double, integers and packed decimal (SDM vol. 1, sections 4.8 and 8.1.2; FIST, FBSTP in vol. 2). */
import { I32, I64 } from '../wasm/code-writer.ts';
import {
  BIAS, C1, DE, exponentOf, float80, IE, INTEGER_BIT, isMaximum, isNan, isNanOrUnsupported, isSignalling, isUnsupported, isZero, MAXIMUM_EXPONENT, normalised,
  OE, PE, QUIET_BIT, ROUND_DOWN, ROUND_UP, roundingOf, signOf, UE, zero,
} from './format.ts';
import type { BuiltFunction, FunctionLibrary } from './function-builder.ts';
import type { Result, Rounding } from './rounding.ts';
import { i32, i64 } from './value.ts';
import type { Value } from './value.ts';
import type { WideInteger } from './wide-integer.ts';

/** Bits of another format, or an integer, and status bits. */
type Narrow = readonly [typeof I64, typeof I32];

export interface Conversion {
  /** (bits) -> number; NaNs keep their kind, DE for a denormal. */
  readonly fromSingle: BuiltFunction<readonly [typeof I64], Result>;
  readonly fromDouble: BuiltFunction<readonly [typeof I64], Result>;
  /** (integer) -> number. */
  readonly fromInteger: BuiltFunction<readonly [typeof I64], Result>;
  /** (low 8 bytes, high 2 bytes). */
  readonly fromDecimal: BuiltFunction<readonly [typeof I64, typeof I32], Result>;
  /** (number, control) -> bits. */
  readonly toSingle: BuiltFunction<readonly [typeof I64, typeof I32, typeof I32], Narrow>;
  readonly toDouble: BuiltFunction<readonly [typeof I64, typeof I32, typeof I32], Narrow>;
  /** (number, bits of the integer, control) -> integer. */
  readonly toInteger: BuiltFunction<readonly [typeof I64, typeof I32, typeof I32, typeof I32], Narrow>;
  /** (number, control) -> low 8 bytes, high 2 bytes, status bits. */
  readonly toDecimal: BuiltFunction<readonly [typeof I64, typeof I32, typeof I32], Result>;
  /** (number, control) -> rounded to an integer. */
  readonly roundToInteger: BuiltFunction<readonly [typeof I64, typeof I32, typeof I32], Result>;
}

interface NarrowFormat { readonly fraction: number; readonly exponent: number; readonly bias: number }
const SINGLE: NarrowFormat = { fraction: 23, exponent: 8, bias: 127 };
const DOUBLE: NarrowFormat = { fraction: 52, exponent: 11, bias: 1023 };
// Of the control word: PM and the rounding, which here has nothing to do with its precision.
const STORE_CONTROL_MASK = 0xc20;
const STORE_CONTROL_ORDINARY = 0x20;
const DIGITS = 18;
const DECIMAL_LIMIT = 10n ** 18n;

export function declareConversion(library: FunctionLibrary, wide: WideInteger, rounding: Rounding): Conversion {
  const from = (format: NarrowFormat): Conversion['fromSingle'] => library.function([I64], [I64, I32, I32], (f, bits) => {
    const sign = f.let(bits.shrU(format.fraction + format.exponent).wrap().and(1));
    const exponent = f.let(bits.shrU(format.fraction).wrap().and((1 << format.exponent) - 1));
    const significand = f.let(bits.shl(63 - format.fraction).and(i64(INTEGER_BIT - 1n)));
    f.if(exponent.sub(1).ltU((1 << format.exponent) - 2), () => f.return(significand.or(i64(INTEGER_BIT)), sign.shl(15).or(exponent.add(BIAS - format.bias)), i32(0)));
    f.if(exponent.isZero(), () => {
      f.if(significand.isZero(), () => f.return(...zero(sign), i32(0)));
      const shift = f.let(significand.clz().wrap());
      f.return(significand.shl(shift), sign.shl(15).or(i32(BIAS - format.bias + 1).sub(shift)), i32(DE));
    });
    f.or(significand, i64(INTEGER_BIT));
    f.return(significand, sign.shl(15).or(MAXIMUM_EXPONENT), i32(0));
  });

  const to = (format: NarrowFormat): Conversion['toSingle'] => library.function([I64, I32, I32], [I64, I32], (f, significand, top, control) => {
    const x = float80(significand, top);
    const last = (1 << format.exponent) - 1;
    const drop = 63 - format.fraction;
    const sign = f.let(signOf(x));
    const signBit = f.let(sign.extendU().shl(format.fraction + format.exponent));
    const exponentBits = (value: Value): Value => value.extendU().shl(format.fraction);
    const fractionMask = (1n << BigInt(format.fraction)) - 1n;
    // The short way: normal here and there, to nearest, and no exception wanted for an inexact result.
    const ordinary = f.let(exponentOf(x).sub(BIAS - format.bias));
    f.if(control.and(STORE_CONTROL_MASK).eq(STORE_CONTROL_ORDINARY).and(ordinary.sub(1).ltU(last - 2)).and(significand.topBit()), () => {
      const above = f.let(significand.shrU(drop));
      const tail = f.let(significand.shl(64 - drop));
      const up = f.let(tail.gtU(i64(INTEGER_BIT).sub(above.and(1))));
      // The integer bit makes the exponent one more, and a carry of the rounding may do so once more.
      f.return(signBit.or(exponentBits(ordinary.sub(1)).add(above).add(up.extendU())), tail.isNotZero().shl(5).or(up.shl(9)));
    });
    f.if(isUnsupported(x), () => f.return(i64(-1n).shl(format.fraction - 1).and(i64((1n << BigInt(format.fraction + format.exponent + 1)) - 1n)), i32(IE)));
    f.if(isMaximum(x), () => {
      f.if(isNan(x), () => {
        f.return(signBit.or(exponentBits(i32(last))).or(significand.or(i64(QUIET_BIT)).shrU(drop).and(i64(fractionMask))), isSignalling(x));
      });
      f.return(signBit.or(exponentBits(i32(last))), i32(0));
    });
    f.if(isZero(x), () => f.return(signBit, i32(0)));
    const n = normalised(f, x);
    const exponent = f.let(n.exponent.sub(BIAS - format.bias));
    const [kept, carry, flags] = f.call(rounding.round, sign, n.significand, i64(0n), i32(drop), control);
    f.if(exponent.leS(0), () => {
      f.if(exponent.ltS(0).or(carry.isZero()), () => {
        f.if(control.and(UE).isZero(), () => f.return(i64(0n), i32(UE)));
        const [high, low] = f.call(wide.shiftRight, n.significand, i64(0n), i32(1).sub(exponent));
        f.callInto([kept, carry, flags], rounding.round, sign, high, low, i32(drop), control);
        // A carry into the integer bit makes it the smallest normal number, whose exponent field is 1.
        f.return(signBit.or(kept.shrU(drop)), flags.or(flags.and(PE).shrU(1)));
      });
    });
    f.if(carry, () => {
      f.set(kept, i64(INTEGER_BIT));
      f.add(exponent, 1);
    });
    f.if(exponent.geS(last), () => {
      f.if(control.and(OE).isZero(), () => f.return(i64(0n), i32(OE)));
      const mode = roundingOf(control);
      const away = mode.isZero().or(mode.eq(ROUND_DOWN).and(sign)).or(mode.eq(ROUND_UP).and(sign.isZero()));
      f.if(away, () => f.return(signBit.or(exponentBits(i32(last))), i32(OE | PE | C1)));
      f.return(signBit.or(exponentBits(i32(last - 1))).or(i64(fractionMask)), i32(OE | PE));
    });
    f.return(signBit.or(exponentBits(exponent)).or(kept.shrU(drop).and(i64(fractionMask))), flags);
  });

  const fromInteger = library.function([I64], [I64, I32, I32], (f, value) => {
    f.if(value.isZero(), () => f.return(...zero(i32(0)), i32(0)));
    const sign = f.let(value.topBit());
    const magnitude = f.let(sign.select(value.negate(), value));
    const shift = f.let(magnitude.clz().wrap());
    f.return(magnitude.shl(shift), sign.shl(15).or(i32(BIAS + 63).sub(shift)), i32(0));
  });

  /** The magnitude rounded to an integer of 64 bits; all ones with a carry flag when it is greater. */
  const roundMagnitude = library.function([I32, I32, I64, I32], [I64, I32, I32], (f, sign, exponent, significand, control) => {
    f.if(exponent.gtS(BIAS + 63), () => f.return(i64(-1n), i32(1), i32(0)));
    const [high, low] = f.call(wide.shiftRight, significand, i64(0n), i32(BIAS + 63).sub(exponent));
    f.returnCall(rounding.round, sign, high, low, i32(0), control);
  });

  const toInteger = library.function([I64, I32, I32, I32], [I64, I32], (f, significand, top, bits, control) => {
    const x = float80(significand, top);
    const indefinite = i64(-1n).shl(bits.sub(1));
    f.if(isMaximum(x).or(isUnsupported(x)), () => f.return(indefinite, i32(IE)));
    f.if(isZero(x), () => f.return(i64(0n), i32(0)));
    const sign = f.let(signOf(x));
    const [magnitude, carry, flags] = f.call(roundMagnitude, sign, exponentOf(x), significand, control);
    // The greatest magnitude is 2^(bits - 1), less 1 when it is positive.
    const greatest = f.let(i64(1n).shl(bits.sub(1)).sub(sign.isZero().extendU()));
    f.if(carry.or(magnitude.gtU(greatest)), () => f.return(indefinite, i32(IE)));
    f.return(sign.select(magnitude.negate(), magnitude), flags);
  });

  const roundToInteger = library.function([I64, I32, I32], [I64, I32, I32], (f, significand, top, control) => {
    const x = float80(significand, top);
    f.if(isNanOrUnsupported(x), () => {
      f.if(isUnsupported(x), () => f.return(i64(3n << 62n), i32(0xffff), i32(IE)));
      f.return(significand.or(i64(QUIET_BIT)), top, isSignalling(x));
    });
    f.if(exponentOf(x).geU(BIAS + 63).or(isZero(x)), () => f.return(significand, top, i32(0)));
    const flags = f.let(exponentOf(x).isZero().shl(1)); // DE
    const sign = f.let(signOf(x));
    const [magnitude, , more] = f.call(roundMagnitude, sign, exponentOf(x), significand, control);
    f.if(magnitude.isZero(), () => f.return(...zero(sign), flags.or(more)));
    const shift = f.let(magnitude.clz().wrap());
    f.return(magnitude.shl(shift), sign.shl(15).or(i32(BIAS + 63).sub(shift)), flags.or(more));
  });

  const fromDecimal = library.function([I64, I32], [I64, I32, I32], (f, low, high) => {
    const value = f.let64(0);
    const digit = (bits: Value): void => f.set(value, value.mul(10).add(bits));
    digit(high.shrU(4).and(15).extendU());
    digit(high.and(15).extendU());
    const left = f.let32(DIGITS - 2);
    f.times(left, () => {
      digit(low.shrU(60));
      f.set(low, low.shl(4));
    });
    const [significand, top] = f.call(fromInteger, value);
    f.return(significand, top.or(high.and(0x8000)), i32(0));
  });

  const toDecimal = library.function([I64, I32, I32], [I64, I32, I32], (f, significand, top, control) => {
    const x = float80(significand, top);
    const indefinite = (): void => f.return(i64(0xc000_0000_0000_0000n), i32(0xffff), i32(IE));
    f.if(isMaximum(x).or(isUnsupported(x)), indefinite);
    const sign = f.let(signOf(x));
    f.if(isZero(x), () => f.return(...zero(sign), i32(0)));
    const [magnitude, carry, flags] = f.call(roundMagnitude, sign, exponentOf(x), significand, control);
    f.if(carry.or(magnitude.geU(i64(DECIMAL_LIMIT))), indefinite);
    const low = f.let64(0);
    const left = f.let32(DIGITS - 2);
    f.times(left, () => {
      f.set(low, low.shrU(4).or(magnitude.remU(10).shl(60)));
      f.set(magnitude, magnitude.divU(10));
    });
    f.return(low, magnitude.remU(10).or(magnitude.divU(10).shl(4)).wrap().or(sign.shl(15)), flags);
  });

  return {
    fromSingle: from(SINGLE), fromDouble: from(DOUBLE), fromInteger, fromDecimal,
    toSingle: to(SINGLE), toDouble: to(DOUBLE), toInteger, toDecimal, roundToInteger,
  };
}
