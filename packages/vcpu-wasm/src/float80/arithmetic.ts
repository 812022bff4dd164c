/** Add, subtract, multiply, divide and square root, with the special operands (SDM vol. 1, sections 4.8.3.5 and 8.5). */
import { I32, I64 } from '../wasm/code-writer.ts';
import {
  BIAS, defaultNan, denormalFlag, exponentOf, float80, IE, infinity, INTEGER_BIT, isInfinite, isMaximum, isNan, isNanOrUnsupported, isSignalling,
  isUnsupported, isZero, normalised, QUIET_BIT, ROUND_DOWN, roundingOf, SIGN_BIT, signOf, ZE, zero,
} from './format.ts';
import type { Float80 } from './format.ts';
import type { BuiltFunction, FunctionBuilder, FunctionLibrary } from './function-builder.ts';
import type { Result, Rounding } from './rounding.ts';
import { i32, i64 } from './value.ts';
import type { Value } from './value.ts';
import { quotientOf, rootOf } from './quotient-and-root.ts';
import { lessWide, subtractWide } from './wide-integer.ts';
import type { WideInteger } from './wide-integer.ts';

type Two = readonly [typeof I64, typeof I32, typeof I64, typeof I32];
export type BinaryFunction = BuiltFunction<readonly [...Two, typeof I32], Result>;
export type UnaryFunction = BuiltFunction<readonly [typeof I64, typeof I32, typeof I32], Result>;

export interface Arithmetic {
  /** (a, b) -> NaN, of which at least one is a NaN or unsupported. */
  readonly selectNan: BuiltFunction<Two, Result>;
  /** All: (a, b, control). */
  readonly add: BinaryFunction;
  readonly subtract: BinaryFunction;
  readonly multiply: BinaryFunction;
  readonly divide: BinaryFunction;
  /** (a, control). */
  readonly squareRoot: UnaryFunction;
}

