/** Gathers of AVX2 (SDM vol. 2, VPGATHERDD): each element is an instruction of its own, done or not done when a fault comes. */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { LOWER_RESULT, N, R, T, UPPER_OPERAND, W, X, Y, Z } from '../locals.ts';
import { pushElement, setElement } from './avx-move.ts';

const MASK_OPERAND = 2;

/** Reads a register operand that has two halves only in some forms. */
function readBoth(e: Emitter, k: number, lower: number, upper: number): void {
  e.readVectorRegister(k);
  e.code.set(lower);
  if (e.bytes(k) !== 32) return;
  e.readVectorRegister(k, true);
  e.code.set(upper);
}
function writeBoth(e: Emitter, k: number, lower: number, upper: number): void {
  e.writeVectorRegister(k, lower);
  if (e.bytes(k) === 32) e.writeVectorRegister(k, upper, true);
}
const gather = (indexBytes: 4 | 8, bytes: 4 | 8): Emit => (e) => {
  const { code } = e;
  const count = (e.wide ? 32 : 16) / Math.max(indexBytes, bytes);
  const wideIndex = count * indexBytes === 32;
  const wideData = count * bytes === 32;
  e.requireSse();
  e.readIndexVector(false);
  code.set(W);
  if (wideIndex) {
    e.readIndexVector(true);
    code.set(UPPER_OPERAND);
  }
  readBoth(e, 0, LOWER_RESULT, Z);
  readBoth(e, MASK_OPERAND, X, Y);
  code.const32(0).set(N);
  const loop = code.loop();
  pushElement(e, bytes, X, wideData ? Y : null);
  code.const(bytes * 8 - 1).shrU().wrap();
  code.if();
  pushElement(e, indexBytes, W, wideIndex ? UPPER_OPERAND : null);
  code.signExtend(indexBytes);
  e.indexedAddress();
  e.addressOfOffset(bytes, false);
  e.load(bytes);
  code.set(R);
  setElement(e, bytes, R, LOWER_RESULT, wideData ? Z : null);
  code.end();
  code.const(0).set(T);
  setElement(e, bytes, T, X, wideData ? Y : null);
  // What is done stays done when the next element faults.
  writeBoth(e, 0, LOWER_RESULT, Z);
  writeBoth(e, MASK_OPERAND, X, Y);
  code.get(N).const32(1).add32().tee(N).const32(count).ltU32().brIf(loop);
  code.end();
  // Of the elements beyond the last nothing stays, and of the mask nothing at all.
  code.constV128([]).tee(X).set(Y);
  if (count * bytes === 8) clearUpperQuad(e, LOWER_RESULT);
  writeBoth(e, 0, LOWER_RESULT, Z);
  writeBoth(e, MASK_OPERAND, X, Y);
};
/** Clears bytes 8 to 15 of a vector local. */
function clearUpperQuad(e: Emitter, x: number): void {
  e.code.get(x).constV128([]).shuffle([0, 1, 2, 3, 4, 5, 6, 7, 16, 16, 16, 16, 16, 16, 16, 16]).set(x);
}

const apart = (emit: Emit): { emit: Emit; apart: true } => ({ emit, apart: true });

export const AVX_GATHER: EmitterTable = {
  vpgatherdd: apart(gather(4, 4)),
  vpgatherdq: apart(gather(4, 8)),
  vpgatherqd: apart(gather(8, 4)),
  vpgatherqq: apart(gather(8, 8)),
  vgatherdps: apart(gather(4, 4)),
  vgatherdpd: apart(gather(4, 8)),
  vgatherqps: apart(gather(8, 4)),
  vgatherqpd: apart(gather(8, 8)),
};
