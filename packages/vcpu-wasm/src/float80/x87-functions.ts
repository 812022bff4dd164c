/** All x87 functions of the engine module, which instruction emitters call. */
import type { CodeWriter } from '../wasm/code-writer.ts';
import type { ModuleWriter } from '../wasm/module-writer.ts';
import { declareArithmetic } from './arithmetic.ts';
import type { Arithmetic } from './arithmetic.ts';
import { declareComparison } from './comparison.ts';
import type { Comparison } from './comparison.ts';
import { declareConversion } from './conversion.ts';
import type { Conversion } from './conversion.ts';
import { declareEnvironment } from './environment.ts';
import type { Environment } from './environment.ts';
import { FunctionLibrary } from './function-builder.ts';
import { declareRegisterStack } from './register-stack.ts';
import type { RegisterStack } from './register-stack.ts';
import { declareLogarithm } from './logarithm.ts';
import { declareRemainder } from './remainder.ts';
import { declareRounding } from './rounding.ts';
import { declareTopFunctions } from './top-functions.ts';
import type { TopFunctions } from './top-functions.ts';
import { declareTranscendentalFunctions } from './transcendental-functions.ts';
import type { TranscendentalFunctions } from './transcendental-functions.ts';
import { declareTrigonometric } from './trigonometric.ts';
import { declareWideFloat } from './wide-float.ts';
import { declareWideInteger } from './wide-integer.ts';

export interface X87Functions {
  readonly arithmetic: Arithmetic;
  readonly conversion: Conversion;
  readonly comparison: Comparison;
  readonly stack: RegisterStack;
  readonly environment: Environment;
  readonly top: TopFunctions;
  readonly transcendental: TranscendentalFunctions;
}
export interface DeclaredX87 extends X87Functions {
  /** Writes the bodies. */
  define(code: CodeWriter): void;
}

export function declareX87(module: ModuleWriter): DeclaredX87 {
  const library = new FunctionLibrary(module);
  const wide = declareWideInteger(library);
  const rounding = declareRounding(library, wide);
  const arithmetic = declareArithmetic(library, wide, rounding);
  const conversion = declareConversion(library, wide, rounding);
  const comparison = declareComparison(library);
  const stack = declareRegisterStack(library, arithmetic, comparison);
  const environment = declareEnvironment(library);
  const remainder = declareRemainder(library, wide, rounding, arithmetic, conversion.fromInteger);
  const top = declareTopFunctions(library, stack, arithmetic, conversion, comparison, remainder);
  const wideFloat = declareWideFloat(library, wide);
  const trigonometric = declareTrigonometric(library, wide, wideFloat, rounding, arithmetic);
  const logarithm = declareLogarithm(library, wide, wideFloat, rounding, arithmetic);
  const transcendental = declareTranscendentalFunctions(library, stack, arithmetic, logarithm, trigonometric);
  return { arithmetic, conversion, comparison, stack, environment, top, transcendental, define: (code) => library.define(code) };
}
