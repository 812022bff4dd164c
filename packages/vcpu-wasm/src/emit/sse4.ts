/** SSE4.1 and the parts of SSE4.2 that need no string comparison: blending, widening, rounding, single elements, tests, CRC (SDM vol. 1, sections 12.8 to 12.11). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, K, LOWER_RESULT, N, P, R, S, T, U, W, X, Y, Z } from '../locals.ts';
import type { FloatFormat } from '../float/float-format.ts';
import { DOUBLE, MXCSR_IE, MXCSR_PE, MXCSR_ROUNDING_SHIFT, pushLanes, SINGLE } from '../float/float-format.ts';
import { FLOAT_FLAGS } from '../float/float-value.ts';
import { V128 } from '../wasm/code-writer.ts';
import * as simd from '../wasm/simd-opcode.ts';
import * as state from '../cpu-state.ts';
import * as uop from '../uop.ts';
import { clearFlags, commit, functionsOf, readAlone } from './float-operand.ts';
import { eachHalf, packed, packedBinary, packedUnary, readPacked, FIRST, SECOND, writeHalves, writePacked, writeScalar } from './packed-operand.ts';

function immediate(e: Emitter): void { e.code.get(U).load8U32(uop.UOP_IMMEDIATE); }
/** A vector of numbers, one a lane. */
const lanes = (bytes: number, value: (lane: number) => number): number[] =>
  Array.from({ length: 16 }, (_, i) => (i % bytes < 4 ? (value(Math.floor(i / bytes)) >> ((i % bytes) * 8)) & 0xff : 0));

/** PBLENDW, BLENDPS, BLENDPD: the source where the immediate has a bit; the words of the upper half have the same bits. */
export const blend = (bytes: 2 | 4 | 8): Emit => packedBinary((e, upper) => {
  const { code } = e;
  const [splat, equal] = bytes === 2 ? [simd.I16X8_SPLAT, simd.I16X8_EQ] : bytes === 4 ? [simd.I32X4_SPLAT, simd.I32X4_EQ] : [simd.I64X2_SPLAT, simd.I64X2_EQ];
  code.get(Y).get(X);
  immediate(e);
  if (upper && bytes > 2) code.const32(16 / bytes).shrU32();
  if (bytes === 8) code.extendU();
  code.simd(splat).constV128(lanes(bytes, (lane) => 1 << lane)).simd(simd.V128_AND).constV128(lanes(bytes, (lane) => 1 << lane)).simd(equal);
  code.simd(simd.V128_BITSELECT).set(Z);
});
/** PBLENDVB, BLENDVPS, BLENDVPD: the source where the sign in xmm0, or in the register that VEX forms name, is set. */
const blendBySign = (shift: number, by: number): Emit => packed([SECOND, FIRST, [2, W]], (e) => {
  e.code.get(Y).get(X).get(W).const32(by).simd(shift).simd(simd.V128_BITSELECT).set(Z);
});
/** PMOVSX and PMOVZX. */
const widen = (...steps: readonly number[]): Emit => (e) => {
  const { code } = e;
  e.requireSse();
  readPacked(e, 1);
  code.set(Y);
  if (e.wide) {
    code.get(Y);
    for (const step of steps) code.simd(step);
    code.set(LOWER_RESULT);
    // The upper half comes from the elements behind those.
    const used = 16 >> steps.length;
    code.get(Y).get(Y).shuffle(lanes(1, (lane) => (lane + used) % 16)).set(Y);
  }
  code.get(Y);
  for (const step of steps) code.simd(step);
  code.set(Z);
  writeHalves(e);
};
/** ZF when the sources share no bit, CF when the second has none that the first lacks; only bits of `mask`, where there is one, count. */
export const test = (mask: readonly number[] | null): Emit => (e) => {
  const { code } = e;
  e.requireSse();
  code.constV128([]).tee(Z).set(W);
  eachHalf(e, [SECOND, FIRST], () => {
    if (mask !== null) code.get(Y).constV128(mask).simd(simd.V128_AND).set(Y);
    code.get(X).get(Y).simd(simd.V128_AND).get(Z).simd(simd.V128_OR).set(Z).get(Y).get(X).simd(simd.V128_ANDNOT).get(W).simd(simd.V128_OR).set(W);
  });
  code.get(Z).simd(simd.V128_ANY_TRUE).eqz32().const32(6).shl32();
  code.get(W).simd(simd.V128_ANY_TRUE).eqz32().or32();
  e.setArithmeticFlags();
};

