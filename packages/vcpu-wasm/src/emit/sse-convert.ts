/** Conversions between integers and floating point, and between the two formats (SDM vol. 1, sections 10.4.4 and 11.4.1.6). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, R, S, X, Z } from '../locals.ts';
import type { FloatFormat } from '../float/float-format.ts';
import { DOUBLE, MXCSR_PLAIN, MXCSR_PLAIN_MASK, SINGLE } from '../float/float-format.ts';
import type { FormatFunctions } from '../float/float-runtime.ts';
import { FLOAT_FLAGS } from '../float/float-value.ts';
import { I64 } from '../wasm/code-writer.ts';
import * as simd from '../wasm/simd-opcode.ts';
import * as state from '../cpu-state.ts';
import { enterMmx, isMmx, readPacked, requirePacked, writePacked } from './mmx-operand.ts';

const F32_CONVERT_I64 = 0xb4, F64_CONVERT_I32 = 0xb7, F64_CONVERT_I64 = 0xb9;
const I32_REINTERPRET = 0xbc, I64_REINTERPRET = 0xbd;

const functionsOf = (e: Emitter, of: FloatFormat): FormatFunctions => (of === SINGLE ? e.runtime.float.single : e.runtime.float.double);
const other = (of: FloatFormat): FloatFormat => (of === SINGLE ? DOUBLE : SINGLE);

function clearFlags(e: Emitter): void { e.code.get(S).const32(0).store32(FLOAT_FLAGS); }
function commit(e: Emitter): void { e.code.get(S).call(e.runtime.float.commit); }
/** Pushes lane `lane` of x, zero-extended. */
function pushLane(e: Emitter, of: FloatFormat, x: number, lane: number): void {
  if (of === SINGLE) e.code.get(x).lane(simd.I32X4_EXTRACT_LANE, lane).extendU();
  else e.code.get(x).lane(simd.I64X2_EXTRACT_LANE, lane);
}
/** Takes an i64 and puts it into lane `lane` of Z. */
function setLane(e: Emitter, bytes: 4 | 8, lane: number): void {
  const { code } = e;
  code.set(R).get(Z);
  if (bytes === 4) code.get(R).wrap().lane(simd.I32X4_REPLACE_LANE, lane);
  else code.get(R).lane(simd.I64X2_REPLACE_LANE, lane);
  code.set(Z);
}
/** Takes a signed i64, pushes the bit pattern of the number; notes flags. */
function fromInteger(e: Emitter, of: FloatFormat): void {
  const { code } = e;
  code.set(A);
  code.get(S).load32(state.MXCSR).const32(MXCSR_PLAIN_MASK).and32().const32(MXCSR_PLAIN).eq32();
  code.if(I64);
  code.get(A);
  if (of === SINGLE) code.plain(F32_CONVERT_I64).plain(I32_REINTERPRET).extendU();
  else code.plain(F64_CONVERT_I64).plain(I64_REINTERPRET);
  code.else();
  code.get(S).get(A).call(functionsOf(e, of).fromInteger);
  code.end();
}
/** Takes a bit pattern, pushes the integer; notes flags. */
function toInteger(e: Emitter, of: FloatFormat, truncate: boolean, wide: boolean): void {
  e.code.set(A).get(S).get(A).const32(truncate ? 1 : 0).const32(wide ? 1 : 0).call(functionsOf(e, of).toInteger);
}

