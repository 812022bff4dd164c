/** Comparison and examination (SDM vol. 1, section 8.3.6; FCOM, FUCOM and FXAM in vol. 2). */
import { I32, I64 } from '../wasm/code-writer.ts';
import {
  C0, C1, C2, C3, exponentOf, float80, IE, isDenormal, isMaximum, isNan, isNanOrUnsupported, isSignalling, isUnsupported, isZero, SIGN_BIT, signOf,
} from './format.ts';
import type { BuiltFunction, FunctionLibrary } from './function-builder.ts';
import { i32 } from './value.ts';
import type { Value } from './value.ts';

export interface Comparison {
  /** (a, b, quiet: 1 when quiet NaNs are no error) -> condition codes and exceptions. */
  readonly compare: BuiltFunction<readonly [typeof I64, typeof I32, typeof I64, typeof I32, typeof I32], readonly [typeof I32]>;
  /** (a) -> condition codes of FXAM, of a register that is not empty. */
  readonly examine: BuiltFunction<readonly [typeof I64, typeof I32], readonly [typeof I32]>;
}

export function declareComparison(library: FunctionLibrary): Comparison {
  const compare = library.function([I64, I32, I64, I32, I32], [I32], (f, aSignificand, aTop, bSignificand, bTop, quiet) => {
    const a = float80(aSignificand, aTop);
    const b = float80(bSignificand, bTop);
    f.if(isNanOrUnsupported(a).or(isNanOrUnsupported(b)), () => {
      const silent = quiet.and(isUnsupported(a).or(isUnsupported(b)).or(isSignalling(a)).or(isSignalling(b)).isZero());
      f.return(silent.select(i32(C0 | C2 | C3), C0 | C2 | C3 | IE));
    });
    const flags = f.let(isDenormal(a).or(isDenormal(b)).shl(1)); // DE
    f.if(aSignificand.or(bSignificand).isZero(), () => f.return(i32(C3)));
    f.if(signOf(a).ne(signOf(b)), () => f.return(signOf(a).select(i32(C0), 0).or(flags)));
    // A pseudo-denormal is as great as a number of exponent 1.
    const effective = (x: Value, significand: Value): Value => x.and(SIGN_BIT - 1).or(x.and(SIGN_BIT - 1).isZero().and(significand.topBit()));
    const aExponent = f.let(effective(aTop, aSignificand));
    const bExponent = f.let(effective(bTop, bSignificand));
    const equal = aExponent.eq(bExponent);
    f.if(equal.and(aSignificand.eq(bSignificand)), () => f.return(flags.or(C3)));
    const less = aExponent.ltU(bExponent).or(equal.and(aSignificand.ltU(bSignificand)));
    f.return(flags.or(less.xor(signOf(a)).select(i32(C0), 0)));
  });

  const examine = library.function([I64, I32], [I32], (f, significand, top) => {
    const x = float80(significand, top);
    const sign = f.let(signOf(x).select(i32(C1), 0));
    f.if(isUnsupported(x), () => f.return(sign));
    f.if(isNan(x), () => f.return(sign.or(C0)));
    f.if(isMaximum(x), () => f.return(sign.or(C0 | C2)));
    f.if(isZero(x), () => f.return(sign.or(C3)));
    f.if(exponentOf(x).isZero(), () => f.return(sign.or(C2 | C3)));
    f.return(sign.or(C2));
  });

  return { compare, examine };
}