/** Z = Y rounded as the immediate or MXCSR says; notes flags. */
function round(e: Emitter, of: FloatFormat): void {
  const { code } = e;
  const single = of === SINGLE;
  const { flush } = functionsOf(e, of);
  const [nearest, floor, ceil, trunc] = single
    ? [simd.F32X4_NEAREST, simd.F32X4_FLOOR, simd.F32X4_CEIL, simd.F32X4_TRUNC] : [simd.F64X2_NEAREST, simd.F64X2_FLOOR, simd.F64X2_CEIL, simd.F64X2_TRUNC];
  const FROM_MXCSR = 4, KEEP_EXACT_FLAG = 8;
  immediate(e);
  code.set(N);
  code.get(S).load32(state.MXCSR).const32(MXCSR_ROUNDING_SHIFT).shrU32().get(N).get(N).const32(FROM_MXCSR).and32().select().const32(3).and32().set(K);
  code.get(S).get(Y).call(flush).set(Y);
  const choose = (mode: number, opcode: number, otherwise: () => void): void => {
    code.get(K).const32(mode).eq32();
    code.if(V128);
    code.get(Y).simd(opcode);
    code.else();
    otherwise();
    code.end();
  };
  choose(0, nearest, () => choose(1, floor, () => choose(2, ceil, () => code.get(Y).simd(trunc))));
  code.set(Z);
  // NaNs pass, made quiet.
  code.get(Y).get(Y).simd(single ? simd.F32X4_NE : simd.F64X2_NE).set(W);
  code.get(Y);
  pushLanes(code, of, of.quiet);
  code.simd(simd.V128_OR).get(Z).get(W).simd(simd.V128_BITSELECT).set(Z);
  code.get(S).get(S).load32(FLOAT_FLAGS);
  code.get(Z).get(Y).simd(single ? simd.F32X4_NE : simd.F64X2_NE).get(W).simd(simd.V128_ANDNOT).simd(simd.V128_ANY_TRUE).const32(MXCSR_PE).mul32();
  code.const32(0).get(N).const32(KEEP_EXACT_FLAG).and32().eqz32().select().or32();
  code.get(Z).get(Y).simd(simd.V128_XOR).get(W).simd(simd.V128_AND).simd(simd.V128_ANY_TRUE).const32(MXCSR_IE).mul32().or32();
  code.store32(FLOAT_FLAGS);
}
const roundPacked = (of: FloatFormat): Emit => (e) => {
  e.requireSse();
  clearFlags(e);
  eachHalf(e, [SECOND], () => round(e, of));
  commit(e);
  writeHalves(e);
};
const roundScalar = (of: FloatFormat): Emit => (e) => {
  const { code } = e;
  e.requireSse();
  readAlone(e, 1);
  code.set(Y);
  clearFlags(e);
  round(e, of);
  commit(e);
  code.get(Z).lane(simd.I64X2_EXTRACT_LANE, 0).set(R);
  writeScalar(e, R);
};

/** PEXTRB, PEXTRD, PEXTRQ, EXTRACTPS: the element that the immediate names comes down to lane 0. */
const extract = (fixedBytes: 1 | 4 | null): Emit => (e) => {
  const { code } = e;
  const bytes = fixedBytes ?? e.bytes(0);
  e.requireSse();
  readPacked(e, 1);
  immediate(e);
  code.const32(16 / bytes - 1).and32().const32(bytes).mul32().simd(simd.I8X16_SPLAT).constV128(lanes(1, (lane) => lane)).simd(simd.I8X16_ADD).simd(simd.I8X16_SWIZZLE);
  code.lane(simd.I64X2_EXTRACT_LANE, 0);
  if (bytes < 8) code.zeroExtend(bytes);
  code.set(R);
  e.write(0, R);
};
/** PINSRB, PINSRD, PINSRQ. */
const insert = (fixedBytes: 1 | null): Emit => (e) => {
  const { code } = e;
  const bytes = fixedBytes ?? e.bytes(e.source(1));
  e.requireSse();
  e.read(e.source(1));
  code.set(A);
  readPacked(e, 0);
  code.set(X);
  immediate(e);
  code.const32(16 / bytes - 1).and32().set(P);
  const number = lanes(bytes, (lane) => lane);
  if (bytes === 1) code.get(A).wrap().simd(simd.I8X16_SPLAT).get(X).constV128(number).get(P).simd(simd.I8X16_SPLAT).simd(simd.I8X16_EQ);
  else if (bytes === 4) code.get(A).wrap().simd(simd.I32X4_SPLAT).get(X).constV128(number).get(P).simd(simd.I32X4_SPLAT).simd(simd.I32X4_EQ);
  else code.get(A).simd(simd.I64X2_SPLAT).get(X).constV128(number).get(P).extendU().simd(simd.I64X2_SPLAT).simd(simd.I64X2_EQ);
  code.simd(simd.V128_BITSELECT).set(Z);
  writePacked(e, 0, Z);
};
/** INSERTPS: bits 7-6 choose the source element of a register, 5-4 the place, 3-0 what becomes zero. */
const insertSingle: Emit = packedBinary((e) => {
  const { code } = e;
  immediate(e);
  code.set(N);
  code.get(Y);
  if (e.isMemory(e.source(1))) code.constV128(lanes(1, (lane) => lane % 4));
  else code.get(N).const32(6).shrU32().const32(2).shl32().simd(simd.I8X16_SPLAT).constV128(lanes(1, (lane) => lane % 4)).simd(simd.I8X16_ADD);
  code.simd(simd.I8X16_SWIZZLE).get(X);
  code.constV128(lanes(4, (lane) => lane)).get(N).const32(4).shrU32().const32(3).and32().simd(simd.I32X4_SPLAT).simd(simd.I32X4_EQ).simd(simd.V128_BITSELECT);
  code.get(N).simd(simd.I32X4_SPLAT).constV128(lanes(4, (lane) => 1 << lane)).simd(simd.V128_AND).constV128([]).simd(simd.I32X4_EQ).simd(simd.V128_AND).set(Z);
});
/** PHMINPOSUW: the smallest word and where it first stands. */
const smallestWord: Emit = packedUnary((e) => {
  const { code } = e;
  code.const(-1).set(T);
  for (let lane = 0; lane < 8; lane++) {
    // Value above position, so that the unsigned minimum finds both.
    code.get(Y).lane(simd.I16X8_EXTRACT_LANE_U, lane).extendU().const(8).shl().const(lane).or().tee(A).get(T).get(A).get(T).ltU().select().set(T);
  }
  code.constV128([]).get(T).const(8).shrU().get(T).const(7).and().const(16).shl().or().lane(simd.I64X2_REPLACE_LANE, 0).set(Z);
});
/** CRC32 with the Castagnoli polynomial, reflected. */
const crc: Emit = (e) => {
  const { code } = e;
  e.read(1);
  code.set(B);
  e.read(0);
  // A CRC of 32 bits takes in at most 32 bits at a time.
  code.zeroExtend(4).get(B).zeroExtend(4).xor().set(A);
  const steps = (count: number): void => {
    code.const32(count).set(N);
    const loop = code.loop();
    code.get(A).const(1).shrU().const(0).get(A).const(1).and().sub().const64(-0x7d09_c488, 0).and().xor().set(A);
    code.get(N).const32(1).sub32().tee(N).brIf(loop);
    code.end();
  };
  const bits = e.bytes(1) * 8;
  steps(Math.min(bits, 32));
  if (bits === 64) {
    code.get(A).get(B).const(32).shrU().xor().set(A);
    steps(32);
  }
  e.write(0, A);
};

