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
import { defineFromOther, defineToInteger } from './float-conversion.ts';
import { FLOAT_FLAGS } from './float-value.ts';
import { definePackedFused } from './fused.ts';
import { declareHalf } from './half.ts';
import type { HalfFunctions } from './half.ts';
import { pushAsBits, pushAsFloat, pushExtraordinary, pushIsOrdinary, pushIsPlain } from './ordinary-number.ts';
import { declareSoftFloat } from './soft-float.ts';
import type { SoftFormat, SoftOperation } from './soft-float.ts';

export interface FormatFunctions {
  /** (s, a, b) -> result, as bit patterns in i64; the square root takes its operand twice. */
  readonly scalar: Readonly<Record<SoftOperation, number>>;
  /** (s, a, b) -> result, all lanes. */
  readonly packed: Readonly<Record<SoftOperation, number>>;
  /** The same, but the flags are only noted. */
  readonly noted: Readonly<Record<SoftOperation, number>>;
  /** (s, signed integer as i64) -> bit pattern. */
  readonly fromInteger: number;
  /** (s, bit pattern of the other format) -> bit pattern of this one. */
  readonly fromOther: number;
  /** (s, a, b, c, mode) -> a · b + c; notes flags. */
  readonly fused: number;
  /** (s, a, b, c, mode of even lanes, mode of odd ones) -> all lanes; notes flags. */
  readonly packedFused: number;
  /** (s, v) -> v with denormals made zero when DAZ is on. */
  readonly flush: number;
  /** (s, a, b, quiet NaNs are invalid too): notes what comparing the lanes raises, commits nothing. */
  readonly compare: number;
  /** (s, bit pattern, truncate, 64-bit) -> integer; truncate 0 rounds as MXCSR says. Notes flags, commits nothing. */
  readonly toInteger: number;
}
export interface FloatFunctions {
  readonly single: FormatFunctions;
  readonly double: FormatFunctions;
  readonly half: HalfFunctions;
  /** (s): makes the flags of one instruction sticky in MXCSR, or raises #XM. */
  readonly commit: number;
}
export interface DeclaredFloat extends FloatFunctions { define(): void }

const OPERATIONS: readonly SoftOperation[] = ['add', 'sub', 'mul', 'div', 'sqrt'];
const OSXMMEXCPT = 1 << 10;
const VECTOR_UD = 6;
const VECTOR_XM = 19;

/** WebAssembly instructions of each operation: on scalars, then on vectors. */
const INSTRUCTIONS: Readonly<Record<4 | 8, Readonly<Record<SoftOperation, readonly [number, number]>>>> = {
  4: { sqrt: [0x91, simd.F32X4_SQRT], add: [0x92, simd.F32X4_ADD], sub: [0x93, simd.F32X4_SUB], mul: [0x94, simd.F32X4_MUL], div: [0x95, simd.F32X4_DIV] },
  8: { sqrt: [0x9f, simd.F64X2_SQRT], add: [0xa0, simd.F64X2_ADD], sub: [0xa1, simd.F64X2_SUB], mul: [0xa2, simd.F64X2_MUL], div: [0xa3, simd.F64X2_DIV] },
};

const S = 0, A = 1, B = 2;

function defineScalar(module: ModuleWriter, code: CodeWriter, of: FloatFormat, operation: SoftOperation, index: number, soft: number, commit: number): void {
  const RESULT = 3;
  code.reset();
  const careful = code.block();
  pushIsPlain(code);
  code.eqz32().brIf(careful);
  const unary = operation === 'sqrt';
  pushIsOrdinary(code, of, A, true);
  if (!unary) {
    pushIsOrdinary(code, of, B, true);
    code.and32();
  }
  code.eqz32().brIf(careful);
  code.get(A);
  pushAsFloat(code, of);
  if (!unary) {
    code.get(B);
    pushAsFloat(code, of);
  }
  code.plain(INSTRUCTIONS[of.bytes][operation][0]);
  pushAsBits(code, of);
  code.set(RESULT);
  // A zero is exact in sums and roots; a product or quotient may be one that was too small.
  pushIsOrdinary(code, of, RESULT, operation !== 'mul' && operation !== 'div');
  code.eqz32().brIf(careful);
  code.get(RESULT).return();
  code.end();
  code.get(S).const32(0).store32(FLOAT_FLAGS);
  code.get(S).get(A).get(B).call(soft).get(S).call(commit);
  module.define(index, [I64], code);
}

/** Pushes a lane mask: x is (plus or minus) zero. */
function pushZeroLanes(code: CodeWriter, of: FloatFormat, x: number): void {
  code.get(x).constV128([]).simd(of.bytes === 4 ? simd.F32X4_EQ : simd.F64X2_EQ);
}

