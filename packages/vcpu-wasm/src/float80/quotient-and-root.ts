/** Significands of quotients and square roots, with as much of what follows them as rounding asks for. */
import { BIAS, INTEGER_BIT } from './format.ts';
import type { FunctionBuilder } from './function-builder.ts';
import { i64 } from './value.ts';
import type { Value } from './value.ts';
import { squareRootWide } from './wide-integer.ts';

/**
 * x / y of two significands with their top bits set. `x` and `exponent` are changed: the quotient has its top bit set too, and the
 * exponent is one more where x is not less than y. The tail says whether what follows is nothing, less than half, half or more.
 */
export function quotientOf(
  f: FunctionBuilder, exponent: Value, x: Value, y: Value, divide: (high: Value, low: Value, divisor: Value) => readonly [Value, Value],
): { quotient: Value; tail: Value } {
  const less = f.let(x.ltU(y));
  const low = f.let(less.select(i64(0n), x.shl(63)));
  f.set(x, x.shrU(less.isZero()));
  f.add(exponent, less.isZero());
  const [quotient, remainder] = divide(x, low, y);
  const twice = f.let(remainder.shl(1));
  const more = remainder.topBit().or(twice.gtU(y));
  return { quotient, tail: f.let(more.select(i64(INTEGER_BIT | 1n), twice.eq(y).select(i64(INTEGER_BIT), remainder.isNotZero().extendU()))) };
}

/** The square root of a number with the top bit of its significand set, and the exponent of that. */
export function rootOf(f: FunctionBuilder, exponent: Value, significand: Value): { root: Value; tail: Value; exponent: Value } {
  const power = f.let(exponent.sub(BIAS));
  // The significand as a fraction: 2^63 is 1 for an even power, with one bit shifted out of the first 64 for an odd one.
  const even = f.let(power.and(1).xor(1));
  const { root, rest } = squareRootWide(f, f.let(significand.shrU(even)), f.let(significand.shl(63).and(even.extendU().negate())));
  // (root + 1/2)^2 = root^2 + root + 1/4: more than half is left when the rest is greater than the root.
  const half = rest[0].isNotZero().or(rest[1].gtU(root));
  return { root, tail: f.let(half.select(i64(INTEGER_BIT | 1n), rest[1].isNotZero().extendU())), exponent: f.let(power.shrS(1).add(BIAS)) };
}
