/** What every x87 instruction does around its own work: availability, pending exceptions, operands in memory, pointers. */
import type { Emit, Emitter } from '../emitter.ts';
import { A, D, H, K, M, N, S, VA } from '../locals.ts';
import * as state from '../cpu-state.ts';
import * as call from '../system-call.ts';
import { C1, ES } from '../float80/format.ts';
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
  e.code.ifSeldom();
  e.system(call.X87_PENDING_EXCEPTION);
  e.code.end();
}
export function callX87(e: Emitter, callee: BuiltFunction): void { e.code.call(callee.index); }

/** Pushes the register number of operand k. */
export function pushIndex(e: Emitter, k: number): void {
  e.field(k === 0 ? uop.UOP_REGISTER_0 : uop.UOP_REGISTER_1, 2);
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
  e.field(uop.UOP_LENGTH, 1);
  code.extendU().sub();
  if (!e.long) code.zeroExtend(4);
  code.store(state.X87_INSTRUCTION_POINTER);
  code.get(S).get(S).load32(state.SEGMENT + state.CS * state.SEGMENT_STRIDE).store32(state.X87_CODE_SELECTOR);
  code.get(S);
  e.field(uop.UOP_IMMEDIATE_2, 2);
  code.store32(state.X87_OPCODE);
}
/** The same and the data pointer, of an instruction with an operand in memory. */
export function noteOperand(e: Emitter): void {
  const { code } = e;
  notePlace(e);
  code.get(S).get(ADDRESS).store(state.X87_DATA_POINTER);
  code.get(S);
  e.field(uop.UOP_SEGMENT, 1);
  code.const32(4).shl32().get(S).add32().load32(state.SEGMENT + state.SEGMENT_SELECTOR).store32(state.X87_DATA_SELECTOR);
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
  if (e.place(10, false)) {
    code.get(H).load().set(SIGNIFICAND).get(H).load16U32(8).set(TOP_WORD);
    return;
  }
  code.get(VA);
  e.load(8);
  code.set(SIGNIFICAND);
  linear(e, 10, false);
  code.const(8).add();
  if (!e.long) code.zeroExtend(4);
  e.load(2);
  code.wrap().set(TOP_WORD);
}
/** Proves that 10 bytes at the address taken can be written. True: H has their place, else the address of the last two is in the i64 local. */
export function probeTenBytes(e: Emitter, lastAddress: number): boolean {
  const { code } = e;
  linear(e, 10, true);
  if (e.place(10, true)) return true;
  code.get(VA).tee(lastAddress);
  e.loadForUpdate(8);
  code.drop().get(lastAddress).const(8).add();
  if (!e.long) code.zeroExtend(4);
  code.tee(lastAddress);
  e.loadForUpdate(2);
  code.drop();
  return false;
}
/** Stores SIGNIFICAND and TOP_WORD where probeTenBytes has been; a second i64 local is needed on the way. */
export function storeTenBytes(e: Emitter, inPlace: boolean, lastAddress: number, topAsLong: number): void {
  const { code } = e;
  if (inPlace) {
    code.get(H).get(SIGNIFICAND).store().get(H).get(TOP_WORD).store16From32(8);
    return;
  }
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
  pop(e, pops);
  e.code.end();
}
/** Drops `count` registers of the stack; overwrites N. */
export function pop({ code }: Emitter, count: number): void {
  code.get(S).load32(state.X87_TOP).set(N);
  for (let i = 0; i < count; i++) {
    code.get(S).get(N).add32().const32(1).store8From32(state.X87_EMPTY);
    code.get(N).const32(1).add32().const32(7).and32().set(N);
  }
  if (count > 0) code.get(S).get(N).store32(state.X87_TOP);
}
/** The instruction goes through: the exceptions in STATUS, which all have masks, become sticky, and `pops` registers leave the stack. */
export function endMasked(e: Emitter, pops: number): void {
  const { code } = e;
  code.get(S).get(S).load32(state.X87_STATUS).const32(~C1).and32().get(STATUS).or32().store32(state.X87_STATUS);
  if (pops > 0) pop(e, pops);
}
/** Pushes an i32: the register that is ST(0) is empty. Leaves its number in N. */
export function pushTopEmpty({ code }: Emitter): void {
  code.get(S).load32(state.X87_TOP).tee(N).get(S).add32().load8U32(state.X87_EMPTY);
}
/** Pushes significand and top of the register whose number is in N; overwrites N. */
export function pushRegister({ code }: Emitter): void {
  code.get(N).const32(4).shl32().get(S).add32().tee(N).load(state.X87).get(N).load16U32(state.X87 + 8);
}
export const apart = (emit: Emit): { readonly emit: Emit; readonly apart: true } => ({ emit, apart: true });
