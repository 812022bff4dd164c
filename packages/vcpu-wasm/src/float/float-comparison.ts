/** What comparing raises, and operands as DAZ sees them, for all lanes of a vector (SDM vol. 1, sections 4.9.1.1 and 10.2.3.4). */
import type { CodeWriter } from '../wasm/code-writer.ts';
import { V128 } from '../wasm/code-writer.ts';
import type { ModuleWriter } from '../wasm/module-writer.ts';
import * as simd from '../wasm/simd-opcode.ts';
import * as state from '../cpu-state.ts';
import { MXCSR_DAZ, MXCSR_DE, MXCSR_IE, pushLanes } from './float-format.ts';
import type { FloatFormat } from './float-format.ts';
import { FLOAT_FLAGS } from './float-value.ts';
import { pushExtraordinary } from './ordinary-number.ts';

const S = 0, A = 1, B = 2;

export function defineFlush(module: ModuleWriter, code: CodeWriter, of: FloatFormat, index: number): void {
  const V = 1;
  code.reset();
  code.get(S).load32(state.MXCSR).const32(MXCSR_DAZ).and32().eqz32();
  code.if();
  code.get(V).return();
  code.end();
  // Lanes with exponent field 0 keep their sign only.
  code.get(V);
  pushLanes(code, of, of.sign);
  code.get(V);
  pushLanes(code, of, of.infinity);
  code.simd(simd.V128_AND).constV128([]).simd(of.bytes === 4 ? simd.I32X4_NE : simd.I64X2_NE);
  code.simd(simd.V128_OR).simd(simd.V128_AND);
  module.define(index, [], code);
}

export function defineCompare(module: ModuleWriter, code: CodeWriter, of: FloatFormat, index: number): void {
  const INVALID_QUIET = 3, T = 4, NAN_A = 5, NAN_B = 6;
  const single = of.bytes === 4;
  const note = (flag: number): void => {
    code.if();
    code.get(S).get(S).load32(FLOAT_FLAGS).const32(flag).or32().store32(FLOAT_FLAGS);
    code.end();
  };
  const isNan = (x: number): void => { code.get(x).get(x).simd(single ? simd.F32X4_NE : simd.F64X2_NE); };
  const isQuiet = (x: number): void => {
    code.get(x);
    pushLanes(code, of, of.quiet);
    code.simd(simd.V128_AND).constV128([]).simd(single ? simd.I32X4_NE : simd.I64X2_NE);
  };
  const isDenormal = (x: number): void => {
    code.get(x);
    pushLanes(code, of, of.infinity);
    code.simd(simd.V128_AND).constV128([]).simd(single ? simd.I32X4_EQ : simd.I64X2_EQ);
    code.get(x);
    pushLanes(code, of, of.fraction);
    code.simd(simd.V128_AND).constV128([]).simd(single ? simd.I32X4_NE : simd.I64X2_NE).simd(simd.V128_AND);
  };
  code.reset();
  pushExtraordinary(code, of, A, T);
  pushExtraordinary(code, of, B, T);
  code.simd(simd.V128_OR).simd(simd.V128_ANY_TRUE).eqz32();
  code.if();
  code.return();
  code.end();
  isNan(A);
  code.set(NAN_A);
  isNan(B);
  code.set(NAN_B);
  code.get(INVALID_QUIET);
  code.if(V128);
  code.get(NAN_A).get(NAN_B).simd(simd.V128_OR);
  code.else();
  code.get(NAN_A);
  isQuiet(A);
  code.simd(simd.V128_ANDNOT).get(NAN_B);
  isQuiet(B);
  code.simd(simd.V128_ANDNOT).simd(simd.V128_OR);
  code.end();
  code.simd(simd.V128_ANY_TRUE);
  note(MXCSR_IE);
  // A lane with a NaN does not look at the other operand.
  isDenormal(A);
  isDenormal(B);
  code.simd(simd.V128_OR).get(NAN_A).get(NAN_B).simd(simd.V128_OR).simd(simd.V128_ANDNOT).simd(simd.V128_ANY_TRUE);
  code.get(S).load32(state.MXCSR).const32(MXCSR_DAZ).and32().eqz32().and32();
  note(MXCSR_DE);
  module.define(index, [V128, V128, V128], code);
}
