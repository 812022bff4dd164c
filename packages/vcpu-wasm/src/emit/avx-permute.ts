/** Permutations, shifts by many counts and tests of AVX and AVX2 (SDM vol. 1, sections 14.1 and 14.7). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, LOWER_RESULT, R, UPPER_OPERAND, W, X, Y, Z } from '../locals.ts';
import * as simd from '../wasm/simd-opcode.ts';
import { pushImmediateBits } from './avx-move.ts';
import { packedBinary, packedUnary, readHalves, writeHalves } from './packed-operand.ts';
import { chooseDoubles, shuffleDoubleWords } from './sse-shuffle.ts';
import { blend, test } from './sse4.ts';

const bytes = (of: (at: number) => number): number[] => Array.from({ length: 16 }, (_, at) => of(at));

/** Takes a vector of element numbers below 256 / `size`, one in the low byte of each element, and pushes the numbers of their bytes. */
function spreadIndices(e: Emitter, size: 4 | 8): void {
  const { code } = e;
  const all = bytes(() => size);
  code.constV128(all).simd(size === 4 ? simd.I32X4_MUL : simd.I64X2_MUL).constV128(bytes((at) => at % size)).simd(simd.I8X16_ADD);
}
/** VPERMILPS and VPERMILPD with indices in a register: within each half. */
const permuteByVector = (size: 4 | 8): Emit => packedBinary((e) => {
  const { code } = e;
  code.get(X).get(Y);
  // Bits 0 and 1 of each doubleword, bit 1 of each quadword.
  if (size === 8) code.const32(1).simd(simd.I64X2_SHR_U);
  code.constV128(bytes((at) => (at % size === 0 ? 16 / size - 1 : 0))).simd(simd.V128_AND);
  spreadIndices(e, size);
  code.simd(simd.I8X16_SWIZZLE).set(Z);
});
const permuteDoublesByImmediate: Emit = packedUnary((e, upper) => {
  e.code.get(Y).set(X);
  chooseDoubles(e, upper);
});
/** Of two instructions with one name, that with an immediate and that without. */
const byForm = (immediate: Emit, vector: Emit): Emit => (e) => {
  const isImmediate = e.form.operands[2]?.letter === 'I';
  (isImmediate ? immediate : vector)(e);
};
/** Takes the numbers of bytes in 32, pushes these bytes of Y and UPPER_OPERAND. */
function gatherBytes(e: Emitter): void {
  const { code } = e;
  // An index outside 0 to 15 gives zero, so the two parts can be joined.
  code.set(W).get(Y).get(W).simd(simd.I8X16_SWIZZLE).get(UPPER_OPERAND).get(W).const32(16).simd(simd.I8X16_SPLAT).simd(simd.I8X16_SUB).simd(simd.I8X16_SWIZZLE).simd(simd.V128_OR);
}
/** VPERMD and VPERMPS: the first source says which doubleword of all eight. */
const permuteAcross: Emit = (e) => {
  const { code } = e;
  e.requireSse();
  readHalves(e, 1, Y, UPPER_OPERAND);
  readHalves(e, 0, X, Z);
  for (const [from, into] of [[X, LOWER_RESULT], [Z, Z]] as const) {
    code.get(from).constV128(bytes((at) => (at % 4 === 0 ? 7 : 0))).simd(simd.V128_AND);
    spreadIndices(e, 4);
    gatherBytes(e);
    code.set(into);
  }
  writeHalves(e);
};
/** VPERMQ and VPERMPD: two bits of the immediate for each quadword. */
const permuteQuads: Emit = (e) => {
  const { code } = e;
  e.requireSse();
  readHalves(e, 1, Y, UPPER_OPERAND);
  for (const [first, into] of [[0, LOWER_RESULT], [4, Z]] as const) {
    for (const shift of [first, first + 2]) {
      pushImmediateBits(e, shift, 3);
      code.const32(8).mul32().simd(simd.I8X16_SPLAT);
    }
    code.shuffle(bytes((at) => (at < 8 ? at : at + 16))).constV128(bytes((at) => at % 8)).simd(simd.I8X16_ADD);
    gatherBytes(e);
    code.set(into);
  }
  writeHalves(e);
};
/** Each element by its own count, which may be beyond its width. */
const shiftEach = (size: 4 | 8, shift: (e: Emitter) => void, signed = false): Emit => packedBinary((e) => {
  const { code } = e;
  const [extract, replace] = size === 4 ? [simd.I32X4_EXTRACT_LANE, simd.I32X4_REPLACE_LANE] : [simd.I64X2_EXTRACT_LANE, simd.I64X2_REPLACE_LANE];
  const bits = size * 8;
  for (let lane = 0; lane < 16 / size; lane++) {
    code.get(X).lane(extract, lane);
    if (size === 4) {
      if (signed) code.extendS();
      else code.extendU();
    }
    code.set(A).get(Y).lane(extract, lane);
    if (size === 4) code.extendU();
    code.set(B);
    if (signed) {
      code.get(A).get(B).const(bits - 1).get(B).const(bits).ltU().select();
      shift(e);
    } else {
      code.get(A).get(B);
      shift(e);
      code.const(0).get(B).const(bits).ltU().select();
    }
    code.set(R).get(Z).get(R);
    if (size === 4) code.wrap();
    code.lane(replace, lane).set(Z);
  }
});
const signBits = (size: 4 | 8): number[] => bytes((at) => (at % size === size - 1 ? 0x80 : 0));

const apart = (emit: Emit): { emit: Emit; apart: true } => ({ emit, apart: true });

export const AVX_PERMUTE: EmitterTable = {
  vpermilps: apart(byForm(shuffleDoubleWords, permuteByVector(4))),
  vpermilpd: apart(byForm(permuteDoublesByImmediate, permuteByVector(8))),
  vpermd: apart(permuteAcross),
  vpermps: apart(permuteAcross),
  vpermq: apart(permuteQuads),
  vpermpd: apart(permuteQuads),
  vpblendd: apart(blend(4)),
  vpsllvd: apart(shiftEach(4, (e) => { e.code.shl(); })),
  vpsllvq: apart(shiftEach(8, (e) => { e.code.shl(); })),
  vpsrlvd: apart(shiftEach(4, (e) => { e.code.shrU(); })),
  vpsrlvq: apart(shiftEach(8, (e) => { e.code.shrU(); })),
  vpsravd: apart(shiftEach(4, (e) => { e.code.shrS(); }, true)),
  vtestps: apart(test(signBits(4))),
  vtestpd: apart(test(signBits(8))),
};
