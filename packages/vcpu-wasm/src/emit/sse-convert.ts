/** Conversions between integers and floating point, and between the two formats (SDM vol. 1, sections 10.4.4 and 11.4.1.6). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, F, LOWER_RESULT, R, S, UPPER_OPERAND, X, Z } from '../locals.ts';
import type { FloatFormat } from '../float/float-format.ts';
import { DOUBLE, SINGLE } from '../float/float-format.ts';
import { pushAsFloat, pushIsPlain } from '../float/ordinary-number.ts';
import { I64 } from '../wasm/code-writer.ts';
import * as simd from '../wasm/simd-opcode.ts';
import { clearFlags, commit, functionsOf } from './float-operand.ts';
import { enterMmx, isMmx, readHalves, readPacked, requirePacked, writeHalves, writePacked, writeScalar } from './packed-operand.ts';

const F32_CONVERT_I64 = 0xb4, F64_CONVERT_I32 = 0xb7, F64_CONVERT_I64 = 0xb9;
const F64_ABS = 0x99, F64_TRUNC = 0x9d, F64_NEAREST = 0x9e, F64_LT = 0x63, F64_PROMOTE = 0xbb, F64_REINTERPRET = 0xbf, I64_TRUNC_SAT_F64_S = 6;
const I32_REINTERPRET = 0xbc, I64_REINTERPRET = 0xbd;

const other = (of: FloatFormat): FloatFormat => (of === SINGLE ? DOUBLE : SINGLE);

/** Pushes element `element` of the source in X and, from 16 bytes on, UPPER_OPERAND; zero-extended. */
function pushElement(e: Emitter, of: FloatFormat, element: number): void {
  const perHalf = 16 / of.bytes;
  const x = element < perHalf ? X : UPPER_OPERAND;
  if (of === SINGLE) e.code.get(x).lane(simd.I32X4_EXTRACT_LANE, element % perHalf).extendU();
  else e.code.get(x).lane(simd.I64X2_EXTRACT_LANE, element % perHalf);
}
/** Takes an i64 and puts it into element `element` of LOWER_RESULT and Z, or of Z alone. */
function setElement(e: Emitter, bytes: 4 | 8, element: number): void {
  const { code } = e;
  const perHalf = 16 / bytes;
  const z = isWideResult(e) && element < perHalf ? LOWER_RESULT : Z;
  code.set(R).get(z);
  if (bytes === 4) code.get(R).wrap().lane(simd.I32X4_REPLACE_LANE, element % perHalf);
  else code.get(R).lane(simd.I64X2_REPLACE_LANE, element % perHalf);
  code.set(z);
}
const isWideResult = (e: Emitter): boolean => e.bytes(0) === 32;
function writeResult(e: Emitter): void {
  if (isWideResult(e)) writeHalves(e);
  else writePacked(e, 0, Z);
}
/** With 256 bits, twice as many. */
const countOf = (e: Emitter, count: number): number => (e.wide ? count * 2 : count);

/** Takes a signed i64, pushes the bit pattern of the number; notes flags. */
function fromInteger(e: Emitter, of: FloatFormat): void {
  const { code } = e;
  code.set(A);
  pushIsPlain(code);
  code.if(I64);
  code.get(A);
  if (of === SINGLE) code.plain(F32_CONVERT_I64).plain(I32_REINTERPRET).extendU();
  else code.plain(F64_CONVERT_I64).plain(I64_REINTERPRET);
  code.else();
  code.get(S).get(A).call(functionsOf(e, of).fromInteger);
  code.end();
}
/** Takes a bit pattern, pushes the integer; notes flags. With MXCSR plain the host rounds as it says, to nearest. */
function toInteger(e: Emitter, of: FloatFormat, truncate: boolean, wide: boolean): void {
  const { code } = e;
  code.tee(A);
  pushAsFloat(code, of);
  if (of === SINGLE) code.plain(F64_PROMOTE);
  code.plain(truncate ? F64_TRUNC : F64_NEAREST).tee(F).plain(F64_ABS);
  code.const64(0, wide ? 0x43e0_0000 : 0x41e0_0000).plain(F64_REINTERPRET).plain(F64_LT);
  pushIsPlain(code);
  code.and32();
  code.if(I64);
  code.get(F).misc(I64_TRUNC_SAT_F64_S);
  code.else();
  code.get(S).get(A).const32(truncate ? 1 : 0).const32(wide ? 1 : 0).call(functionsOf(e, of).toInteger);
  code.end();
}

/** CVTSI2SS and CVTSI2SD. */
const scalarFromInteger = (of: FloatFormat): Emit => (e) => {
  const { code } = e;
  e.requireSse();
  const from = e.source(1);
  e.read(from);
  if (of === DOUBLE && e.bytes(from) === 4) {
    code.wrap().plain(F64_CONVERT_I32).plain(I64_REINTERPRET).set(R);
  } else {
    code.signExtend(e.bytes(from)).set(R);
    clearFlags(e);
    code.get(R);
    fromInteger(e, of);
    code.set(R);
    commit(e);
  }
  writeScalar(e, R);
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
  e.read(e.source(1));
  e.code.set(A);
  clearFlags(e);
  e.code.get(S).get(A).call(functionsOf(e, of).fromOther).set(R);
  commit(e);
  writeScalar(e, R);
};
/** CVTPS2PD and CVTPD2PS: two elements (four with 256 bits), the rest of the destination cleared. */
const packedFromOther = (of: FloatFormat): Emit => (e) => {
  const { code } = e;
  e.requireSse();
  readHalves(e, 1, X, UPPER_OPERAND);
  code.constV128([]).set(Z);
  clearFlags(e);
  for (let element = 0; element < countOf(e, 2); element++) {
    code.get(S);
    pushElement(e, other(of), element);
    code.call(functionsOf(e, of).fromOther);
    setElement(e, of.bytes, element);
  }
  commit(e);
  writeResult(e);
};
/** Packed doublewords to floating point: `count` elements; the others stay (CVTPI2PS) or do not exist. */
const packedFromIntegers = (of: FloatFormat, count: number): Emit => (e) => {
  const { code } = e;
  requirePacked(e);
  readHalves(e, 1, X, UPPER_OPERAND);
  readPacked(e, 0);
  code.set(Z);
  clearFlags(e);
  for (let element = 0; element < countOf(e, count); element++) {
    pushElement(e, SINGLE, element);
    code.extend32S();
    fromInteger(e, of);
    setElement(e, of.bytes, element);
  }
  commit(e);
  writeResult(e);
  if (isMmx(e)) enterMmx(e);
};
/** Floating point to packed doublewords in an xmm or MMX register, the rest cleared. */
const packedToIntegers = (of: FloatFormat, count: number, truncate: boolean): Emit => (e) => {
  const { code } = e;
  requirePacked(e);
  readHalves(e, 1, X, UPPER_OPERAND);
  code.constV128([]).set(Z);
  clearFlags(e);
  for (let element = 0; element < countOf(e, count); element++) {
    pushElement(e, of, element);
    toInteger(e, of, truncate, false);
    setElement(e, 4, element);
  }
  commit(e);
  writeResult(e);
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
