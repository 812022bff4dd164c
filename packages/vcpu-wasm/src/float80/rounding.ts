/** Rounding and the exceptions that come after computing: precision, underflow and overflow (SDM vol. 1, sections 4.8.4 and 8.5.4 to 8.5.6). */
import { I32, I64 } from '../wasm/code-writer.ts';
import {
  C1, EXPONENT_WRAP, infinity, INTEGER_BIT, MAXIMUM_EXPONENT, OE, PE, PRECISION_SHIFT, ROUND_DOWN, ROUND_NEAREST, ROUND_UP, roundingOf, UE, zero,
} from './format.ts';
import type { BuiltFunction, FunctionLibrary } from './function-builder.ts';
import { i32, i64 } from './value.ts';
import type { WideInteger } from './wide-integer.ts';

/** Significand, sign and exponent, status bits. */
export type Result = readonly [typeof I64, typeof I32, typeof I32];

export interface Rounding {
  /** (sign, high, low, bits to drop, control) -> significand, carry out of it, status bits. Rounds high:low to high without its lowest bits. */
  readonly round: BuiltFunction<readonly [typeof I32, typeof I64, typeof I64, typeof I32, typeof I32], readonly [typeof I64, typeof I32, typeof I32]>;
  /** (sign, exponent, high, low, control): the number high.low with its top bit set, of any exponent, as the control word wants it. */
  readonly pack: BuiltFunction<readonly [typeof I32, typeof I32, typeof I64, typeof I64, typeof I32], Result>;
  /** As pack, of a number whose top bit may be clear, or that is 0. */
  readonly normaliseAndPack: BuiltFunction<readonly [typeof I32, typeof I32, typeof I64, typeof I64, typeof I32], Result>;
}

/** Bits of the 64 that the precision control drops. The reserved encoding counts as full precision. */
const droppedBits = (control: ReturnType<typeof i32>): ReturnType<typeof i32> => {
  const field = control.shrU(PRECISION_SHIFT).and(3);
  return field.isZero().select(i32(40), field.eq(2).select(i32(11), 0));
};

export function declareRounding(library: FunctionLibrary, wide: WideInteger): Rounding {
  const round = library.function([I32, I64, I64, I32, I32], [I64, I32, I32], (f, sign, high, low, drop, control) => {
    const tail = f.let(drop.isZero().select(low, high.shl(i32(64).sub(drop)).or(low.isNotZero().extendU())));
    const unit = f.let(i64(1n).shl(drop));
    const kept = f.let(high.and(unit.negate()));
    f.if(tail.isZero(), () => f.return(kept, i32(0), i32(0)));
    const mode = f.let(roundingOf(control));
    const toNearest = tail.gtU(i64(INTEGER_BIT)).or(tail.eq(i64(INTEGER_BIT)).and(kept.and(unit).isNotZero()));
    const up = mode.eq(ROUND_NEAREST).select(toNearest, mode.eq(ROUND_DOWN).select(sign, mode.eq(ROUND_UP).and(sign.isZero())));
    f.if(up, () => {
      f.add(kept, unit);
      f.return(kept, kept.isZero(), i32(PE | C1));
    });
    f.return(kept, i32(0), i32(PE));
  });

  const pack = library.function([I32, I32, I64, I64, I32], [I64, I32, I32], (f, sign, exponent, high, low, control) => {
    const drop = f.let(droppedBits(control));
    const [significand, carry, flags] = f.call(round, sign, high, low, drop, control);
    f.if(exponent.leS(0), () => {
      // Tiny: smaller than the smallest normal number also after rounding as if exponents had no limit.
      f.if(exponent.ltS(0).or(carry.isZero()), () => {
        f.if(control.and(UE).isNotZero(), () => {
          f.callInto([high, low], wide.shiftRight, high, low, i32(1).sub(exponent));
          f.callInto([significand, carry, flags], round, sign, high, low, drop, control);
          f.return(significand, sign.shl(15).or(significand.topBit()), flags.or(flags.and(PE).shrU(1)));
        });
        f.add(exponent, EXPONENT_WRAP);
        f.or(flags, UE);
        f.if(exponent.leS(0), () => f.return(...zero(sign), i32(UE | PE)));
      });
    });
    f.if(carry, () => {
      f.set(significand, i64(INTEGER_BIT));
      f.add(exponent, 1);
    });
    f.if(exponent.geS(MAXIMUM_EXPONENT), () => {
      const masked = control.and(OE).isNotZero();
      f.if(masked, () => {
        const mode = roundingOf(control);
        const away = mode.isZero().or(mode.eq(ROUND_DOWN).and(sign)).or(mode.eq(ROUND_UP).and(sign.isZero()));
        f.if(away, () => f.return(...infinity(sign), i32(OE | PE | C1)));
        f.return(i64(-1n).shl(drop), sign.shl(15).or(MAXIMUM_EXPONENT - 1), i32(OE | PE));
      });
      f.add(exponent, -EXPONENT_WRAP);
      f.or(flags, OE);
      f.if(exponent.geS(MAXIMUM_EXPONENT), () => f.return(...infinity(sign), i32(OE | PE | C1)));
    });
    f.return(significand, sign.shl(15).or(exponent), flags);
  });

  const normaliseAndPack = library.function([I32, I32, I64, I64, I32], [I64, I32, I32], (f, sign, exponent, high, low, control) => {
    f.if(high.isZero(), () => {
      f.if(low.isZero(), () => f.return(...zero(sign), i32(0)));
      f.set(high, low);
      f.set(low, 0);
      f.add(exponent, -64);
    });
    const shift = f.let(high.clz().wrap());
    f.callInto([high, low], wide.shiftLeft, high, low, shift);
    f.returnCall(pack, sign, exponent.sub(shift), high, low, control);
  });

  return { round, pack, normaliseAndPack };
}