export function declareArithmetic(library: FunctionLibrary, wide: WideInteger, rounding: Rounding): Arithmetic {
  // Table 4-7: a quiet NaN before a signalling one, else the larger significand, else the positive one.
  const selectNan = library.function([I64, I32, I64, I32], [I64, I32, I32], (f, aSignificand, aTop, bSignificand, bTop) => {
    const a = float80(aSignificand, aTop);
    const b = float80(bSignificand, bTop);
    f.if(isUnsupported(a).or(isUnsupported(b)), () => f.return(...defaultNan(), i32(IE)));
    const aSignals = f.let(isSignalling(a));
    const bSignals = f.let(isSignalling(b));
    const flags = f.let(aSignals.or(bSignals)); // IE is bit 0
    const quiet = (x: Float80): [Value, Value, Value] => [x.significand.or(i64(QUIET_BIT)), x.top, flags];
    f.if(isNan(a).isZero(), () => f.return(...quiet(b)));
    f.if(isNan(b).isZero(), () => f.return(...quiet(a)));
    f.if(aSignals.ne(bSignals), () => {
      f.if(aSignals, () => f.return(...quiet(b)));
      f.return(...quiet(a));
    });
    f.if(aSignificand.ltU(bSignificand).or(aSignificand.eq(bSignificand).and(aTop.gtU(bTop))), () => f.return(...quiet(b)));
    f.return(...quiet(a));
  });

  const specialOperands = (f: FunctionBuilder, a: Float80, b: Float80): void => {
    f.if(isNanOrUnsupported(a).or(isNanOrUnsupported(b)), () => f.returnCall(selectNan, a.significand, a.top, b.significand, b.top));
  };
  const invalid = (f: FunctionBuilder): void => f.return(...defaultNan(), i32(IE));
  /** Not 0 when an operand needs more than the ordinary way. */
  const anySpecial = (a: Float80, b: Float80): Value => isMaximum(a).or(isMaximum(b)).or(isUnsupported(a)).or(isUnsupported(b));

  const sum = (subtract: boolean): BinaryFunction => library.function([I64, I32, I64, I32, I32], [I64, I32, I32], (f, aSignificand, aTop, bSignificand, bTop, control) => {
    const a = float80(aSignificand, aTop);
    const b = float80(bSignificand, bTop);
    const flags = f.let32(0);
    const special = f.let(anySpecial(a, b));
    f.if(special, () => specialOperands(f, a, b));
    if (subtract) f.set(bTop, bTop.xor(SIGN_BIT));
    f.set(flags, denormalFlag(a).or(denormalFlag(b)));
    f.if(special, () => {
      f.if(isInfinite(a), () => {
        f.if(isInfinite(b).and(aTop.ne(bTop)), () => invalid(f));
        f.return(aSignificand, aTop, flags);
      });
      f.return(bSignificand, bTop, flags);
    });
    const sign = f.let(signOf(a));
    const differ = f.let(sign.ne(signOf(b)));
    const zeroSign = roundingOf(control).eq(ROUND_DOWN);
    f.if(aSignificand.or(bSignificand).isZero(), () => f.return(i64(0n), differ.select(zeroSign, sign).shl(15), i32(0)));
    // The larger exponent first; the smallest normal exponent also serves denormals.
    const effective = (x: Float80): Value => exponentOf(x).or(exponentOf(x).isZero());
    const exponent = f.let(effective(a));
    const distance = f.let(exponent.sub(effective(b)));
    f.if(distance.ltS(0), () => {
      f.setAll([aSignificand, bSignificand], [bSignificand, aSignificand]);
      f.set(sign, sign.xor(differ));
      f.set(exponent, exponent.sub(distance));
      f.set(distance, distance.negate());
    });
    const [bHigh, bLow] = f.call(wide.shiftRight, bSignificand, i64(0n), distance);
    const more = f.let32(0);
    f.if(differ.isZero(), () => {
      const [high, low] = [f.let(aSignificand.add(bHigh)), f.let(bLow)];
      f.if(high.ltU(bHigh), () => {
        f.set(low, high.shl(63).or(low.shrU(1)).or(low.and(1)));
        f.set(high, high.shrU(1).or(i64(INTEGER_BIT)));
        f.add(exponent, 1);
      });
      f.callInto([aSignificand, aTop, more], rounding.normaliseAndPack, sign, exponent, high, low, control);
      f.return(aSignificand, aTop, flags.or(more));
    });
    const left: [Value, Value] = [f.let(aSignificand), f.let64(0)];
    const right: [Value, Value] = [bHigh, bLow];
    f.if(lessWide(left, right), () => {
      f.setAll([left[0], left[1], right[0], right[1]], [right[0], right[1], left[0], left[1]]);
      f.set(sign, sign.xor(1));
    });
    const [high, low] = subtractWide(f, left, right);
    f.if(high.or(low).isZero(), () => f.return(i64(0n), zeroSign.shl(15), flags));
    f.callInto([aSignificand, aTop, more], rounding.normaliseAndPack, sign, exponent, high, low, control);
    f.return(aSignificand, aTop, flags.or(more));
  });

  const multiply = library.function([I64, I32, I64, I32, I32], [I64, I32, I32], (f, aSignificand, aTop, bSignificand, bTop, control) => {
    const a = float80(aSignificand, aTop);
    const b = float80(bSignificand, bTop);
    const special = f.let(anySpecial(a, b));
    f.if(special, () => specialOperands(f, a, b));
    const flags = f.let(denormalFlag(a).or(denormalFlag(b)));
    const sign = f.let(signOf(a).xor(signOf(b)));
    f.if(special, () => {
      f.if(isZero(a).or(isZero(b)), () => invalid(f));
      f.return(...infinity(sign), flags);
    });
    f.if(isZero(a).or(isZero(b)), () => f.return(...zero(sign), flags));
    const x = normalised(f, a);
    const y = normalised(f, b);
    const exponent = f.let(x.exponent.add(y.exponent).sub(BIAS - 1));
    const [high, low] = f.call(wide.multiply, x.significand, y.significand);
    f.if(high.topBit().isZero(), () => {
      f.set(high, high.shl(1).or(low.shrU(63)));
      f.set(low, low.shl(1));
      f.add(exponent, -1);
    });
    const [significand, top, more] = f.call(rounding.pack, sign, exponent, high, low, control);
    f.return(significand, top, flags.or(more));
  });

  const divide = library.function([I64, I32, I64, I32, I32], [I64, I32, I32], (f, aSignificand, aTop, bSignificand, bTop, control) => {
    const a = float80(aSignificand, aTop);
    const b = float80(bSignificand, bTop);
    const special = f.let(anySpecial(a, b));
    f.if(special, () => specialOperands(f, a, b));
    const flags = f.let(denormalFlag(a).or(denormalFlag(b)));
    const sign = f.let(signOf(a).xor(signOf(b)));
    f.if(special, () => {
      f.if(isInfinite(a), () => {
        f.if(isInfinite(b), () => invalid(f));
        f.return(...infinity(sign), flags);
      });
      f.return(...zero(sign), flags);
    });
    f.if(isZero(b), () => {
      f.if(isZero(a), () => invalid(f));
      f.return(...infinity(sign), i32(ZE));
    });
    f.if(isZero(a), () => f.return(...zero(sign), flags));
    const x = normalised(f, a);
    const y = normalised(f, b);
    const exponent = f.let(x.exponent.sub(y.exponent).add(BIAS - 1));
    const { quotient, tail } = quotientOf(f, exponent, x.significand, y.significand, (high, low, divisor) => f.call(wide.divide, high, low, divisor));
    const [significand, top, after] = f.call(rounding.pack, sign, exponent, quotient, tail, control);
    f.return(significand, top, flags.or(after));
  });

  const squareRoot = library.function([I64, I32, I32], [I64, I32, I32], (f, significand, top, control) => {
    const a = float80(significand, top);
    f.if(isNanOrUnsupported(a), () => f.returnCall(selectNan, significand, top, i64(0n), i32(0)));
    f.if(isZero(a), () => f.return(significand, top, i32(0)));
    f.if(signOf(a), () => invalid(f));
    f.if(isInfinite(a), () => f.return(significand, top, i32(0)));
    const flags = f.let(denormalFlag(a));
    const x = normalised(f, a);
    const { root, tail, exponent } = rootOf(f, x.exponent, x.significand);
    const [result, resultTop, more] = f.call(rounding.pack, i32(0), exponent, root, tail, control);
    f.return(result, resultTop, flags.or(more));
  });

  return { selectNan, add: sum(false), subtract: sum(true), multiply, divide, squareRoot };
}
