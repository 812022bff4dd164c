/** Moves of SSE, SSE2, SSE3 and MMX (SDM vol. 1, sections 9.4.1, 10.4.1.1, 11.4.1.1 and 11.4.2). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, D, LOWER_RESULT, N, P, R, S, T, U, X, Y, Z } from '../locals.ts';
import * as simd from '../wasm/simd-opcode.ts';
import * as state from '../cpu-state.ts';
import * as uop from '../uop.ts';
import { enterMmx, isMmx, packedUnary, probeWritable, readHalf, readHalves, readPacked, readWideMemory, requireMmx, requirePacked, writeHalves, writeMmx, writePacked, writeScalar } from './packed-operand.ts';

const RDI = 7;
const letter = (e: Emitter, k: number): string | undefined => e.form.operands[k]?.letter;

/** All 16 or 32 bytes. */
const moveVector = (aligned: boolean): Emit => (e) => {
  e.requireSse();
  if (e.wide) {
    moveWide(e, aligned);
    return;
  }
  e.readVector(1, aligned);
  e.code.set(X);
  e.writeVector(0, X, aligned);
};
function moveWide(e: Emitter, aligned: boolean): void {
  if (e.isMemory(1)) readWideMemory(e, 1, aligned, LOWER_RESULT, Z);
  else readHalves(e, 1, LOWER_RESULT, Z);
  if (e.isMemory(0)) writeWideMemory(e, aligned);
  else writeHalves(e);
}
/** Stores LOWER_RESULT and Z to memory operand 0. */
export function writeWideMemory(e: Emitter, aligned: boolean): void {
  const { code } = e;
  e.address(32, true);
  code.set(D);
  if (aligned) {
    code.get(D).wrap().const32(31).and32();
    e.raiseIf(13, 0);
  }
  probeWritable(e, 32);
  code.get(D);
  e.storeVector(LOWER_RESULT, false);
  code.get(D).const(16).add();
  e.storeVector(Z, false);
}
/** Writes the i64 in `value` to xmm operand k and clears the rest of it. */
function writeAlone(e: Emitter, k: number, value: number): void {
  e.code.constV128([]).get(value).lane(simd.I64X2_REPLACE_LANE, 0).set(Z);
  e.writeVectorRegister(k, Z);
}
/** MOVSS and MOVSD: from memory the upper part is cleared, between registers it stays. */
const moveScalar: Emit = (e) => {
  const from = e.source(1);
  e.requireSse();
  e.read(from);
  e.code.set(R);
  if (e.isMemory(from)) writeAlone(e, 0, R);
  else if (e.isMemory(0)) e.write(0, R);
  else writeScalar(e, R);
};
/** MOVQ: an xmm destination loses its upper half in every form. */
const moveQuad: Emit = (e) => {
  requirePacked(e);
  e.read(1);
  e.code.set(R);
  if (letter(e, 0) === 'X') writeAlone(e, 0, R);
  else if (letter(e, 0) === 'Q') writeMmx(e, 0, R);
  else {
    e.write(0, R);
    if (isMmx(e)) enterMmx(e);
  }
};
const moveDouble: Emit = (e) => {
  requirePacked(e);
  if (letter(e, 1) === 'X' || letter(e, 1) === 'Q') {
    readHalf(e, 1, 0);
    e.code.set(R);
    e.write(0, R);
    if (isMmx(e)) enterMmx(e);
    return;
  }
  e.read(1);
  e.code.set(R);
  if (letter(e, 0) === 'Q') writeMmx(e, 0, R);
  else writeAlone(e, 0, R);
};
const moveQuadToXmm: Emit = (e) => {
  requirePacked(e);
  e.read(1);
  e.code.set(R);
  writeAlone(e, 0, R);
  enterMmx(e);
};
const moveQuadFromXmm: Emit = (e) => {
  requirePacked(e);
  readHalf(e, 1, 0);
  e.code.set(R);
  writeMmx(e, 0, R);
};
/** MOVLPS, MOVHPS and their kin: one half of a register, `from` and `to` telling which. */
const moveHalf = (to: 0 | 1, from: 0 | 1): Emit => (e) => {
  e.requireSse();
  if (e.isMemory(0)) {
    readHalf(e, 1, from);
    e.code.set(R);
    e.write(0, R);
    return;
  }
  const source = e.source(1);
  if (e.isMemory(source)) e.read(source);
  else readHalf(e, source, from);
  e.code.set(R);
  e.readVectorRegister(e.source(0));
  e.code.get(R).lane(simd.I64X2_REPLACE_LANE, to).set(Z);
  e.writeVectorRegister(0, Z);
};
const moveMask = (bitmask: number): Emit => (e) => {
  requirePacked(e);
  readPacked(e, 1);
  e.code.simd(bitmask).extendU();
  if (e.wide) {
    readPacked(e, 1, false, true);
    e.code.simd(bitmask).extendU().const(bitmask === simd.I8X16_BITMASK ? 16 : bitmask === simd.I32X4_BITMASK ? 4 : 2).shl().or();
  }
  if (isMmx(e)) e.code.const(0xff).and();
  e.code.set(R);
  e.write(0, R);
  if (isMmx(e)) enterMmx(e);
};
const moveNontemporalQuad: Emit = (e) => {
  requireMmx(e);
  e.read(1);
  e.code.set(R);
  e.write(0, R);
  enterMmx(e);
};
/** MOVDDUP, MOVSLDUP, MOVSHDUP. */
const duplicate = (lanes: readonly number[]): Emit => packedUnary((e) => { e.code.get(Y).get(Y).shuffle(lanes).set(Z); });

