/** FPREM, FPREM1, FSCALE and FXTRACT: exact operations on exponents and remainders (SDM vol. 2). */
import { I32, I64 } from '../wasm/code-writer.ts';
import type { Arithmetic, BinaryFunction } from './arithmetic.ts';
import type { Conversion } from './conversion.ts';
import {
  BIAS, C2, defaultNan, denormalFlag, exponentOf, float80, IE, infinity, isInfinite, isMaximum, isNanOrUnsupported, isZero, normalised, PRECISION_MASK,
  signOf, ZE, zero,
} from './format.ts';
import type { Float80 } from './format.ts';
import type { BuiltFunction, FunctionBuilder, FunctionLibrary } from './function-builder.ts';
import type { Rounding } from './rounding.ts';
import { i32, i64 } from './value.ts';
import type { Value } from './value.ts';
import type { WideInteger } from './wide-integer.ts';

export interface Remainder {
  /** (a, b, control) -> remainder, with the condition codes: the quotient rounded to zero, or to nearest. */
  readonly truncated: BinaryFunction;
  readonly nearest: BinaryFunction;
  /** (a, b, control) -> a * 2^b. */
  readonly scale: BinaryFunction;
  /** (a) -> significand as a number, exponent as a number, status bits. */
  readonly extract: BuiltFunction<readonly [typeof I64, typeof I32], readonly [typeof I64, typeof I32, typeof I64, typeof I32, typeof I32]>;
}

/** No exponent difference that matters is greater. */
const GREATEST_SCALE = 0x1_0000;

