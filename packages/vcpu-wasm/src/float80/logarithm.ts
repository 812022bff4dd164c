/** F2XM1, FYL2X and FYL2XP1 (SDM vol. 1, section 8.3.9, and vol. 2). */
import { I32, I64 } from '../wasm/code-writer.ts';
import type { Arithmetic, BinaryFunction, UnaryFunction } from './arithmetic.ts';
import { LN_2, SQUARE_ROOT_OF_2, TWO_BY_LN_2 } from './constants.ts';
import {
  BIAS, defaultNan, denormalFlag, exponentOf, float80, IE, infinity, INTEGER_BIT, isInfinite, isMaximum, isNanOrUnsupported, isZero, normalised, PE, PRECISION_MASK, signOf,
  ZE, zero,
} from './format.ts';
import type { Float80 } from './format.ts';
import type { FunctionBuilder, FunctionLibrary } from './function-builder.ts';
import type { Rounding } from './rounding.ts';
import { returnInexact } from './trigonometric.ts';
import { i32, i64 } from './value.ts';
import type { Value } from './value.ts';
import { callWide, fractionOf, parts, series, SERIES_ONE, wideConstant } from './wide-float.ts';
import type { WideFloat, WideFloatFunctions } from './wide-float.ts';
import { subtractWide } from './wide-integer.ts';
import type { WideInteger } from './wide-integer.ts';

export interface Logarithm {
  /** (x, control) -> 2^x - 1, for -1 <= x <= 1. */
  readonly exponential: UnaryFunction;
  /** (x, y, control) -> y * log2 x. */
  readonly logarithm: BinaryFunction;
  /** (x, y, control) -> y * log2(x + 1). */
  readonly logarithmOfSuccessor: BinaryFunction;
}

const EXPONENTIAL_TERMS = 31;
const LOGARITHM_TERMS = 25;

