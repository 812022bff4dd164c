/**
 * Floating-point functions of the engine module that instruction emitters call: the host's arithmetic where operands and
 * result are ordinary numbers and MXCSR asks for nothing special, soft-float.ts for the rest.
 *
 * The short way is open when all exceptions are masked, rounding is to nearest, neither FTZ nor DAZ is on and PE is set
 * already: an operation on ordinary numbers with an ordinary result can raise nothing but PE (SDM vol. 1, section 4.9).
 */
import type { CodeWriter } from '../wasm/code-writer.ts';
import { I32, I64, V128 } from '../wasm/code-writer.ts';
import type { ModuleWriter, Signature } from '../wasm/module-writer.ts';
import * as simd from '../wasm/simd-opcode.ts';
import * as state from '../cpu-state.ts';
import { DOUBLE, MXCSR_MASKS_SHIFT, SINGLE } from './float-format.ts';
import type { FloatFormat } from './float-format.ts';
import { defineCompare, defineFlush } from './float-comparison.ts';
import { defineToInteger } from './float-conversion.ts';
import { FLOAT_FLAGS } from './float-value.ts';
import { declareFloatFunctions, SOFT_OPERATIONS } from './float-functions.ts';
import type { FloatFunctions, SoftOperation } from './float-functions.ts';
import { definePackedFused } from './fused.ts';
import { declareHalf } from './half.ts';
import { hostLanes, hostScalar } from './host-arithmetic.ts';
import { declareSoftFloat } from './soft-float.ts';

/** The interpreter's own: they commit the flags of the instruction, or raise #XM. */
export interface CommittingFunctions {
  /** (s, a, b) -> result, as bit patterns in i64; the square root takes its operand twice. */
  readonly scalar: Readonly<Record<SoftOperation, number>>;
  /** (s, a, b) -> result, all lanes. */
  readonly packed: Readonly<Record<SoftOperation, number>>;
}
export interface FloatCommit {
  readonly single: CommittingFunctions;
  readonly double: CommittingFunctions;
  /** (s): makes the flags of one instruction sticky in MXCSR, or raises #XM. */
  readonly commit: number;
}
export interface DeclaredFloat { readonly float: FloatFunctions; readonly floatCommit: FloatCommit; define(): void }

const OSXMMEXCPT = 1 << 10;
const VECTOR_UD = 6;
const VECTOR_XM = 19;

const S = 0, A = 1, B = 2;

function defineScalar(module: ModuleWriter, code: CodeWriter, of: FloatFormat, operation: SoftOperation, index: number, soft: number, commit: number): void {
  const RESULT = 3;
  code.reset();
  const careful = code.block();
  hostScalar(code, of, operation, A, B, RESULT, careful);
  code.get(RESULT).return();
  code.end();
  code.get(S).const32(0).store32(FLOAT_FLAGS);
  code.get(S).get(A).get(B).call(soft).get(S).call(commit);
  module.define(index, [I64], code);
}

function definePacked(module: ModuleWriter, code: CodeWriter, of: FloatFormat, operation: SoftOperation, index: number, soft: number, commit: number | null): void {
  const RESULT = 3, T = 4;
  const single = of.bytes === 4;
  code.reset();
  const careful = code.block();
  hostLanes(code, of, operation, A, B, RESULT, T, careful);
  code.get(RESULT).return();
  code.end();
  if (commit !== null) code.get(S).const32(0).store32(FLOAT_FLAGS);
  code.get(A).set(RESULT);
  for (let lane = 0; lane < 16 / of.bytes; lane++) {
    code.get(RESULT).get(S);
    for (const x of [A, B]) {
      code.get(x).lane(single ? simd.I32X4_EXTRACT_LANE : simd.I64X2_EXTRACT_LANE, lane);
      if (single) code.extendU();
    }
    code.call(soft);
    if (single) code.wrap();
    code.lane(single ? simd.I32X4_REPLACE_LANE : simd.I64X2_REPLACE_LANE, lane).set(RESULT);
  }
  code.get(RESULT);
  if (commit !== null) code.get(S).call(commit);
  module.define(index, [V128, V128], code);
}

