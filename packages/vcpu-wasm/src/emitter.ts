/**
 * What an instruction's emitter works with.
 *
 * An emitter runs in fixed phases: checks known at decode, addresses, write probes of every page it will store to,
 * loads, compute, stores, then commit of registers and flags. Nothing architectural changes before the last access that
 * can fault, because a fault unwinds the instruction by an exception thrown from the slow path.
 *
 * Values travel as i64, zero-extended from the operand's size. Operands are reached only through read, write,
 * readForUpdate and update; what a register or a flag is bound to (the register file in memory here, locals in a
 * translated region) is the business of this class and of no emitter.
 */
import type { CodeWriter, Label } from './wasm/code-writer.ts';
import { I64, V128 } from './wasm/code-writer.ts';
import * as state from './cpu-state.ts';
import * as call from './system-call.ts';
import * as uop from './uop.ts';
import type { Form } from './form.ts';
import { H, M, N, P, S, T, U, VA } from './locals.ts';
import type { Runtime } from './runtime.ts';

export type Emit = (e: Emitter) => void;
export interface InstructionEmitter {
  readonly emit: Emit;
  /** A function of its own instead of a case inside the interpreter's loop: for what is large or rare. */
  readonly apart?: boolean;
}
export type EmitterTable = Readonly<Record<string, InstructionEmitter>>;

/** x86 condition numbers, SDM vol. 1, appendix B. */
const CONDITION_O = 0, CONDITION_C = 1, CONDITION_Z = 2, CONDITION_BE = 3, CONDITION_S = 4, CONDITION_P = 5, CONDITION_L = 6;

export class Emitter {
  code: CodeWriter;
  form: Form;
  readonly runtime: Runtime;
  /** Set while the code is a case of the interpreter's loop; null in a function of its own. */
  #loop: Label | null = null;

  constructor(code: CodeWriter, form: Form, runtime: Runtime) {
    this.code = code;
    this.form = form;
    this.runtime = runtime;
  }

  begin(code: CodeWriter, form: Form, loop: Label | null): void {
    this.code = code;
    this.form = form;
    this.#loop = loop;
  }

  get size(): number { return this.form.size; }
  get long(): boolean { return this.form.long; }

  isMemory(k: number): boolean { return this.form.operands[k]?.letter === 'M'; }
  bytes(k: number): number {
    const operand = this.form.operands[k];
    if (operand === undefined) throw new RangeError(`${this.form.key}: no operand ${k}`);
    return operand.bytes;
  }

  // ---- Where control goes next -------------------------------------------------------------------------------------

