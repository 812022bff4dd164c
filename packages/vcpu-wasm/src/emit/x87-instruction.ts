/** What every x87 instruction does around its own work: availability, pending exceptions, operands in memory, pointers. */
import type { Emit, Emitter } from '../emitter.ts';
import { A, D, K, M, N, S, U } from '../locals.ts';
import * as state from '../cpu-state.ts';
import * as call from '../system-call.ts';
import { ES } from '../float80/format.ts';
import type { BuiltFunction } from '../float80/function-builder.ts';
import * as uop from '../uop.ts';

/** Locals of an x87 emitter: a number is in A (significand) and K (sign and exponent), its status bits are in M. */
export const SIGNIFICAND: number = A;
export const TOP_WORD: number = K;
export const STATUS: number = M;
/** The effective address of the memory operand. */
const ADDRESS = D;

/** #NM, and #MF for an exception that an earlier instruction left (SDM vol. 1, section 8.6). */
export function beginWaiting(e: Emitter): void {
  e.requireX87();
  checkPending(e);
}
export function checkPending(e: Emitter): void {
  e.code.get(S).load32(state.X87_STATUS).const32(ES).and32();
  e.code.if();
  e.system(call.X87_PENDING_EXCEPTION);
  e.code.end();
}
export function callX87(e: Emitter, callee: BuiltFunction): void { e.code.call(callee.index); }

/** Pushes the register number of operand k. */
export function pushIndex(e: Emitter, k: number): void {
  e.code.get(U).load16U32(k === 0 ? uop.UOP_REGISTER_0 : uop.UOP_REGISTER_1);
}
/** Keeps the effective address of the memory operand for the accesses to it and for the data pointer. */
export function takeAddress(e: Emitter): void {
  e.effectiveAddress();
  e.code.set(ADDRESS);
}
/** Pushes the linear address of the operand whose address was taken, after the segment checks for `bytes`. */
export function linear(e: Emitter, bytes: number, write: boolean): void {
  e.code.get(ADDRESS);
  e.addressOfOffset(bytes, write);
}

/** The instruction pointer, its selector and the opcode (SDM vol. 1, sections 8.1.8 and 8.1.9); after the last access that can fault. */
export function notePlace(e: Emitter): void {
  const { code } = e;
  code.get(S);
  e.nextRip();
  code.get(U).load8U(uop.UOP_LENGTH).sub();
  if (!e.long) code.zeroExtend(4);
  code.store(state.X87_INSTRUCTION_POINTER);
  code.get(S).get(S).load32(state.SEGMENT + state.CS * state.SEGMENT_STRIDE).store32(state.X87_CODE_SELECTOR);
  code.get(S).get(U).load16U32(uop.UOP_IMMEDIATE_2).store32(state.X87_OPCODE);
}
/** The same and the data pointer, of an instruction with an operand in memory. */
export function noteOperand(e: Emitter): void {
  const { code } = e;
  notePlace(e);
  code.get(S).get(ADDRESS).store(state.X87_DATA_POINTER);
  code.get(S).get(U).load8U32(uop.UOP_SEGMENT).const32(4).shl32().get(S).add32().set(N);
  code.get(N).load32(state.SEGMENT + state.SEGMENT_SELECTOR).store32(state.X87_DATA_SELECTOR);
}

/** Loads the number in memory operand k into SIGNIFICAND, TOP_WORD and STATUS, and notes the pointers. */
export function loadNumber(e: Emitter, k: number, integer: boolean): void {
  const { code } = e;
  const { conversion } = e.runtime.x87;
  const bytes = e.bytes(k);
  takeAddress(e);
  linear(e, bytes, false);
  e.load(bytes);
  if (integer) code.signExtend(bytes);
  callX87(e, integer ? conversion.fromInteger : bytes === 4 ? conversion.fromSingle : conversion.fromDouble);
  code.set(STATUS).set(TOP_WORD).set(SIGNIFICAND);
  noteOperand(e);
}
/** Loads 10 bytes from the address taken into SIGNIFICAND and TOP_WORD. */
export function loadTenBytes(e: Emitter): void {
  const { code } = e;
  linear(e, 10, false);
  e.load(8);
  code.set(SIGNIFICAND);
  linear(e, 10, false);
  code.const(8).add();
  if (!e.long) code.zeroExtend(4);
  e.load(2);
  code.wrap().set(TOP_WORD);
}
/** Proves that 10 bytes at the address taken can be written; the address of the last two goes into the i64 local. */
export function probeTenBytes(e: Emitter, lastAddress: number): void {
  const { code } = e;
  linear(e, 10, true);
  code.tee(lastAddress);
  e.loadForUpdate(8);
  code.drop().get(lastAddress).const(8).add();
  if (!e.long) code.zeroExtend(4);
  code.tee(lastAddress);
  e.loadForUpdate(2);
  code.drop();
}
/** Stores SIGNIFICAND and TOP_WORD where probeTenBytes has been; a second i64 local is needed on the way. */
export function storeTenBytes(e: Emitter, lastAddress: number, topAsLong: number): void {
  const { code } = e;
  code.get(lastAddress).const(8).sub();
  if (!e.long) code.zeroExtend(4);
  e.store(8, SIGNIFICAND);
  code.get(TOP_WORD).extendU().set(topAsLong);
  code.get(lastAddress);
  e.store(2, topAsLong);
}

/** Takes an i32 and does as the instruction's name asks: `pops` registers leave the stack when it is not 0. */
export function endWith(e: Emitter, pops: number): void {
  if (pops === 0) { e.code.drop(); return; }
  e.code.if();
  for (let i = 0; i < pops; i++) { e.code.get(S); callX87(e, e.runtime.x87.stack.pop); }
  e.code.end();
}
export const apart = (emit: Emit): { readonly emit: Emit; readonly apart: true } => ({ emit, apart: true });
