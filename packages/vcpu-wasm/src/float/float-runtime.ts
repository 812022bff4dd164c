/**
 * Floating-point functions of the engine module that instruction emitters call: the host's arithmetic where operands and
 * result are ordinary numbers and MXCSR asks for nothing special, soft-float.ts for the rest.
 *
 * The short way is open when all exceptions are masked, rounding is to nearest, neither FTZ nor DAZ is on and PE is set
 * already: an operation on ordinary numbers with an ordinary result can raise nothing but PE (SDM vol. 1, section 4.9).
 */
import type { CodeWriter } from '../wasm/code-writer.ts';
import { F64, I32, I64, V128 } from '../wasm/code-writer.ts';
import type { ModuleWriter, Signature } from '../wasm/module-writer.ts';
import * as simd from '../wasm/simd-opcode.ts';
import * as state from '../cpu-state.ts';
import {
  DOUBLE, MXCSR_DAZ, MXCSR_DE, MXCSR_IE, MXCSR_MASKS_SHIFT, MXCSR_PE, MXCSR_PLAIN, MXCSR_PLAIN_MASK, MXCSR_ROUNDING_SHIFT, pushConstant,
  pushLanes, SINGLE,
} from './float-format.ts';
import type { FloatFormat } from './float-format.ts';
import { declareSoftFloat, FLOAT_FLAGS } from './soft-float.ts';
import type { SoftFormat, SoftOperation } from './soft-float.ts';

