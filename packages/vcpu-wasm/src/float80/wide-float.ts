/** Floating point with 128 bits, cut off and not rounded: what the transcendental functions compute in. */
import { I32, I64 } from '../wasm/code-writer.ts';
import type { WideConstant } from './constants.ts';
import { BIAS } from './format.ts';
import type { BuiltFunction, FunctionBuilder, FunctionLibrary } from './function-builder.ts';
import { i32, i64 } from './value.ts';
import type { Value } from './value.ts';
import { addWide, lessWide, subtractWide } from './wide-integer.ts';
import type { Wide, WideInteger } from './wide-integer.ts';

/** A positive number: the top bit of `high` is set, the exponent is biased as in the extended format. */
export interface WideFloat { readonly exponent: Value; readonly high: Value; readonly low: Value }

type Parts = readonly [typeof I32, typeof I64, typeof I64];
type Binary = BuiltFunction<readonly [...Parts, ...Parts], Parts>;

export interface WideFloatFunctions {
  /** (a, b), fractions of 128 bits -> their product, at most three units of the last place too small. */
  readonly multiplyFractions: BuiltFunction<readonly [...Wide, ...Wide], Wide>;
  /** (exponent, high, low), not 0 -> normalised. */
  readonly normalise: BuiltFunction<Parts, Parts>;
  readonly multiply: Binary;
  readonly divide: Binary;
  /** a must not be less than b. */
  readonly add: Binary;
  readonly subtract: Binary;
}

const MASK_64 = (1n << 64n) - 1n;

export const wideConstant = ({ exponent, significand }: WideConstant): WideFloat => ({
  exponent: i32(BIAS + exponent), high: i64(significand >> 64n), low: i64(significand & MASK_64),
});
export const parts = (x: WideFloat): [Value, Value, Value] => [x.exponent, x.high, x.low];
export function callWide(f: FunctionBuilder, callee: Binary, a: WideFloat, b: WideFloat): WideFloat {
  const [exponent, high, low] = f.call(callee, ...parts(a), ...parts(b));
  return { exponent, high, low };
}

export function declareWideFloat(library: FunctionLibrary, wide: WideInteger): WideFloatFunctions {
  const multiplyFractions = library.function([I64, I64, I64, I64], [I64, I64], (f, aHigh, aLow, bHigh, bLow) => {
    const [high, low] = f.call(wide.multiply, aHigh, bHigh);
    const [cross] = f.call(wide.multiply, aHigh, bLow);
    const [other] = f.call(wide.multiply, aLow, bHigh);
    f.add(low, cross);
    f.add(high, low.ltU(cross).extendU());
    f.add(low, other);
    f.return(high.add(low.ltU(other).extendU()), low);
  });

  const normalise = library.function([I32, I64, I64], [I32, I64, I64], (f, exponent, high, low) => {
    f.if(high.isZero(), () => {
      f.set(high, low);
      f.set(low, 0);
      f.add(exponent, -64);
    });
    const shift = f.let(high.clz().wrap());
    f.callInto([high, low], wide.shiftLeft, high, low, shift);
    f.return(exponent.sub(shift), high, low);
  });

  const multiply = library.function([I32, I64, I64, I32, I64, I64], [I32, I64, I64], (f, aExponent, aHigh, aLow, bExponent, bHigh, bLow) => {
    const [high, low] = f.call(multiplyFractions, aHigh, aLow, bHigh, bLow);
    f.returnCall(normalise, aExponent.add(bExponent).sub(BIAS - 1), high, low);
  });

  const divide = library.function([I32, I64, I64, I32, I64, I64], [I32, I64, I64], (f, aExponent, aHigh, aLow, bExponent, bHigh, bLow) => {
    const exponent = f.let(aExponent.sub(bExponent).add(BIAS));
    const a: [Value, Value] = [aHigh, aLow];
    const b: [Value, Value] = [bHigh, bLow];
    const quotient: [Value, Value] = [f.let64(0), f.let64(0)];
    const carry = f.let32(0);
    const turns = f.let32(128);
    // One bit a turn; the first is the integer bit, so that a quotient below 1 is normalised afterwards.
    f.times(turns, () => {
      f.set(quotient[0], quotient[0].shl(1).or(quotient[1].shrU(63)));
      f.set(quotient[1], quotient[1].shl(1));
      f.if(carry.or(lessWide(a, b).isZero()), () => {
        const [high, low] = subtractWide(f, a, b);
        f.setAll([aHigh, aLow], [high, low]);
        f.or(quotient[1], 1);
      });
      f.set(carry, aHigh.topBit());
      f.set(aHigh, aHigh.shl(1).or(aLow.shrU(63)));
      f.set(aLow, aLow.shl(1));
    });
    f.returnCall(normalise, exponent, quotient[0], quotient[1]);
  });

  const sum = (subtract: boolean): Binary => library.function([I32, I64, I64, I32, I64, I64], [I32, I64, I64], (f, aExponent, aHigh, aLow, bExponent, bHigh, bLow) => {
    const shifted = f.call(wide.shiftRight, bHigh, bLow, aExponent.sub(bExponent));
    if (subtract) {
      const [high, low] = subtractWide(f, [aHigh, aLow], shifted);
      f.returnCall(normalise, aExponent, high, low);
      return;
    }
    const [high, low] = addWide(f, [aHigh, aLow], shifted);
    f.if(lessWide([high, low], shifted), () => {
      f.return(aExponent.add(1), high.shrU(1).or(i64(1n << 63n)), high.shl(63).or(low.shrU(1)));
    });
    f.return(aExponent, high, low);
  });

  return { multiplyFractions, normalise, multiply, divide, add: sum(false), subtract: sum(true) };
}

/** The fraction of 128 bits of a number below 1. */
export function fractionOf(f: FunctionBuilder, wide: WideInteger, x: WideFloat): [Value, Value] {
  const [high, low] = f.call(wide.shiftRight, x.high, x.low, i32(BIAS - 1).sub(x.exponent));
  return [high, low];
}

/** Unity in the scale of a series. */
export const SERIES_ONE: bigint = 1n << 127n;

/**
 * Sums coefficient[k] * t^k by Horner's rule for a fraction t; coefficients are scaled by 2^127. Each step adds, or subtracts
 * where the signs of the terms alternate. The leading 1 is taken one unit too small, so that a sum below 1 never reaches it.
 */
export function series(f: FunctionBuilder, wideFloat: WideFloatFunctions, coefficients: readonly bigint[], t: readonly [Value, Value], signs: 'same' | 'alternating'): WideFloat {
  const last = coefficients.length - 1;
  const constant = (k: number): [Value, Value] => {
    const value = (coefficients[k] as bigint) - (k === 0 && signs === 'alternating' ? 1n : 0n);
    return [i64(value >> 64n), i64(value & MASK_64)];
  };
  const [startHigh, startLow] = constant(last);
  const sum: [Value, Value] = [f.let(startHigh), f.let(startLow)];
  const product: [Value, Value] = [f.let64(0), f.let64(0)];
  for (let k = last - 1; k >= 0; k--) {
    f.callInto(product, wideFloat.multiplyFractions, sum[0], sum[1], t[0], t[1]);
    const next = signs === 'same' ? addWide(f, product, constant(k)) : subtractWide(f, constant(k), product);
    f.setAll(sum, next);
  }
  const [exponent, high, low] = f.call(wideFloat.normalise, i32(BIAS), sum[0], sum[1]);
  return { exponent, high, low };
}
