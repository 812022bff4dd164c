/** The transcendental instructions on the register stack: special operands, range, the second result (SDM vol. 1, sections 8.3.7 to 8.3.11). */
import { I32 } from '../wasm/code-writer.ts';
import * as state from '../cpu-state.ts';
import type { Arithmetic, BinaryFunction } from './arithmetic.ts';
import {
  BEFORE, BIAS, C1, C2, defaultNan, exponentOf, float80, IE, INTEGER_BIT, isInfinite, isNanOrUnsupported, isZero, SF,
} from './format.ts';
import type { Float80 } from './format.ts';
import type { FunctionBuilder, FunctionLibrary } from './function-builder.ts';
import type { Logarithm } from './logarithm.ts';
import { controlOf, isEmptyRegister, readRegister, writeRegister } from './register-stack.ts';
import type { RegisterStack } from './register-stack.ts';
import { unaryOnTop } from './top-functions.ts';
import type { TopFunction } from './top-functions.ts';
import type { PlainFunction, Trigonometric } from './trigonometric.ts';
import { i32, i64 } from './value.ts';
import type { Value } from './value.ts';

export interface TranscendentalFunctions {
  readonly exponential: TopFunction;
  /** Into ST(1), then a pop. */
  readonly logarithm: TopFunction;
  readonly logarithmOfSuccessor: TopFunction;
  readonly arcTangent: TopFunction;
  readonly sine: TopFunction;
  readonly cosine: TopFunction;
  /** These push a second result. */
  readonly sineAndCosine: TopFunction;
  readonly tangent: TopFunction;
}

const top = i32(0);
const second = i32(1);
/** Angles from 2^63 on are not reduced. */
const RANGE_EXPONENT = BIAS + 63;

interface Numbers { readonly significand: Value; readonly word: Value }

export function declareTranscendentalFunctions(
  library: FunctionLibrary, stack: RegisterStack, arithmetic: Arithmetic, logarithms: Logarithm, angles: Trigonometric,
): TranscendentalFunctions {
  const intoSecond = (compute: BinaryFunction): TopFunction => library.function([I32], [I32], (f, s) => {
    const [nan, nanTop] = defaultNan();
    const result: [Value, Value, Value] = [f.let(nan), f.let(nanTop), f.let32(IE | SF)];
    f.if(isEmptyRegister(s, top).or(isEmptyRegister(s, second)).isZero(), () => {
      const x = readRegister(f, s, top);
      const y = readRegister(f, s, second);
      f.callInto(result, compute, x.significand, x.top, y.significand, y.top, controlOf(s));
    });
    const [done] = f.call(stack.finish, s, second, ...result);
    f.if(done, () => { f.call(stack.pop, s); });
    f.return(done);
  });

  /** Leaves the function with C2 set when the angle is too great. */
  const checkRange = (f: FunctionBuilder, s: Value, x: Float80): void => {
    f.if(exponentOf(x).geU(RANGE_EXPONENT).and(isInfinite(x).isZero()), () => {
      f.store(s, state.X87_STATUS, s.load32(state.X87_STATUS).and(~C1).or(C2));
      f.return(i32(0));
    });
  };
  const set = (f: FunctionBuilder, target: Numbers, [significand, word]: readonly [Value, Value]): void => f.setAll([target.significand, target.word], [significand, word]);

  /** Angle functions with one or two results; `pushed` is 1 where it is not a function. */
  const ofAngle = (replace: PlainFunction, pushed: PlainFunction | 'one' | 'nothing', atZero: 'zero' | 'one'): TopFunction => library.function([I32], [I32], (f, s) => {
    const one = (): [Value, Value] => [i64(INTEGER_BIT), i32(BIAS)];
    const first: Numbers = { significand: f.let64(0), word: f.let32(0) };
    const last: Numbers = { significand: f.let64(0), word: f.let32(0) };
    const flags = f.let32(0);
    const both = (significand: Value, word: Value, status: Value): void => {
      set(f, first, [significand, word]);
      set(f, last, [significand, word]);
      f.set(flags, status);
    };
    const compute = (): void => {
      const x = readRegister(f, s, top);
      f.if(isNanOrUnsupported(x), () => {
        both(...f.call(arithmetic.selectNan, x.significand, x.top, i64(0n), i32(0)));
      }, () => {
        checkRange(f, s, x);
        f.if(isInfinite(x), () => both(...defaultNan(), i32(IE)), () => {
          f.if(isZero(x), () => {
            set(f, first, atZero === 'zero' ? [x.significand, x.top] : one());
            set(f, last, one());
          }, () => {
            f.callInto([first.significand, first.word, flags], replace, x.significand, x.top, controlOf(s));
            if (pushed === 'one') set(f, last, one());
            else if (pushed !== 'nothing') {
              const more = f.let32(0);
              f.callInto([last.significand, last.word, more], pushed, x.significand, x.top, controlOf(s));
              f.set(flags, flags.and(~C1).or(more));
            }
          });
        });
      });
    };
    f.store(s, state.X87_STATUS, s.load32(state.X87_STATUS).and(~C2));
    f.if(isEmptyRegister(s, top), () => both(...defaultNan(), i32(IE | SF)), () => {
      if (pushed === 'nothing') compute();
      else f.if(isEmptyRegister(s, i32(7)).isZero(), () => both(...defaultNan(), i32(IE | SF | C1)), compute);
    });
    const [done] = f.call(stack.signal, s, flags, i32(BEFORE));
    f.if(done, () => {
      writeRegister(f, s, top, float80(first.significand, first.word));
      if (pushed !== 'nothing') {
        f.store(s, state.X87_TOP, s.load32(state.X87_TOP).sub(1).and(7));
        writeRegister(f, s, top, float80(last.significand, last.word));
      }
    });
    f.return(done);
  });

  return {
    exponential: unaryOnTop(library, stack, logarithms.exponential),
    logarithm: intoSecond(logarithms.logarithm), logarithmOfSuccessor: intoSecond(logarithms.logarithmOfSuccessor), arcTangent: intoSecond(angles.arcTangent),
    sine: ofAngle(angles.sine, 'nothing', 'zero'), cosine: ofAngle(angles.cosine, 'nothing', 'one'),
    sineAndCosine: ofAngle(angles.sine, angles.cosine, 'zero'), tangent: ofAngle(angles.tangent, 'one', 'zero'),
  };
}
