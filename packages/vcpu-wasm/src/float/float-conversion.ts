/** Conversions to integers and between the formats, by the host where that is exact or MXCSR asks for nothing special. */
import type { CodeWriter } from '../wasm/code-writer.ts';
import { F64, I32, I64 } from '../wasm/code-writer.ts';
import type { ModuleWriter } from '../wasm/module-writer.ts';
import * as state from '../cpu-state.ts';
import { DOUBLE, MXCSR_DAZ, MXCSR_IE, MXCSR_PE, MXCSR_ROUNDING_SHIFT, SINGLE } from './float-format.ts';
import type { FloatFormat } from './float-format.ts';
import { FLOAT_FLAGS } from './float-value.ts';
import { pushAsBits, pushAsFloat, pushIsOrdinary, pushIsPlain } from './ordinary-number.ts';

const F64_CEIL = 0x9b, F64_FLOOR = 0x9c, F64_TRUNC = 0x9d, F64_NEAREST = 0x9e, F64_ABS = 0x99;
const F64_LT = 0x63, F64_GE = 0x66, F64_NE = 0x62;
const I64_TRUNC_SAT_F64_S = 6;
const F64_PROMOTE = 0xbb, F32_DEMOTE = 0xb6, F64_REINTERPRET = 0xbf;

const S = 0, A = 1;

export function defineToInteger(module: ModuleWriter, code: CodeWriter, of: FloatFormat, index: number): void {
  const TRUNCATE = 2, WIDE = 3, VALUE = 4, ROUNDED = 5, MODE = 6;
  const note = (flag: number): void => { code.get(S).get(S).load32(FLOAT_FLAGS).const32(flag).or32().store32(FLOAT_FLAGS); };
  const constF64 = (value: number): void => {
    const bits = new DataView(new ArrayBuffer(8));
    bits.setFloat64(0, value);
    code.const64(bits.getInt32(4), bits.getInt32(0)).plain(F64_REINTERPRET);
  };
  code.reset();
  code.get(A);
  pushAsFloat(code, of);
  if (of.bytes === 4) code.plain(F64_PROMOTE);
  code.set(VALUE);
  code.get(S).load32(state.MXCSR).const32(MXCSR_DAZ).and32();
  code.if();
  code.get(VALUE).plain(F64_ABS);
  constF64(of.bytes === 4 ? 2 ** -126 : 2 ** -1022);
  code.plain(F64_LT);
  code.if();
  constF64(0);
  code.set(VALUE);
  code.end();
  code.end();
  code.const32(3).get(S).load32(state.MXCSR).const32(MXCSR_ROUNDING_SHIFT).shrU32().const32(3).and32().get(TRUNCATE).select().set(MODE);
  const rounded = code.block();
  const toZero = code.block();
  const up = code.block();
  const down = code.block();
  const nearest = code.block();
  code.get(MODE).brTable([nearest, down, up], toZero);
  for (const instruction of [F64_NEAREST, F64_FLOOR, F64_CEIL, F64_TRUNC]) {
    code.end();
    code.get(VALUE).plain(instruction).set(ROUNDED);
    if (instruction !== F64_TRUNC) code.br(rounded);
  }
  code.end();
  code.get(ROUNDED);
  constF64(-(2 ** 63));
  constF64(-(2 ** 31));
  code.get(WIDE).select().plain(F64_GE);
  code.get(ROUNDED);
  constF64(2 ** 63);
  constF64(2 ** 31);
  code.get(WIDE).select().plain(F64_LT).and32().eqz32();
  code.if();
  note(MXCSR_IE);
  code.const64(0, -0x8000_0000).const64(-0x8000_0000, 0).get(WIDE).select().return();
  code.end();
  code.get(ROUNDED).get(VALUE).plain(F64_NE);
  code.if();
  note(MXCSR_PE);
  code.end();
  code.get(ROUNDED).misc(I64_TRUNC_SAT_F64_S);
  module.define(index, [F64, F64, I32], code);
}

/** Conversion to the narrower format where host arithmetic will do. */
export function defineFromOther(module: ModuleWriter, code: CodeWriter, of: FloatFormat, index: number, soft: number): void {
  const RESULT = 2;
  const from = of === SINGLE ? DOUBLE : SINGLE;
  code.reset();
  const careful = code.block();
  if (of === SINGLE) {
    pushIsPlain(code);
    code.eqz32().brIf(careful);
  }
  // Widening is exact whatever MXCSR says, as long as the operand is ordinary.
  pushIsOrdinary(code, from, A, of === DOUBLE);
  code.eqz32().brIf(careful);
  code.get(A);
  pushAsFloat(code, from);
  code.plain(of === SINGLE ? F32_DEMOTE : F64_PROMOTE);
  pushAsBits(code, of);
  code.set(RESULT);
  pushIsOrdinary(code, of, RESULT, of === DOUBLE);
  code.eqz32().brIf(careful);
  code.get(RESULT).return();
  code.end();
  code.get(S).get(A).call(soft);
  module.define(index, [I64], code);
}
