/** Broadcasts, insertion and extraction of halves, masked moves and the clearing of registers of AVX and AVX2 (SDM vol. 1, sections 14.1 and 14.7). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, D, K as MASK, LOWER_RESULT, M, N, R, U, UPPER_OPERAND, W, X, Y, Z } from '../locals.ts';
import * as simd from '../wasm/simd-opcode.ts';
import * as uop from '../uop.ts';
import { readHalves, readPacked, writeHalves } from './packed-operand.ts';

const IDENTITY = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/** The lowest element of the source everywhere. */
const broadcast = (bytes: 1 | 2 | 4 | 8 | 16): Emit => (e) => {
  e.requireSse();
  readPacked(e, 1);
  e.code.tee(Z).get(Z).shuffle(IDENTITY.map((i) => i % bytes)).tee(Z).set(LOWER_RESULT);
  writeHalves(e);
};

/** Pushes a bit of the immediate, as i32. */
export function pushImmediateBits(e: Emitter, shift: number, mask: number): void {
  e.code.get(U).load8U32(uop.UOP_IMMEDIATE);
  if (shift > 0) e.code.const32(shift).shrU32();
  e.code.const32(mask).and32();
}
/** VINSERTF128: the second source replaces one half of the first. */
const insertHalf: Emit = (e) => {
  const { code } = e;
  e.requireSse();
  readPacked(e, 1);
  code.set(Y);
  readHalves(e, 0, X, W);
  code.get(X).get(Y);
  pushImmediateBits(e, 0, 1);
  code.select().set(LOWER_RESULT).get(Y).get(W);
  pushImmediateBits(e, 0, 1);
  code.select().set(Z);
  writeHalves(e);
};
const extractHalf: Emit = (e) => {
  const { code } = e;
  e.requireSse();
  readHalves(e, 1, X, Y);
  code.get(Y).get(X);
  pushImmediateBits(e, 0, 1);
  code.select().set(Z);
  e.writeVector(0, Z, false);
};
/** VPERM2F128: each half of the result is one of four, or zero. */
const permuteHalves: Emit = (e) => {
  const { code } = e;
  e.requireSse();
  readHalves(e, 1, Y, UPPER_OPERAND);
  readHalves(e, 0, X, W);
  const choose = (shift: number, into: number): void => {
    code.constV128([]);
    code.get(UPPER_OPERAND).get(Y);
    pushImmediateBits(e, shift, 1);
    code.select().get(W).get(X);
    pushImmediateBits(e, shift, 1);
    code.select();
    pushImmediateBits(e, shift, 2);
    code.select();
    pushImmediateBits(e, shift, 8);
    code.select().set(into);
  };
  choose(0, LOWER_RESULT);
  choose(4, Z);
  writeHalves(e);
};

/** Numbers of the elements in the lower, or the upper half. */
export const elementNumbers = (bytes: 4 | 8, upper: boolean): number[] =>
  IDENTITY.map((i) => (i % bytes === 0 ? i / bytes + (upper ? 16 / bytes : 0) : 0));
