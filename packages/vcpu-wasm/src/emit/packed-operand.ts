/**
 * Packed operands: xmm, ymm and MMX registers and memory as v128, so that one emitter serves all register files, with and
 * without a VEX prefix. Of 256 bits each half is computed by itself, as nearly all instructions define it.
 *
 * Sources are counted as without VEX: 0 is the first, which is the destination then, 1 the second.
 *
 * An MMX register is the significand of a physical x87 register. Writing one fills the sign and exponent with ones, and
 * every MMX instruction but EMMS marks all registers used and makes register 0 the top of the stack (SDM vol. 1, section 9.5).
 */
import type { Emit, Emitter } from '../emitter.ts';
import { D, LOWER_RESULT, S, T, UPPER_OPERAND, X, Y, Z } from '../locals.ts';
import * as simd from '../wasm/simd-opcode.ts';
import * as state from '../cpu-state.ts';
import * as call from '../system-call.ts';

const CR0_EM = 1 << 2;
/** Summary of unmasked exceptions in the x87 status word. */
const STATUS_ES = 1 << 7;
const INVALID_OPCODE = 6;
const DEVICE_NOT_AVAILABLE = 7;
const GENERAL_PROTECTION = 13;

export function isMmx(e: Emitter): boolean { return e.form.operands.some((operand) => operand.letter === 'Q'); }

/** #UD, #NM and #MF of MMX instructions. */
export function requireMmx(e: Emitter): void {
  const { code } = e;
  code.get(S).load32(state.X87_BLOCKED);
  code.if();
  code.get(S).load32(state.CR0).const32(CR0_EM).and32();
  e.raiseIf(INVALID_OPCODE);
  e.raise(DEVICE_NOT_AVAILABLE);
  code.end();
  code.get(S).load32(state.X87_STATUS).const32(STATUS_ES).and32();
  code.if();
  e.system(call.X87_PENDING_EXCEPTION);
  code.end();
}
/** The checks of a form that may be MMX, SSE, or both. */
export function requirePacked(e: Emitter): void {
  if (e.form.operands.some((operand) => operand.letter === 'X')) e.requireSse();
  if (isMmx(e)) requireMmx(e);
}
/** The state that MMX instructions leave the x87 in; after the last access that can fault. */
export function enterMmx(e: Emitter): void {
  e.code.get(S).const32(0).store32(state.X87_TOP).get(S).const(0).store(state.X87_EMPTY);
}

/** Pushes source k as v128; of a narrow one, the value is in the low lanes. */
export function readPacked(e: Emitter, k: number, aligned: boolean = !e.vex, upper = false): void {
  const at = e.source(k);
  const operand = e.form.operands[at];
  if (operand?.letter === 'Q' || (operand?.letter === 'M' && operand.bytes < 16)) {
    e.read(at);
    e.code.simd(simd.I64X2_SPLAT);
  } else if (operand?.letter === 'X') {
    // The whole register, whatever part of it the instruction uses.
    e.readVectorRegister(at, upper);
  } else e.readVector(at, aligned);
}
/** Reads 32 bytes of memory operand k into two v128 locals. */
export function readWideMemory(e: Emitter, k: number, aligned: boolean, lower: number, upper: number): void {
  const { code } = e;
  e.address(32, false);
  code.set(D);
  if (aligned) {
    code.get(D).wrap().const32(31).and32();
    e.raiseIf(GENERAL_PROTECTION, 0);
  }
  code.get(D);
  e.loadVector(false);
  code.set(lower).get(D).const(16).add();
  e.loadVector(false);
  code.set(upper);
}
/** Proves that `bytes` bytes at the linear address in D can be written: the first, and where there is another page the first in that. Uses T. */
export function probeWritable(e: Emitter, bytes: number): void {
  const { code } = e;
  code.get(D);
  e.loadForUpdate(1);
  code.drop();
  code.get(D).const(bytes - 1).add().const(-4096).and().tee(T).get(D).get(T).get(D).gtU().select();
  e.loadForUpdate(1);
  code.drop();
}
/** Reads source k into one local, or both halves of it into two. */
export function readHalves(e: Emitter, k: number, lower: number, upper: number): void {
  if (e.isMemory(e.source(k)) && e.bytes(e.source(k)) === 32) {
    readWideMemory(e, e.source(k), false, lower, upper);
    return;
  }
  readPacked(e, k);
  e.code.set(lower);
  if (e.bytes(e.source(k)) !== 32) return;
  readPacked(e, k, false, true);
  e.code.set(upper);
}
/** Writes the v128 in local `value` to register operand k: all of an xmm register, the low half to an MMX register. */
export function writePacked(e: Emitter, k: number, value: number): void {
  if (e.form.operands[k]?.letter !== 'Q') {
    e.writeVectorRegister(k, value);
    return;
  }
  e.registerAddress(k);
  e.code.get(value).lane(simd.I64X2_EXTRACT_LANE, 0).store();
  finishMmx(e, k);
}
/** Writes LOWER_RESULT and Z to the halves of a ymm destination, or Z to a narrower one. */
export function writeHalves(e: Emitter): void {
  if (!e.wide) {
    writePacked(e, 0, Z);
    return;
  }
  e.writeVectorRegister(0, LOWER_RESULT);
  e.writeVectorRegister(0, Z, true);
}
/** A source and the local that it goes to. */
export type PackedSource = readonly [k: number, local: number];
export const FIRST: PackedSource = [0, X];
export const SECOND: PackedSource = [1, Y];
/**
 * Runs `combine`, which leaves its result in Z, for the only half or for each. Memory is read before the first; nothing is
 * written.
 */
