/** Instructions on the top of the stack: what stands between the register stack and the functions of one or two numbers (SDM vol. 1, sections 8.3.4 to 8.3.9). */
import { I32 } from '../wasm/code-writer.ts';
import * as state from '../cpu-state.ts';
import type { Arithmetic, BinaryFunction, UnaryFunction } from './arithmetic.ts';
import type { Comparison } from './comparison.ts';
import type { Conversion } from './conversion.ts';
import { BEFORE, C0, C1, C2, C3, defaultNan, IE, isNanOrUnsupported, SF, SIGN_BIT } from './format.ts';
import type { Float80 } from './format.ts';
import type { BuiltFunction, FunctionBuilder, FunctionLibrary } from './function-builder.ts';
import { ordinarySquareRoot } from './ordinary-arithmetic.ts';
import { controlOf, isEmptyRegister, readRegister, writeRegister } from './register-stack.ts';
import type { RegisterStack } from './register-stack.ts';
import type { Remainder } from './remainder.ts';
import { i32, i64 } from './value.ts';
import type { Value } from './value.ts';

/** (s) -> went through. */
export type TopFunction = BuiltFunction<readonly [typeof I32], readonly [typeof I32]>;

export interface TopFunctions {
  readonly squareRoot: TopFunction;
  readonly roundToInteger: TopFunction;
  readonly changeSign: TopFunction;
  readonly absolute: TopFunction;
  readonly test: TopFunction;
  readonly examine: TopFunction;
  /** ST(0) with ST(1). */
  readonly scale: TopFunction;
  readonly remainder: TopFunction;
  readonly nearestRemainder: TopFunction;
  readonly extract: TopFunction;
  /** (s, i, condition): ST(0) = ST(i) when the condition is not 0. */
  readonly copyFrom: BuiltFunction<readonly [typeof I32, typeof I32, typeof I32], readonly [typeof I32]>;
}

const CONDITIONS = C0 | C2 | C3;
const top = i32(0);
const second = i32(1);

export function setConditions(f: FunctionBuilder, s: Value, conditions: Value): void {
  f.store(s, state.X87_STATUS, s.load32(state.X87_STATUS).and(~CONDITIONS).or(conditions));
}

/** ST(0) = f(ST(0)); `first` writes a short way for some numbers. */
export function unaryOnTop(library: FunctionLibrary, stack: RegisterStack, compute: UnaryFunction, first: (f: FunctionBuilder, s: Value, x: Float80) => void = () => undefined): TopFunction {
  return library.function([I32], [I32], (f, s) => {
    f.ifSeldom(isEmptyRegister(s, top), () => f.returnCall(stack.finish, s, top, ...defaultNan(), i32(IE | SF)));
    const x = readRegister(f, s, top);
    first(f, s, x);
    f.returnCall(stack.finish, s, top, ...f.call(compute, x.significand, x.top, controlOf(s)));
  });
}