/** CVTSI2SS and CVTSI2SD. */
const scalarFromInteger = (of: FloatFormat): Emit => (e) => {
  const { code } = e;
  e.requireSse();
  e.read(1);
  if (of === DOUBLE && e.bytes(1) === 4) {
    code.wrap().plain(F64_CONVERT_I32).plain(I64_REINTERPRET).set(R);
  } else {
    code.signExtend(e.bytes(1)).set(R);
    clearFlags(e);
    code.get(R);
    fromInteger(e, of);
    code.set(R);
    commit(e);
  }
  e.write(0, R);
};
const scalarToInteger = (of: FloatFormat, truncate: boolean): Emit => (e) => {
  e.requireSse();
  e.read(1);
  e.code.set(R);
  clearFlags(e);
  e.code.get(R);
  toInteger(e, of, truncate, e.bytes(0) === 8);
  e.code.set(R);
  commit(e);
  e.write(0, R);
};
/** CVTSS2SD and CVTSD2SS. */
const scalarFromOther = (of: FloatFormat): Emit => (e) => {
  e.requireSse();
  e.read(1);
  e.code.set(A);
  clearFlags(e);
  e.code.get(S).get(A).call(functionsOf(e, of).fromOther).set(R);
  commit(e);
  e.write(0, R);
};
/** CVTPS2PD and CVTPD2PS: two elements, the rest of the destination cleared. */
const packedFromOther = (of: FloatFormat): Emit => (e) => {
  const { code } = e;
  e.requireSse();
  readPacked(e, 1);
  code.set(X).constV128([]).set(Z);
  clearFlags(e);
  for (let lane = 0; lane < 2; lane++) {
    code.get(S);
    pushLane(e, other(of), X, lane);
    code.call(functionsOf(e, of).fromOther);
    setLane(e, of.bytes, lane);
  }
  commit(e);
  writePacked(e, 0, Z);
};
/** Packed doublewords to floating point: `count` elements; the others stay (CVTPI2PS) or do not exist. */
const packedFromIntegers = (of: FloatFormat, count: number): Emit => (e) => {
  const { code } = e;
  requirePacked(e);
  readPacked(e, 1);
  code.set(X);
  readPacked(e, 0);
  code.set(Z);
  clearFlags(e);
  for (let lane = 0; lane < count; lane++) {
    pushLane(e, SINGLE, X, lane);
    code.extend32S();
    fromInteger(e, of);
    setLane(e, of.bytes, lane);
  }
  commit(e);
  writePacked(e, 0, Z);
  if (isMmx(e)) enterMmx(e);
};
/** Floating point to packed doublewords in an xmm or MMX register, the rest cleared. */
const packedToIntegers = (of: FloatFormat, count: number, truncate: boolean): Emit => (e) => {
  const { code } = e;
  requirePacked(e);
  readPacked(e, 1);
  code.set(X).constV128([]).set(Z);
  clearFlags(e);
  for (let lane = 0; lane < count; lane++) {
    pushLane(e, of, X, lane);
    toInteger(e, of, truncate, false);
    setLane(e, 4, lane);
  }
  commit(e);
  writePacked(e, 0, Z);
};

const apart = (emit: Emit): { emit: Emit; apart: true } => ({ emit, apart: true });

export const SSE_CONVERT: EmitterTable = {
  cvtsi2ss: apart(scalarFromInteger(SINGLE)),
  cvtsi2sd: apart(scalarFromInteger(DOUBLE)),
  cvtss2si: apart(scalarToInteger(SINGLE, false)),
  cvtsd2si: apart(scalarToInteger(DOUBLE, false)),
  cvttss2si: apart(scalarToInteger(SINGLE, true)),
  cvttsd2si: apart(scalarToInteger(DOUBLE, true)),
  cvtss2sd: apart(scalarFromOther(DOUBLE)),
  cvtsd2ss: apart(scalarFromOther(SINGLE)),
  cvtps2pd: apart(packedFromOther(DOUBLE)),
  cvtpd2ps: apart(packedFromOther(SINGLE)),
  cvtdq2ps: apart(packedFromIntegers(SINGLE, 4)),
  cvtdq2pd: apart(packedFromIntegers(DOUBLE, 2)),
  cvtpi2ps: apart(packedFromIntegers(SINGLE, 2)),
  cvtpi2pd: apart(packedFromIntegers(DOUBLE, 2)),
  cvtps2dq: apart(packedToIntegers(SINGLE, 4, false)),
  cvttps2dq: apart(packedToIntegers(SINGLE, 4, true)),
  cvtpd2dq: apart(packedToIntegers(DOUBLE, 2, false)),
  cvttpd2dq: apart(packedToIntegers(DOUBLE, 2, true)),
  cvtps2pi: apart(packedToIntegers(SINGLE, 2, false)),
  cvttps2pi: apart(packedToIntegers(SINGLE, 2, true)),
  cvtpd2pi: apart(packedToIntegers(DOUBLE, 2, false)),
  cvttpd2pi: apart(packedToIntegers(DOUBLE, 2, true)),
};
