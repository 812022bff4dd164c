/** Packed integer arithmetic, comparison, logic and packing of MMX, SSE2 and SSSE3 (SDM vol. 1, sections 9.4, 11.4.3 and 12.6). */
import type { Emit, EmitterTable } from '../emitter.ts';
import { X, Y, Z } from '../locals.ts';
import * as simd from '../wasm/simd-opcode.ts';
import { isMmx, packedBinary as binary } from './packed-operand.ts';

const LOW_HALVES = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23];
/** The upper 16 bits of each product of two words, from the vectors of low and high products. */
const UPPER_WORDS = [2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31];

/** One instruction that maps onto another. */
const direct = (opcode: number): Emit => binary((e) => { e.code.get(X).get(Y).simd(opcode).set(Z); });

const andNot: Emit = binary((e) => { e.code.get(Y).get(X).simd(simd.V128_ANDNOT).set(Z); });

const multiplyHigh = (low: number, high: number): Emit => binary((e) => {
  e.code.get(X).get(Y).simd(low).get(X).get(Y).simd(high).shuffle(UPPER_WORDS).set(Z);
});
const multiplyUnsignedDouble: Emit = binary((e) => {
  const { code } = e;
  const even = [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11];
  code.get(X).get(X).shuffle(even).get(Y).get(Y).shuffle(even).simd(simd.I64X2_EXTMUL_LOW_I32X4_U).set(Z);
});
const multiplySignedDouble: Emit = binary((e) => {
  const { code } = e;
  const even = [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11];
  code.get(X).get(X).shuffle(even).get(Y).get(Y).shuffle(even).simd(simd.I64X2_EXTMUL_LOW_I32X4_S).set(Z);
});
/** PSADBW: the sum of eight absolute differences in each half. */
const sumOfDifferences: Emit = binary((e) => {
  const { code } = e;
  code.get(X).get(Y).simd(simd.I8X16_SUB_SAT_U).get(Y).get(X).simd(simd.I8X16_SUB_SAT_U).simd(simd.V128_OR);
  code.simd(simd.I16X8_EXTADD_PAIRWISE_I8X16_U).simd(simd.I32X4_EXTADD_PAIRWISE_I16X8_U).tee(Z);
  code.const32(32).simd(simd.I64X2_SHR_U).get(Z).simd(simd.I64X2_ADD);
  code.constV128([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]).simd(simd.V128_AND).set(Z);
});
/** Packs the lanes of the destination, then those of the source, with saturation. */
const pack = (opcode: number): Emit => binary((e) => {
  const { code } = e;
  if (isMmx(e)) code.get(X).get(Y).shuffle(LOW_HALVES).tee(X).get(X);
  else code.get(X).get(Y);
  code.simd(opcode).set(Z);
});

/** PHADD and PHSUB: neighbours of the destination, then of the source. */
const horizontal = (opcode: number, laneBytes: 2 | 4): Emit => binary((e) => {
  const { code } = e;
  const lanes = (first: number): number[] => {
    const bytes: number[] = [];
    for (let pair = 0; pair < 16 / laneBytes; pair++) for (let b = 0; b < laneBytes; b++) bytes.push(pair * laneBytes * 2 + first + b);
    return bytes;
  };
  if (isMmx(e)) code.get(X).get(Y).shuffle(LOW_HALVES).tee(X).set(Y);
  code.get(X).get(Y).shuffle(lanes(0)).get(X).get(Y).shuffle(lanes(laneBytes)).simd(opcode).set(Z);
});
/** PMADDUBSW: unsigned bytes of the destination by signed bytes of the source, pairs added with saturation. */
const multiplyAddBytes: Emit = binary((e) => {
  const { code } = e;
  // Even bytes by shifting up and down again, odd bytes by shifting down.
  code.get(X).constV128([0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0]).simd(simd.V128_AND);
  code.get(Y).const32(8).simd(simd.I16X8_SHL).const32(8).simd(simd.I16X8_SHR_S).simd(simd.I16X8_MUL);
  code.get(X).const32(8).simd(simd.I16X8_SHR_U).get(Y).const32(8).simd(simd.I16X8_SHR_S).simd(simd.I16X8_MUL);
  code.simd(simd.I16X8_ADD_SAT_S).set(Z);
});
/** PMULHRSW: bits 15 to 30 of twice the rounded product; -1 times -1 wraps, which the WebAssembly instruction saturates. */
const multiplyRounded: Emit = binary((e) => {
  const { code } = e;
  const minimum = [0, 0x80, 0, 0x80, 0, 0x80, 0, 0x80, 0, 0x80, 0, 0x80, 0, 0x80, 0, 0x80];
  code.get(X).get(Y).simd(simd.I16X8_Q15MULR_SAT_S);
  code.get(X).get(Y).simd(simd.V128_AND).constV128(minimum).simd(simd.I16X8_EQ);
  code.get(X).get(Y).simd(simd.V128_OR).constV128(minimum).simd(simd.I16X8_EQ).simd(simd.V128_AND).simd(simd.V128_XOR).set(Z);
});
/** PSIGN: the destination by the sign of the source. */
const sign = (negate: number, less: number, equal: number): Emit => binary((e) => {
  const { code } = e;
  code.get(X).simd(negate).get(X).get(Y).constV128([]).simd(less).simd(simd.V128_BITSELECT);
  code.get(Y).constV128([]).simd(equal).simd(simd.V128_ANDNOT).set(Z);
});
const absolute = (opcode: number): Emit => binary((e) => { e.code.get(Y).simd(opcode).set(Z); });

