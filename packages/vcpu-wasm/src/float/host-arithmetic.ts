/**
 * The host's own arithmetic in place, for operands and results that ask for no care.
 *
 * With MXCSR plain (ordinary-number.ts) there is nothing to note but DE, for a denormal operand, and what an infinite, NaN or
 * tiny result stands for. Infinite and NaN operands show in the result: none of the five operations makes an ordinary number
 * of them. Sums, differences and roots are never tiny and inexact at once, so of their results only the size counts.
 */
import type { CodeWriter, Label } from '../wasm/code-writer.ts';
import * as simd from '../wasm/simd-opcode.ts';
import { pushConstant, pushLanes } from './float-format.ts';
import type { FloatFormat } from './float-format.ts';
import type { SoftOperation } from './float-functions.ts';
import { pushAsBits, pushAsFloat, pushIsPlain, smallestOrdinary } from './ordinary-number.ts';

/** WebAssembly instructions of each operation: on scalars, then on vectors. */
const INSTRUCTIONS: Readonly<Record<4 | 8, Readonly<Record<SoftOperation, readonly [number, number]>>>> = {
  4: { sqrt: [0x91, simd.F32X4_SQRT], add: [0x92, simd.F32X4_ADD], sub: [0x93, simd.F32X4_SUB], mul: [0x94, simd.F32X4_MUL], div: [0x95, simd.F32X4_DIV] },
  8: { sqrt: [0x9f, simd.F64X2_SQRT], add: [0xa0, simd.F64X2_ADD], sub: [0xa1, simd.F64X2_SUB], mul: [0xa2, simd.F64X2_MUL], div: [0xa3, simd.F64X2_DIV] },
};

const mayUnderflow = (operation: SoftOperation): boolean => operation === 'mul' || operation === 'div';

/** Pushes twice the magnitude of bit pattern x, in the bits of the format: the sign falls out at the top. */
function pushTwice(code: CodeWriter, of: FloatFormat, x: number): void {
  if (of.bytes === 4) code.get(x).wrap().const32(1).shl32().extendU();
  else code.get(x).const(1).shl();
}
/** Pushes whether x is denormal. */
export function pushIsDenormal(code: CodeWriter, of: FloatFormat, x: number): void {
  pushTwice(code, of, x);
  code.const(1).sub();
  pushConstant(code, of.fraction * 2n);
  code.ltU();
}

/** Sets `result` to a `operation` b (of the square root, of a), all bit patterns in i64, or branches to `careful`. */
export function hostScalar(code: CodeWriter, of: FloatFormat, operation: SoftOperation, a: number, b: number, result: number, careful: Label): void {
  pushIsPlain(code);
  code.eqz32();
  pushIsDenormal(code, of, a);
  code.or32();
  if (operation !== 'sqrt') {
    pushIsDenormal(code, of, b);
    code.or32();
  }
  code.brIf(careful);
  code.get(a);
  pushAsFloat(code, of);
  if (operation !== 'sqrt') {
    code.get(b);
    pushAsFloat(code, of);
  }
  code.plain(INSTRUCTIONS[of.bytes][operation][0]);
  pushAsBits(code, of);
  code.set(result);
  pushTwice(code, of, result);
  const least = mayUnderflow(operation) ? smallestOrdinary(of) : 0n;
  if (least !== 0n) {
    pushConstant(code, least * 2n);
    code.sub();
  }
  pushConstant(code, (of.infinity - least) * 2n);
  code.geU().brIf(careful);
}

/** The same for all lanes of v128 locals; `scratch` is one more. */
export function hostLanes(code: CodeWriter, of: FloatFormat, operation: SoftOperation, a: number, b: number, result: number, scratch: number, careful: Label): void {
  const single = of.bytes === 4;
  const absolute = single ? simd.F32X4_ABS : simd.F64X2_ABS;
  const less = single ? simd.F32X4_LT : simd.F64X2_LT;
  const pushIsZero = (x: number): void => { code.get(x).constV128([]).simd(single ? simd.F32X4_EQ : simd.F64X2_EQ); };
  const pushDenormals = (x: number): void => {
    pushIsZero(x);
    code.get(x).simd(absolute);
    pushLanes(code, of, of.fraction + 1n);
    // Not zero, yet below the smallest normal number.
    code.simd(less).simd(simd.V128_XOR);
  };
  pushIsPlain(code);
  code.eqz32().brIf(careful);
  code.get(a);
  if (operation !== 'sqrt') code.get(b);
  code.simd(INSTRUCTIONS[of.bytes][operation][1]).tee(result).simd(absolute).tee(scratch);
  pushLanes(code, of, of.infinity);
  code.simd(less).simd(simd.V128_NOT);
  pushDenormals(a);
  code.simd(simd.V128_OR);
  if (operation !== 'sqrt') {
    pushDenormals(b);
    code.simd(simd.V128_OR);
  }
  if (mayUnderflow(operation)) {
    // A zero that no zero operand explains was too small too.
    code.get(scratch);
    pushLanes(code, of, smallestOrdinary(of));
    code.simd(less);
    pushIsZero(a);
    pushIsZero(b);
    code.simd(simd.V128_OR);
    pushIsZero(result);
    code.simd(simd.V128_AND).simd(simd.V128_ANDNOT).simd(simd.V128_OR);
  }
  code.simd(simd.V128_ANY_TRUE).brIf(careful);
}
