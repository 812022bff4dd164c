/**
 * A translated region's binding: registers and flags are locals, what the micro-operation says is constant, and whatever
 * cannot be done here leaves the region with the instruction undone, for the interpreter to do (the emitter contract: up to
 * the last access that can fault nothing architectural has changed).
 */
import type { Binding } from '../binding.ts';
import { isRegister } from '../emitter.ts';
import type { Emitter } from '../emitter.ts';
import { SINGLE } from '../float/float-format.ts';
import type { FloatFormat } from '../float/float-format.ts';
import type { FloatFunctions, SoftOperation } from '../float/float-functions.ts';
import { FLOAT_FLAGS } from '../float/float-value.ts';
import type { X87Functions } from '../float80/x87-functions.ts';
import { hostLanes, hostScalar } from '../float/host-arithmetic.ts';
import type { Form } from '../form.ts';
import type { CodeWriter, Label } from '../wasm/code-writer.ts';
import * as state from '../cpu-state.ts';
import { H, M, N, P, S, U, VA, W } from '../locals.ts';
import { pushSseBlocked } from '../register-file-binding.ts';
import * as uop from '../uop.ts';
import { KIND_ADD, KIND_SUBTRACT } from '../flag-kind.ts';
import { LazyFlags } from './lazy-flags.ts';
import { BUDGET, DATA_TAG, STACK_READ, STACK_READ_ADDEND, STACK_WRITE, STACK_WRITE_ADDEND, TLB_BASE, UNDONE } from './region-locals.ts';
import { RSP } from './region-registers.ts';
import type { RegionRegisters } from './region-registers.ts';
import { pushTlbPlace } from '../tlb-place.ts';

/** Fields of the uop that name register operands, in the order of the operands. */
const FIELDS = [uop.UOP_REGISTER_0, uop.UOP_REGISTER_1, uop.UOP_BASE] as const;
/** Everything up to here in the processor block are general registers. */
const END_OF_REGISTERS = state.GPR + 16 * 8;
const STACK_POINTER = state.GPR + RSP * 8;

/** Functions of the region's module. */
export interface RegionFunctions { readonly getFlags: number; readonly setFlags: number; readonly apart: number; readonly float: FloatFunctions; readonly x87: X87Functions; readonly flagWords: number; readonly flagsToBlock: number; readonly hop: number; readonly looped: number; readonly now: number; readonly refillRead: number; readonly refillWrite: number }

export class RegionBinding implements Binding {
  readonly flags: LazyFlags;
  readonly functions: RegionFunctions;
  readonly #view: DataView;
  readonly #exitWithFlags: Label;
  readonly #exit: Label;
  /** A miss of the TLB is answered from the page tables by a call, and the region goes on. */
  readonly #refills: boolean;
  /** The uop whose fields describe the instruction. */
  record = 0;
  /** Takes the direct branch of the instruction, set by whoever knows the control flow. */
  onBranch: () => void = () => undefined;
  /** Takes over when the instruction pointer in the local is one that the region knows. */
  onJump: (rip: number) => void = () => undefined;
  readonly registers: RegionRegisters;
  /** Some instruction needs SSE; some AVX. Regions with such are entered only where that is available. */
  needsSse = false;
  needsAvx = false;
  /** Some instruction needs the x87, which is asked for at the entry as well. */
  needsX87 = false;
  /** Accesses to memory written since the count was last cleared. */
  accesses = 0;
  /** The address that is made is one of the stack; some was. */
  #onStack = false;
  hasStack = false;

