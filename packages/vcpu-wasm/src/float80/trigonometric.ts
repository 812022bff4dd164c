/** Sine, cosine, tangent and arc tangent (SDM vol. 1, section 8.3.7 and 8.3.8; FPATAN in vol. 2). */
import { I32, I64 } from '../wasm/code-writer.ts';
import type { Arithmetic, BinaryFunction } from './arithmetic.ts';
import { ARC_TANGENTS, HALF_PI, PI, QUARTER_PI, REDUCTION_MODULUS, THREE_QUARTERS_PI } from './constants.ts';
import type { WideConstant } from './constants.ts';
import {
  BIAS, denormalFlag, float80, isInfinite, isNanOrUnsupported, isZero, normalised, PRECISION_MASK, signOf, zero,
} from './format.ts';
import type { BuiltFunction, FunctionBuilder, FunctionLibrary } from './function-builder.ts';
import type { Rounding } from './rounding.ts';
import { i32, i64 } from './value.ts';
import type { Value } from './value.ts';
import { callWide, fractionOf, parts, series, SERIES_ONE, wideConstant } from './wide-float.ts';
import type { WideFloat, WideFloatFunctions } from './wide-float.ts';
import { addWide, lessWide, subtractWide } from './wide-integer.ts';
import type { WideInteger } from './wide-integer.ts';

/** Of a finite number below 2^63 that is not 0. */
export type PlainFunction = BuiltFunction<readonly [typeof I64, typeof I32, typeof I32], readonly [typeof I64, typeof I32, typeof I32]>;

export interface Trigonometric {
  /** (a, control). */
  readonly sine: PlainFunction;
  readonly cosine: PlainFunction;
  readonly tangent: PlainFunction;
  /** (x, y, control) -> the angle of the point (x, y). */
  readonly arcTangent: BinaryFunction;
}

const MASK_64 = (1n << 64n) - 1n;
const SINE_TERMS = 16;
const ARC_TERMS = 16;

function factorial(n: number): bigint {
  let product = 1n;
  for (let k = 2; k <= n; k++) product *= BigInt(k);
  return product;
}
const terms = (count: number, divisor: (k: number) => bigint): bigint[] => Array.from({ length: count }, (_, k) => SERIES_ONE / divisor(k));

/** The result of a function that is never exact. */
export function returnInexact(f: FunctionBuilder, rounding: Rounding, sign: Value, x: WideFloat, control: Value, flags: Value): void {
  const [significand, top, more] = f.call(rounding.pack, sign, x.exponent, x.high, x.low.or(1), control.or(PRECISION_MASK));
  f.return(significand, top, flags.or(more));
}