export function declareLogarithm(library: FunctionLibrary, wide: WideInteger, float: WideFloatFunctions, rounding: Rounding, arithmetic: Arithmetic): Logarithm {
  const exponential = library.function([I64, I32, I32], [I64, I32, I32], (f, significand, top, control) => {
    const a = float80(significand, top);
    f.if(isNanOrUnsupported(a), () => f.returnCall(arithmetic.selectNan, significand, top, i64(0n), i32(0)));
    const sign = f.let(signOf(a));
    f.if(isInfinite(a), () => {
      f.if(sign, () => f.return(i64(INTEGER_BIT), i32(0xbfff), i32(0)));
      f.return(significand, top, i32(0));
    });
    f.if(isZero(a), () => f.return(significand, top, i32(0)));
    // Beyond 1 the manual leaves the result open: the operand stays.
    f.if(exponentOf(a).geS(BIAS), () => {
      f.if(exponentOf(a).gtS(BIAS).or(significand.ne(i64(INTEGER_BIT))), () => f.return(significand, top, i32(PE)));
      f.return(significand, sign.select(i32(0xbffe), BIAS), i32(PE));
    });
    const flags = f.let(denormalFlag(a));
    const x = normalised(f, a);
    const y = callWide(f, float.multiply, { exponent: x.exponent, high: x.significand, low: i64(0n) }, wideConstant(LN_2));
    const t = fractionOf(f, wide, y);
    // (e^y - 1) / y = 1 + y/2! + y^2/3! + ...
    let factorial = 1n;
    const coefficients = Array.from({ length: EXPONENTIAL_TERMS }, (_, k) => SERIES_ONE / (factorial *= BigInt(k + 1)));
    const result: [Value, Value, Value] = [f.let32(0), f.let64(0), f.let64(0)];
    f.if(sign, () => f.setAll(result, parts(series(f, float, coefficients, t, 'alternating'))), () => f.setAll(result, parts(series(f, float, coefficients, t, 'same'))));
    f.callInto(result, float.multiply, ...parts(y), ...result);
    returnInexact(f, rounding, sign, { exponent: result[0], high: result[1], low: result[2] }, control, flags);
  });

  /** (z) -> 2 / ln 2 * artanh z, for z up to 0.18: log2 of (1 + z) / (1 - z). */
  const logarithmOfRatio = library.function([I32, I64, I64], [I32, I64, I64], (f, exponent, high, low) => {
    const z = { exponent, high, low };
    const [fraction, rest] = fractionOf(f, wide, z);
    const square = f.call(float.multiplyFractions, fraction, rest, fraction, rest);
    const coefficients = Array.from({ length: LOGARITHM_TERMS }, (_, k) => SERIES_ONE / BigInt(2 * k + 1));
    const sum = series(f, float, coefficients, square, 'same');
    const scaled = callWide(f, float.multiply, z, wideConstant(TWO_BY_LN_2));
    f.returnCall(float.multiply, ...parts(scaled), ...parts(sum));
  });

  /** (a positive number) -> sign and magnitude of its binary logarithm; exponent 0 stands for the number 0. */
  const log2 = library.function([I32, I64, I64], [I32, I32, I64, I64], (f, exponent, high, low) => {
    const power = f.let(exponent.sub(BIAS));
    const small = f.let(high.gtU(i64(SQUARE_ROOT_OF_2)));
    f.if(small, () => f.set(power, power.add(1)));
    const whole = f.let(power.ltS(0).select(power.negate(), power).extendU());
    const [wholeExponent, wholeHigh, wholeLow] = f.call(float.normalise, i32(BIAS + 127), i64(0n), whole);
    // The significand m is taken between the roots of 1/2 and 2: |m - 1|, and m + 1 without its highest bit, in the same units.
    const above = f.let(small.select(high, high.sub(i64(INTEGER_BIT))));
    const opposite = subtractWide(f, [i64(0n), i64(0n)], [high, low]);
    const difference = [f.let(small.select(opposite[0], above)), f.let(small.select(opposite[1], low))] as const;
    f.if(difference[0].or(difference[1]).isZero(), () => {
      f.if(whole.isZero(), () => f.return(i32(0), i32(0), i64(0n), i64(0n)));
      f.return(power.topBit(), wholeExponent, wholeHigh, wholeLow);
    });
    const [numeratorExponent, numeratorHigh, numeratorLow] = f.call(float.normalise, i32(BIAS), ...difference);
    const denominator: WideFloat = { exponent: i32(BIAS + 1), high: above.shrU(1).or(i64(INTEGER_BIT)), low: above.shl(63).or(low.shrU(1)) };
    const z = callWide(f, float.divide, { exponent: numeratorExponent, high: numeratorHigh, low: numeratorLow }, denominator);
    const [partExponent, partHigh, partLow] = f.call(logarithmOfRatio, ...parts(z));
    f.if(whole.isZero(), () => f.return(small, partExponent, partHigh, partLow));
    const sign = f.let(power.topBit());
    const result: [Value, Value, Value] = [wholeExponent, wholeHigh, wholeLow];
    const part = [partExponent, partHigh, partLow] as const;
    f.if(sign.eq(small), () => f.callInto(result, float.add, ...result, ...part), () => f.callInto(result, float.subtract, ...result, ...part));
    f.return(sign, ...result);
  });

  const invalid = (f: FunctionBuilder): void => f.return(...defaultNan(), i32(IE));
  const timesInfinity = (f: FunctionBuilder, y: Float80, sign: Value, flags: Value): void => {
    f.if(isZero(y), () => invalid(f));
    f.return(...infinity(signOf(y).xor(sign)), flags);
  };
  /** y times the binary logarithm of a positive number; y and the logarithm may be anything but NaNs. */
  const product = (f: FunctionBuilder, y: Float80, x: WideFloat, control: Value, flags: Value): void => {
    const ySign = signOf(y);
    const [sign, exponent, high, low] = f.call(log2, ...parts(x));
    f.if(isMaximum(y), () => {
      f.if(exponent.isZero(), () => invalid(f));
      f.return(...infinity(ySign.xor(sign)), flags);
    });
    f.if(isZero(y).or(exponent.isZero()), () => f.return(...zero(ySign.xor(sign)), flags));
    times(f, y, sign, { exponent, high, low }, control, flags);
  };
  const times = (f: FunctionBuilder, y: Float80, sign: Value, x: WideFloat, control: Value, flags: Value): void => {
    const multiplier = normalised(f, y);
    const result = callWide(f, float.multiply, x, { exponent: multiplier.exponent, high: multiplier.significand, low: i64(0n) });
    // PE is set also for the few results that are exact, as processors do.
    const [significand, top, more] = f.call(rounding.pack, multiplier.sign.xor(sign), result.exponent, result.high, result.low, control.or(PRECISION_MASK));
    const tiny = exponentOf(float80(significand, top)).isZero().shl(4); // UE
    f.return(significand, top, flags.or(more).or(tiny).or(PE));
  };

  const logarithm = library.function([I64, I32, I64, I32, I32], [I64, I32, I32], (f, xSignificand, xTop, ySignificand, yTop, control) => {
    const x = float80(xSignificand, xTop);
    const y = float80(ySignificand, yTop);
    f.if(isNanOrUnsupported(x).or(isNanOrUnsupported(y)), () => f.returnCall(arithmetic.selectNan, xSignificand, xTop, ySignificand, yTop));
    const flags = f.let(denormalFlag(x).or(denormalFlag(y)));
    f.if(isZero(x), () => timesInfinity(f, y, i32(1), isInfinite(y).select(i32(0), ZE)));
    f.if(signOf(x), () => invalid(f));
    f.if(isInfinite(x), () => timesInfinity(f, y, i32(0), flags));
    const argument = normalised(f, x);
    product(f, y, { exponent: argument.exponent, high: argument.significand, low: i64(0n) }, control, flags);
  });

  const logarithmOfSuccessor = library.function([I64, I32, I64, I32, I32], [I64, I32, I32], (f, xSignificand, xTop, ySignificand, yTop, control) => {
    const x = float80(xSignificand, xTop);
    const y = float80(ySignificand, yTop);
    f.if(isNanOrUnsupported(x).or(isNanOrUnsupported(y)), () => f.returnCall(arithmetic.selectNan, xSignificand, xTop, ySignificand, yTop));
    const flags = f.let(denormalFlag(x).or(denormalFlag(y)));
    const sign = f.let(signOf(x));
    f.if(isInfinite(x), () => {
      f.if(sign, () => invalid(f));
      timesInfinity(f, y, i32(0), flags);
    });
    f.if(isZero(x), () => {
      f.if(isMaximum(y), () => invalid(f));
      f.return(...zero(signOf(y).xor(sign)), flags);
    });
    const argument = normalised(f, x);
    const number: WideFloat = { exponent: argument.exponent, high: argument.significand, low: i64(0n) };
    const sum: [Value, Value, Value] = [f.let32(0), f.let64(0), f.let64(0)];
    f.if(exponentOf(x).geS(BIAS - 1), () => {
      // Beyond the manual's range of 0.29 and 0.41. No logarithm from -1 down: the operand stays, as on some processors.
      const one: WideFloat = { exponent: i32(BIAS), high: i64(INTEGER_BIT), low: i64(0n) };
      f.if(exponentOf(x).geS(BIAS), () => {
        f.if(sign, () => {
          f.if(isMaximum(y), () => f.return(...infinity(signOf(y).xor(sign)), flags));
          f.if(isZero(y), () => f.return(...zero(signOf(y).xor(sign)), flags));
          f.return(xSignificand, xTop, flags.or(PE));
        });
        f.callInto(sum, float.add, ...parts(number), ...parts(one));
      }, () => {
        f.if(sign, () => f.callInto(sum, float.subtract, ...parts(one), ...parts(number)), () => f.callInto(sum, float.add, ...parts(one), ...parts(number)));
      });
      product(f, y, { exponent: sum[0], high: sum[1], low: sum[2] }, control, flags);
    });
    f.if(isMaximum(y), () => f.return(...infinity(signOf(y).xor(sign)), flags));
    f.if(isZero(y), () => f.return(...zero(signOf(y).xor(sign)), flags));
    const two: WideFloat = { exponent: i32(BIAS + 1), high: i64(INTEGER_BIT), low: i64(0n) };
    f.if(sign, () => f.callInto(sum, float.subtract, ...parts(two), ...parts(number)), () => f.callInto(sum, float.add, ...parts(two), ...parts(number)));
    const z = callWide(f, float.divide, number, { exponent: sum[0], high: sum[1], low: sum[2] });
    const [exponent, high, low] = f.call(logarithmOfRatio, ...parts(z));
    times(f, y, sign, { exponent, high, low }, control, flags);
  });

  return { exponential, logarithm, logarithmOfSuccessor };
}