export interface FormatFunctions {
  /** (s, a, b) -> result, as bit patterns in i64; the square root takes its operand twice. */
  readonly scalar: Readonly<Record<SoftOperation, number>>;
  /** (s, a, b) -> result, all lanes. */
  readonly packed: Readonly<Record<SoftOperation, number>>;
  /** (s, signed integer as i64) -> bit pattern. */
  readonly fromInteger: number;
  /** (s, bit pattern of the other format) -> bit pattern of this one. */
  readonly fromOther: number;
  /** (s, v) -> v with denormals made zero when DAZ is on. */
  readonly flush: number;
  /** (s, a, b, quiet NaNs are invalid too): notes what comparing the lanes raises. */
  readonly compare: number;
  /** (s, bit pattern, truncate, 64-bit) -> integer; truncate 0 rounds as MXCSR says. Notes flags, commits nothing. */
  readonly toInteger: number;
}
export interface FloatFunctions {
  readonly single: FormatFunctions;
  readonly double: FormatFunctions;
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
const F64_CEIL = 0x9b, F64_FLOOR = 0x9c, F64_TRUNC = 0x9d, F64_NEAREST = 0x9e, F64_ABS = 0x99;
const F64_LT = 0x63, F64_GE = 0x66, F64_NE = 0x62;
const I64_TRUNC_SAT_F64_S = 6;
const F64_PROMOTE = 0xbb, F32_DEMOTE = 0xb6;
const I32_REINTERPRET = 0xbc, I64_REINTERPRET = 0xbd, F32_REINTERPRET = 0xbe, F64_REINTERPRET = 0xbf;

const S = 0, A = 1, B = 2;

/** Takes a bit pattern in i64, pushes the number. */
function pushAsFloat(code: CodeWriter, of: FloatFormat): void {
  if (of.bytes === 4) code.wrap().plain(F32_REINTERPRET);
  else code.plain(F64_REINTERPRET);
}
function pushAsBits(code: CodeWriter, of: FloatFormat): void {
  if (of.bytes === 4) code.plain(I32_REINTERPRET).extendU();
  else code.plain(I64_REINTERPRET);
}
/** Pushes whether MXCSR is in the state in which ordinary results need no care. */
function pushIsPlain(code: CodeWriter): void {
  code.get(S).load32(state.MXCSR).const32(MXCSR_PLAIN_MASK).and32().const32(MXCSR_PLAIN).eq32();
}
/** Pushes whether bit pattern x is neither denormal, infinite nor a NaN; zero is `zero` (i32 0 or 1). */
function pushIsOrdinary(code: CodeWriter, of: FloatFormat, x: number, zero: boolean): void {
  const magnitude = (): void => {
    code.get(x);
    pushConstant(code, of.sign - 1n);
    code.and();
  };
  const smallest = of.fraction + 1n;
  magnitude();
  pushConstant(code, smallest);
  code.sub();
  pushConstant(code, of.infinity - smallest);
  code.ltU();
  if (!zero) return;
  magnitude();
  code.eqz().or32();
}

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

/** Pushes a vector that is not zero in the lanes of x that are denormal, infinite or NaN. */
function pushExtraordinary(code: CodeWriter, of: FloatFormat, x: number, scratch: number): void {
  const single = of.bytes === 4;
  const smallest = of.fraction + 1n;
  code.get(x);
  pushLanes(code, of, of.sign - 1n);
  code.simd(simd.V128_AND).set(scratch);
  if (single) {
    code.get(scratch);
    pushLanes(code, of, smallest);
    code.simd(simd.I32X4_SUB);
    pushLanes(code, of, of.infinity - smallest);
    code.simd(simd.I32X4_GE_U);
  } else {
    // Magnitudes have no sign bit, so signed comparisons serve.
    code.get(scratch);
    pushLanes(code, of, smallest);
    code.simd(simd.I64X2_LT_S).get(scratch);
    pushLanes(code, of, of.infinity);
    code.simd(simd.I64X2_GE_S).simd(simd.V128_OR);
  }
  code.get(scratch).constV128([]).simd(single ? simd.I32X4_NE : simd.I64X2_NE).simd(simd.V128_AND);
}
/** Pushes a lane mask: x is (plus or minus) zero. */
function pushZeroLanes(code: CodeWriter, of: FloatFormat, x: number): void {
  code.get(x).constV128([]).simd(of.bytes === 4 ? simd.F32X4_EQ : simd.F64X2_EQ);
}

function definePacked(module: ModuleWriter, code: CodeWriter, of: FloatFormat, operation: SoftOperation, index: number, soft: number, commit: number): void {
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
  code.get(S).const32(0).store32(FLOAT_FLAGS);
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
  code.get(RESULT).get(S).call(commit);
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

function defineFlush(module: ModuleWriter, code: CodeWriter, of: FloatFormat, index: number): void {
  const V = 1;
  code.reset();
  code.get(S).load32(state.MXCSR).const32(MXCSR_DAZ).and32().eqz32();
  code.if();
  code.get(V).return();
  code.end();
  // Lanes with exponent field 0 keep their sign only.
  code.get(V);
  pushLanes(code, of, of.sign);
  code.get(V);
  pushLanes(code, of, of.infinity);
  code.simd(simd.V128_AND).constV128([]).simd(of.bytes === 4 ? simd.I32X4_NE : simd.I64X2_NE);
  code.simd(simd.V128_OR).simd(simd.V128_AND);
  module.define(index, [], code);
}

function defineCompare(module: ModuleWriter, code: CodeWriter, of: FloatFormat, index: number): void {
  const INVALID_QUIET = 3, T = 4, NAN_A = 5, NAN_B = 6;
  const single = of.bytes === 4;
  const note = (flag: number): void => {
    code.if();
    code.get(S).get(S).load32(FLOAT_FLAGS).const32(flag).or32().store32(FLOAT_FLAGS);
    code.end();
  };
  const isNan = (x: number): void => { code.get(x).get(x).simd(single ? simd.F32X4_NE : simd.F64X2_NE); };
  const isQuiet = (x: number): void => {
    code.get(x);
    pushLanes(code, of, of.quiet);
    code.simd(simd.V128_AND).constV128([]).simd(single ? simd.I32X4_NE : simd.I64X2_NE);
  };
  const isDenormal = (x: number): void => {
    code.get(x);
    pushLanes(code, of, of.infinity);
    code.simd(simd.V128_AND).constV128([]).simd(single ? simd.I32X4_EQ : simd.I64X2_EQ);
    code.get(x);
    pushLanes(code, of, of.fraction);
    code.simd(simd.V128_AND).constV128([]).simd(single ? simd.I32X4_NE : simd.I64X2_NE).simd(simd.V128_AND);
  };
  code.reset();
  code.get(S).const32(0).store32(FLOAT_FLAGS);
  pushExtraordinary(code, of, A, T);
  pushExtraordinary(code, of, B, T);
  code.simd(simd.V128_OR).simd(simd.V128_ANY_TRUE).eqz32();
  code.if();
  code.return();
  code.end();
  isNan(A);
  code.set(NAN_A);
  isNan(B);
  code.set(NAN_B);
  code.get(INVALID_QUIET);
  code.if(V128);
  code.get(NAN_A).get(NAN_B).simd(simd.V128_OR);
  code.else();
  code.get(NAN_A);
  isQuiet(A);
  code.simd(simd.V128_ANDNOT).get(NAN_B);
  isQuiet(B);
  code.simd(simd.V128_ANDNOT).simd(simd.V128_OR);
  code.end();
  code.simd(simd.V128_ANY_TRUE);
  note(MXCSR_IE);
  // A lane with a NaN does not look at the other operand.
  isDenormal(A);
  isDenormal(B);
  code.simd(simd.V128_OR).get(NAN_A).get(NAN_B).simd(simd.V128_OR).simd(simd.V128_ANDNOT).simd(simd.V128_ANY_TRUE);
  code.get(S).load32(state.MXCSR).const32(MXCSR_DAZ).and32().eqz32().and32();
  note(MXCSR_DE);
  module.define(index, [V128, V128, V128], code);
}

function defineToInteger(module: ModuleWriter, code: CodeWriter, of: FloatFormat, index: number): void {
  const TRUNCATE = 2, WIDE = 3, VALUE = 4, ROUNDED = 5, MODE = 6;
  const note = (flag: number): void => { code.get(S).get(S).load32(FLOAT_FLAGS).const32(flag).or32().store32(FLOAT_FLAGS); };
  const constF64 = (value: number): void => {
    const bits = new DataView(new ArrayBuffer(8));
    bits.setFloat64(0, value);
    code.const64(bits.getInt32(4), bits.getInt32(0)).plain(F64_REINTERPRET);
  };
  code.reset();
  code.get(A);
  pushAsFloat(code, of);
  if (of.bytes === 4) code.plain(F64_PROMOTE);
  code.set(VALUE);
  code.get(S).load32(state.MXCSR).const32(MXCSR_DAZ).and32();
  code.if();
  code.get(VALUE).plain(F64_ABS);
  constF64(of.bytes === 4 ? 2 ** -126 : 2 ** -1022);
  code.plain(F64_LT);
  code.if();
  constF64(0);
  code.set(VALUE);
  code.end();
  code.end();
  code.const32(3).get(S).load32(state.MXCSR).const32(MXCSR_ROUNDING_SHIFT).shrU32().const32(3).and32().get(TRUNCATE).select().set(MODE);
  const rounded = code.block();
  const toZero = code.block();
  const up = code.block();
  const down = code.block();
  const nearest = code.block();
  code.get(MODE).brTable([nearest, down, up], toZero);
  for (const instruction of [F64_NEAREST, F64_FLOOR, F64_CEIL, F64_TRUNC]) {
    code.end();
    code.get(VALUE).plain(instruction).set(ROUNDED);
    if (instruction !== F64_TRUNC) code.br(rounded);
  }
  code.end();
  code.get(ROUNDED);
  constF64(-(2 ** 63));
  constF64(-(2 ** 31));
  code.get(WIDE).select().plain(F64_GE);
  code.get(ROUNDED);
  constF64(2 ** 63);
  constF64(2 ** 31);
  code.get(WIDE).select().plain(F64_LT).and32().eqz32();
  code.if();
  note(MXCSR_IE);
  code.const64(0, -0x8000_0000).const64(-0x8000_0000, 0).get(WIDE).select().return();
  code.end();
  code.get(ROUNDED).get(VALUE).plain(F64_NE);
  code.if();
  note(MXCSR_PE);
  code.end();
  code.get(ROUNDED).misc(I64_TRUNC_SAT_F64_S);
  module.define(index, [F64, F64, I32], code);
}

/** Conversion to the narrower format where host arithmetic will do. */
function defineFromOther(module: ModuleWriter, code: CodeWriter, of: FloatFormat, index: number, soft: number): void {
  const RESULT = 2;
  const from = of === SINGLE ? DOUBLE : SINGLE;
  code.reset();
  const careful = code.block();
  if (of === SINGLE) {
    pushIsPlain(code);
    code.eqz32().brIf(careful);
  }
  // Widening is exact whatever MXCSR says, as long as the operand is ordinary.
  pushIsOrdinary(code, from, A, of === DOUBLE);
  code.eqz32().brIf(careful);
  code.get(A);
  pushAsFloat(code, from);
  code.plain(of === SINGLE ? F32_DEMOTE : F64_PROMOTE);
  pushAsBits(code, of);
  code.set(RESULT);
  pushIsOrdinary(code, of, RESULT, of === DOUBLE);
  code.eqz32().brIf(careful);
  code.get(RESULT).return();
  code.end();
  code.get(S).get(A).call(soft);
  module.define(index, [I64], code);
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
    fromInteger: from.fromInteger,
    fromOther: module.declare({ parameters: [I32, I64], results: [I64] }),
    flush: module.declare({ parameters: [I32, V128], results: [V128] }),
    compare: module.declare({ parameters: [I32, V128, V128, I32], results: [] }),
    toInteger: module.declare({ parameters: [I32, I64, I32, I32], results: [I64] }),
  });
  const single = declare(soft.single);
  const double = declare(soft.double);
  const define = (): void => {
    soft.define();
    defineCommit(module, code, commit, raise);
    for (const [of, functions, slow] of [[SINGLE, single, soft.single], [DOUBLE, double, soft.double]] as const) {
      for (const operation of OPERATIONS) {
        defineScalar(module, code, of, operation, functions.scalar[operation], slow.operation[operation], commit);
        definePacked(module, code, of, operation, functions.packed[operation], slow.operation[operation], commit);
      }
      defineFromOther(module, code, of, functions.fromOther, slow.fromOther);
      defineFlush(module, code, of, functions.flush);
      defineCompare(module, code, of, functions.compare);
      defineToInteger(module, code, of, functions.toInteger);
    }
  };
  return { single, double, commit, define };
}
