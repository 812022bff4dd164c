/**
 * What the operands, flags and branches of an instruction are bound to: the register file in memory and the fields of the
 * micro-operation in the interpreter, locals and constants in a translated region. One instruction, one emitter, two bindings.
 */
import type { Emitter } from './emitter.ts';
import type { FloatFormat } from './float/float-format.ts';
import type { SoftOperation } from './float/float-functions.ts';

export interface Binding {
  // Where control goes.
  /** Takes the next uop from the stack. */
  continueAt(e: Emitter): void;
  /** Jumps to the instruction pointer in local `rip`. */
  jump(e: Emitter, rip: number): void;
  /** Takes the direct branch of the instruction. */
  branch(e: Emitter): void;
  /** Pushes the instruction pointer of the next instruction. */
  nextRip(e: Emitter): void;
  /** Raises an exception; does not come back. */
  raise(e: Emitter, vector: number, errorCode: number): void;
  /** Consumes an i32 and raises the exception when it is not 0. */
  raiseIf(e: Emitter, vector: number, errorCode: number): void;
  checkEvents(e: Emitter): void;
  /** Leaves generated code after the instruction where there are other processors. */
  pause(e: Emitter): void;
  system(e: Emitter, id: number): void;
  /** Pushes machine time as an f64, for the system function of that number; not a number: only the function itself can tell. */
  now(e: Emitter, id: number): void;
  /** #UD or #NM when SSE, or behind a VEX prefix AVX, is not available. */
  requireSse(e: Emitter): void;
  /** #NM when the x87 is not available. */
  requireX87(e: Emitter): void;
  /** Consumes an i32. Not 0: what follows is more than a translated region does; nothing architectural has changed yet. */
  leaveIf(e: Emitter): void;

  // Addresses.
  /** Pushes base + index · scale + displacement. */
  effectiveAddress(e: Emitter): void;
  /** Takes an offset in the memory operand's segment, pushes its linear address. */
  addressOfOffset(e: Emitter, bytes: number, write: boolean): void;
  /** Takes an offset in segment register `segment`, pushes its linear address. */
  segmentAddress(e: Emitter, segment: number, bytes: number, write: boolean): void;
  /** Cuts an offset on the stack to the size of the stack pointer. */
  maskStackOffset(e: Emitter): void;
  /** Takes an offset in SS and makes it the stack pointer. */
  setStackOffset(e: Emitter): void;

  // Memory, by linear address in local VA.
  // `anyAlignment`: no #AC, whatever the address.
  load(e: Emitter, bytes: number, anyAlignment: boolean): void;
  store(e: Emitter, bytes: number, value: number, anyAlignment: boolean): void;
  loadForUpdate(e: Emitter, bytes: number, anyAlignment: boolean): void;
  storeBack(e: Emitter, bytes: number, value: number): void;
  /** True: where `bytes` at the address in VA lie in the host's memory is in H. False: nothing was written, the accesses have to be made one by one. */
  place(e: Emitter, bytes: number, write: boolean): boolean;
  loadVector(e: Emitter): void;
  storeVector(e: Emitter, value: number): void;

  // Registers. `field` is the uop's field that names the register.
  registerAddress(e: Emitter, field: number): void;
  readRegister(e: Emitter, field: number, bytes: number): void;
  /** `clears`: a 32-bit write clears the upper half. */
  writeRegister(e: Emitter, field: number, bytes: number, value: number, clears: boolean): void;
  readGpr(e: Emitter, number: number, bytes: number): void;
  writeGpr(e: Emitter, number: number, bytes: number, value: number): void;
  /** The lower half of a vector register, named by a field of the uop or by its number. */
  readVector(e: Emitter, field: number): void;
  writeVector(e: Emitter, field: number, value: number): void;
  writeXmm(e: Emitter, number: number, value: number): void;
  /** Pushes the immediate, 64 bits. */
  immediate(e: Emitter): void;
  /** Pushes a field of the uop as i32. */
  field(e: Emitter, field: number, bytes: 1 | 2): void;

  // Floating point; bit patterns in i64 locals, or v128 locals.
  /** Sets `result` to a operation b; of the square root, to that of a. */
  floatScalar(e: Emitter, of: FloatFormat, operation: SoftOperation, a: number, b: number, result: number): void;
  /** The same for all lanes; `noted`: the flags stay noted until commitFloat. */
  floatLanes(e: Emitter, of: FloatFormat, operation: SoftOperation, a: number, b: number, result: number, noted: boolean): void;
  /** Raises #XM where a noted flag is not masked, before anything is written. */
  commitFloat(e: Emitter): void;

  // Flags; see Emitter for their meaning.
  flagsAdd(e: Emitter, a: number, b: number, result: number, bytes: number, carryIn: boolean): void;
  flagsSubtract(e: Emitter, a: number, b: number, result: number, bytes: number, carryIn: boolean): void;
  flagsLogic(e: Emitter, result: number, bytes: number): void;
  flagsStep(e: Emitter, delta: 1 | -1, a: number, result: number): void;
  /** Consumes an i32; `emit` sets flags only when it is not 0. */
  flagsWhen(e: Emitter, emit: () => void): void;
  setCarryOverflow(e: Emitter): void;
  carry(e: Emitter): void;
  setCarry(e: Emitter): void;
  arithmeticFlags(e: Emitter): void;
  setArithmeticFlags(e: Emitter): void;
  condition(e: Emitter, number: number): void;
  /** Takes CF, ZF and PF, i32 each; the others become 0. */
  flagsOfComparison(e: Emitter): void;
}
