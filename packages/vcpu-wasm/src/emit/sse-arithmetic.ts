/** Floating-point arithmetic of SSE, SSE2 and SSE3 (SDM vol. 1, sections 10.4.1.2, 11.4.1.2 and 12.3.4). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, R, X, Y, Z } from '../locals.ts';
import type { FloatFormat } from '../float/float-format.ts';
import { DOUBLE, pushConstant, SINGLE } from '../float/float-format.ts';
import type { SoftOperation } from '../float/float-functions.ts';
import * as simd from '../wasm/simd-opcode.ts';
import { clearFlags, commit, compareFlags, readAlone } from './float-operand.ts';
import { eachHalf, FIRST, packedUnary, SECOND, writeHalves, writeScalar } from './packed-operand.ts';
import type { PackedSource } from './packed-operand.ts';

const scalar = (of: FloatFormat, operation: SoftOperation): Emit => (e) => {
  const { code } = e;
  e.requireSse();
  e.read(e.source(1));
  code.set(B);
  if (operation !== 'sqrt') {
    e.read(e.source(0));
    code.set(A);
  }
  e.floatScalar(of, operation, operation === 'sqrt' ? B : A, B, R);
  writeScalar(e, R);
};
/** Each half by itself, `combine` leaving the result in Z. Of 256 bits the halves' flags are committed together. */
const floating = (sources: readonly PackedSource[], combine: (e: Emitter) => void): Emit => (e) => {
  e.requireSse();
  if (e.wide) clearFlags(e);
  eachHalf(e, sources, () => combine(e));
  if (e.wide) commit(e);
  writeHalves(e);
};
const packed = (of: FloatFormat, operation: SoftOperation): Emit => floating(operation === 'sqrt' ? [SECOND] : [SECOND, FIRST], (e) => {
  e.floatLanes(of, operation, operation === 'sqrt' ? Y : X, Y, Z, e.wide);
});

/** MIN and MAX give the second operand unless the first is strictly smaller (greater): zeros and NaNs too. */
function minimum(e: Emitter, of: FloatFormat, opcode: number): void {
  compareFlags(e, of, () => e.code.const32(1));
  e.code.get(Y).get(X).simd(opcode).set(Z);
}
const packedMinimum = (of: FloatFormat, opcode: number): Emit => (e) => {
  e.requireSse();
  clearFlags(e);
  eachHalf(e, [SECOND, FIRST], () => minimum(e, of, opcode));
  commit(e);
  writeHalves(e);
};
const scalarMinimum = (of: FloatFormat, opcode: number): Emit => (e) => {
  const { code } = e;
  e.requireSse();
  // Nothing in the upper lanes, so that they raise no flags.
  readAlone(e, 1);
  code.set(Y);
  readAlone(e, 0);
  code.set(X);
  clearFlags(e);
  minimum(e, of, opcode);
  commit(e);
  code.get(Z).lane(simd.I64X2_EXTRACT_LANE, 0).set(R);
  writeScalar(e, R);
};

/** ADDSUB and HSUB go through the addition: subtracting is adding the negative, but for NaNs, which keep their sign. */
function negateNumbers(e: Emitter, of: FloatFormat, x: number, lanes: readonly number[]): void {
  const { code } = e;
  const mask: number[] = [];
  for (let i = 0; i < 16; i++) mask.push(lanes.includes(Math.floor(i / of.bytes)) && i % of.bytes === of.bytes - 1 ? 0x80 : 0);
  code.get(x).get(x).get(x).simd(of === SINGLE ? simd.F32X4_EQ : simd.F64X2_EQ).constV128(mask).simd(simd.V128_AND).simd(simd.V128_XOR).set(x);
}
const addSubtract = (of: FloatFormat): Emit => floating([SECOND, FIRST], (e) => {
  negateNumbers(e, of, Y, of === SINGLE ? [0, 2] : [0]);
  e.floatLanes(of, 'add', X, Y, Z, e.wide);
});
const horizontal = (of: FloatFormat, operation: 'add' | 'sub'): Emit => floating([SECOND, FIRST], (e) => {
  const { code } = e;
  const lanes = (first: number): number[] => {
    const bytes: number[] = [];
    for (let pair = 0; pair < 16 / of.bytes; pair++) for (let b = 0; b < of.bytes; b++) bytes.push((pair * 2 + first) * of.bytes + b);
    return bytes;
  };
  code.get(X).get(Y).shuffle(lanes(0)).get(X).get(Y).shuffle(lanes(1)).set(Y).set(X);
  e.floatLanes(of, operation, X, Y, Z, e.wide);
});

const F32_DIV = 0x95, F32_SQRT = 0x91, F32_ABS = 0x8b, F32_LT = 0x5d, F32_NE = 0x5c;
const I32_REINTERPRET = 0xbc, F32_REINTERPRET = 0xbe;
const SMALLEST_NORMAL = 0x0080_0000;

/**
 * RCP and RSQRT. Processors differ in these 12-bit approximations; ours is the quotient rounded to single precision, which
 * every bound on the error allows. Tiny operands count as zero, tiny results become zero, no flag is touched.
 */