const apart = (emit: Emit): { emit: Emit; apart: true } => ({ emit, apart: true });

export const SSE4: EmitterTable = {
  pblendw: apart(blend(2)),
  blendps: apart(blend(4)),
  blendpd: apart(blend(8)),
  pblendvb: apart(blendBySign(simd.I8X16_SHR_S, 7)),
  blendvps: apart(blendBySign(simd.I32X4_SHR_S, 31)),
  blendvpd: apart(blendBySign(simd.I64X2_SHR_S, 63)),
  pmovsxbw: apart(widen(simd.I16X8_EXTEND_LOW_I8X16_S)),
  pmovsxbd: apart(widen(simd.I16X8_EXTEND_LOW_I8X16_S, simd.I32X4_EXTEND_LOW_I16X8_S)),
  pmovsxbq: apart(widen(simd.I16X8_EXTEND_LOW_I8X16_S, simd.I32X4_EXTEND_LOW_I16X8_S, simd.I64X2_EXTEND_LOW_I32X4_S)),
  pmovsxwd: apart(widen(simd.I32X4_EXTEND_LOW_I16X8_S)),
  pmovsxwq: apart(widen(simd.I32X4_EXTEND_LOW_I16X8_S, simd.I64X2_EXTEND_LOW_I32X4_S)),
  pmovsxdq: apart(widen(simd.I64X2_EXTEND_LOW_I32X4_S)),
  pmovzxbw: apart(widen(simd.I16X8_EXTEND_LOW_I8X16_U)),
  pmovzxbd: apart(widen(simd.I16X8_EXTEND_LOW_I8X16_U, simd.I32X4_EXTEND_LOW_I16X8_U)),
  pmovzxbq: apart(widen(simd.I16X8_EXTEND_LOW_I8X16_U, simd.I32X4_EXTEND_LOW_I16X8_U, simd.I64X2_EXTEND_LOW_I32X4_U)),
  pmovzxwd: apart(widen(simd.I32X4_EXTEND_LOW_I16X8_U)),
  pmovzxwq: apart(widen(simd.I32X4_EXTEND_LOW_I16X8_U, simd.I64X2_EXTEND_LOW_I32X4_U)),
  pmovzxdq: apart(widen(simd.I64X2_EXTEND_LOW_I32X4_U)),
  ptest: apart(test(null)),
  roundps: apart(roundPacked(SINGLE)),
  roundpd: apart(roundPacked(DOUBLE)),
  roundss: apart(roundScalar(SINGLE)),
  roundsd: apart(roundScalar(DOUBLE)),
  pextrb: apart(extract(1)),
  pextrd: apart(extract(null)),
  extractps: apart(extract(4)),
  pinsrb: apart(insert(1)),
  pinsrd: apart(insert(null)),
  insertps: apart(insertSingle),
  phminposuw: apart(smallestWord),
  crc32: apart(crc),
};
