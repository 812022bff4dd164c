/** Interleaving, shuffling and shifting of packed data (SDM vol. 1, sections 9.4.4, 9.4.6, 11.4.1.4 and 11.4.2). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { C, N, U, X, Y, Z } from '../locals.ts';
import { V128 } from '../wasm/code-writer.ts';
import * as simd from '../wasm/simd-opcode.ts';
import * as uop from '../uop.ts';
import { eachHalf, FIRST, isMmx, packed, packedBinary, packedUnary, readHalf, readPacked, requirePacked, writeHalves } from './packed-operand.ts';

const IDENTITY = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

function immediate(e: Emitter): void { e.code.get(U).load8U32(uop.UOP_IMMEDIATE); }

/** PUNPCK and UNPCK: elements of the lower (or upper) half of both operands in turn. */
const interleave = (elementBytes: 1 | 2 | 4 | 8, upper: boolean): Emit => packedBinary((e) => {
  // The upper half of an MMX register is bytes 4 to 7.
  const first = upper ? (isMmx(e) ? 4 : 8) : 0;
  const lanes: number[] = [];
  for (let at = first; lanes.length < 16; at += elementBytes) {
    for (const source of [0, 16]) for (let b = 0; b < elementBytes; b++) lanes.push((at + b) % 16 + source);
  }
  e.code.get(X).get(Y).shuffle(lanes).set(Z);
});

/** Pushes byte indices for i8x16.swizzle: four 4-byte elements, two bits of the immediate each. */
function doubleWordIndices(e: Emitter): void {
  const { code } = e;
  immediate(e);
  // Each lane moves its own two bits to bits 6 and 7.
  code.simd(simd.I32X4_SPLAT).constV128([64, 0, 0, 0, 16, 0, 0, 0, 4, 0, 0, 0, 1]).simd(simd.I32X4_MUL).const32(6).simd(simd.I32X4_SHR_U);
  code.constV128([3, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 3]).simd(simd.V128_AND);
  code.constV128([4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]).simd(simd.I32X4_MUL);
  code.constV128([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]).simd(simd.I8X16_ADD);
}
/** The same for the four words of the half that starts at byte `first`, in both halves of the vector. */
function wordIndices(e: Emitter, first: 0 | 8): void {
  const { code } = e;
  immediate(e);
  code.simd(simd.I16X8_SPLAT).constV128([64, 0, 16, 0, 4, 0, 1, 0, 64, 0, 16, 0, 4, 0, 1, 0]).simd(simd.I16X8_MUL).const32(6).simd(simd.I16X8_SHR_U);
  code.constV128([3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0]).simd(simd.V128_AND);
  code.constV128([2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]).simd(simd.I16X8_MUL);
  code.constV128(IDENTITY.map((_, i) => first + (i & 1))).simd(simd.I8X16_ADD);
}
export const shuffleDoubleWords: Emit = packedUnary((e) => {
  e.code.get(Y);
  doubleWordIndices(e);
  e.code.simd(simd.I8X16_SWIZZLE).set(Z);
});
/** PSHUFLW, PSHUFHW and PSHUFW: the words of one half; the other half of the source is copied. */
const shuffleWords = (first: 0 | 8): Emit => packedUnary((e) => {
  const { code } = e;
  code.get(Y);
  wordIndices(e, first);
  code.simd(simd.I8X16_SWIZZLE).get(Y);
  code.shuffle(first === 0 ? [0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31] : [16, 17, 18, 19, 20, 21, 22, 23, 8, 9, 10, 11, 12, 13, 14, 15]);
  code.set(Z);
});
/** SHUFPS: two elements of the destination, then two of the source. */
const shuffleSingles: Emit = packedBinary((e) => {
  const { code } = e;
  doubleWordIndices(e);
  code.set(Z);
  code.get(X).get(Z).simd(simd.I8X16_SWIZZLE).get(Y).get(Z).simd(simd.I8X16_SWIZZLE);
  code.shuffle([0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31]).set(Z);
});
/** Z = an element of X and one of Y; each half of 256 bits has two bits of the immediate. */
export function chooseDoubles(e: Emitter, upper: boolean): void {
  const { code } = e;
  const selected = (source: number, bit: number): void => {
    code.get(source).lane(simd.I64X2_EXTRACT_LANE, 1).get(source).lane(simd.I64X2_EXTRACT_LANE, 0);
    immediate(e);
    code.const32(upper ? bit << 2 : bit).and32().select();
  };
  selected(X, 1);
  code.simd(simd.I64X2_SPLAT);
  selected(Y, 2);
  code.lane(simd.I64X2_REPLACE_LANE, 1).set(Z);
}
const shuffleBytes: Emit = packedBinary((e) => {
  const { code } = e;
  // Bit 7 of an index gives zero; otherwise only the bits that can name a byte count.
  code.get(X).get(Y).constV128(IDENTITY.map(() => (isMmx(e) ? 0x87 : 0x8f))).simd(simd.V128_AND).simd(simd.I8X16_SWIZZLE).set(Z);
});

