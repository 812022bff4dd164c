/** 128-bit integers as pairs (high, low) of i64: what WebAssembly lacks. */
import { I32, I64 } from '../wasm/code-writer.ts';
import type { BuiltFunction, FunctionBuilder, FunctionLibrary } from './function-builder.ts';
import { i32, i64 } from './value.ts';
import type { Value } from './value.ts';

export type Wide = readonly [typeof I64, typeof I64];

export interface WideInteger {
  /** (a, b) -> a * b, all 128 bits. */
  readonly multiply: BuiltFunction<readonly [typeof I64, typeof I64], Wide>;
  /** (high, low, divisor) -> quotient, remainder. The divisor has its top bit set and is greater than high. */
  readonly divide: BuiltFunction<readonly [typeof I64, typeof I64, typeof I64], Wide>;
  /** (high, low, count) -> shifted right; the lowest bit gathers what falls out. Any count from 0 on. */
  readonly shiftRight: BuiltFunction<readonly [typeof I64, typeof I64, typeof I32], Wide>;
  /** (high, low, count) -> shifted left; count from 0 to 127. */
  readonly shiftLeft: BuiltFunction<readonly [typeof I64, typeof I64, typeof I32], Wide>;
}

const LOW_HALF = 0xffff_ffffn;

export function declareWideInteger(library: FunctionLibrary): WideInteger {
  const multiply = library.function([I64, I64], [I64, I64], (f, a, b) => f.return(...multiplyWide(f, a, b)));
  const divide = library.function([I64, I64, I64], [I64, I64], (f, high, low, divisor) => f.return(...divideWide(f, high, low, divisor)));

  const shiftRight = library.function([I64, I64, I32], [I64, I64], (f, high, low, count) => {
    f.if(count.isZero(), () => f.return(high, low));
    const lost = (value: Value): Value => value.isNotZero().extendU();
    f.if(count.ltU(64), () => {
      f.return(high.shrU(count), high.shl(i32(64).sub(count)).or(low.shrU(count)).or(lost(low.shl(i32(64).sub(count)))));
    });
    f.if(count.eq(64), () => f.return(i64(0n), high.or(lost(low))));
    f.if(count.ltU(128), () => f.return(i64(0n), high.shrU(count.sub(64)).or(lost(high.shl(i32(128).sub(count)).or(low)))));
    f.return(i64(0n), lost(high.or(low)));
  });

  const shiftLeft = library.function([I64, I64, I32], [I64, I64], (f, high, low, count) => {
    f.if(count.isZero(), () => f.return(high, low));
    f.if(count.ltU(64), () => f.return(high.shl(count).or(low.shrU(i32(64).sub(count))), low.shl(count)));
    f.return(low.shl(count.sub(64)), i64(0n));
  });

  return { multiply, divide, shiftRight, shiftLeft };
}

/** Expressions of a * b, all 128 bits. */
export function multiplyWide(f: FunctionBuilder, a: Value, b: Value): [Value, Value] {
  const aLow = f.let(a.and(i64(LOW_HALF)));
  const aHigh = f.let(a.shrU(32));
  const bLow = f.let(b.and(i64(LOW_HALF)));
  const bHigh = f.let(b.shrU(32));
  const low = f.let(aLow.mul(bLow));
  const middle = f.let(aHigh.mul(bLow).add(low.shrU(32)));
  const other = f.let(aLow.mul(bHigh).add(middle.and(i64(LOW_HALF))));
  return [f.let(aHigh.mul(bHigh).add(middle.shrU(32)).add(other.shrU(32))), f.let(other.shl(32).or(low.and(i64(LOW_HALF))))];
}
/**
 * Quotient and remainder of high:low by a divisor that has its top bit set and is greater than high: two digits of 32 bits, each
 * guessed from the divisor's upper half and corrected at most twice (Knuth, volume 2, algorithm D).
 */