function approximate(e: Emitter, root: boolean, x: number, into: number): void {
  // `x` and `into` are i64 locals with the bit pattern of one single.
  const { code } = e;
  const pushX = (): void => { code.get(x).wrap().plain(F32_REINTERPRET); };
  const pushBits = (bits: number): void => { code.const32(bits).plain(F32_REINTERPRET); };
  pushX();
  pushX();
  code.plain(F32_NE);
  code.if();
  code.get(x);
  pushConstant(code, SINGLE.quiet);
  code.or().set(into);
  code.else();
  pushX();
  code.plain(F32_ABS);
  pushBits(SMALLEST_NORMAL);
  code.plain(F32_LT);
  code.if();
  code.get(x);
  pushConstant(code, SINGLE.sign);
  code.and().set(x);
  code.end();
  if (root) {
    // Negative but not zero: invalid, silently.
    pushX();
    pushBits(0);
    code.plain(F32_LT);
    code.if();
    pushConstant(code, SINGLE.defaultNan);
    code.set(into);
    code.else();
  }
  pushBits(0x3f80_0000);
  pushX();
  if (root) code.plain(F32_SQRT);
  code.plain(F32_DIV).plain(I32_REINTERPRET).extendU().set(into);
  code.get(into);
  pushConstant(code, SINGLE.infinity);
  code.and().eqz();
  code.if();
  code.get(into);
  pushConstant(code, SINGLE.sign);
  code.and().set(into);
  code.end();
  if (root) code.end();
  code.end();
}
const scalarApproximation = (root: boolean): Emit => (e) => {
  e.requireSse();
  e.read(e.source(1));
  e.code.set(A);
  approximate(e, root, A, R);
  writeScalar(e, R);
};
const packedApproximation = (root: boolean): Emit => packedUnary((e) => {
  const { code } = e;
  for (let lane = 0; lane < 4; lane++) {
    code.get(Y).lane(simd.I32X4_EXTRACT_LANE, lane).extendU().set(A);
    approximate(e, root, A, R);
    code.get(Z).get(R).wrap().lane(simd.I32X4_REPLACE_LANE, lane).set(Z);
  }
});

const apart = (emit: Emit): { emit: Emit; apart: true } => ({ emit, apart: true });

export const SSE_ARITHMETIC: EmitterTable = {
  addps: apart(packed(SINGLE, 'add')),
  addpd: apart(packed(DOUBLE, 'add')),
  addss: apart(scalar(SINGLE, 'add')),
  addsd: apart(scalar(DOUBLE, 'add')),
  subps: apart(packed(SINGLE, 'sub')),
  subpd: apart(packed(DOUBLE, 'sub')),
  subss: apart(scalar(SINGLE, 'sub')),
  subsd: apart(scalar(DOUBLE, 'sub')),
  mulps: apart(packed(SINGLE, 'mul')),
  mulpd: apart(packed(DOUBLE, 'mul')),
  mulss: apart(scalar(SINGLE, 'mul')),
  mulsd: apart(scalar(DOUBLE, 'mul')),
  divps: apart(packed(SINGLE, 'div')),
  divpd: apart(packed(DOUBLE, 'div')),
  divss: apart(scalar(SINGLE, 'div')),
  divsd: apart(scalar(DOUBLE, 'div')),
  sqrtps: apart(packed(SINGLE, 'sqrt')),
  sqrtpd: apart(packed(DOUBLE, 'sqrt')),
  sqrtss: apart(scalar(SINGLE, 'sqrt')),
  sqrtsd: apart(scalar(DOUBLE, 'sqrt')),
  minps: apart(packedMinimum(SINGLE, simd.F32X4_PMIN)),
  minpd: apart(packedMinimum(DOUBLE, simd.F64X2_PMIN)),
  minss: apart(scalarMinimum(SINGLE, simd.F32X4_PMIN)),
  minsd: apart(scalarMinimum(DOUBLE, simd.F64X2_PMIN)),
  maxps: apart(packedMinimum(SINGLE, simd.F32X4_PMAX)),
  maxpd: apart(packedMinimum(DOUBLE, simd.F64X2_PMAX)),
  maxss: apart(scalarMinimum(SINGLE, simd.F32X4_PMAX)),
  maxsd: apart(scalarMinimum(DOUBLE, simd.F64X2_PMAX)),
  rcpps: apart(packedApproximation(false)),
  rcpss: apart(scalarApproximation(false)),
  rsqrtps: apart(packedApproximation(true)),
  rsqrtss: apart(scalarApproximation(true)),
  addsubps: apart(addSubtract(SINGLE)),
  addsubpd: apart(addSubtract(DOUBLE)),
  haddps: apart(horizontal(SINGLE, 'add')),
  haddpd: apart(horizontal(DOUBLE, 'add')),
  hsubps: apart(horizontal(SINGLE, 'sub')),
  hsubpd: apart(horizontal(DOUBLE, 'sub')),
};
