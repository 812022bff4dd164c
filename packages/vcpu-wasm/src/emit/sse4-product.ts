/** Sums over several elements of SSE4.1: DPPS, DPPD, MPSADBW (SDM vol. 1, sections 12.10.1 and 12.10.8). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { LOWER_RESULT, N, P, S, U, W, X, Y, Z } from '../locals.ts';
import type { FloatFormat } from '../float/float-format.ts';
import { DOUBLE, SINGLE } from '../float/float-format.ts';
import * as simd from '../wasm/simd-opcode.ts';
import * as uop from '../uop.ts';
import { clearFlags, commit, functionsOf } from './float-operand.ts';
import { eachHalf, FIRST, packedBinary, SECOND, writeHalves } from './packed-operand.ts';

/** N = the immediate. */
function immediate(e: Emitter): void { e.code.get(U).load8U32(uop.UOP_IMMEDIATE).set(N); }
/** Pushes a mask of the lanes whose bit of N, from bit `shift` on, is set. */
function pushChosen(e: Emitter, of: FloatFormat, shift: number): void {
  const { code } = e;
  const bits = Array.from({ length: 16 }, (_, i) => (i % of.bytes === 0 ? 1 << (shift + i / of.bytes) : 0));
  code.get(N);
  if (of === DOUBLE) code.extendU().simd(simd.I64X2_SPLAT);
  else code.simd(simd.I32X4_SPLAT);
  code.constV128(bits).simd(simd.V128_AND).constV128(bits).simd(of === DOUBLE ? simd.I64X2_EQ : simd.I32X4_EQ);
}
/** The chosen products, added pair by pair and then pair with pair, go where the low bits say. */
const dotProduct = (of: FloatFormat): Emit => (e) => {
  const { code } = e;
  const { add, mul } = functionsOf(e, of).lanes;
  // The flags of each step are those of both halves.
  const halves = e.wide ? [LOWER_RESULT, Z] : [Z];
  e.requireSse();
  immediate(e);
  pushChosen(e, of, 4);
  code.set(W);
  clearFlags(e);
  eachHalf(e, [SECOND, FIRST], () => {
    code.get(S).get(X).get(W).simd(simd.V128_AND).get(Y).get(W).simd(simd.V128_AND).call(mul).set(Z);
  });
  commit(e);
  const sum = (first: readonly number[], second: readonly number[]): void => {
    clearFlags(e);
    for (const z of halves) code.get(S).get(z).get(z).shuffle(first).get(z).get(z).shuffle(second).call(add).set(z);
    commit(e);
  };
  const LOW = [0, 1, 2, 3, 4, 5, 6, 7], HIGH = [8, 9, 10, 11, 12, 13, 14, 15];
  if (of === DOUBLE) sum([...LOW, ...LOW], [...HIGH, ...HIGH]);
  else {
    sum([0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15, 4, 5, 6, 7, 12, 13, 14, 15]);
    sum([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3], [4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7]);
  }
  for (const z of halves) {
    code.get(z);
    pushChosen(e, of, 0);
    code.simd(simd.V128_AND).set(z);
  }
  writeHalves(e);
};

/** MPSADBW: four bytes of the source against each of eight groups of four in the destination; the upper half has three bits of its own. */
const sumsOfDifferences: Emit = packedBinary((e, upper) => {
  const { code } = e;
  immediate(e);
  if (upper) code.get(N).const32(3).shrU32().set(N);
  code.constV128([]).set(Z);
  for (let k = 0; k < 4; k++) {
    code.get(X).constV128(Array.from({ length: 8 }, (_, i) => i + k)).get(N).const32(4).and32().simd(simd.I8X16_SPLAT).simd(simd.I8X16_ADD).simd(simd.I8X16_SWIZZLE);
    code.set(W);
    code.get(N).const32(3).and32().const32(2).shl32().const32(k).add32().set(P);
    const difference = (swap: boolean): void => {
      const one = (): void => { code.get(Y).get(P).simd(simd.I8X16_SPLAT).simd(simd.I8X16_SWIZZLE); };
      if (swap) one();
      code.get(W);
      if (!swap) one();
      code.simd(simd.I8X16_SUB_SAT_U);
    };
    difference(false);
    difference(true);
    code.simd(simd.V128_OR).simd(simd.I16X8_EXTEND_LOW_I8X16_U).get(Z).simd(simd.I16X8_ADD).set(Z);
  }
});

export const SSE4_PRODUCT: EmitterTable = {
  dpps: { emit: dotProduct(SINGLE), apart: true },
  dppd: { emit: dotProduct(DOUBLE), apart: true },
  mpsadbw: { emit: sumsOfDifferences, apart: true },
};