/**
 * MASKMOVQ and MASKMOVDQU: the bytes of operand 0 whose mask byte in operand 1 is negative go to DS:rDI. Faults are those of storing all of
 * them, whatever the mask says, as AMD's processors raise them and the manual allows (SDM vol. 2, MASKMOVDQU).
 */
const moveMasked: Emit = (e) => {
  const { code } = e;
  const bytes = isMmx(e) ? 8 : 16;
  requirePacked(e);
  readPacked(e, 1);
  code.set(Y);
  readPacked(e, 0);
  code.set(X);
  e.readGpr(RDI, e.form.addressBytes);
  e.addressOfOffset(bytes, true);
  code.set(D);
  probeWritable(e, bytes);
  code.get(Y).simd(simd.I8X16_BITMASK).const32(bytes === 8 ? 0xff : 0xffff).and32().tee(N);
  code.if();
  const loop = code.loop();
  code.get(N).ctz32().extendU().set(T);
  // The byte comes down to lane 0.
  code.get(X).get(T).wrap().simd(simd.I8X16_SPLAT).simd(simd.I8X16_SWIZZLE).lane(simd.I8X16_EXTRACT_LANE_U, 0).extendU().set(B);
  code.get(D).get(T).add();
  e.store(1, B);
  code.get(N).get(N).const32(1).sub32().and32().tee(N).brIf(loop);
  code.end();
  code.end();
  if (isMmx(e)) enterMmx(e);
};

/** EMMS: every register is empty again. */
const emms: Emit = (e) => {
  requireMmx(e);
  e.code.get(S).const64(0x0101_0101, 0x0101_0101).store(state.X87_EMPTY).get(S).const32(0).store32(state.X87_TOP);
};

const loadControl: Emit = (e) => {
  const { code } = e;
  e.requireSse();
  e.read(0);
  code.set(A).get(A).wrap().const32(-0x1_0000).and32();
  e.raiseIf(13, 0);
  code.get(S).get(A).wrap().store32(state.MXCSR);
};
const storeControl: Emit = (e) => {
  e.requireSse();
  e.code.get(S).load32U(state.MXCSR).set(A);
  e.write(0, A);
};

/** Lane numbers of the word selected by the immediate, in P. */
function selectedWord(e: Emitter, mask: number): void {
  e.code.get(U).load8U32(uop.UOP_IMMEDIATE).const32(mask).and32().set(P);
}
const insertWord: Emit = (e) => {
  const { code } = e;
  requirePacked(e);
  e.read(e.source(1));
  code.set(A);
  readPacked(e, 0);
  code.set(X);
  selectedWord(e, isMmx(e) ? 3 : 7);
  code.get(A).wrap().simd(simd.I16X8_SPLAT).get(X);
  code.constV128([0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0]).get(P).simd(simd.I16X8_SPLAT).simd(simd.I16X8_EQ);
  code.simd(simd.V128_BITSELECT).set(Z);
  writePacked(e, 0, Z);
};
const extractWord: Emit = (e) => {
  const { code } = e;
  requirePacked(e);
  readPacked(e, 1);
  code.set(X);
  selectedWord(e, isMmx(e) ? 3 : 7);
  code.get(X).get(P).const32(1).shl32().simd(simd.I8X16_SPLAT).constV128([0, 1]).simd(simd.I8X16_ADD);
  code.simd(simd.I8X16_SWIZZLE).lane(simd.I16X8_EXTRACT_LANE_U, 0).extendU().set(R);
  e.write(0, R);
  if (isMmx(e)) enterMmx(e);
};

const apart = (emit: Emit): { emit: Emit; apart: true } => ({ emit, apart: true });

export const SSE_MOVE: EmitterTable = {
  movaps: { emit: moveVector(true) },
  movapd: { emit: moveVector(true) },
  movdqa: { emit: moveVector(true) },
  movups: { emit: moveVector(false) },
  movupd: { emit: moveVector(false) },
  movdqu: { emit: moveVector(false) },
  lddqu: apart(moveVector(false)),
  movntps: apart(moveVector(true)),
  movntpd: apart(moveVector(true)),
  movntdq: apart(moveVector(true)),
  movntdqa: apart(moveVector(true)),
  movntq: apart(moveNontemporalQuad),
  movss: { emit: moveScalar },
  movsd: { emit: moveScalar },
  movq: { emit: moveQuad },
  movd: { emit: moveDouble },
  movq2dq: apart(moveQuadToXmm),
  movdq2q: apart(moveQuadFromXmm),
  movlps: apart(moveHalf(0, 0)),
  movlpd: apart(moveHalf(0, 0)),
  movhps: apart(moveHalf(1, 1)),
  movhpd: apart(moveHalf(1, 1)),
  movhlps: apart(moveHalf(0, 1)),
  movlhps: apart(moveHalf(1, 0)),
  movmskps: apart(moveMask(simd.I32X4_BITMASK)),
  movmskpd: apart(moveMask(simd.I64X2_BITMASK)),
  pmovmskb: apart(moveMask(simd.I8X16_BITMASK)),
  movddup: apart(duplicate([0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7])),
  movsldup: apart(duplicate([0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11])),
  movshdup: apart(duplicate([4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15])),
  maskmovq: apart(moveMasked),
  maskmovdqu: apart(moveMasked),
  pinsrw: apart(insertWord),
  pextrw: apart(extractWord),
  emms: apart(emms),
  ldmxcsr: apart(loadControl),
  stmxcsr: apart(storeControl),
};