export function declareTrigonometric(library: FunctionLibrary, wide: WideInteger, float: WideFloatFunctions, rounding: Rounding, arithmetic: Arithmetic): Trigonometric {
  /** (significand, exponent) of |x| -> quadrant, sign of the rest, rest: x = quadrant * pi/2 + rest, with rest at most pi/4. */
  const reduce = library.function([I64, I32], [I32, I32, I32, I64, I64], (f, significand, exponent) => {
    f.if(exponent.ltS(BIAS - 1), () => f.return(i32(0), i32(0), exponent, significand, i64(0n)));
    const modulus: [Value, Value] = [i64(REDUCTION_MODULUS >> 64n), i64(REDUCTION_MODULUS & MASK_64)];
    const rest: [Value, Value] = [f.let64(0), f.let(significand)];
    const quotient = f.let32(0);
    const turns = f.let(exponent.sub(BIAS - 2));
    f.times(turns, () => {
      f.set(rest[0], rest[0].shl(1).or(rest[1].shrU(63)));
      f.set(rest[1], rest[1].shl(1));
      f.set(quotient, quotient.shl(1));
      f.if(lessWide(rest, modulus).isZero(), () => {
        f.setAll(rest, subtractWide(f, rest, modulus));
        f.or(quotient, 1);
      });
    });
    const negative = f.let32(0);
    const other = subtractWide(f, modulus, rest);
    f.if(lessWide(other, rest), () => {
      f.setAll(rest, other);
      f.set(quotient, quotient.add(1));
      f.set(negative, 1);
    });
    // The rest is a multiple of 2^-65.
    f.return(quotient, negative, ...f.call(float.normalise, i32(BIAS + 62), rest[0], rest[1]));
  });

  const square = (f: FunctionBuilder, x: WideFloat): [Value, Value] => {
    const [high, low] = fractionOf(f, wide, x);
    return [...f.call(float.multiplyFractions, high, low, high, low)];
  };
  const sineOf = library.function([I32, I64, I64], [I32, I64, I64], (f, exponent, high, low) => {
    const x = { exponent, high, low };
    const sum = series(f, float, terms(SINE_TERMS, (k) => factorial(2 * k + 1)), square(f, x), 'alternating');
    f.returnCall(float.multiply, ...parts(x), ...parts(sum));
  });
  const cosineOf = library.function([I32, I64, I64], [I32, I64, I64], (f, exponent, high, low) => {
    f.return(...parts(series(f, float, terms(SINE_TERMS + 1, (k) => factorial(2 * k)), square(f, { exponent, high, low }), 'alternating')));
  });

  const start = (f: FunctionBuilder, significand: Value, top: Value): { flags: Value; sign: Value; quadrant: Value; negative: Value; rest: WideFloat } => {
    const a = float80(significand, top);
    const flags = f.let(denormalFlag(a));
    const x = normalised(f, a);
    const [quadrant, negative, exponent, high, low] = f.call(reduce, x.significand, x.exponent);
    return { flags, sign: x.sign, quadrant, negative, rest: { exponent, high, low } };
  };
  /** Either function of the whole circle; `shift` is what it is ahead of the sine, in quadrants. */
  const circular = (shift: 0 | 1): PlainFunction => library.function([I64, I32, I32], [I64, I32, I32], (f, significand, top, control) => {
    const { flags, sign, quadrant, negative, rest } = start(f, significand, top);
    // sin x = -sin -x; cos x = cos -x. The sign of the rest counts where the sine of the rest is taken.
    const turned = f.let(quadrant.add(shift));
    const result: [Value, Value, Value] = [f.let32(0), f.let64(0), f.let64(0)];
    const resultSign = f.let(turned.shrU(1).and(1));
    if (shift === 0) f.set(resultSign, resultSign.xor(sign));
    f.if(turned.and(1), () => f.callInto(result, cosineOf, ...parts(rest)), () => {
      f.callInto(result, sineOf, ...parts(rest));
      f.set(resultSign, resultSign.xor(negative));
    });
    returnInexact(f, rounding, resultSign, { exponent: result[0], high: result[1], low: result[2] }, control, flags);
  });
  const tangent = library.function([I64, I32, I32], [I64, I32, I32], (f, significand, top, control) => {
    const { flags, sign, quadrant, negative, rest } = start(f, significand, top);
    const [sineExponent, sineHigh, sineLow] = f.call(sineOf, ...parts(rest));
    const [cosineExponent, cosineHigh, cosineLow] = f.call(cosineOf, ...parts(rest));
    const odd = f.let(quadrant.and(1));
    f.if(odd, () => f.setAll([sineExponent, sineHigh, sineLow, cosineExponent, cosineHigh, cosineLow], [cosineExponent, cosineHigh, cosineLow, sineExponent, sineHigh, sineLow]));
    const quotient = callWide(f, float.divide, { exponent: sineExponent, high: sineHigh, low: sineLow }, { exponent: cosineExponent, high: cosineHigh, low: cosineLow });
    returnInexact(f, rounding, sign.xor(negative).xor(odd), quotient, control, flags);
  });

  const arcTangent = library.function([I64, I32, I64, I32, I32], [I64, I32, I32], (f, xSignificand, xTop, ySignificand, yTop, control) => {
    const x = float80(xSignificand, xTop);
    const y = float80(ySignificand, yTop);
    f.if(isNanOrUnsupported(x).or(isNanOrUnsupported(y)), () => f.returnCall(arithmetic.selectNan, xSignificand, xTop, ySignificand, yTop));
    const flags = f.let(denormalFlag(x).or(denormalFlag(y)));
    const sign = f.let(signOf(y));
    const left = f.let(signOf(x));
    const angle = (value: WideConstant): void => returnInexact(f, rounding, sign, wideConstant(value), control, flags);
    f.if(isInfinite(y), () => {
      f.if(isInfinite(x), () => {
        f.if(left, () => angle(THREE_QUARTERS_PI));
        angle(QUARTER_PI);
      });
      angle(HALF_PI);
    });
    f.if(isInfinite(x).or(isZero(y)), () => {
      f.if(left, () => angle(PI));
      f.return(...zero(sign), flags);
    });
    f.if(isZero(x), () => angle(HALF_PI));

    // The smaller over the greater.
    const across = normalised(f, x);
    const up = normalised(f, y);
    const steep = f.let(up.exponent.gtS(across.exponent).or(up.exponent.eq(across.exponent).and(up.significand.gtU(across.significand))));
    const least = { exponent: f.let(steep.select(across.exponent, up.exponent)), significand: f.let(steep.select(across.significand, up.significand)) };
    const most = { exponent: f.let(steep.select(up.exponent, across.exponent)), significand: f.let(steep.select(up.significand, across.significand)) };
    const distance = f.let(most.exponent.sub(least.exponent));

    // tan(a - b) = (t - c) / (1 + t c): the nearest c = i/8 leaves a rest of at most 1/16.
    const eighths = f.let32(0);
    const below = f.let32(0);
    const z: [Value, Value, Value] = [f.let32(0), f.let64(0), f.let64(0)];
    f.if(distance.leS(4), () => {
      const a: [Value, Value] = [f.let(least.significand.shrU(61)), f.let(least.significand.shl(3))]; // 8 times the smaller
      const b: [Value, Value] = [...f.call(wide.shiftLeft, i64(0n), most.significand, distance)];
      // Both get a bit more, so that half of the greater is exact. `others` grows to 8 b + i a.
      f.setAll(a, f.call(wide.shiftLeft, a[0], a[1], i32(1)));
      f.setAll(b, f.call(wide.shiftLeft, b[0], b[1], i32(1)));
      const half = f.call(wide.shiftRight, b[0], b[1], i32(1));
      const rest = addWide(f, a, half);
      const others: [Value, Value] = [...f.call(wide.shiftLeft, b[0], b[1], i32(3))];
      const single: [Value, Value] = [...f.call(wide.shiftRight, a[0], a[1], i32(3))];
      f.repeat(() => {
        const more = f.let(lessWide(rest, b).isZero());
        f.if(more, () => {
          f.setAll(rest, subtractWide(f, rest, b));
          f.setAll(others, addWide(f, others, single));
          f.set(eighths, eighths.add(1));
        });
        return more;
      });
      // rest = 8a - i b + b/2.
      f.set(below, lessWide(rest, half));
      const signed = subtractWide(f, rest, half);
      const opposite = subtractWide(f, half, rest);
      f.setAll(rest, [below.select(opposite[0], signed[0]), below.select(opposite[1], signed[1])]);
      f.if(rest[0].or(rest[1]).isNotZero(), () => {
        const [numeratorExponent, numeratorHigh, numeratorLow] = f.call(float.normalise, i32(BIAS), rest[0], rest[1]);
        const [denominatorExponent, denominatorHigh, denominatorLow] = f.call(float.normalise, i32(BIAS), others[0], others[1]);
        f.callInto(z, float.divide, numeratorExponent, numeratorHigh, numeratorLow, denominatorExponent, denominatorHigh, denominatorLow);
      });
    }, () => f.callInto(z, float.divide, least.exponent, least.significand, i64(0n), most.exponent, most.significand, i64(0n)));

    const result: [Value, Value, Value] = [f.let32(0), f.let64(0), f.let64(0)];
    const rest = { exponent: z[0], high: z[1], low: z[2] };
    const some = f.let(z[1].isNotZero());
    f.if(some, () => {
      const sum = series(f, float, terms(ARC_TERMS, (k) => BigInt(2 * k + 1)), square(f, rest), 'alternating');
      f.callInto(result, float.multiply, ...parts(rest), ...parts(sum));
    });
    ARC_TANGENTS.forEach((value, i) => {
      f.if(eighths.eq(i + 1), () => {
        f.if(some.isZero(), () => f.setAll(result, parts(wideConstant(value))), () => {
          f.if(below, () => f.callInto(result, float.subtract, ...parts(wideConstant(value)), ...result), () => f.callInto(result, float.add, ...parts(wideConstant(value)), ...result));
        });
      });
    });
    f.if(steep, () => f.callInto(result, float.subtract, ...parts(wideConstant(HALF_PI)), ...result));
    f.if(left, () => f.callInto(result, float.subtract, ...parts(wideConstant(PI)), ...result));
    returnInexact(f, rounding, sign, { exponent: result[0], high: result[1], low: result[2] }, control, flags);
  });

  return { sine: circular(0), cosine: circular(1), tangent, arcTangent };
}
