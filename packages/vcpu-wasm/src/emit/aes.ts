/** AES-NI and PCLMULQDQ (SDM vol. 1, section 12.13; the cipher: FIPS 197). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, C, N, R, T, U, W, X, Y, Z } from '../locals.ts';
import * as simd from '../wasm/simd-opcode.ts';
import * as uop from '../uop.ts';
import { packedBinary, packedUnary } from './packed-operand.ts';

/** Multiplication by x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. */
const timesX = (a: number): number => ((a << 1) ^ ((a & 0x80) === 0 ? 0 : 0x11b)) & 0xff;

/** The substitution of FIPS 197, section 5.1.1: the inverse, then an affine map. */
const SUBSTITUTION: readonly number[] = (() => {
  // Powers of the generator x + 1 find every inverse.
  const power: number[] = [1];
  for (let i = 1; i < 255; i++) power.push((power[i - 1] as number) ^ timesX(power[i - 1] as number));
  const box = Array.from({ length: 256 }, () => 0x63);
  for (let i = 0; i < 255; i++) {
    const inverse = power[(255 - i) % 255] as number;
    const rotated = (by: number): number => ((inverse << by) | (inverse >> (8 - by))) & 0xff;
    box[power[i] as number] = inverse ^ rotated(1) ^ rotated(2) ^ rotated(3) ^ rotated(4) ^ 0x63;
  }
  return box;
})();
const INVERSE_SUBSTITUTION: readonly number[] = (() => {
  const box = Array.from({ length: 256 }, () => 0);
  SUBSTITUTION.forEach((to, from) => { box[to] = from; });
  return box;
})();

/** Byte i of the state is row i % 4, column i / 4; row r turns by r columns (FIPS 197, sections 5.1.2 and 5.3.1). */
const shiftRows = (direction: 1 | -1): number[] => Array.from({ length: 16 }, (_, i) => (i + direction * (i % 4) * 4 + 16) % 16);
const SHIFT_ROWS = shiftRows(1);
const INVERSE_SHIFT_ROWS = shiftRows(-1);
/** Every column turned by `by` rows. */
const turned = (by: number): number[] => Array.from({ length: 16 }, (_, i) => (i & 12) | ((i + by) & 3));

/** Replaces the vector local `x` byte by byte: sixteen tables of sixteen, of which a swizzle finds one and gives 0 in the others. */
function substitute(e: Emitter, x: number, box: readonly number[]): void {
  const { code } = e;
  code.constV128([]);
  for (let i = 0; i < 256; i += 16) {
    code.constV128(box.slice(i, i + 16)).get(x);
    if (i !== 0) code.const32(i).simd(simd.I8X16_SPLAT).simd(simd.I8X16_SUB);
    code.simd(simd.I8X16_SWIZZLE).simd(simd.V128_OR);
  }
  code.set(x);
}
/** Pushes the vector local `x` times x, byte by byte. */
function pushTimesX(e: Emitter, x: number): void {
  e.code.get(x).const32(1).simd(simd.I8X16_SHL).get(x).const32(7).simd(simd.I8X16_SHR_S).const32(0x1b).simd(simd.I8X16_SPLAT).simd(simd.V128_AND).simd(simd.V128_XOR);
}
/** Pushes Z with its columns mixed: 2 a + 3 b + c + d (FIPS 197, section 5.1.3). Uses W. */
function pushMixed(e: Emitter): void {
  const { code } = e;
  pushTimesX(e, Z);
  code.set(W);
  // 2 a + 2 b + b + c + d
  code.get(W).get(W).get(W).shuffle(turned(1)).simd(simd.V128_XOR);
  for (const by of [1, 2, 3]) code.get(Z).get(Z).shuffle(turned(by)).simd(simd.V128_XOR);
}
/** Z with its columns mixed backwards: first by 4 x^2 + 5, which makes the forward mixing its own inverse. Uses W. */
function unmix(e: Emitter): void {
  const { code } = e;
  pushTimesX(e, Z);
  code.set(W);
  pushTimesX(e, W);
  code.set(W);
  code.get(Z).get(W).simd(simd.V128_XOR).get(W).get(W).shuffle(turned(2)).simd(simd.V128_XOR).set(Z);
  pushMixed(e);
  code.set(Z);
}
/** X = the state, Y = the round key. */
const encrypt = (last: boolean): Emit => packedBinary((e) => {
  const { code } = e;
  code.get(X).get(X).shuffle(SHIFT_ROWS).set(Z);
  substitute(e, Z, SUBSTITUTION);
  if (!last) {
    pushMixed(e);
    code.set(Z);
  }
  code.get(Z).get(Y).simd(simd.V128_XOR).set(Z);
});
const decrypt = (last: boolean): Emit => packedBinary((e) => {
  const { code } = e;
  code.get(X).get(X).shuffle(INVERSE_SHIFT_ROWS).set(Z);
  substitute(e, Z, INVERSE_SUBSTITUTION);
  if (!last) unmix(e);
  code.get(Z).get(Y).simd(simd.V128_XOR).set(Z);
});
const unmixKey: Emit = packedUnary((e) => {
  e.code.get(Y).set(Z);
  unmix(e);
});
/** AESKEYGENASSIST: of words 1 and 3 the substitution, and that rotated with the round constant. */
const assistKey: Emit = packedUnary((e) => {
  const { code } = e;
  code.get(Y).get(Y).shuffle([4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12]).set(Z);
  substitute(e, Z, SUBSTITUTION);
  code.get(Z).get(U).load8U32(uop.UOP_IMMEDIATE).simd(simd.I32X4_SPLAT).constV128([0, 0, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff]).simd(simd.V128_AND);
  code.simd(simd.V128_XOR).set(Z);
});

/** PCLMULQDQ: one half of each operand, multiplied without carries. */
const multiplyCarryless: Emit = packedBinary((e) => {
  const { code } = e;
  const half = (x: number, bit: number, into: number): void => {
    code.get(x).lane(simd.I64X2_EXTRACT_LANE, 1).get(x).lane(simd.I64X2_EXTRACT_LANE, 0);
    code.get(U).load8U32(uop.UOP_IMMEDIATE).const32(bit).and32().select().set(into);
  };
  half(X, 1, A);
  half(Y, 0x10, B);
  // Horner's scheme from the top bit of A: the product R:T moves up and takes in B.
  code.const(0).set(R).const(0).set(T).const32(64).set(N);
  const loop = code.loop();
  code.get(R).const(1).shl().get(T).const(63).shrU().or().set(R);
  code.get(A).const(63).shrS().get(B).and().set(C);
  code.get(T).const(1).shl().get(C).xor().set(T);
  code.get(A).const(1).shl().set(A);
  code.get(N).const32(1).sub32().tee(N).brIf(loop);
  code.end();
  code.get(T).simd(simd.I64X2_SPLAT).get(R).lane(simd.I64X2_REPLACE_LANE, 1).set(Z);
});

const apart = (emit: Emit): { emit: Emit; apart: true } => ({ emit, apart: true });

export const AES: EmitterTable = {
  aesenc: apart(encrypt(false)),
  aesenclast: apart(encrypt(true)),
  aesdec: apart(decrypt(false)),
  aesdeclast: apart(decrypt(true)),
  aesimc: apart(unmixKey),
  aeskeygenassist: apart(assistKey),
  pclmulqdq: apart(multiplyCarryless),
};