/** N = the immediate, but no more than `most`. */
function limitedCount(e: Emitter, most: number): void {
  const { code } = e;
  immediate(e);
  code.tee(N).const32(most).get(N).const32(most).ltU32().select().set(N);
}
/** PALIGNR: bytes from the immediate on, of the destination above the source. */
const alignRight: Emit = packedBinary((e) => {
  const { code } = e;
  if (isMmx(e)) {
    limitedCount(e, 16);
    code.get(Y).get(X).shuffle([0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]);
    code.constV128(IDENTITY).get(N).simd(simd.I8X16_SPLAT).simd(simd.I8X16_ADD).simd(simd.I8X16_SWIZZLE).set(Z);
  } else {
    limitedCount(e, 32);
    // An index outside 0 to 15 gives zero, so the two parts can be joined.
    code.get(Y).constV128(IDENTITY).get(N).simd(simd.I8X16_SPLAT).simd(simd.I8X16_ADD).simd(simd.I8X16_SWIZZLE);
    code.get(X).constV128(IDENTITY).get(N).const32(16).sub32().simd(simd.I8X16_SPLAT).simd(simd.I8X16_ADD).simd(simd.I8X16_SWIZZLE);
    code.simd(simd.V128_OR).set(Z);
  }
});
/** PSLLDQ and PSRLDQ. */
const shiftBytes = (opcode: number): Emit => packed([FIRST], (e) => {
  const { code } = e;
  limitedCount(e, 16);
  code.get(X).constV128(IDENTITY).get(N).simd(simd.I8X16_SPLAT).simd(opcode).simd(simd.I8X16_SWIZZLE).set(Z);
});
/** Shifts of every element by one count, which may be beyond its width. */
const shift = (opcode: number, bits: 16 | 32 | 64, arithmetic: boolean): Emit => (e) => {
  const { code } = e;
  requirePacked(e);
  const counted = e.source(1);
  const letter = e.form.operands[counted]?.letter;
  if (letter === 'I') code.get(U).load8U(uop.UOP_IMMEDIATE);
  else if (letter === 'M' && !isMmx(e)) {
    readPacked(e, 1);
    code.lane(simd.I64X2_EXTRACT_LANE, 0);
  } else if (letter === 'M') e.read(counted);
  else readHalf(e, counted, 0);
  code.set(C);
  eachHalf(e, [FIRST], () => shiftHalf(e, opcode, bits, arithmetic));
  writeHalves(e);
};
function shiftHalf(e: Emitter, opcode: number, bits: number, arithmetic: boolean): void {
  const { code } = e;
  if (arithmetic) {
    code.get(X).get(C).const(bits - 1).get(C).const(bits).ltU().select().wrap().simd(opcode).set(Z);
  } else {
    code.get(C).const(bits).ltU();
    code.if(V128);
    code.get(X).get(C).wrap().simd(opcode);
    code.else();
    code.constV128([]);
    code.end();
    code.set(Z);
  }
}

const apart = (emit: Emit): { emit: Emit; apart: true } => ({ emit, apart: true });

export const SSE_SHUFFLE: EmitterTable = {
  punpcklbw: apart(interleave(1, false)),
  punpcklwd: apart(interleave(2, false)),
  punpckldq: apart(interleave(4, false)),
  punpcklqdq: apart(interleave(8, false)),
  punpckhbw: apart(interleave(1, true)),
  punpckhwd: apart(interleave(2, true)),
  punpckhdq: apart(interleave(4, true)),
  punpckhqdq: apart(interleave(8, true)),
  unpcklps: apart(interleave(4, false)),
  unpcklpd: apart(interleave(8, false)),
  unpckhps: apart(interleave(4, true)),
  unpckhpd: apart(interleave(8, true)),
  pshufd: apart(shuffleDoubleWords),
  pshufw: apart(shuffleWords(0)),
  pshuflw: apart(shuffleWords(0)),
  pshufhw: apart(shuffleWords(8)),
  shufps: apart(shuffleSingles),
  shufpd: apart(packedBinary(chooseDoubles)),
  pshufb: apart(shuffleBytes),
  palignr: apart(alignRight),
  pslldq: apart(shiftBytes(simd.I8X16_SUB)),
  psrldq: apart(shiftBytes(simd.I8X16_ADD)),
  psllw: apart(shift(simd.I16X8_SHL, 16, false)),
  pslld: apart(shift(simd.I32X4_SHL, 32, false)),
  psllq: apart(shift(simd.I64X2_SHL, 64, false)),
  psrlw: apart(shift(simd.I16X8_SHR_U, 16, false)),
  psrld: apart(shift(simd.I32X4_SHR_U, 32, false)),
  psrlq: apart(shift(simd.I64X2_SHR_U, 64, false)),
  psraw: apart(shift(simd.I16X8_SHR_S, 16, true)),
  psrad: apart(shift(simd.I32X4_SHR_S, 32, true)),
};