  constructor(view: DataView, functions: RegionFunctions, exitWithFlags: Label, exit: Label, registers: RegionRegisters, refills: boolean) {
    this.#refills = refills;
    this.#view = view;
    this.registers = registers;
    this.functions = functions;
    this.flags = new LazyFlags(functions.flagWords, functions.flagsToBlock);
    this.#exitWithFlags = exitWithFlags;
    this.#exit = exit;
  }
  /** The exit that writes everything back; U is the uop to go on with, 0 for the instruction pointer in the state. */
  get exit(): Label { return this.flags.isInBlock ? this.#exit : this.#exitWithFlags; }

  // ---- Where control goes next -------------------------------------------------------------------------------------

  continueAt(e: Emitter): void { throw new TypeError(`${e.form.key}: goes on by uop, which no region does`); }
  /** The instruction is done: the interpreter looks up where to go on. */
  jump({ code }: Emitter, rip: number): void {
    this.onJump(rip);
    code.get(S).get(rip).store(state.RIP);
    code.const32(0).set(U).const32(0).set(UNDONE).br(this.exit);
  }
  branch(): void { this.onBranch(); }
  nextRip({ code, long }: Emitter): void {
    this.registers.pushPageRip(code);
    code.const(this.#view.getUint16(this.record + uop.UOP_NEXT, true)).add();
    if (!long) code.zeroExtend(4);
  }
  /** Pushes the instruction pointer that the direct branch goes to. */
  branchTarget({ code, long, size }: Emitter): void {
    const low = this.#view.getUint32(this.record + uop.UOP_IMMEDIATE, true) + this.#view.getUint16(this.record + uop.UOP_NEXT, true);
    const high = this.#view.getInt32(this.record + uop.UOP_IMMEDIATE + 4, true);
    this.registers.pushPageRip(code);
    code.const64(low | 0, low > 0xffff_ffff ? high + 1 : high).add();
    if (!long) code.zeroExtend(size === 2 ? 2 : 4);
  }
  raise({ code }: Emitter): void { code.br(this.exit); }
  raiseIf({ code }: Emitter): void { code.brSeldomIf(this.exit); }
  checkEvents(): void { /* leaveIf has left before the flag was set */ }
  pause({ code }: Emitter): void { code.get(S).load32(state.YIELDS).brSeldomIf(this.exit); }
  system({ code }: Emitter): void { code.br(this.exit); }
  /** Machine time may be made of the instructions that are done. */
  now({ code }: Emitter, id: number): void {
    code.get(S).get(BUDGET).get(UNDONE).add32().const32(1).sub32().store32(state.BUDGET).const32(id).call(this.functions.now);
  }
  leaveIf({ code }: Emitter): void { code.brSeldomIf(this.exit); }
  /** Nothing that a region does changes the answer, so the entry asks; but for VEX outside 64-bit mode, where the mode counts too. */
  requireSse(e: Emitter): void {
    if (e.vex && !e.long) {
      pushSseBlocked(e);
      e.code.brSeldomIf(this.exit);
    } else if (e.vex) this.needsAvx = true;
    else this.needsSse = true;
  }

  requireX87(): void { this.needsX87 = true; }

  // ---- Addresses ---------------------------------------------------------------------------------------------------

  effectiveAddress(e: Emitter): void {
    const { code } = e;
    const view = this.#view;
    const displacement = view.getInt32(this.record + uop.UOP_DISPLACEMENT, true);
    const base = view.getUint16(this.record + uop.UOP_BASE, true);
    this.#onStack = base === STACK_POINTER;
    const index = view.getUint16(this.record + uop.UOP_INDEX, true);
    let parts = 0;
    if (base !== state.ZERO) {
      this.#pushBase(code, base);
      parts++;
    }
    if (index !== state.ZERO) {
      const scale = view.getUint8(this.record + uop.UOP_SCALE);
      this.#pushBase(code, index);
      if (scale !== 0) code.const(scale).shl();
      if (parts++ > 0) code.add();
    }
    if (parts === 0) code.const(displacement);
    else if (displacement !== 0) code.const(displacement).add();
  }
  #pushBase(code: CodeWriter, offset: number): void {
    if (offset === state.PAGE_RIP) this.registers.pushPageRip(code);
    else if (offset < END_OF_REGISTERS) this.registers.push(code, numberAt(offset), 8);
    else code.get(S).load(offset);
  }
  addressOfOffset(e: Emitter, bytes: number, write: boolean): void {
    if (e.long) {
      const base = this.#view.getUint16(this.record + uop.UOP_SEGMENT_BASE, true);
      if (base !== state.ZERO) e.code.get(S).load(base).add();
      return;
    }
    this.segmentAddress(e, this.#view.getUint8(this.record + uop.UOP_SEGMENT), bytes, write);
  }
  /** Outside 64-bit mode a region runs only with CS, SS, DS and ES flat. */
  segmentAddress({ code, long }: Emitter, segment: number, bytes: number, write: boolean): void {
    if (segment !== state.FS && segment !== state.GS) {
      if (!long && segment === state.CS && write) code.br(this.exit);
      return;
    }
    if (long) { code.get(S).load(state.SEGMENT_BASE + segment * 8).add(); return; }
    code.tee(VA).const(bytes - 1).add().get(S).load((write ? state.LIMIT_WRITE : state.LIMIT_READ) + segment * 8).gtS().brSeldomIf(this.exit);
    code.get(VA).get(S).load(state.SEGMENT_BASE + segment * 8).add().zeroExtend(4);
  }
  maskStackOffset({ code, long }: Emitter): void {
    this.#onStack = true;
    if (!long) code.zeroExtend(4);
  }
  setStackOffset({ code, long }: Emitter): void {
    if (!long) code.zeroExtend(4);
    this.registers.set(code, RSP);
  }

  // ---- Memory: what neither the TLB nor the page tables answer is not done here ----------------------------------------

  /** Leaves unless the address in VA can be answered for; pushes the host address. */
  #hostAddress(code: CodeWriter, tlb: number, bytes: number): void {
    this.accesses++;
    const onStack = this.#onStack && !this.#refills; // it makes a twelfth more code, which a system's, spread out as it is, does not earn back
    this.#onStack = false;
    if (onStack) this.#stackAddress(code, tlb, bytes);
    else {
      this.#ask(code, tlb, bytes);
      code.get(VA).wrap().get(P).load32(tlb + state.TLB_ADDEND).add32();
    }
  }
  /** Accesses of the stack are most often to the page of the one before. */
  #stackAddress(code: CodeWriter, tlb: number, bytes: number): void {
    const write = tlb === state.WRITE_TLB;
    const word = write ? STACK_WRITE : STACK_READ, addend = write ? STACK_WRITE_ADDEND : STACK_READ_ADDEND;
    this.hasStack = true;
    code.get(VA);
    if (bytes > 1) code.const(bytes - 1).add();
    code.const(-4096).and().get(DATA_TAG).or().get(word).ne();
    code.ifSeldom();
    this.#ask(code, tlb, bytes);
    code.get(P).load(tlb).set(word).get(P).load32(tlb + state.TLB_ADDEND).set(addend);
    code.end();
    code.get(VA).wrap().get(addend).add32();
  }
  /** Leaves unless the TLB answers for the address in VA; P is its slot. */
  #ask(code: CodeWriter, tlb: number, bytes: number): void {
    pushTlbPlace(code.get(VA)).get(TLB_BASE).add32().set(P);
    code.get(VA);
    if (bytes > 1) code.const(bytes - 1).add();
    code.const(-4096).and().get(DATA_TAG).or().get(P).load(tlb).ne();
    if (!this.#refills) code.brSeldomIf(this.exit);
    else {
      code.ifSeldom();
      code.get(S).get(VA).const32(bytes).call(tlb === state.WRITE_TLB ? this.functions.refillWrite : this.functions.refillRead).eqz32().brIf(this.exit);
      code.end();
    }
  }
  load({ code }: Emitter, bytes: number): void {
    this.#hostAddress(code, state.READ_TLB, bytes);
    code.loadSize(bytes);
  }
  store({ code }: Emitter, bytes: number, value: number): void {
    this.#hostAddress(code, state.WRITE_TLB, bytes);
    code.get(value).storeSize(bytes);
  }
  loadForUpdate({ code }: Emitter, bytes: number): void {
    this.#hostAddress(code, state.WRITE_TLB, bytes);
    code.tee(H).loadSize(bytes);
  }
  storeBack({ code }: Emitter, bytes: number, value: number): void { code.get(H).get(value).storeSize(bytes); }
  place({ code }: Emitter, bytes: number, write: boolean): boolean {
    this.#hostAddress(code, write ? state.WRITE_TLB : state.READ_TLB, bytes);
    code.set(H);
    return true;
  }
  loadVector({ code }: Emitter): void {
    this.#hostAddress(code, state.READ_TLB, 16);
    code.loadV128();
  }
  storeVector({ code }: Emitter, value: number): void {
    this.#hostAddress(code, state.WRITE_TLB, 16);
    code.get(value).storeV128();
  }

