/**
 * What an instruction's emitter works with.
 *
 * An emitter runs in fixed phases: checks known at decode, addresses, write probes of every page it will store to,
 * loads, compute, stores, then commit of registers and flags. Nothing architectural changes before the last access that
 * can fault, because a fault unwinds the instruction by an exception thrown from the slow path.
 *
 * Values travel as i64, zero-extended from the operand's size. Operands are reached only through read, write,
 * readForUpdate and update; what a register or a flag is bound to (the register file in memory, or locals of a translated
 * region) is the business of the binding and of no emitter.
 */
import type { Binding } from './binding.ts';
import type { CodeWriter } from './wasm/code-writer.ts';
import * as state from './cpu-state.ts';
import type { FloatFormat } from './float/float-format.ts';
import type { SoftOperation } from './float/float-functions.ts';
import * as uop from './uop.ts';
import type { Form } from './form.ts';
import { S, U, VA, Z } from './locals.ts';
import { RegisterFileBinding } from './register-file-binding.ts';
import type { Runtime } from './runtime.ts';

export type Emit = (e: Emitter) => void;
export interface InstructionEmitter {
  readonly emit: Emit;
  /** A function of its own instead of a case inside the interpreter's loop: for what is large or rare. */
  readonly apart?: boolean;
}
export type EmitterTable = Readonly<Record<string, InstructionEmitter>>;

const RSP = 4;
/** From a vector register's lower half to its upper. */
const UPPER_HALF = state.YMM_HIGH - state.XMM;
/** An operand that is a register named by the immediate. */
const FOURTH = 3;
const IN_FUNCTION: Binding = new RegisterFileBinding(null);

export class Emitter {
  code: CodeWriter;
  form: Form;
  readonly runtime: Runtime;
  #bound: Binding = IN_FUNCTION;

  constructor(code: CodeWriter, form: Form, runtime: Runtime) {
    this.code = code;
    this.form = form;
    this.runtime = runtime;
  }

  begin(code: CodeWriter, form: Form, bound: Binding): void {
    this.code = code;
    this.form = form;
    this.#bound = bound;
  }

  get size(): number { return this.form.size; }
  get long(): boolean { return this.form.long; }
  /** Behind a VEX prefix; working on 256 bits. */
  get vex(): boolean { return this.form.vex; }
  get wide(): boolean { return this.form.wide; }
  /** The operand that is source k, counted from the destination where that is the first source. */
  source(k: number): number { return k + this.form.firstSource; }

  isMemory(k: number): boolean { return this.form.operands[k]?.letter === 'M'; }
  bytes(k: number): number { return this.#operand(k).bytes; }
  #operand(k: number): Form['operands'][number] {
    const operand = this.form.operands[k];
    if (operand === undefined) throw new RangeError(`${this.form.key}: no operand ${k}`);
    return operand;
  }

  // ---- Where control goes next -------------------------------------------------------------------------------------

