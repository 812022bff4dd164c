/**
 * When the host's own arithmetic may be used: operands and result are neither denormal, infinite nor NaN, and MXCSR is in
 * the state in which such an operation can raise nothing new (SDM vol. 1, section 4.9).
 */
import type { CodeWriter } from '../wasm/code-writer.ts';
import * as simd from '../wasm/simd-opcode.ts';
import * as state from '../cpu-state.ts';
import { MXCSR_PLAIN, MXCSR_PLAIN_MASK, pushConstant, pushLanes } from './float-format.ts';
import type { FloatFormat } from './float-format.ts';

const I32_REINTERPRET = 0xbc, I64_REINTERPRET = 0xbd, F32_REINTERPRET = 0xbe, F64_REINTERPRET = 0xbf;

const S = 0;

/** Takes a bit pattern in i64, pushes the number. */
export function pushAsFloat(code: CodeWriter, of: FloatFormat): void {
  if (of.bytes === 4) code.wrap().plain(F32_REINTERPRET);
  else code.plain(F64_REINTERPRET);
}

export function pushAsBits(code: CodeWriter, of: FloatFormat): void {
  if (of.bytes === 4) code.plain(I32_REINTERPRET).extendU();
  else code.plain(I64_REINTERPRET);
}

/** Pushes whether MXCSR is in the state in which ordinary results need no care. */
export function pushIsPlain(code: CodeWriter): void {
  code.get(S).load32(state.MXCSR).const32(MXCSR_PLAIN_MASK).and32().const32(MXCSR_PLAIN).eq32();
}

/** The smallest normal number is none of them: as a rounded result it may come from a number that was too small. */
export const smallestOrdinary = (of: FloatFormat): bigint => of.fraction + 2n;

/** Pushes whether bit pattern x is neither denormal, infinite nor a NaN; zero is `zero` (i32 0 or 1). */
export function pushIsOrdinary(code: CodeWriter, of: FloatFormat, x: number, zero: boolean): void {
  const magnitude = (): void => {
    code.get(x);
    pushConstant(code, of.sign - 1n);
    code.and();
  };
  const smallest = smallestOrdinary(of);
  magnitude();
  pushConstant(code, smallest);
  code.sub();
  pushConstant(code, of.infinity - smallest);
  code.ltU();
  if (!zero) return;
  magnitude();
  code.eqz().or32();
}

/** Pushes a vector that is not zero in the lanes of x that are denormal, infinite or NaN. */
export function pushExtraordinary(code: CodeWriter, of: FloatFormat, x: number, scratch: number): void {
  const single = of.bytes === 4;
  const smallest = smallestOrdinary(of);
  code.get(x);
  pushLanes(code, of, of.sign - 1n);
  code.simd(simd.V128_AND).set(scratch);
  if (single) {
    code.get(scratch);
    pushLanes(code, of, smallest);
    code.simd(simd.I32X4_SUB);
    pushLanes(code, of, of.infinity - smallest);
    code.simd(simd.I32X4_GE_U);
  } else {
    // Magnitudes have no sign bit, so signed comparisons serve.
    code.get(scratch);
    pushLanes(code, of, smallest);
    code.simd(simd.I64X2_LT_S).get(scratch);
    pushLanes(code, of, of.infinity);
    code.simd(simd.I64X2_GE_S).simd(simd.V128_OR);
  }
  code.get(scratch).constV128([]).simd(single ? simd.I32X4_NE : simd.I64X2_NE).simd(simd.V128_AND);
}
