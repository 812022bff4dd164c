/** Floating-point comparisons of SSE and SSE2 (SDM vol. 1, sections 10.4.1.4 and 11.4.1.3; vol. 2, CMPPD). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, K, N, R, U, X, Y, Z } from '../locals.ts';
import type { FloatFormat } from '../float/float-format.ts';
import { DOUBLE, SINGLE } from '../float/float-format.ts';
import { pushIsDenormal } from '../float/host-arithmetic.ts';
import { pushAsFloat } from '../float/ordinary-number.ts';
import { V128 } from '../wasm/code-writer.ts';
import * as simd from '../wasm/simd-opcode.ts';
import * as uop from '../uop.ts';
import { clearFlags, commit, compareFlags, readAlone } from './float-operand.ts';
import { eachHalf, FIRST, SECOND, writeHalves, writeScalar } from './packed-operand.ts';

/** Bits of AVX's predicates. */
const OTHER_FOR_NANS = 8, SIGNALLING = 16;
const EQUAL = 0, LESS = 1, LESS_OR_EQUAL = 2;
const F32_EQ = 0x5b, F32_NE = 0x5c, F32_GE = 0x60, F64_EQ = 0x61, F64_NE = 0x62, F64_GE = 0x66;

/** Pushes the lane masks of where X or Y is a NaN. */
function unordered(e: Emitter, of: FloatFormat): void {
  const { code } = e;
  for (const x of [X, Y]) code.get(x).get(x).simd(of === SINGLE ? simd.F32X4_NE : simd.F64X2_NE);
  code.simd(simd.V128_OR);
}
/**
 * Z = lane masks of the predicate in the immediate (SDM vol. 2, CMPPD, table 3-1). Bits 0 and 1 choose, bit 2 negates. Of the 32 of AVX
 * bit 3 gives the other answer about NaNs: EQ or unordered, not NGE and NGT but their opposites, none at all; bit 4 swaps what a quiet NaN is to it.
 */
function predicate(e: Emitter, of: FloatFormat): void {
  const { code } = e;
  const single = of === SINGLE;
  code.get(U).load8U32(uop.UOP_IMMEDIATE).set(N);
  // EQ, UNORD and their opposites are quiet: 0, 3, 4 and 7.
  code.get(N).const32(1).add32().const32(2).and32();
  if (e.vex) code.get(N).const32(SIGNALLING).and32().const32(3).shrU32().xor32();
  code.set(K);
  compareFlags(e, of, () => code.get(K));
  const test = (number: number, comparison: () => void): void => {
    code.get(N).const32(3).and32().const32(number).eq32();
    code.if(V128);
    comparison();
    code.else();
  };
  test(EQUAL, () => code.get(X).get(Y).simd(single ? simd.F32X4_EQ : simd.F64X2_EQ));
  test(LESS, () => code.get(X).get(Y).simd(single ? simd.F32X4_LT : simd.F64X2_LT));
  test(LESS_OR_EQUAL, () => code.get(X).get(Y).simd(single ? simd.F32X4_LE : simd.F64X2_LE));
  unordered(e, of);
  code.end();
  code.end();
  code.end();
  if (e.vex) {
    // EQ, LT and LE become true for NaNs (their opposites false), UNORD false (ORD true).
    code.constV128([]);
    unordered(e, of);
    code.get(N).const32(OTHER_FOR_NANS).and32().eqz32().select().simd(simd.V128_XOR);
  }
  // All ones from bit 2.
  code.const32(0).get(N).const32(2).shrU32().const32(1).and32().sub32().simd(simd.I32X4_SPLAT).simd(simd.V128_XOR).set(Z);
}
const packed = (of: FloatFormat): Emit => (e) => {
  e.requireSse();
  clearFlags(e);
  eachHalf(e, [SECOND, FIRST], () => predicate(e, of));
  commit(e);
  writeHalves(e);
};
const scalar = (of: FloatFormat): Emit => (e) => {
  e.requireSse();
  readAlone(e, 1);
  e.code.set(Y);
  readAlone(e, 0);
  e.code.set(X);
  clearFlags(e);
  predicate(e, of);
  commit(e);
  e.code.get(Z).lane(simd.I64X2_EXTRACT_LANE, 0).set(R);
  writeScalar(e, R);
};
/** Pushes whether the number in i64 local x is a NaN. */
function pushIsNan(e: Emitter, of: FloatFormat, x: number): void {
  for (let i = 0; i < 2; i++) {
    e.code.get(x);
    pushAsFloat(e.code, of);
  }
  e.code.plain(of === SINGLE ? F32_NE : F64_NE);
}
/** COMIS and UCOMIS: ZF, PF and CF as for an unsigned comparison; all three when unordered. */
const toFlags = (of: FloatFormat, quietIsInvalid: boolean): Emit => (e) => {
  const { code } = e;
  const single = of === SINGLE;
  const unorderedPair = (): void => {
    pushIsNan(e, of, A);
    pushIsNan(e, of, B);
    code.or32();
  };
  const compare = (opcode: number): void => {
    for (const x of [A, B]) {
      code.get(x);
      pushAsFloat(code, of);
    }
    code.plain(opcode);
  };
  e.requireSse();
  e.read(e.source(1));
  code.set(B);
  e.read(e.source(0));
  code.set(A);
  unorderedPair();
  pushIsDenormal(code, of, A);
  pushIsDenormal(code, of, B);
  code.or32().or32();
  code.if();
  // Alone in their vectors, so that no other lane raises anything.
  for (const [x, value] of [[X, A], [Y, B]] as const) code.constV128([]).get(value).lane(simd.I64X2_REPLACE_LANE, 0).set(x);
  clearFlags(e);
  compareFlags(e, of, () => code.const32(quietIsInvalid ? 1 : 0));
  commit(e);
  for (const [x, value] of [[X, A], [Y, B]] as const) code.get(x).lane(simd.I64X2_EXTRACT_LANE, 0).set(value);
  code.end();
  compare(single ? F32_GE : F64_GE);
  code.eqz32();
  compare(single ? F32_EQ : F64_EQ);
  unorderedPair();
  code.tee(K).or32().get(K);
  e.flagsOfComparison();
};

const apart = (emit: Emit): { emit: Emit; apart: true } => ({ emit, apart: true });

export const SSE_COMPARE: EmitterTable = {
  cmpps: apart(packed(SINGLE)),
  cmppd: apart(packed(DOUBLE)),
  cmpss: apart(scalar(SINGLE)),
  cmpsd: apart(scalar(DOUBLE)),
  comiss: apart(toFlags(SINGLE, true)),
  comisd: apart(toFlags(DOUBLE, true)),
  ucomiss: apart(toFlags(SINGLE, false)),
  ucomisd: apart(toFlags(DOUBLE, false)),
};