export function eachHalf(e: Emitter, sources: readonly PackedSource[], combine: (upper: boolean) => void): void {
  const { code } = e;
  const memory = sources.find(([k]) => e.isMemory(e.source(k)));
  const isWideMemory = memory !== undefined && e.bytes(e.source(memory[0])) === 32;
  if (memory !== undefined) {
    const [k, local] = memory;
    if (isWideMemory) readWideMemory(e, e.source(k), false, local, UPPER_OPERAND);
    else {
      readPacked(e, k);
      code.set(local);
    }
  }
  for (const upper of e.wide ? [false, true] : [false]) {
    for (const source of sources) {
      if (source !== memory) readPacked(e, source[0], false, upper);
      else if (upper) code.get(UPPER_OPERAND);
      else continue;
      code.set(source[1]);
    }
    combine(upper);
    if (e.wide && !upper) code.get(Z).set(LOWER_RESULT);
  }
}
/** An instruction whose halves are `combine` of their sources. */
export const packed = (sources: readonly PackedSource[], combine: (e: Emitter, upper: boolean) => void): Emit => (e) => {
  requirePacked(e);
  eachHalf(e, sources, (upper) => combine(e, upper));
  writeHalves(e);
};
export const packedBinary = (combine: (e: Emitter, upper: boolean) => void): Emit => packed([SECOND, FIRST], combine);
export const packedUnary = (combine: (e: Emitter, upper: boolean) => void): Emit => packed([SECOND], combine);

/** Writes the i64 in local `value` as the lowest element of the destination; the others come from the first source, or another operand. Uses Z. */
export function writeScalar(e: Emitter, value: number, others: number = e.source(0)): void {
  const { code } = e;
  if (!e.vex) {
    e.write(0, value);
    return;
  }
  e.readVectorRegister(others);
  code.get(value);
  if (e.bytes(0) === 4) code.wrap().lane(simd.I32X4_REPLACE_LANE, 0);
  else code.lane(simd.I64X2_REPLACE_LANE, 0);
  code.set(Z);
  e.writeVectorRegister(0, Z);
}
/** Writes the i64 in local `value` to MMX register operand k. */
export function writeMmx(e: Emitter, k: number, value: number): void {
  e.registerAddress(k);
  e.code.get(value).store();
  finishMmx(e, k);
}
function finishMmx(e: Emitter, k: number): void {
  e.registerAddress(k);
  e.code.const32(0xffff).store16From32(8);
  enterMmx(e);
}
/** Pushes lane `lane` of 8 bytes of xmm or MMX register operand k as i64. */
export function readHalf(e: Emitter, k: number, lane: 0 | 1): void {
  if (e.form.operands[k]?.letter === 'Q') {
    e.read(k);
    return;
  }
  e.readVectorRegister(k);
  e.code.lane(simd.I64X2_EXTRACT_LANE, lane);
}
