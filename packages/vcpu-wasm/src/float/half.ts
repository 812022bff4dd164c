/** Conversions to and from half precision, of F16C (SDM vol. 1, section 14.4). */
import type { CodeWriter } from '../wasm/code-writer.ts';
import { I32, I64 } from '../wasm/code-writer.ts';
import type { ModuleWriter, Signature } from '../wasm/module-writer.ts';
import * as state from '../cpu-state.ts';
import { HALF, MXCSR_DAZ, MXCSR_FTZ, MXCSR_IE, MXCSR_ROUNDING_SHIFT, SINGLE } from './float-format.ts';
import type { HalfFunctions } from './float-functions.ts';
import { defineRound } from './float-rounding.ts';
import { FLOAT_FLAGS } from './float-value.ts';
import { defineConvert } from './soft-float.ts';

const S = 0, A = 1;

/** Answers what writes the bodies. */
export function declareHalf(module: ModuleWriter, code: CodeWriter, { toHalf, fromHalf }: HalfFunctions, roundSingle: number): () => void {
  const unary: Signature = { parameters: [I32, I64], results: [I64] };
  const narrow = module.declare(unary);
  const widen = module.declare(unary);
  const round = module.declare({ parameters: [I32, I64, I32, I64], results: [I64] });
  return () => {
    defineRound(module, code, HALF, round);
    defineConvert(module, code, SINGLE, HALF, narrow, round);
    defineConvert(module, code, HALF, SINGLE, widen, roundSingle);
    defineToHalf(module, code, toHalf, narrow);
    defineFromHalf(module, code, fromHalf, widen);
  };
}

/** The rounding is the immediate's, unless its bit 2 asks for MXCSR's, and tiny results are never flushed. */
function defineToHalf(module: ModuleWriter, code: CodeWriter, index: number, narrow: number): void {
  const IMMEDIATE = 2, SAVED = 3;
  const FROM_MXCSR = 4;
  code.reset();
  code.get(S).load32(state.MXCSR).set(SAVED);
  code.get(S).get(SAVED).const32(~(MXCSR_FTZ | (3 << MXCSR_ROUNDING_SHIFT))).and32();
  code.get(SAVED).const32(MXCSR_ROUNDING_SHIFT).shrU32().get(IMMEDIATE).get(IMMEDIATE).const32(FROM_MXCSR).and32().select().const32(3).and32().const32(MXCSR_ROUNDING_SHIFT).shl32();
  code.or32().store32(state.MXCSR);
  code.get(S).get(A).call(narrow).get(S).get(SAVED).store32(state.MXCSR);
  module.define(index, [I32], code);
}

/** Every half is a normal single or zero: denormals are neither made zero nor noted. */
function defineFromHalf(module: ModuleWriter, code: CodeWriter, index: number, widen: number): void {
  const SAVED = 2;
  code.reset();
  code.get(S).load32(state.MXCSR).set(SAVED).get(S).get(SAVED).const32(~MXCSR_DAZ).and32().store32(state.MXCSR);
  code.get(S).get(A).call(widen).get(S).get(SAVED).store32(state.MXCSR);
  code.get(S).get(S).load32(FLOAT_FLAGS).const32(MXCSR_IE).and32().store32(FLOAT_FLAGS);
  module.define(index, [I32], code);
}