const apart = (emit: Emit): { emit: Emit; apart: true } => ({ emit, apart: true });
const rare = (opcode: number): { emit: Emit; apart: true } => apart(direct(opcode));

export const SSE_INTEGER: EmitterTable = {
  paddb: rare(simd.I8X16_ADD),
  paddw: rare(simd.I16X8_ADD),
  paddd: rare(simd.I32X4_ADD),
  paddq: rare(simd.I64X2_ADD),
  paddsb: rare(simd.I8X16_ADD_SAT_S),
  paddsw: rare(simd.I16X8_ADD_SAT_S),
  paddusb: rare(simd.I8X16_ADD_SAT_U),
  paddusw: rare(simd.I16X8_ADD_SAT_U),
  psubb: rare(simd.I8X16_SUB),
  psubw: rare(simd.I16X8_SUB),
  psubd: rare(simd.I32X4_SUB),
  psubq: rare(simd.I64X2_SUB),
  psubsb: rare(simd.I8X16_SUB_SAT_S),
  psubsw: rare(simd.I16X8_SUB_SAT_S),
  psubusb: rare(simd.I8X16_SUB_SAT_U),
  psubusw: rare(simd.I16X8_SUB_SAT_U),
  pmullw: rare(simd.I16X8_MUL),
  pmulhw: apart(multiplyHigh(simd.I32X4_EXTMUL_LOW_I16X8_S, simd.I32X4_EXTMUL_HIGH_I16X8_S)),
  pmulhuw: apart(multiplyHigh(simd.I32X4_EXTMUL_LOW_I16X8_U, simd.I32X4_EXTMUL_HIGH_I16X8_U)),
  pmuludq: apart(multiplyUnsignedDouble),
  pmaddwd: rare(simd.I32X4_DOT_I16X8_S),
  psadbw: apart(sumOfDifferences),
  pavgb: rare(simd.I8X16_AVGR_U),
  pavgw: rare(simd.I16X8_AVGR_U),
  pminub: rare(simd.I8X16_MIN_U),
  pmaxub: rare(simd.I8X16_MAX_U),
  pminsw: rare(simd.I16X8_MIN_S),
  pmaxsw: rare(simd.I16X8_MAX_S),
  pcmpeqb: rare(simd.I8X16_EQ),
  pcmpeqw: rare(simd.I16X8_EQ),
  pcmpeqd: rare(simd.I32X4_EQ),
  pcmpgtb: rare(simd.I8X16_GT_S),
  pcmpgtw: rare(simd.I16X8_GT_S),
  pcmpgtd: rare(simd.I32X4_GT_S),
  pand: rare(simd.V128_AND),
  pandn: apart(andNot),
  por: rare(simd.V128_OR),
  pxor: { emit: direct(simd.V128_XOR) },
  andps: rare(simd.V128_AND),
  andpd: rare(simd.V128_AND),
  andnps: apart(andNot),
  andnpd: apart(andNot),
  orps: rare(simd.V128_OR),
  orpd: rare(simd.V128_OR),
  xorps: { emit: direct(simd.V128_XOR) },
  xorpd: rare(simd.V128_XOR),
  packsswb: apart(pack(simd.I8X16_NARROW_I16X8_S)),
  packuswb: apart(pack(simd.I8X16_NARROW_I16X8_U)),
  packssdw: apart(pack(simd.I16X8_NARROW_I32X4_S)),
  // SSSE3
  phaddw: apart(horizontal(simd.I16X8_ADD, 2)),
  phaddd: apart(horizontal(simd.I32X4_ADD, 4)),
  phaddsw: apart(horizontal(simd.I16X8_ADD_SAT_S, 2)),
  phsubw: apart(horizontal(simd.I16X8_SUB, 2)),
  phsubd: apart(horizontal(simd.I32X4_SUB, 4)),
  phsubsw: apart(horizontal(simd.I16X8_SUB_SAT_S, 2)),
  pmaddubsw: apart(multiplyAddBytes),
  pmulhrsw: apart(multiplyRounded),
  psignb: apart(sign(simd.I8X16_NEG, simd.I8X16_LT_S, simd.I8X16_EQ)),
  psignw: apart(sign(simd.I16X8_NEG, simd.I16X8_LT_S, simd.I16X8_EQ)),
  psignd: apart(sign(simd.I32X4_NEG, simd.I32X4_LT_S, simd.I32X4_EQ)),
  pabsb: apart(absolute(simd.I8X16_ABS)),
  pabsw: apart(absolute(simd.I16X8_ABS)),
  pabsd: apart(absolute(simd.I32X4_ABS)),
  // SSE4.1 and SSE4.2
  packusdw: apart(pack(simd.I16X8_NARROW_I32X4_U)),
  pmuldq: apart(multiplySignedDouble),
  pmulld: rare(simd.I32X4_MUL),
  pminsb: rare(simd.I8X16_MIN_S),
  pmaxsb: rare(simd.I8X16_MAX_S),
  pminuw: rare(simd.I16X8_MIN_U),
  pmaxuw: rare(simd.I16X8_MAX_U),
  pminsd: rare(simd.I32X4_MIN_S),
  pmaxsd: rare(simd.I32X4_MAX_S),
  pminud: rare(simd.I32X4_MIN_U),
  pmaxud: rare(simd.I32X4_MAX_U),
  pcmpeqq: rare(simd.I64X2_EQ),
  pcmpgtq: rare(simd.I64X2_GT_S),
};