  /** Takes the next uop from the stack. */
  continueAt(): void { this.#bound.continueAt(this); }
  /** Runs the same instruction again (a REP iteration that is not the last). */
  again(): void { this.code.get(U); this.continueAt(); }
  /** Jumps to the instruction pointer in local `rip`. */
  jump(rip: number): void { this.#bound.jump(this, rip); }
  /** Takes the direct branch of the instruction. */
  branch(): void { this.#bound.branch(this); }
  /** Pushes the instruction pointer of the next instruction. */
  nextRip(): void { this.#bound.nextRip(this); }

  // ---- Faults ------------------------------------------------------------------------------------------------------

  /** Raises an exception; `errorCode` -1 means none. Does not come back. */
  raise(vector: number, errorCode = -1): void { this.#bound.raise(this, vector, errorCode); }
  /** Consumes an i32 and raises the exception when it is not 0. */
  raiseIf(vector: number, errorCode = -1): void { this.#bound.raiseIf(this, vector, errorCode); }
  /** #GP(0) for a branch target that is no address (SDM vol. 2, CALL, JMP, RET): before anything changes. */
  requireCanonical(rip: number): void {
    if (!this.long || this.size !== 8) return;
    this.code.get(rip).const(16).shl().const(16).shrS().get(rip).ne();
    this.raiseIf(13, 0);
  }
  requireSupervisor(): void {
    this.code.get(S).load32(state.CPL);
    this.raiseIf(13, 0);
  }
  /** #NM when the x87 is not available. */
  requireX87(): void { this.#bound.requireX87(this); }
  /** #UD or #NM when SSE is not available; behind a VEX prefix, when AVX is not. */
  requireSse(): void { this.#bound.requireSse(this); }
  /** Leaves generated code at the next instruction boundary when an event waits and interrupts are enabled. */
  checkEvents(): void { this.#bound.checkEvents(this); }
  /** Lets other processors have their turn after the instruction, where there are any. */
  pause(): void { this.#bound.pause(this); }
  /** Calls a TypeScript system function by number; it answers 0 (go on), 1 (RIP was set) or 2 (leave the loop). */
  system(id: number): void { this.#bound.system(this, id); }
  /** Pushes machine time as an f64, for the system function of that number; not a number: only the function itself can tell. */
  now(id: number): void { this.#bound.now(this, id); }
  /**
   * Consumes an i32. When it is not 0 the instruction goes on to do what a translated region does not; there, the interpreter
   * starts it anew, so nothing architectural may have changed yet.
   */
  leaveRegionIf(): void { this.#bound.leaveIf(this); }

  // ---- Addresses ---------------------------------------------------------------------------------------------------

  /** Pushes the effective address (offset in its segment) of the memory operand. */
  effectiveAddress(): void {
    if (this.form.absolute) { this.immediate(); return; }
    this.#bound.effectiveAddress(this);
    if (this.form.addressBytes !== 8) this.code.zeroExtend(this.form.addressBytes);
  }
  /** Pushes the linear address of the memory operand after the segment checks for an access of `bytes`. */
  address(bytes: number, write: boolean): void {
    this.effectiveAddress();
    this.addressOfOffset(bytes, write);
  }
  /** Takes an offset in the memory operand's segment and pushes its linear address. */
  addressOfOffset(bytes: number, write: boolean): void { this.#bound.addressOfOffset(this, bytes, write); }
  /** Takes an offset from the stack and pushes its linear address in segment register `segment`. */
  segmentAddress(segment: number, bytes: number, write: boolean): void { this.#bound.segmentAddress(this, segment, bytes, write); }

  // ---- Memory ------------------------------------------------------------------------------------------------------

  /** Takes a linear address, pushes the value there as i64; with `anyAlignment` none is misaligned (#AC). */
  load(bytes: number, anyAlignment = false): void {
    this.code.set(VA);
    this.#bound.load(this, bytes, anyAlignment);
  }
  /** Takes a linear address and stores the low `bytes` of local `value` there. */
  store(bytes: number, value: number, anyAlignment = false): void {
    this.code.set(VA);
    this.#bound.store(this, bytes, value, anyAlignment);
  }
  /** Takes a linear address, proves that it can be written, pushes the value there; H and VA stay for storeBack. */
  loadForUpdate(bytes: number, anyAlignment = false): void {
    this.code.set(VA);
    this.#bound.loadForUpdate(this, bytes, anyAlignment);
  }
  /** Stores local `value` to where loadForUpdate loaded from; cannot fault. */
  storeBack(bytes: number, value: number): void { this.#bound.storeBack(this, bytes, value); }
  /**
   * Takes a linear address. True: H has the address in the host's memory, and nothing that follows can fault there. False: the
   * accesses have to be made one by one, at the address in VA.
   */
  place(bytes: number, write: boolean): boolean {
    this.code.set(VA);
    return this.#bound.place(this, bytes, write);
  }
  /** Takes a linear address, pushes 16 bytes. */
  loadVector(aligned: boolean): void {
    this.#vectorAddress(aligned);
    this.#bound.loadVector(this);
  }
  /** Takes a linear address and stores the v128 local there. */
  storeVector(value: number, aligned: boolean): void {
    this.#vectorAddress(aligned);
    this.#bound.storeVector(this, value);
  }
  #vectorAddress(aligned: boolean): void {
    this.code.set(VA);
    if (!aligned) return;
    this.code.get(VA).wrap().const32(15).and32();
    this.raiseIf(13, 0);
  }

  // ---- Operands ----------------------------------------------------------------------------------------------------

  /** The uop's field that names register operand k. */
  #field(k: number): number {
    // Registers take the fields in the order in which they appear; memory and immediates have their own.
    if (k === FOURTH) return uop.UOP_IMMEDIATE_2;
    let field = 0;
    for (let i = 0; i < k; i++) if (isRegister(this.form.operands[i]?.letter)) field++;
    return field === 0 ? uop.UOP_REGISTER_0 : field === 1 ? uop.UOP_REGISTER_1 : uop.UOP_BASE;
  }
  /** Pushes the address (i32) of register operand k, which is no general register, in the processor block. */
  registerAddress(k: number): void { this.#bound.registerAddress(this, this.#field(k)); }
  /** Pushes the immediate, 64 bits. */
  immediate(): void { this.#bound.immediate(this); }
  /** Pushes a field of the uop as i32. */
  field(field: number, bytes: 1 | 2): void { this.#bound.field(this, field, bytes); }

  /** Pushes operand k. */
  read(k: number): void {
    const { letter, bytes } = this.#operand(k);
    if (letter === 'M') {
      this.address(bytes, false);
      this.load(bytes);
    } else if (letter === 'I') {
      this.immediate();
      if (bytes < 8 && this.size < 8) this.code.zeroExtend(Math.max(bytes, this.size));
    } else this.#bound.readRegister(this, this.#field(k), bytes);
  }
  /** Writes local `value` to operand k with the partial-register rules: 32-bit writes clear the upper half. */
  write(k: number, value: number): void {
    const { letter, bytes } = this.#operand(k);
    if (letter === 'M') {
      this.address(bytes, true);
      this.store(bytes, value);
    } else this.#bound.writeRegister(this, this.#field(k), bytes, value, letter === 'R');
  }
  /** Pushes operand k, having proved that it can be written. */
  readForUpdate(k: number): void {
    if (!this.isMemory(k)) { this.read(k); return; }
    this.address(this.bytes(k), true);
    this.loadForUpdate(this.bytes(k));
  }
  /** Writes operand k after readForUpdate. */
  update(k: number, value: number): void {
    if (this.isMemory(k)) this.storeBack(this.bytes(k), value);
    else this.write(k, value);
  }
  /** Pushes a 16-byte operand (xmm or memory). */
  readVector(k: number, aligned = true): void {
    if (this.isMemory(k)) {
      this.address(16, false);
      this.loadVector(aligned);
      return;
    }
    this.readVectorRegister(k);
  }
  writeVector(k: number, value: number, aligned = true): void {
    if (this.isMemory(k)) {
      this.address(16, true);
      this.storeVector(value, aligned);
      return;
    }
    this.writeVectorRegister(k, value);
  }
  /** Pushes one half of vector register operand k. */
  readVectorRegister(k: number, upper = false): void {
    if (!upper) { this.#bound.readVector(this, this.#field(k)); return; }
    this.registerAddress(k);
    this.code.loadV128(UPPER_HALF);
  }
  /** Writes one half of vector register operand k; the lower half of an operand that has no other makes the upper one zero behind a VEX prefix. */
  writeVectorRegister(k: number, value: number, upper = false): void {
    const { code } = this;
    if (!upper) this.#bound.writeVector(this, this.#field(k), value);
    else {
      this.registerAddress(k);
      code.get(value).storeV128(UPPER_HALF);
    }
    if (!this.vex || upper || this.bytes(k) === 32) return;
    this.registerAddress(k);
    code.constV128([]).storeV128(UPPER_HALF);
  }
  /** Clears the upper halves of all vector registers that the mode knows, or the whole of them. */
  clearVectorRegisters(all: boolean): void {
    this.code.constV128([]).set(Z);
    for (let n = 0; n < (this.long ? 16 : 8); n++) {
      this.code.get(S).get(Z).storeV128(state.YMM_HIGH + n * 16);
      if (all) this.#bound.writeXmm(this, n, Z);
    }
  }
  /** Pushes one half of the vector register that is the index of a gather. */
  readIndexVector(upper: boolean): void { this.code.get(S).get(U).load16U32(uop.UOP_INDEX).add32().loadV128(upper ? UPPER_HALF : 0); }
  /** Takes one index and pushes the effective address that a gather has for it. */
  indexedAddress(): void {
    const { code } = this;
    code.get(U).load8U(uop.UOP_SCALE).shl().get(S).get(U).load16U32(uop.UOP_BASE).add32().load().add().get(U).load32S(uop.UOP_DISPLACEMENT).add();
    if (this.form.addressBytes !== 8) code.zeroExtend(this.form.addressBytes);
  }
  /** Writes the v128 local to xmm0. */
  writeXmm0(value: number): void {
    const { code } = this;
    this.#bound.writeXmm(this, 0, value);
    if (this.vex) code.get(S).constV128([]).storeV128(state.YMM_HIGH);
  }

  /** Pushes general register `number`, `bytes` wide (never a high byte). */
  readGpr(number: number, bytes: number): void { this.#bound.readGpr(this, number, bytes); }
  writeGpr(number: number, bytes: number, value: number): void { this.#bound.writeGpr(this, number, bytes, value); }

  // ---- Floating point ----------------------------------------------------------------------------------------------

  /** Sets i64 local `result` to a operation b, bit patterns; raises what is not masked. */
  floatScalar(of: FloatFormat, operation: SoftOperation, a: number, b: number, result: number): void { this.#bound.floatScalar(this, of, operation, a, b, result); }
  /** The same for all lanes of v128 locals, which are not the local W; `noted`: the flags stay noted until commitFloat. */
  floatLanes(of: FloatFormat, operation: SoftOperation, a: number, b: number, result: number, noted: boolean): void { this.#bound.floatLanes(this, of, operation, a, b, result, noted); }
  /** Raises #XM where a noted flag is not masked. */
  commitFloat(): void { this.#bound.commitFloat(this); }

  // ---- Stack -------------------------------------------------------------------------------------------------------

  /** Pushes the stack pointer plus `delta` as an offset in SS. */
  stackOffset(delta: number): void {
    this.readGpr(RSP, 8);
    if (delta !== 0) this.code.const(delta).add();
    this.maskStackOffset();
  }
  /** Cuts an offset on the stack to the size of the stack pointer. */
  maskStackOffset(): void { this.#bound.maskStackOffset(this); }
  /** Takes an offset in SS and makes it the stack pointer, keeping the bits that the stack size does not reach. */
  setStackOffset(): void { this.#bound.setStackOffset(this); }
  /** Stores local `value` below the stack pointer and moves it. */
  push(bytes: number, value: number): void {
    this.stackOffset(-bytes);
    this.segmentAddress(state.SS, bytes, true);
    this.store(bytes, value);
    this.stackOffset(-bytes);
    this.setStackOffset();
  }
  /** Pushes onto the wasm stack the value at the guest's top of stack plus `delta`; the stack pointer stays. */
  peek(bytes: number, delta = 0): void {
    this.stackOffset(delta);
    this.segmentAddress(state.SS, bytes, false);
    this.load(bytes);
  }
  /** Drops `bytes` from the guest's stack. */
  release(bytes: number): void {
    this.stackOffset(bytes);
    this.setStackOffset();
  }

  // ---- Flags -------------------------------------------------------------------------------------------------------

  /** Flags of result = a + b, or with `carryIn` a + b + CF. */
  flagsAdd(a: number, b: number, result: number, carryIn = false): void { this.#bound.flagsAdd(this, a, b, result, this.size, carryIn); }
  /** Flags of result = a - b, or with `carryIn` a - b - CF. */
  flagsSubtract(a: number, b: number, result: number, carryIn = false): void { this.#bound.flagsSubtract(this, a, b, result, this.size, carryIn); }
  /** Flags of a logical operation: CF, OF and AF clear. */
  flagsLogic(result: number, bytes: number = this.size): void { this.#bound.flagsLogic(this, result, bytes); }
  /** Flags of result = a + delta; CF stays. */
  flagsStep(delta: 1 | -1, a: number, result: number): void { this.#bound.flagsStep(this, delta, a, result); }
  /** Consumes an i32; `emit` sets flags only when it is not 0. */
  flagsWhen(emit: () => void): void { this.#bound.flagsWhen(this, emit); }
  /** Takes OF (i32 0 or 1), then CF below it, from the stack. */
  setCarryOverflow(): void { this.#bound.setCarryOverflow(this); }
  /** Pushes CF as i64. */
  carry(): void { this.#bound.carry(this); }
  /** Takes an i32 0 or 1 as CF; OF stays. */
  setCarry(): void { this.#bound.setCarry(this); }
  /** Pushes the six arithmetic flags in their places, as i32. */
  arithmeticFlags(): void { this.#bound.arithmeticFlags(this); }
  /** Takes an i32 and sets the six arithmetic flags from it. */
  setArithmeticFlags(): void { this.#bound.setArithmeticFlags(this); }
  /** Pushes the condition (0 to 15) as i32 0 or 1. */
  condition(number: number): void { this.#bound.condition(this, number); }
  /** Takes CF, ZF and PF of a comparison, i32 each; OF, SF and AF become 0. */
  flagsOfComparison(): void { this.#bound.flagsOfComparison(this); }
}

export function isRegister(letter: string | undefined): boolean {
  return letter === 'R' || letter === 'X' || letter === 'Q' || letter === 'S' || letter === 'C' || letter === 'D' || letter === 'T';
}