export function declareRemainder(
  library: FunctionLibrary, wide: WideInteger, rounding: Rounding, arithmetic: Arithmetic, fromInteger: Conversion['fromInteger'],
): Remainder {
  const nanFirst = (f: FunctionBuilder, a: Float80, b: Float80): void => {
    f.if(isNanOrUnsupported(a).or(isNanOrUnsupported(b)), () => f.returnCall(arithmetic.selectNan, a.significand, a.top, b.significand, b.top));
  };
  const invalid = (f: FunctionBuilder): void => f.return(...defaultNan(), i32(IE));
  /** The result is exact, whatever the precision control says. */
  const fullPrecision = (control: Value): Value => control.or(PRECISION_MASK);

  const remainder = (nearest: boolean): BinaryFunction => library.function([I64, I32, I64, I32, I32], [I64, I32, I32], (f, aSignificand, aTop, bSignificand, bTop, control) => {
    const a = float80(aSignificand, aTop);
    const b = float80(bSignificand, bTop);
    nanFirst(f, a, b);
    f.if(isInfinite(a).or(isZero(b)), () => invalid(f));
    const flags = f.let(denormalFlag(a).or(denormalFlag(b)));
    f.if(isZero(a).or(isInfinite(b)), () => {
      f.if(isZero(a), () => f.return(aSignificand, aTop, flags));
      const x = normalised(f, a);
      const [significand, top, more] = f.call(rounding.pack, x.sign, x.exponent, x.significand, i64(0n), fullPrecision(control));
      f.return(significand, top, flags.or(more));
    });
    const x = normalised(f, a);
    const y = normalised(f, b);
    const distance = f.let(x.exponent.sub(y.exponent));
    const rest = f.let(x.significand);
    const exponent = f.let(x.exponent);
    const quotient = f.let64(0);
    const step = f.let(distance);
    f.if(distance.geS(64), () => {
      // Part of the way: 32 to 63 bits of the quotient, so that the rest of the distance is a multiple of 32.
      f.set(step, distance.and(31).or(32));
    });
    f.if(distance.geS(0), () => {
      f.set(exponent, x.exponent.sub(step));
      f.if(rest.geU(y.significand), () => {
        f.set(rest, rest.sub(y.significand));
        f.set(quotient, i64(1n).shl(step)); // of 64 bits only the lowest three matter
      });
      f.if(step.isNotZero(), () => {
        const [more, left] = f.call(wide.divide, rest.shrU(i32(64).sub(step)), rest.shl(step), y.significand);
        f.set(rest, left);
        f.or(quotient, more);
      });
    });
    const sign = f.let(x.sign);
    f.if(distance.geS(64), () => f.or(flags, C2), () => {
      if (nearest) {
        f.if(distance.geS(0), () => {
          // rest against half the divisor; an even quotient wins a tie.
          const other = f.let(y.significand.sub(rest));
          f.if(rest.gtU(other).or(rest.eq(other).and(quotient.and(1).isNotZero())), () => {
            f.set(rest, other);
            f.set(quotient, quotient.add(1));
            f.set(sign, sign.xor(1));
          });
        });
        f.if(distance.eq(-1).and(rest.gtU(y.significand)), () => {
          // More than half of the divisor: b - a, which has 64 bits at the exponent of a.
          f.set(rest, y.significand.sub(rest).add(y.significand));
          f.set(quotient, 1);
          f.set(sign, sign.xor(1));
        });
      }
      const bit = (number: number): Value => quotient.shrU(number).wrap().and(1);
      f.or(flags, bit(0).shl(9).or(bit(1).shl(14)).or(bit(2).shl(8)));
    });
    f.if(rest.isZero(), () => f.return(...zero(x.sign), flags));
    const [significand, top, more] = f.call(rounding.normaliseAndPack, sign, exponent, rest, i64(0n), fullPrecision(control));
    f.return(significand, top, flags.or(more));
  });

  const scale = library.function([I64, I32, I64, I32, I32], [I64, I32, I32], (f, aSignificand, aTop, bSignificand, bTop, control) => {
    const a = float80(aSignificand, aTop);
    const b = float80(bSignificand, bTop);
    nanFirst(f, a, b);
    const flags = f.let(denormalFlag(a).or(denormalFlag(b)));
    const sign = f.let(signOf(a));
    f.if(isInfinite(b), () => {
      f.if(signOf(b), () => {
        f.if(isInfinite(a), () => invalid(f));
        f.return(...zero(sign), flags);
      });
      f.if(isZero(a), () => invalid(f));
      f.return(...infinity(sign), flags);
    });
    f.if(isMaximum(a).or(isZero(a)), () => f.return(aSignificand, aTop, flags));
    const x = normalised(f, a);
    // b rounded to zero; every exponent from 2^16 on does the same.
    const power = f.let32(0);
    f.if(exponentOf(b).geS(BIAS + 16), () => f.set(power, GREATEST_SCALE), () => {
      f.if(exponentOf(b).geS(BIAS), () => f.set(power, bSignificand.shrU(i32(BIAS + 63).sub(exponentOf(b))).wrap()));
    });
    f.if(signOf(b), () => f.set(power, power.negate()));
    const [significand, top, more] = f.call(rounding.pack, x.sign, x.exponent.add(power), x.significand, i64(0n), fullPrecision(control));
    f.return(significand, top, flags.or(more));
  });

  const extract = library.function([I64, I32], [I64, I32, I64, I32, I32], (f, significand, top) => {
    const a = float80(significand, top);
    f.if(isNanOrUnsupported(a), () => {
      const [nan, nanTop, flags] = f.call(arithmetic.selectNan, significand, top, i64(0n), i32(0));
      f.return(nan, nanTop, nan, nanTop, flags);
    });
    f.if(isInfinite(a), () => f.return(significand, top, ...infinity(i32(0)), i32(0)));
    f.if(isZero(a), () => f.return(significand, top, ...infinity(i32(1)), i32(ZE)));
    const flags = f.let(denormalFlag(a));
    const x = normalised(f, a);
    const [exponent, exponentTop] = f.call(fromInteger, x.exponent.sub(BIAS).extendS());
    f.return(x.significand, x.sign.shl(15).or(BIAS), exponent, exponentTop, flags);
  });

  return { truncated: remainder(false), nearest: remainder(true), scale, extract };
}
