/** PCMPESTRI, PCMPESTRM, PCMPISTRI and PCMPISTRM: string comparison of SSE4.2 (SDM vol. 2, section 4.1). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, C, D, H, K, M, N, P, R, S, T, U, X, Y, Z } from '../locals.ts';
import { I32, I64, V128 } from '../wasm/code-writer.ts';
import * as simd from '../wasm/simd-opcode.ts';
import * as state from '../cpu-state.ts';
import * as uop from '../uop.ts';
import { readPacked } from './packed-operand.ts';

const RAX = 0, RCX = 1, RDX = 2;

// The immediate (table 4-1 and after): words instead of bytes, signed, how to compare, polarity, which end of the result.
const WORDS = 1, SIGNED = 2, AGGREGATION_SHIFT = 2, NEGATIVE = 0x10, ONLY_VALID = 0x20, FROM_THE_TOP = 0x40;
const EQUAL_ANY = 0, RANGES = 1, EQUAL_EACH = 2;

// Locals. X is the first operand, Y the second; their lengths in elements are M and K, an operand holds H of them.
const IMMEDIATE = N, LENGTH_1 = M, LENGTH_2 = K, COUNT = H, INDEX = P;
/** One bit an element: the valid ones of each operand, all that exist, the result, the comparisons of one element. */
const VALID_1 = C, VALID_2 = B, ALL = D, RESULT = R, MATCHES = T;

const WORD_BYTES = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1];

function pushAre(e: Emitter, bit: number): void { e.code.get(IMMEDIATE).const32(bit).and32(); }
function pushMode(e: Emitter, mode: number): void { e.code.get(IMMEDIATE).const32(AGGREGATION_SHIFT).shrU32().const32(3).and32().const32(mode).eq32(); }
/** Pushes the i64 with the low `count` (i32 local) bits set. */
function pushOnes(e: Emitter, count: number): void { e.code.const(1).get(count).extendU().shl().const(1).sub(); }

