/**
 * Packed operands: xmm registers, MMX registers and memory as v128, so that one emitter serves both register files.
 *
 * An MMX register is the significand of a physical x87 register. Writing one fills the sign and exponent with ones, and
 * every MMX instruction but EMMS marks all registers used and makes register 0 the top of the stack (SDM vol. 1, section 9.5).
 */
import type { Emitter } from '../emitter.ts';
import { S } from '../locals.ts';
import * as simd from '../wasm/simd-opcode.ts';
import * as state from '../cpu-state.ts';
import * as call from '../system-call.ts';

const CR0_EM = 1 << 2;
/** Summary of unmasked exceptions in the x87 status word. */
const STATUS_ES = 1 << 7;
const INVALID_OPCODE = 6;
const DEVICE_NOT_AVAILABLE = 7;

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

/** Pushes operand k as v128; of a narrow one, the value is in the low lanes. */
export function readPacked(e: Emitter, k: number, aligned = true): void {
  const operand = e.form.operands[k];
  if (operand?.letter === 'Q' || (operand?.letter === 'M' && operand.bytes < 16)) {
    e.read(k);
    e.code.simd(simd.I64X2_SPLAT);
  } else if (operand?.letter === 'X') {
    // The whole register, whatever part of it the instruction uses.
    e.registerAddress(k);
    e.code.loadV128();
  } else e.readVector(k, aligned);
}
/** Writes the v128 in local `value` to register operand k: all of an xmm register, the low half to an MMX register. */
export function writePacked(e: Emitter, k: number, value: number): void {
  const { code } = e;
  e.registerAddress(k);
  code.get(value);
  if (e.form.operands[k]?.letter !== 'Q') {
    code.storeV128();
    return;
  }
  code.lane(simd.I64X2_EXTRACT_LANE, 0).store();
  finishMmx(e, k);
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
/** Pushes lane `lane` of 8 bytes of xmm register operand k as i64. */
export function readHalf(e: Emitter, k: number, lane: 0 | 1): void {
  e.registerAddress(k);
  e.code.load(lane * 8);
}