  /** Takes the next uop from the stack. */
  continueAt(): void {
    if (this.#loop === null) this.code.return();
    else this.code.set(U).br(this.#loop);
  }
  /** Runs the same instruction again (a REP iteration that is not the last). */
  again(): void { this.code.get(U); this.continueAt(); }
  /** Jumps to the instruction pointer in local `rip`. */
  jump(rip: number): void {
    this.code.get(S).get(rip).call(this.runtime.lookup);
    this.continueAt();
  }
  /** After a system function has set RIP. */
  jumpToState(): void {
    this.code.get(S).get(S).load(state.RIP).call(this.runtime.lookup);
    this.continueAt();
  }
  /** Direct branch of the current uop; the target is cached in the uop when it lies in the same page. */
  branch(): void {
    if (this.form.key.endsWith(';near')) {
      const { code } = this;
      code.get(U).load32(uop.UOP_DISPLACEMENT).tee(N).eqz32();
      code.if();
      code.get(U).call(this.runtime.link).set(N);
      code.end();
      code.get(N);
      this.continueAt();
      return;
    }
    this.branchTarget();
    this.code.set(T);
    this.jump(T);
  }
  /** Pushes the instruction pointer that the direct branch goes to. */
  branchTarget(): void {
    this.nextRip();
    this.code.get(U).load(uop.UOP_IMMEDIATE).add();
    this.truncateRip();
  }
  /** Pushes the instruction pointer of the next instruction. */
  nextRip(): void {
    this.code.get(S).load(state.PAGE_RIP).get(U).load16U(uop.UOP_NEXT).add();
    if (!this.long) this.code.zeroExtend(4);
  }
  /** Cuts an instruction pointer on the stack to what the operand size allows. */
  truncateRip(): void {
    if (!this.long) this.code.zeroExtend(this.size === 2 ? 2 : 4);
  }

  // ---- Faults ------------------------------------------------------------------------------------------------------

  /** Raises an exception; `errorCode` -1 means none. Does not come back. */
  raise(vector: number, errorCode = -1): void {
    this.code.const32(vector).const32(errorCode).call(this.runtime.raise).unreachable();
  }
  /** Consumes an i32 and raises the exception when it is not 0. */
  raiseIf(vector: number, errorCode = -1): void {
    this.code.if();
    this.raise(vector, errorCode);
    this.code.end();
  }
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
  requireX87(): void {
    this.code.get(S).load32(state.X87_BLOCKED);
    this.code.if();
    this.system(call.X87_NOT_AVAILABLE);
    this.code.end();
  }
  /** #UD or #NM when SSE is not available. */
  requireSse(): void {
    this.code.get(S).load32(state.SSE_BLOCKED);
    this.code.if();
    this.system(call.SSE_NOT_AVAILABLE);
    this.code.end();
  }
  /** Leaves generated code at the next instruction boundary when an event waits and interrupts are enabled. */
  checkEvents(): void {
    const { code } = this;
    code.get(S).load32(state.EVENT_PENDING);
    code.if();
    code.get(S).get(S).load32(state.BUDGET_HELD).get(S).load32(state.BUDGET).add32().store32(state.BUDGET_HELD);
    code.get(S).const32(0).store32(state.BUDGET);
    code.end();
  }
  /** Calls a TypeScript system function by number; it answers 0 (go on), 1 (RIP was set) or 2 (leave the loop). */
  system(id: number): void {
    const { code } = this;
    code.const32(id).get(U).call(this.runtime.system).tee(N);
    code.if();
    code.get(N).const32(1).eq32();
    code.if();
    this.jumpToState();
    code.end();
    code.get(S).const32(state.STATIC_UOPS).add32();
    this.continueAt();
    code.end();
  }

  // ---- Addresses ---------------------------------------------------------------------------------------------------

  /** Pushes the effective address (offset in its segment) of the memory operand. */
  effectiveAddress(): void {
    const { code, form } = this;
    if (form.absolute) { code.get(U).load(uop.UOP_IMMEDIATE); return; }
    code.get(S).get(U).load16U32(uop.UOP_BASE).add32().load();
    code.get(S).get(U).load16U32(uop.UOP_INDEX).add32().load().get(U).load8U(uop.UOP_SCALE).shl().add();
    code.get(U).load32S(uop.UOP_DISPLACEMENT).add();
    if (form.addressBytes !== 8) code.zeroExtend(form.addressBytes);
  }
  /** Pushes the linear address of the memory operand after the segment checks for an access of `bytes`. */
  address(bytes: number, write: boolean): void {
    this.effectiveAddress();
    this.addressOfOffset(bytes, write);
  }
  /** Takes an offset in the memory operand's segment and pushes its linear address. */
  addressOfOffset(bytes: number, write: boolean): void {
    const { code } = this;
    if (this.long) {
      code.get(S).get(U).load16U32(uop.UOP_SEGMENT_BASE).add32().load().add();
      return;
    }
    code.set(VA);
    code.get(S).get(U).load8U32(uop.UOP_SEGMENT).get(VA).const32(bytes).call(write ? this.runtime.linearWrite : this.runtime.linearRead);
  }
  /** Takes an offset from the stack and pushes its linear address in segment register `segment`. */
  segmentAddress(segment: number, bytes: number, write: boolean): void {
    const { code } = this;
    if (this.long) {
      if (segment === state.FS || segment === state.GS) code.get(S).load(state.SEGMENT_BASE + segment * 8).add();
      return;
    }
    code.set(VA).get(S).const32(segment).get(VA).const32(bytes).call(write ? this.runtime.linearWrite : this.runtime.linearRead);
  }

  // ---- Memory ------------------------------------------------------------------------------------------------------

  /** Pushes an i32: the TLB entry of the address in VA answers for an access of `bytes`. Leaves the entry in P. */
  #tlbHit(tlb: number, bytes: number): void {
    const { code } = this;
    code.get(VA).wrap().const32(8).shrU32().const32((state.TLB_ENTRIES - 1) * state.TLB_STRIDE).and32().get(S).add32().set(P);
    code.get(VA);
    if (bytes > 1) code.const(bytes - 1).add();
    code.const(-4096).and().get(S).load(state.DATA_TAG).or().get(P).load(tlb).eq();
  }
  /** Takes a linear address, pushes the value there as i64. */
  load(bytes: number): void {
    const { code } = this;
    code.set(VA);
    this.#tlbHit(state.READ_TLB, bytes);
    code.if(I64);
    code.get(VA).wrap().get(P).load32(state.READ_TLB + state.TLB_ADDEND).add32().loadSize(bytes);
    code.else();
    code.get(S).get(VA).const32(bytes).call(this.runtime.slowLoad);
    code.end();
  }
  /** Takes a linear address and stores the low `bytes` of local `value` there. */
  store(bytes: number, value: number): void {
    const { code } = this;
    code.set(VA);
    this.#tlbHit(state.WRITE_TLB, bytes);
    code.if();
    code.get(VA).wrap().get(P).load32(state.WRITE_TLB + state.TLB_ADDEND).add32().get(value).storeSize(bytes);
    code.else();
    code.get(S).get(VA).get(value).const32(bytes).call(this.runtime.slowStore);
    code.end();
  }
  /** Takes a linear address, proves that it can be written, pushes the value there; H and VA stay for storeBack. */
  loadForUpdate(bytes: number): void {
    const { code } = this;
    code.set(VA);
    this.#tlbHit(state.WRITE_TLB, bytes);
    code.if(I64);
    code.get(VA).wrap().get(P).load32(state.WRITE_TLB + state.TLB_ADDEND).add32().tee(H).loadSize(bytes);
    code.else();
    code.const32(0).set(H);
    code.get(S).get(VA).const32(bytes).call(this.runtime.slowLoadForUpdate);
    code.end();
  }
  /** Stores local `value` to where loadForUpdate loaded from; cannot fault. */
  storeBack(bytes: number, value: number): void {
    const { code } = this;
    code.get(H);
    code.if();
    code.get(H).get(value).storeSize(bytes);
    code.else();
    code.get(S).get(VA).get(value).const32(bytes).call(this.runtime.slowStore);
    code.end();
  }
  /** Takes a linear address, pushes 16 bytes. */
  loadVector(aligned: boolean): void {
    const { code } = this;
    code.set(VA);
    if (aligned) { code.get(VA).wrap().const32(15).and32(); this.raiseIf(13, 0); }
    this.#tlbHit(state.READ_TLB, 16);
    code.if(V128);
    code.get(VA).wrap().get(P).load32(state.READ_TLB + state.TLB_ADDEND).add32().loadV128();
    code.else();
    code.get(S).get(VA).const32(16).call(this.runtime.slowLoad).drop().get(S).loadV128(state.VALUE);
    code.end();
  }
  /** Takes a linear address and stores the v128 local there. */
  storeVector(value: number, aligned: boolean): void {
    const { code } = this;
    code.set(VA);
    if (aligned) { code.get(VA).wrap().const32(15).and32(); this.raiseIf(13, 0); }
    this.#tlbHit(state.WRITE_TLB, 16);
    code.if();
    code.get(VA).wrap().get(P).load32(state.WRITE_TLB + state.TLB_ADDEND).add32().get(value).storeV128();
    code.else();
    code.get(S).get(value).storeV128(state.VALUE).get(S).get(VA).get(S).load(state.VALUE).const32(16).call(this.runtime.slowStore);
    code.end();
  }

  // ---- Operands ----------------------------------------------------------------------------------------------------

  #registerAddress(k: number): void {
    // Registers take the fields in the order in which they appear; memory and immediates have their own.
    let field = 0;
    for (let i = 0; i < k; i++) if (isRegister(this.form.operands[i]?.letter)) field++;
    const offset = field === 0 ? uop.UOP_REGISTER_0 : field === 1 ? uop.UOP_REGISTER_1 : uop.UOP_BASE;
    this.code.get(S).get(U).load16U32(offset).add32();
  }
  /** Pushes the address (i32) of register operand k in the processor block. */
  registerAddress(k: number): void { this.#registerAddress(k); }

  /** Pushes operand k. */
  read(k: number): void {
    const { code } = this;
    const operand = this.form.operands[k];
    if (operand === undefined) throw new RangeError(`${this.form.key}: no operand ${k}`);
    if (operand.letter === 'M') {
      this.address(operand.bytes, false);
      this.load(operand.bytes);
    } else if (operand.letter === 'I') {
      code.get(U).load(uop.UOP_IMMEDIATE);
      if (operand.bytes < 8 && this.size < 8) code.zeroExtend(Math.max(operand.bytes, this.size));
    } else {
      this.#registerAddress(k);
      code.loadSize(operand.bytes);
    }
  }
  /** Writes local `value` to operand k with the partial-register rules: 32-bit writes clear the upper half. */
  write(k: number, value: number): void {
    const { code } = this;
    const operand = this.form.operands[k];
    if (operand === undefined) throw new RangeError(`${this.form.key}: no operand ${k}`);
    if (operand.letter === 'M') {
      this.address(operand.bytes, true);
      this.store(operand.bytes, value);
      return;
    }
    this.#registerAddress(k);
    code.get(value);
    if (operand.bytes === 4 && operand.letter === 'R') code.zeroExtend(4).store();
    else code.storeSize(operand.bytes);
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
    this.#registerAddress(k);
    this.code.loadV128();
  }
  writeVector(k: number, value: number, aligned = true): void {
    if (this.isMemory(k)) {
      this.address(16, true);
      this.storeVector(value, aligned);
      return;
    }
    this.#registerAddress(k);
    this.code.get(value).storeV128();
  }

  /** Pushes general register `number`, `bytes` wide (never a high byte). */
  readGpr(number: number, bytes: number): void { this.code.get(S).loadSize(bytes, state.GPR + number * 8); }
  writeGpr(number: number, bytes: number, value: number): void {
    const { code } = this;
    code.get(S).get(value);
    if (bytes === 4) code.zeroExtend(4).store(state.GPR + number * 8);
    else code.storeSize(bytes, state.GPR + number * 8);
  }

  // ---- Stack -------------------------------------------------------------------------------------------------------

  /** Pushes the stack pointer plus `delta` as an offset in SS. */
  stackOffset(delta: number): void {
    const { code } = this;
    code.get(S).load(state.GPR + 4 * 8);
    if (delta !== 0) code.const(delta).add();
    if (!this.long) code.get(S).load(state.STACK_MASK).and();
  }
  /** Takes an offset in SS and makes it the stack pointer, keeping the bits that the stack size does not reach. */
  setStackOffset(): void {
    const { code } = this;
    if (!this.long) {
      code.set(VA).get(S).load(state.GPR + 4 * 8).get(S).load(state.STACK_MASK).not().and();
      code.get(VA).get(S).load(state.STACK_MASK).and().or();
    }
    code.set(VA).get(S).get(VA).store(state.GPR + 4 * 8);
  }
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

  #setResult(result: number, bytes: number): void { this.code.get(S).get(result).signExtend(bytes).store(state.FLAG_RESULT); }
  #setExtra(a: number, b: number): void { this.code.get(S).get(a).get(b).xor().wrap().const32(0xff).and32().store32(state.FLAG_EXTRA); }
  #setCarry(bytes: number): void {
    const { code } = this;
    if (bytes < 8) code.const(64 - bytes * 8).shl();
    code.set(VA).get(S).get(VA).store(state.FLAG_CARRY);
  }
  /** Flags of result = a + b (+ carry). */
  flagsAdd(a: number, b: number, result: number, bytes: number = this.size): void {
    this.#setResult(result, bytes);
    this.#setExtra(a, b);
    this.code.get(a).get(b).and().get(a).get(b).or().get(result).not().and().or();
    this.#setCarry(bytes);
  }
  /** Flags of result = a - b (- borrow). */
  flagsSubtract(a: number, b: number, result: number, bytes: number = this.size): void {
    this.#setResult(result, bytes);
    this.#setExtra(a, b);
    this.code.get(a).not().get(b).and().get(a).not().get(b).or().get(result).and().or();
    this.#setCarry(bytes);
  }
  /** Flags of a logical operation: CF, OF and AF clear. */
  flagsLogic(result: number, bytes: number = this.size): void {
    this.#setResult(result, bytes);
    this.code.get(S).get(result).wrap().const32(0xff).and32().store32(state.FLAG_EXTRA);
    this.code.get(S).const(0).store(state.FLAG_CARRY);
  }
  /** SF, ZF and PF from the result, AF from a xor b xor result; CF and OF stay. */
  flagsResult(a: number, b: number, result: number, bytes: number = this.size): void {
    this.#setResult(result, bytes);
    this.#setExtra(a, b);
  }
  /** Takes OF (i32 0 or 1), then CF below it, from the stack. */
  setCarryOverflow(): void {
    const { code } = this;
    code.set(N).set(M);
    code.get(S).get(M).extendU().const(63).shl().get(M).get(N).xor32().extendU().const(62).shl().or().store(state.FLAG_CARRY);
  }
  /** Pushes CF as i64. */
  carry(): void { this.code.get(S).load(state.FLAG_CARRY).const(63).shrU(); }
  /** Takes an i32 0 or 1 as CF; OF stays. */
  setCarry(): void {
    const { code } = this;
    // OF = bit 63 xor bit 62, so both bits change together.
    code.extendU().const(63).shl().get(S).load(state.FLAG_CARRY).const64(0, -0x8000_0000).and().xor().set(VA);
    code.get(S).get(S).load(state.FLAG_CARRY).get(VA).xor().get(VA).const(1).shrU().xor().store(state.FLAG_CARRY);
  }
  /** Pushes the six arithmetic flags in their places, as i32. */
  arithmeticFlags(): void { this.code.get(S).call(this.runtime.getFlags); }
  /** Takes an i32 and sets the six arithmetic flags from it. */
  setArithmeticFlags(): void { this.code.set(N).get(S).get(N).call(this.runtime.setFlags); }

