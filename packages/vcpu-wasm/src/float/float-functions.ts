/**
 * The floating-point functions that emitted code calls: names and signatures, which the interpreter's module exports and the
 * modules of translated regions import. They note flags in FLOAT_FLAGS; `attempt` makes them sticky.
 */
import { I32, I64, V128 } from '../wasm/code-writer.ts';
import type { Signature } from '../wasm/module-writer.ts';

export type SoftOperation = 'add' | 'sub' | 'mul' | 'div' | 'sqrt';
export const SOFT_OPERATIONS: readonly SoftOperation[] = ['add', 'sub', 'mul', 'div', 'sqrt'];

export interface FormatFunctions {
  /** (s, a, b) -> result, as bit patterns in i64, in integers; the square root takes its operand twice. */
  readonly soft: Readonly<Record<SoftOperation, number>>;
  /** (s, a, b) -> result, all lanes. */
  readonly lanes: Readonly<Record<SoftOperation, number>>;
  /** (s, signed integer as i64) -> bit pattern. */
  readonly fromInteger: number;
  /** (s, bit pattern of the other format) -> bit pattern of this one. */
  readonly fromOther: number;
  /** (s, a, b, c, mode) -> a · b + c, product and addend negated as the mode says (fused.ts). */
  readonly fused: number;
  /** (s, a, b, c, mode of even lanes, mode of odd ones) -> all lanes. */
  readonly packedFused: number;
  /** (s, v) -> v with denormals made zero when DAZ is on; notes nothing. */
  readonly flush: number;
  /** (s, a, b, quiet NaNs are invalid too): notes what comparing the lanes raises. */
  readonly compare: number;
  /** (s, bit pattern, truncate, 64-bit) -> integer; truncate 0 rounds as MXCSR says. */
  readonly toInteger: number;
}
export interface HalfFunctions {
  /** (s, single, immediate of VCVTPS2PH) -> half. */
  readonly toHalf: number;
  /** (s, half) -> single. */
  readonly fromHalf: number;
}
export interface FloatFunctions {
  readonly single: FormatFunctions;
  readonly double: FormatFunctions;
  readonly half: HalfFunctions;
  /** (s) -> 1 when a noted flag is not masked, having changed nothing; else 0, the flags being sticky in MXCSR. */
  readonly attempt: number;
}
/** Gives a function of the module its number. */
export type DeclareFunction = (name: string, signature: Signature) => number;

const UNARY: Signature = { parameters: [I32, I64], results: [I64] };
const BINARY: Signature = { parameters: [I32, I64, I64], results: [I64] };
const LANES: Signature = { parameters: [I32, V128, V128], results: [V128] };

/** Declares all of them, in the same order in every module. */
export function declareFloatFunctions(declare: DeclareFunction): FloatFunctions {
  const operations = (prefix: string, signature: Signature): Record<SoftOperation, number> => {
    const one = (operation: SoftOperation): number => declare(`${prefix}.${operation}`, signature);
    return { add: one('add'), sub: one('sub'), mul: one('mul'), div: one('div'), sqrt: one('sqrt') };
  };
  const format = (prefix: string): FormatFunctions => ({
    soft: operations(`${prefix}.soft`, BINARY),
    lanes: operations(`${prefix}.lanes`, LANES),
    fromInteger: declare(`${prefix}.fromInteger`, UNARY),
    fromOther: declare(`${prefix}.fromOther`, UNARY),
    fused: declare(`${prefix}.fused`, { parameters: [I32, I64, I64, I64, I32], results: [I64] }),
    packedFused: declare(`${prefix}.packedFused`, { parameters: [I32, V128, V128, V128, I32, I32], results: [V128] }),
    flush: declare(`${prefix}.flush`, { parameters: [I32, V128], results: [V128] }),
    compare: declare(`${prefix}.compare`, { parameters: [I32, V128, V128, I32], results: [] }),
    toInteger: declare(`${prefix}.toInteger`, { parameters: [I32, I64, I32, I32], results: [I64] }),
  });
  return {
    single: format('single'),
    double: format('double'),
    half: { toHalf: declare('half.toHalf', { parameters: [I32, I64, I32], results: [I64] }), fromHalf: declare('half.fromHalf', UNARY) },
    attempt: declare('float.attempt', { parameters: [I32], results: [I32] }),
  };
}