/** Explicit length: the absolute value of a register, at most COUNT. */
function explicitLength(e: Emitter, register: number, into: number): void {
  const { code } = e;
  code.get(S).load(state.GPR + register * 8).get(S).load32S(state.GPR + register * 8);
  code.get(U).load8U32(uop.UOP_SIZE).const32(8).eq32().select().set(A);
  code.get(A).get(A).const(63).shrS().xor().get(A).const(63).shrS().sub().tee(A);
  code.get(COUNT).extendU().get(A).get(COUNT).extendU().ltU().select().wrap().set(into);
}
/** Implicit length: up to the first zero. */
function implicitLength(e: Emitter, x: number, into: number): void {
  const { code } = e;
  pushAre(e, WORDS);
  code.if(I32);
  code.get(x).constV128([]).simd(simd.I16X8_EQ).simd(simd.I16X8_BITMASK);
  code.else();
  code.get(x).constV128([]).simd(simd.I8X16_EQ).simd(simd.I8X16_BITMASK);
  code.end();
  code.const32(1).get(COUNT).shl32().or32().ctz32().set(into);
}
/** Pushes element INDEX + `ahead` of X in every lane. */
function pushElement(e: Emitter, bytes: 1 | 2, ahead: number): void {
  const { code } = e;
  code.get(X).get(INDEX);
  if (ahead !== 0) code.const32(ahead).add32();
  if (bytes === 2) code.const32(1).shl32().simd(simd.I8X16_SPLAT).constV128(WORD_BYTES).simd(simd.I8X16_ADD);
  else code.simd(simd.I8X16_SPLAT);
  code.simd(simd.I8X16_SWIZZLE);
}
/** Pushes an i64: the elements of Y that equal element INDEX of X, or lie between it and the next. */
function pushMatches(e: Emitter, bytes: 1 | 2, ranges: boolean): void {
  const { code } = e;
  const [equal, bitmask] = bytes === 2 ? [simd.I16X8_EQ, simd.I16X8_BITMASK] : [simd.I8X16_EQ, simd.I8X16_BITMASK];
  const between = (greater: number, less: number): void => {
    code.get(Y);
    pushElement(e, bytes, 0);
    code.simd(greater).get(Y);
    pushElement(e, bytes, 1);
    code.simd(less).simd(simd.V128_AND);
  };
  if (ranges) {
    pushAre(e, SIGNED);
    code.if(V128);
    if (bytes === 2) between(simd.I16X8_GE_S, simd.I16X8_LE_S); else between(simd.I8X16_GE_S, simd.I8X16_LE_S);
    code.else();
    if (bytes === 2) between(simd.I16X8_GE_U, simd.I16X8_LE_U); else between(simd.I8X16_GE_U, simd.I8X16_LE_U);
    code.end();
  } else {
    code.get(Y);
    pushElement(e, bytes, 0);
    code.simd(equal);
  }
  code.simd(bitmask).extendU().get(VALID_2).and();
}
/** Runs `body` for each INDEX below local `limit`, `step` at a time, with MATCHES set. */
function eachElement(e: Emitter, limit: number, ranges: boolean, body: () => void): void {
  const { code } = e;
  const step = ranges ? 2 : 1;
  code.const32(0).set(INDEX);
  const done = code.block();
  const loop = code.loop();
  // The second element of a range has to be there too.
  code.get(INDEX);
  if (ranges) code.const32(1).add32();
  code.get(limit).geU32().brIf(done);
  pushAre(e, WORDS);
  code.if(I64);
  pushMatches(e, 2, ranges);
  code.else();
  pushMatches(e, 1, ranges);
  code.end();
  code.set(MATCHES);
  body();
  code.get(INDEX).const32(step).add32().set(INDEX).br(loop);
  code.end();
  code.end();
}
/** RESULT = the aggregated comparisons (table 4-3), with what invalid elements force (table 4-7). */
function aggregate(e: Emitter): void {
  const { code } = e;
  const collect = (): void => { code.get(RESULT).get(MATCHES).or().set(RESULT); };
  code.const(0).set(RESULT);
  pushMode(e, EQUAL_ANY);
  code.if();
  eachElement(e, LENGTH_1, false, collect);
  code.else();
  pushMode(e, RANGES);
  code.if();
  eachElement(e, LENGTH_1, true, collect);
  code.else();
  pushMode(e, EQUAL_EACH);
  code.if();
  pushAre(e, WORDS);
  code.if(I64);
  code.get(X).get(Y).simd(simd.I16X8_EQ).simd(simd.I16X8_BITMASK).extendU();
  code.else();
  code.get(X).get(Y).simd(simd.I8X16_EQ).simd(simd.I8X16_BITMASK).extendU();
  code.end();
  code.get(VALID_1).and().get(VALID_2).and().get(VALID_1).get(VALID_2).or().not().get(ALL).and().or().set(RESULT);
  code.else();
  // Equal ordered: a place where all that there is of X stands in Y, or would if Y went on.
  code.get(ALL).set(RESULT);
  eachElement(e, LENGTH_1, false, () => {
    code.get(RESULT).get(MATCHES).get(INDEX).extendU().shrU().get(ALL).get(INDEX).extendU().shrU().not().or().and().set(RESULT);
  });
  code.end();
  code.end();
  code.end();
}
function compare(e: Emitter, explicit: boolean): void {
  const { code } = e;
  e.requireSse();
  readPacked(e, 1, false); // these do not ask for alignment
  code.set(Y);
  readPacked(e, 0);
  code.set(X).get(U).load8U32(uop.UOP_IMMEDIATE).set(IMMEDIATE);
  code.const32(16).get(IMMEDIATE).const32(WORDS).and32().shrU32().set(COUNT);
  if (explicit) {
    explicitLength(e, RAX, LENGTH_1);
    explicitLength(e, RDX, LENGTH_2);
  } else {
    implicitLength(e, X, LENGTH_1);
    implicitLength(e, Y, LENGTH_2);
  }
  pushOnes(e, COUNT);
  code.set(ALL);
  pushOnes(e, LENGTH_1);
  code.set(VALID_1);
  pushOnes(e, LENGTH_2);
  code.set(VALID_2);
  aggregate(e);
  // Polarity.
  pushAre(e, NEGATIVE);
  code.if();
  code.get(RESULT).get(VALID_2).get(ALL);
  pushAre(e, ONLY_VALID);
  code.select().xor().set(RESULT);
  code.end();
}
function setFlags(e: Emitter): void {
  const { code } = e;
  code.get(RESULT).const(0).ne();
  code.get(LENGTH_2).get(COUNT).ltU32().const32(6).shl32().or32();
  code.get(LENGTH_1).get(COUNT).ltU32().const32(7).shl32().or32();
  code.get(RESULT).wrap().const32(1).and32().const32(11).shl32().or32();
  e.setArithmeticFlags();
}
const index = (explicit: boolean): Emit => (e) => {
  const { code } = e;
  compare(e, explicit);
  code.get(S);
  code.const(63).get(RESULT).clz().sub().get(RESULT).ctz();
  pushAre(e, FROM_THE_TOP);
  code.select();
  code.get(COUNT).extendU().get(RESULT).eqz().eqz32().select();
  code.store(state.GPR + RCX * 8);
  setFlags(e);
};
/** Pushes a vector with all bits of a lane set where RESULT has a bit. */
function pushExpanded(e: Emitter, bytes: 1 | 2): void {
  const { code } = e;
  const bits = bytes === 2 ? [1, 0, 2, 0, 4, 0, 8, 0, 16, 0, 32, 0, 64, 0, 128, 0] : [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
  if (bytes === 2) code.get(RESULT).wrap().simd(simd.I16X8_SPLAT);
  else code.get(RESULT).wrap().simd(simd.I16X8_SPLAT).tee(Z).get(Z).shuffle([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
  code.constV128(bits).simd(simd.V128_AND).constV128(bits).simd(bytes === 2 ? simd.I16X8_EQ : simd.I8X16_EQ);
}
const mask = (explicit: boolean): Emit => (e) => {
  const { code } = e;
  compare(e, explicit);
  pushAre(e, FROM_THE_TOP);
  code.if(V128);
  pushAre(e, WORDS);
  code.if(V128);
  pushExpanded(e, 2);
  code.else();
  pushExpanded(e, 1);
  code.end();
  code.else();
  code.constV128([]).get(RESULT).lane(simd.I64X2_REPLACE_LANE, 0);
  code.end();
  code.set(Z);
  e.writeXmm0(Z);
  setFlags(e);
};

export const SSE_STRING: EmitterTable = {
  pcmpestri: { emit: index(true), apart: true },
  pcmpistri: { emit: index(false), apart: true },
  pcmpestrm: { emit: mask(true), apart: true },
  pcmpistrm: { emit: mask(false), apart: true },
};