  /** Pushes the condition (0 to 15) as i32 0 or 1. */
  condition(number: number): void {
    const { code } = this;
    const carry = (): void => { code.get(S).load(state.FLAG_CARRY).const(63).shrU().wrap(); };
    const overflow = (): void => { code.get(S).load(state.FLAG_CARRY).get(S).load(state.FLAG_CARRY).const(1).shl().xor().const(63).shrU().wrap(); };
    const zero = (): void => { code.get(S).load(state.FLAG_RESULT).eqz(); };
    const sign = (): void => {
      code.get(S).load(state.FLAG_RESULT).const(63).shrU().wrap();
      code.get(S).load32(state.FLAG_EXTRA).const32(16).shrU32().xor32();
    };
    switch (number >> 1) {
      case CONDITION_O: overflow(); break;
      case CONDITION_C: carry(); break;
      case CONDITION_Z: zero(); break;
      case CONDITION_BE: carry(); zero(); code.or32(); break;
      case CONDITION_S: sign(); break;
      case CONDITION_P:
        code.get(S).load32(state.FLAG_RESULT).get(S).load32(state.FLAG_EXTRA).const32(8).shrU32().xor32().const32(0xff).and32();
        code.popcnt32().const32(1).and32().eqz32();
        break;
      case CONDITION_L: sign(); overflow(); code.xor32(); break;
      default: zero(); sign(); overflow(); code.xor32().or32(); break;
    }
    if ((number & 1) !== 0) code.eqz32();
  }
}

export function isRegister(letter: string | undefined): boolean {
  return letter === 'R' || letter === 'X' || letter === 'Q' || letter === 'S' || letter === 'C' || letter === 'D' || letter === 'T';
}