/** Makes the flags of the instruction sticky unless one of them is unmasked (SDM vol. 1, section 11.5.2). */
function defineAttempt(module: ModuleWriter, code: CodeWriter, index: number): void {
  const FLAGS = 1;
  code.reset();
  code.get(S).load32(FLOAT_FLAGS).tee(FLAGS).get(S).load32(state.MXCSR).const32(MXCSR_MASKS_SHIFT).shrU32().const32(-1).xor32().and32();
  code.if();
  code.const32(1).return();
  code.end();
  code.get(S).get(S).load32(state.MXCSR).get(FLAGS).or32().store32(state.MXCSR).const32(0);
  module.define(index, [I32], code);
}
/** The flags that an exception leaves, and the exception. */
function defineCommit(module: ModuleWriter, code: CodeWriter, index: number, attempt: number, raise: number): void {
  const FLAGS = 1;
  const PRE_COMPUTATION = 0x07;
  code.reset();
  code.get(S).load32(FLOAT_FLAGS).tee(FLAGS).eqz32();
  code.if();
  code.return();
  code.end();
  code.get(S).call(attempt).eqz32();
  code.if();
  code.return();
  code.end();
  code.get(FLAGS).get(S).load32(state.MXCSR).const32(MXCSR_MASKS_SHIFT).shrU32().const32(-1).xor32().and32().const32(PRE_COMPUTATION).and32();
  code.if();
  // Nothing was computed, so nothing was inexact.
  code.get(FLAGS).const32(PRE_COMPUTATION).and32().set(FLAGS);
  code.end();
  code.get(S).get(S).load32(state.MXCSR).get(FLAGS).or32().store32(state.MXCSR);
  code.const32(VECTOR_XM).const32(VECTOR_UD).get(S).load32(state.CR4).const32(OSXMMEXCPT).and32().select();
  code.const32(-1).call(raise).unreachable();
  module.define(index, [I32], code);
}

export function declareFloat(module: ModuleWriter, code: CodeWriter, raise: number): DeclaredFloat {
  const float = declareFloatFunctions((name, signature) => module.declare(signature, name));
  const soft = declareSoftFloat(module, code, float);
  const defineHalf = declareHalf(module, code, float.half, soft.roundSingle);
  const scalar: Signature = { parameters: [I32, I64, I64], results: [I64] };
  const packed: Signature = { parameters: [I32, V128, V128], results: [V128] };
  const declareAll = (signature: Signature): Record<SoftOperation, number> =>
    ({ add: module.declare(signature), sub: module.declare(signature), mul: module.declare(signature), div: module.declare(signature), sqrt: module.declare(signature) });
  const declare = (): CommittingFunctions => ({ scalar: declareAll(scalar), packed: declareAll(packed) });
  const single = declare();
  const double = declare();
  const commit = module.declare({ parameters: [I32], results: [] });
  const define = (): void => {
    soft.define();
    defineHalf();
    defineAttempt(module, code, float.attempt);
    defineCommit(module, code, commit, float.attempt, raise);
    for (const [of, noting, committing] of [[SINGLE, float.single, single], [DOUBLE, float.double, double]] as const) {
      for (const operation of SOFT_OPERATIONS) {
        const index = noting.soft[operation];
        defineScalar(module, code, of, operation, committing.scalar[operation], index, commit);
        definePacked(module, code, of, operation, committing.packed[operation], index, commit);
        definePacked(module, code, of, operation, noting.lanes[operation], index, null);
      }
      definePackedFused(module, code, of, noting.packedFused, noting.fused);
      defineFlush(module, code, of, noting.flush);
      defineCompare(module, code, of, noting.compare);
      defineToInteger(module, code, of, noting.toInteger);
    }
  };
  return { float, floatCommit: { single, double, commit }, define };
}