  /** General registers that the instruction names as operands, one bit each. */
  operandRegisters(form: Form): number {
    return this.#operands(form, 'R', state.GPR, 3);
  }
  /** Vector registers that the instruction names as operands, one bit each. */
  operandVectors(form: Form): number { return this.#operands(form, 'X', state.XMM, 4); }
  #operands(form: Form, letterOfFile: string, from: number, shift: number): number {
    let mask = 0;
    let field = 0;
    form.operands.forEach(({ letter }, k) => {
      if (!isRegister(letter)) return;
      const offset = this.#offset(k === 3 ? uop.UOP_IMMEDIATE_2 : FIELDS[field++] as number);
      if (letter === letterOfFile) mask |= 1 << ((offset - from) >> shift);
    });
    return mask;
  }

  // ---- Registers ---------------------------------------------------------------------------------------------------

  #offset(field: number): number { return this.#view.getUint16(this.record + field, true); }
  registerAddress({ code }: Emitter, field: number): void { code.get(S).const32(this.#offset(field)).add32(); }
  readRegister({ code }: Emitter, field: number, bytes: number): void {
    const offset = this.#offset(field);
    if (isVector(offset)) this.registers.pushVectorLow(code, vectorAt(offset), bytes);
    else if (offset >= END_OF_REGISTERS) code.get(S).loadSize(bytes, offset);
    else if ((offset & 7) === 1) this.registers.pushHighByte(code, numberAt(offset));
    else this.registers.push(code, numberAt(offset), bytes);
  }
  writeRegister(e: Emitter, field: number, bytes: number, value: number, clears: boolean): void {
    const { code } = e;
    const offset = this.#offset(field);
    if (isVector(offset)) {
      if (bytes !== 8 && bytes !== 4) throw new TypeError(`${e.form.key}: writes ${bytes} bytes of a vector register`);
      this.registers.writeVectorLow(code, vectorAt(offset), bytes, value);
    } else if (offset >= END_OF_REGISTERS) {
      code.get(S).get(value);
      if (clears && bytes === 4) code.zeroExtend(4).store(offset);
      else code.storeSize(bytes, offset);
    } else if ((offset & 7) === 1) this.registers.writeHighByte(code, numberAt(offset), value);
    else this.registers.write(code, numberAt(offset), bytes, value);
  }
  readGpr({ code }: Emitter, number: number, bytes: number): void { this.registers.push(code, number, bytes); }
  writeGpr({ code }: Emitter, number: number, bytes: number, value: number): void { this.registers.write(code, number, bytes, value); }
  readVector({ code }: Emitter, field: number): void { this.registers.pushVector(code, vectorAt(this.#offset(field))); }
  writeVector({ code }: Emitter, field: number, value: number): void { this.registers.writeVector(code, vectorAt(this.#offset(field)), value); }
  writeXmm({ code }: Emitter, number: number, value: number): void { this.registers.writeVector(code, number, value); }
  immediate({ code }: Emitter): void {
    code.const64(this.#view.getInt32(this.record + uop.UOP_IMMEDIATE, true), this.#view.getInt32(this.record + uop.UOP_IMMEDIATE + 4, true));
  }
  field({ code }: Emitter, field: number, bytes: 1 | 2): void {
    code.const32(bytes === 1 ? this.#view.getUint8(this.record + field) : this.#offset(field));
  }

  // ---- Floating point: in place where the host's arithmetic will do -----------------------------------------------------

  floatScalar(e: Emitter, of: FloatFormat, operation: SoftOperation, a: number, b: number, result: number): void {
    const { code } = e;
    const { single, double } = this.functions.float;
    const done = code.block();
    const careful = code.block();
    hostScalar(code, of, operation, a, b, result, careful);
    code.br(done);
    code.end();
    code.get(S).const32(0).store32(FLOAT_FLAGS);
    code.get(S).get(a).get(b).call((of === SINGLE ? single : double).soft[operation]).set(result);
    this.commitFloat(e);
    code.end();
  }
  floatLanes(e: Emitter, of: FloatFormat, operation: SoftOperation, a: number, b: number, result: number, noted: boolean): void {
    const { code } = e;
    const { single, double } = this.functions.float;
    const done = code.block();
    const careful = code.block();
    hostLanes(code, of, operation, a, b, result, W, careful);
    code.br(done);
    code.end();
    if (!noted) code.get(S).const32(0).store32(FLOAT_FLAGS);
    code.get(S).get(a).get(b).call((of === SINGLE ? single : double).lanes[operation]).set(result);
    if (!noted) this.commitFloat(e);
    code.end();
  }
  /** Where a flag is not masked, the interpreter raises the exception. */
  commitFloat({ code }: Emitter): void {
    code.get(S).load32(FLOAT_FLAGS);
    code.ifSeldom();
    code.get(S).call(this.functions.float.attempt).brSeldomIf(this.exit);
    code.end();
  }

  // ---- Flags -------------------------------------------------------------------------------------------------------

  flagsAdd({ code }: Emitter, a: number, b: number, result: number, bytes: number, carryIn: boolean): void {
    this.flags.setArithmetic(code, KIND_ADD, a, b, result, bytes, carryIn);
  }
  flagsSubtract({ code }: Emitter, a: number, b: number, result: number, bytes: number, carryIn: boolean): void {
    this.flags.setArithmetic(code, KIND_SUBTRACT, a, b, result, bytes, carryIn);
  }
  flagsLogic({ code }: Emitter, result: number, bytes: number): void { this.flags.setLogic(code, result, bytes); }
  flagsStep({ code, size }: Emitter, delta: 1 | -1, a: number, result: number): void { this.flags.setStep(code, delta, a, result, size); }
  flagsWhen({ code }: Emitter, emit: () => void): void { this.flags.when(code, emit); }
  setCarryOverflow({ code }: Emitter): void { this.flags.setCarryOverflow(code, M, N); }
  carry({ code }: Emitter): void { this.flags.pushCarry(code); }
  setCarry({ code }: Emitter): void { this.flags.setCarry(code, N, VA); }
  flagsOfComparison({ code }: Emitter): void { this.flags.setComparison(code, M, N, P); }
  condition({ code }: Emitter, number: number): void { this.flags.pushCondition(code, number); }
  arithmeticFlags({ code }: Emitter): void {
    this.flags.toBlock(code);
    code.get(S).call(this.functions.getFlags);
  }
  setArithmeticFlags({ code }: Emitter): void {
    code.set(N).get(S).get(N).call(this.functions.setFlags);
    this.flags.inBlock(code);
  }
}

const numberAt = (offset: number): number => (offset - state.GPR) >> 3;
const vectorAt = (offset: number): number => (offset - state.XMM) >> 4;
/** Offset of the lower half of a vector register. */
const isVector = (offset: number): boolean => offset >= state.XMM && offset < state.XMM + 16 * 16;
