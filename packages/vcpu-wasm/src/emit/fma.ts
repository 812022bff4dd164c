/** FMA: a · b + c with one rounding, in three orders of operands (SDM vol. 1, section 14.5). */
import type { Emit, EmitterTable } from '../emitter.ts';
import { A, B, D, R, S, W, X, Y, Z } from '../locals.ts';
import type { FloatFormat } from '../float/float-format.ts';
import { DOUBLE, SINGLE } from '../float/float-format.ts';
import { NEGATE_ADDEND, NEGATE_PRODUCT } from '../float/fused.ts';
import { clearFlags, commit, functionsOf } from './float-operand.ts';
import { eachHalf, writeHalves, writeScalar } from './packed-operand.ts';

/** Places of factor, factor and addend among the operands, by the digits of the name: 1 is the destination. */
const ORDERS: Readonly<Record<string, readonly [number, number, number]>> = { 132: [0, 2, 1], 213: [1, 0, 2], 231: [1, 2, 0] };
/** Modes of even and odd lanes. */
const OPERATIONS: Readonly<Record<string, readonly [number, number]>> = {
  fmadd: [0, 0],
  fmsub: [NEGATE_ADDEND, NEGATE_ADDEND],
  fnmadd: [NEGATE_PRODUCT, NEGATE_PRODUCT],
  fnmsub: [NEGATE_PRODUCT | NEGATE_ADDEND, NEGATE_PRODUCT | NEGATE_ADDEND],
  fmaddsub: [NEGATE_ADDEND, 0],
  fmsubadd: [0, NEGATE_ADDEND],
};

/** Numbers of operands as sources: the destination is one before the first. */
const packed = (of: FloatFormat, [a, b, c]: readonly [number, number, number], [even, odd]: readonly [number, number]): Emit => (e) => {
  const { code } = e;
  e.requireSse();
  clearFlags(e);
  eachHalf(e, [[a - 1, X], [b - 1, Y], [c - 1, W]], () => {
    code.get(S).get(X).get(Y).get(W).const32(even).const32(odd).call(functionsOf(e, of).packedFused).set(Z);
  });
  commit(e);
  writeHalves(e);
};
const scalar = (of: FloatFormat, order: readonly [number, number, number], [mode]: readonly [number, number]): Emit => (e) => {
  const { code } = e;
  e.requireSse();
  // Memory, which is the last operand, first.
  for (const [place, local] of order.map((k, i) => [k, LOCALS[i] as number] as const).sort(([k], [l]) => l - k)) {
    e.read(place);
    code.set(local);
  }
  clearFlags(e);
  code.get(S).get(A).get(B).get(D).const32(mode).call(functionsOf(e, of).fused).set(R);
  commit(e);
  // The other elements are the destination's own.
  writeScalar(e, R, 0);
};
const LOCALS = [A, B, D];

/** Names are made of operation, order and format. */
function table(): EmitterTable {
  const all: Record<string, { emit: Emit; apart: true }> = {};
  for (const [operation, modes] of Object.entries(OPERATIONS)) {
    for (const [digits, order] of Object.entries(ORDERS)) {
      for (const [letter, of] of [['s', SINGLE], ['d', DOUBLE]] as const) {
        all[`v${operation}${digits}p${letter}`] = { emit: packed(of, order, modes), apart: true };
        if (modes[0] === modes[1]) all[`v${operation}${digits}s${letter}`] = { emit: scalar(of, order, modes), apart: true };
      }
    }
  }
  return all;
}

export const FMA: EmitterTable = table();