export function divideWide(f: FunctionBuilder, high: Value, low: Value, divisor: Value): [Value, Value] {
  const upper = f.let(divisor.shrU(32));
  const lower = f.let(divisor.and(i64(LOW_HALF)));
  const digit = (rest: Value, next: Value): { quotient: Value; rest: Value } => {
    const quotient = f.let(rest.divU(upper));
    const guess = f.let(rest.sub(quotient.mul(upper)));
    const tooGreat = (): Value => quotient.gtU(i64(LOW_HALF)).or(quotient.mul(lower).gtU(guess.shl(32).or(next)));
    // How often the first guess is too great depends on the divisor, so no branch learns it.
    const first = f.let(tooGreat());
    f.set(quotient, quotient.sub(first.extendU()));
    f.set(guess, guess.add(first.select(upper, i64(0n))));
    f.ifSeldom(first.and(guess.leU(i64(LOW_HALF))).and(tooGreat()), () => f.set(quotient, quotient.sub(1)));
    return { quotient, rest: f.let(rest.shl(32).or(next).sub(quotient.mul(divisor))) };
  };
  const first = digit(high, f.let(low.shrU(32)));
  const second = digit(first.rest, f.let(low.and(i64(LOW_HALF))));
  return [f.let(first.quotient.shl(32).or(second.quotient)), second.rest];
}

/**
 * The whole square root of high:low, where one of the two highest bits is set, and the rest as 128 bits, at most twice the root.
 * The upper half of the root is that of the host's f64, the lower one a division by it; integers correct both by what they miss.
 */
export function squareRootWide(f: FunctionBuilder, high: Value, low: Value): { root: Value; rest: [Value, Value] } {
  /** What is not below 2^32 becomes the number before. */
  const cut = (value: Value): void => f.set(value, value.sub(value.shrU(32)));
  const half = f.let(high.shrU(1).toDouble());
  const upper = f.let(half.addDouble(half).squareRootDouble().truncate());
  cut(upper);
  const left = f.let(high.sub(upper.mul(upper)));
  f.ifSeldom(left.topBit(), () => {
    f.set(upper, upper.sub(1));
    f.set(left, left.add(upper.shl(1).or(1)));
  });
  f.ifSeldom(left.gtU(upper.shl(1)), () => {
    f.set(left, left.sub(upper.shl(1).or(1)));
    f.set(upper, upper.add(1));
  });
  // (upper * 2^32 + lower)^2 = upper^2 * 2^64 + upper * lower * 2^33 + lower^2
  const quarter = f.let(left.shl(30).or(low.shrU(34)).toDouble());
  const lower = f.let(quarter.addDouble(quarter).divideDouble(upper.toDouble()).truncate());
  cut(lower);
  const product = f.let(upper.mul(lower));
  const square = f.let(lower.mul(lower));
  const root = f.let(upper.shl(32).add(lower));
  const twice: [Value, Value] = [product.shrU(31), f.let(product.shl(33))];
  const without = subtractWide(f, [left, low], twice);
  const rest = subtractWide(f, without, [i64(0n), square]);
  f.ifSeldom(rest[0].topBit(), () => f.repeat(() => {
    f.set(root, root.sub(1));
    const more = addWide(f, rest, [root.shrU(63), f.let(root.shl(1).or(1))]);
    f.setAll(rest, more);
    return rest[0].topBit();
  }), () => {
    const tooMuch = (): Value => lessWide([root.shrU(63), root.shl(1)], rest);
    f.ifSeldom(tooMuch(), () => f.repeat(() => {
      const less = subtractWide(f, rest, [root.shrU(63), f.let(root.shl(1).or(1))]);
      f.setAll(rest, less);
      f.set(root, root.add(1));
      return tooMuch();
    }));
  });
  return { root, rest };
}

/** Expressions of a + b. `low` must not be one of the operands' locals once it is set. */
export function addWide(f: FunctionBuilder, a: readonly [Value, Value], b: readonly [Value, Value]): [Value, Value] {
  const low = f.let(a[1].add(b[1]));
  return [f.let(a[0].add(b[0]).add(low.ltU(b[1]).extendU())), low];
}
export function subtractWide(f: FunctionBuilder, a: readonly [Value, Value], b: readonly [Value, Value]): [Value, Value] {
  const borrow = f.let(a[1].ltU(b[1]).extendU());
  const low = f.let(a[1].sub(b[1]));
  return [f.let(a[0].sub(b[0]).sub(borrow)), low];
}
/** a < b, unsigned. */
export const lessWide = (a: readonly [Value, Value], b: readonly [Value, Value]): Value => a[0].ltU(b[0]).or(a[0].eq(b[0]).and(a[1].ltU(b[1])));