function definePacked(module: ModuleWriter, code: CodeWriter, of: FloatFormat, operation: SoftOperation, index: number, soft: number, commit: number | null): void {
  const RESULT = 3, T = 4;
  const single = of.bytes === 4;
  const unary = operation === 'sqrt';
  code.reset();
  const careful = code.block();
  pushIsPlain(code);
  code.eqz32().brIf(careful);
  code.get(A);
  if (!unary) code.get(B);
  code.simd(INSTRUCTIONS[of.bytes][operation][1]).set(RESULT);
  pushExtraordinary(code, of, A, T);
  if (!unary) {
    pushExtraordinary(code, of, B, T);
    code.simd(simd.V128_OR);
  }
  pushExtraordinary(code, of, RESULT, T);
  code.simd(simd.V128_OR);
  if (operation === 'mul' || operation === 'div') {
    // A zero that no zero operand explains was too small.
    pushZeroLanes(code, of, RESULT);
    pushZeroLanes(code, of, A);
    pushZeroLanes(code, of, B);
    code.simd(simd.V128_OR).simd(simd.V128_ANDNOT).simd(simd.V128_OR);
  }
  code.simd(simd.V128_ANY_TRUE).brIf(careful);
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

/** Flags of the instruction: sticky, or an exception when one of them is unmasked (SDM vol. 1, section 11.5.2). */
function defineCommit(module: ModuleWriter, code: CodeWriter, index: number, raise: number): void {
  const FLAGS = 1, UNMASKED = 2;
  const PRE_COMPUTATION = 0x07;
  code.reset();
  code.get(S).load32(FLOAT_FLAGS).tee(FLAGS).eqz32();
  code.if();
  code.return();
  code.end();
  code.get(FLAGS).get(S).load32(state.MXCSR).const32(MXCSR_MASKS_SHIFT).shrU32().const32(-1).xor32().and32().tee(UNMASKED).const32(PRE_COMPUTATION).and32();
  code.if();
  // Nothing was computed, so nothing was inexact.
  code.get(FLAGS).const32(PRE_COMPUTATION).and32().set(FLAGS);
  code.end();
  code.get(S).get(S).load32(state.MXCSR).get(FLAGS).or32().store32(state.MXCSR);
  code.get(UNMASKED);
  code.if();
  code.const32(VECTOR_XM).const32(VECTOR_UD).get(S).load32(state.CR4).const32(OSXMMEXCPT).and32().select();
  code.const32(-1).call(raise).unreachable();
  code.end();
  module.define(index, [I32, I32], code);
}

export function declareFloat(module: ModuleWriter, code: CodeWriter, raise: number): DeclaredFloat {
  const soft = declareSoftFloat(module, code);
  const scalar: Signature = { parameters: [I32, I64, I64], results: [I64] };
  const packed: Signature = { parameters: [I32, V128, V128], results: [V128] };
  const commit = module.declare({ parameters: [I32], results: [] });
  const declareAll = (signature: Signature): Record<SoftOperation, number> =>
    ({ add: module.declare(signature), sub: module.declare(signature), mul: module.declare(signature), div: module.declare(signature), sqrt: module.declare(signature) });
  const declare = (from: SoftFormat): FormatFunctions => ({
    scalar: declareAll(scalar),
    packed: declareAll(packed),
    noted: declareAll(packed),
    fromInteger: from.fromInteger,
    fromOther: module.declare({ parameters: [I32, I64], results: [I64] }),
    fused: from.fused,
    packedFused: module.declare({ parameters: [I32, V128, V128, V128, I32, I32], results: [V128] }),
    flush: module.declare({ parameters: [I32, V128], results: [V128] }),
    compare: module.declare({ parameters: [I32, V128, V128, I32], results: [] }),
    toInteger: module.declare({ parameters: [I32, I64, I32, I32], results: [I64] }),
  });
  const single = declare(soft.single);
  const double = declare(soft.double);
  const half = declareHalf(module, code, soft.roundSingle);
  const define = (): void => {
    soft.define();
    half.define();
    defineCommit(module, code, commit, raise);
    for (const [of, functions, slow] of [[SINGLE, single, soft.single], [DOUBLE, double, soft.double]] as const) {
      for (const operation of OPERATIONS) {
        defineScalar(module, code, of, operation, functions.scalar[operation], slow.operation[operation], commit);
        definePacked(module, code, of, operation, functions.packed[operation], slow.operation[operation], commit);
        definePacked(module, code, of, operation, functions.noted[operation], slow.operation[operation], null);
      }
      defineFromOther(module, code, of, functions.fromOther, slow.fromOther);
      definePackedFused(module, code, of, functions.packedFused, functions.fused);
      defineFlush(module, code, of, functions.flush);
      defineCompare(module, code, of, functions.compare);
      defineToInteger(module, code, of, functions.toInteger);
    }
  };
  return { single, double, half, commit, define };
}