/** Pushes element N of the vectors `lower` and `upper`, `bytes` wide; of one vector when `upper` is null. */
export function pushElement(e: Emitter, bytes: 4 | 8, lower: number, upper: number | null): void {
  const { code } = e;
  const indices = (from: number): void => { code.get(N).const32(Math.log2(bytes)).shl32().const32(from).sub32().simd(simd.I8X16_SPLAT).constV128(IDENTITY).simd(simd.I8X16_ADD); };
  code.get(lower);
  indices(0);
  code.simd(simd.I8X16_SWIZZLE);
  if (upper !== null) {
    // An index outside 0 to 15 gives zero, so the two parts can be joined.
    code.get(upper);
    indices(16);
    code.simd(simd.I8X16_SWIZZLE).simd(simd.V128_OR);
  }
  code.lane(simd.I64X2_EXTRACT_LANE, 0);
  if (bytes === 4) code.zeroExtend(4);
}
/** Replaces element N of the vectors by the i64 in local `value`. */
export function setElement(e: Emitter, bytes: 4 | 8, value: number, lower: number, upper: number | null): void {
  const { code } = e;
  for (const x of upper === null ? [lower] : [lower, upper]) {
    if (bytes === 4) code.get(value).wrap().simd(simd.I32X4_SPLAT);
    else code.get(value).simd(simd.I64X2_SPLAT);
    code.get(x);
    if (bytes === 4) code.get(N).simd(simd.I32X4_SPLAT).constV128(elementNumbers(4, x === upper)).simd(simd.I32X4_EQ);
    else code.get(N).extendU().simd(simd.I64X2_SPLAT).constV128(elementNumbers(8, x === upper)).simd(simd.I64X2_EQ);
    code.simd(simd.V128_BITSELECT).set(x);
  }
}
/** M = one bit for each element of the mask in X and Y that is negative. */
function maskBits(e: Emitter, bytes: 4 | 8): void {
  const { code } = e;
  const bitmask = bytes === 4 ? simd.I32X4_BITMASK : simd.I64X2_BITMASK;
  code.get(X).simd(bitmask);
  if (e.wide) code.get(Y).simd(bitmask).const32(16 / bytes).shl32().or32();
  code.set(M);
}
/** Runs `body` for each set bit of M, lowest first, with its number in N and the linear address of its element on the stack. */
function eachChosen(e: Emitter, bytes: 4 | 8, write: boolean, body: () => void): void {
  const { code } = e;
  code.get(M).set(MASK);
  const done = code.block();
  const loop = code.loop();
  code.get(MASK).eqz32().brIf(done);
  code.get(MASK).ctz32().set(N);
  // An element that is not chosen is not looked at: neither by the segment's limit nor by paging.
  code.get(D).get(N).const32(Math.log2(bytes)).shl32().extendU().add();
  if (e.form.addressBytes !== 8) code.zeroExtend(e.form.addressBytes);
  e.addressOfOffset(bytes, write);
  body();
  code.get(MASK).get(MASK).const32(1).sub32().and32().set(MASK).br(loop);
  code.end();
  code.end();
}
/** No address is misaligned for it (SDM vol. 2, VMASKMOV and VPMASKMOV: no #AC for any mask). */
const maskedMove = (bytes: 4 | 8): Emit => (e) => {
  const { code } = e;
  const stores = e.isMemory(0);
  e.requireSse();
  readHalves(e, stores ? 1 : 0, X, Y);
  maskBits(e, bytes);
  e.effectiveAddress();
  code.set(D);
  if (stores) {
    readHalves(e, 2, X, Y);
    // Every element is proved writable before the first is stored.
    eachChosen(e, bytes, true, () => {
      e.loadForUpdate(bytes, true);
      code.drop();
    });
    eachChosen(e, bytes, true, () => {
      code.set(A);
      pushElement(e, bytes, X, e.wide ? Y : null);
      code.set(B).get(A);
      e.store(bytes, B, true);
    });
    return;
  }
  code.constV128([]).tee(Z).set(LOWER_RESULT);
  eachChosen(e, bytes, false, () => {
    e.load(bytes, true);
    code.set(R);
    setElement(e, bytes, R, e.wide ? LOWER_RESULT : Z, e.wide ? Z : null);
  });
  writeHalves(e);
};
const clear = (all: boolean): Emit => (e) => {
  e.requireSse();
  e.clearVectorRegisters(all);
};

const apart = (emit: Emit): { emit: Emit; apart: true } => ({ emit, apart: true });

export const AVX_MOVE: EmitterTable = {
  vbroadcastss: apart(broadcast(4)),
  vbroadcastsd: apart(broadcast(8)),
  vbroadcastf128: apart(broadcast(16)),
  vbroadcasti128: apart(broadcast(16)),
  vpbroadcastb: apart(broadcast(1)),
  vpbroadcastw: apart(broadcast(2)),
  vpbroadcastd: apart(broadcast(4)),
  vpbroadcastq: apart(broadcast(8)),
  vinsertf128: apart(insertHalf),
  vinserti128: apart(insertHalf),
  vextractf128: apart(extractHalf),
  vextracti128: apart(extractHalf),
  vperm2f128: apart(permuteHalves),
  vperm2i128: apart(permuteHalves),
  vmaskmovps: apart(maskedMove(4)),
  vmaskmovpd: apart(maskedMove(8)),
  vpmaskmovd: apart(maskedMove(4)),
  vpmaskmovq: apart(maskedMove(8)),
  vzeroupper: apart(clear(false)),
  vzeroall: apart(clear(true)),
};
