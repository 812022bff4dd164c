/** The binary floating-point formats of SSE and F16C (SDM vol. 1, section 4.2.2) and the bits of MXCSR (section 10.2.3). */
import type { CodeWriter } from '../wasm/code-writer.ts';

export interface BinaryFormat {
  readonly bytes: 2 | 4 | 8;
  /** Bits of the significand with the leading one. */
  readonly precision: number;
  readonly bias: number;
  /** Exponent field of infinities and NaNs. */
  readonly maximumExponent: number;
  readonly sign: bigint;
  readonly fraction: bigint;
  readonly quiet: bigint;
  readonly infinity: bigint;
  /** What an invalid operation gives: negative and quiet. */
  readonly defaultNan: bigint;
}
/** A format that there is arithmetic in. */
export interface FloatFormat extends BinaryFormat { readonly bytes: 4 | 8 }

function format<Bytes extends 2 | 4 | 8>(bytes: Bytes, precision: number): BinaryFormat & { readonly bytes: Bytes } {
  const fractionBits = BigInt(precision - 1);
  const sign = 1n << BigInt(bytes * 8 - 1);
  const fraction = (1n << fractionBits) - 1n;
  const maximumExponent = (1 << (bytes * 8 - precision)) - 1;
  const infinity = BigInt(maximumExponent) << fractionBits;
  const quiet = 1n << (fractionBits - 1n);
  return { bytes, precision, bias: maximumExponent >> 1, maximumExponent, sign, fraction, quiet, infinity, defaultNan: sign | infinity | quiet };
}

export const HALF: BinaryFormat = format(2, 11);
export const SINGLE: FloatFormat = format(4, 24);
export const DOUBLE: FloatFormat = format(8, 53);

export const MXCSR_IE = 0x01;
export const MXCSR_DE = 0x02;
export const MXCSR_ZE = 0x04;
export const MXCSR_OE = 0x08;
export const MXCSR_UE = 0x10;
export const MXCSR_PE = 0x20;
export const MXCSR_DAZ = 0x40;
export const MXCSR_MASKS_SHIFT = 7;
export const MXCSR_OM = 0x0400;
export const MXCSR_UM = 0x0800;
export const MXCSR_ROUNDING_SHIFT = 13;
export const MXCSR_FTZ = 0x8000;
/** Everything but the flags that an exact operation on ordinary numbers leaves alone; PE is set after the first inexact one. */
export const MXCSR_PLAIN_MASK = 0xffe0;
export const MXCSR_PLAIN = 0x1fa0;

export const ROUND_NEAREST = 0;
export const ROUND_DOWN = 1;
export const ROUND_UP = 2;
export const ROUND_TO_ZERO = 3;

/** Pushes an i64 constant of any value. */
export function pushConstant(code: CodeWriter, value: bigint): void {
  code.const64(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
}
/** The bytes of a vector with `value` in every lane of the format. */
export function lanesOf(of: FloatFormat, value: bigint): readonly number[] {
  return Array.from({ length: 16 }, (_, i) => Number((value >> BigInt((i % of.bytes) * 8)) & 0xffn));
}
/** Pushes such a vector. */
export function pushLanes(code: CodeWriter, of: FloatFormat, value: bigint): void { code.constV128(lanesOf(of, value)); }