export function declareTopFunctions(
  library: FunctionLibrary, stack: RegisterStack, arithmetic: Arithmetic, conversion: Conversion, comparison: Comparison, exact: Remainder,
): TopFunctions {
  const underflow = (f: FunctionBuilder, s: Value): void => f.returnCall(stack.finish, s, top, ...defaultNan(), i32(IE | SF));

  const rootFirst = (f: FunctionBuilder, s: Value, x: Float80): void => ordinarySquareRoot(f, x, controlOf(s), (result, flags) => {
    writeRegister(f, s, top, result);
    f.store(s, state.X87_STATUS, s.load32(state.X87_STATUS).and(~C1).or(flags));
    f.return(i32(1));
  });
  const changeTop = (change: (word: Value) => Value): TopFunction => library.function([I32], [I32], (f, s) => {
    f.ifSeldom(isEmptyRegister(s, top), () => underflow(f, s));
    const x = readRegister(f, s, top);
    writeRegister(f, s, top, { significand: x.significand, top: change(x.top) });
    f.store(s, state.X87_STATUS, s.load32(state.X87_STATUS).and(~C1));
    f.return(i32(1));
  });
  const binary = (compute: BinaryFunction): TopFunction => library.function([I32], [I32], (f, s) => {
    f.if(isEmptyRegister(s, top).or(isEmptyRegister(s, second)), () => underflow(f, s));
    const a = readRegister(f, s, top);
    const b = readRegister(f, s, second);
    f.returnCall(stack.finish, s, top, ...f.call(compute, a.significand, a.top, b.significand, b.top, controlOf(s)));
  });
  /** The same for a function that gives condition codes. Without a quotient, C0 and C3 stay. */
  const remainder = (compute: BinaryFunction): TopFunction => library.function([I32], [I32], (f, s) => {
    f.store(s, state.X87_STATUS, s.load32(state.X87_STATUS).and(~C2));
    f.if(isEmptyRegister(s, top).or(isEmptyRegister(s, second)), () => underflow(f, s));
    const a = readRegister(f, s, top);
    const b = readRegister(f, s, second);
    const [significand, word, flags] = f.call(compute, a.significand, a.top, b.significand, b.top, controlOf(s));
    const [done] = f.call(stack.finish, s, top, significand, word, flags.and(~CONDITIONS));
    f.if(done.and(isNanOrUnsupported({ significand, top: word }).isZero()), () => setConditions(f, s, flags.and(CONDITIONS)));
    f.return(done);
  });

  const test = library.function([I32], [I32], (f, s) => {
    const [conditions] = f.call(stack.compareSource, s, i64(0n), i32(0), i32(0), i32(0));
    setConditions(f, s, conditions.and(CONDITIONS));
    f.return(conditions.and(C1));
  });
  const examine = library.function([I32], [I32], (f, s) => {
    const x = readRegister(f, s, top);
    const conditions = f.let(x.top.shrU(15).select(i32(C0 | C3 | C1), C0 | C3));
    f.if(isEmptyRegister(s, top).isZero(), () => f.callInto([conditions], comparison.examine, x.significand, x.top));
    f.store(s, state.X87_STATUS, s.load32(state.X87_STATUS).and(~(CONDITIONS | C1)).or(conditions));
    f.return(i32(1));
  });
  const extract = library.function([I32], [I32], (f, s) => {
    const flags = f.let32(0);
    const [nan, nanTop] = defaultNan();
    const [low, lowTop, high, highTop] = [f.let(nan), f.let(nanTop), f.let(nan), f.let(nanTop)];
    f.if(isEmptyRegister(s, top), () => f.set(flags, IE | SF), () => {
      f.if(isEmptyRegister(s, i32(7)).isZero(), () => f.set(flags, IE | SF | C1), () => {
        const x = readRegister(f, s, top);
        f.callInto([high, highTop, low, lowTop, flags], exact.extract, x.significand, x.top);
      });
    });
    const [done] = f.call(stack.signal, s, flags, i32(BEFORE));
    f.if(done, () => {
      writeRegister(f, s, top, { significand: low, top: lowTop });
      f.store(s, state.X87_TOP, s.load32(state.X87_TOP).sub(1).and(7));
      writeRegister(f, s, top, { significand: high, top: highTop });
    });
    f.return(done);
  });
  const copyFrom = library.function([I32, I32, I32], [I32], (f, s, index, condition) => {
    // An empty register is an error also when nothing is moved.
    f.if(isEmptyRegister(s, top).or(isEmptyRegister(s, index)), () => underflow(f, s));
    // C1 stays (FCMOVcc in SDM vol. 2 names it for the stack fault only).
    f.if(condition, () => writeRegister(f, s, top, readRegister(f, s, index)));
    f.return(i32(1));
  });

  return {
    squareRoot: unaryOnTop(library, stack, arithmetic.squareRoot, rootFirst), roundToInteger: unaryOnTop(library, stack, conversion.roundToInteger),
    changeSign: changeTop((word) => word.xor(SIGN_BIT)), absolute: changeTop((word) => word.and(SIGN_BIT - 1)),
    test, examine, scale: binary(exact.scale), remainder: remainder(exact.truncated), nearestRemainder: remainder(exact.nearest), extract, copyFrom,
  };
}
