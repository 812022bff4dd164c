/** The interpreter's binding: registers and flags are in the processor block, operands are named by the fields of the uop. */
import { I64, V128 } from './wasm/code-writer.ts';
import type { CodeWriter, Label } from './wasm/code-writer.ts';
import type { Binding } from './binding.ts';
import { pushCondition } from './condition-code.ts';
import type { Emitter } from './emitter.ts';
import { SINGLE } from './float/float-format.ts';
import type { FloatFormat } from './float/float-format.ts';
import type { SoftOperation } from './float/float-functions.ts';
import * as call from './system-call.ts';
import * as state from './cpu-state.ts';
import { NEAR } from './handler-table.ts';
import { H, M, N, P, S, T, U, VA } from './locals.ts';
import { HANDLER_REGION } from './handler-number.ts';
import * as uop from './uop.ts';
import { pushTlbPlace } from './tlb-place.ts';

/** Pushes OF of `result` = `a` + `delta` as i64: the sign changed the way the step goes (SDM vol. 1, section 3.4.3.1). */
export function pushStepOverflow(code: CodeWriter, delta: 1 | -1, a: number, result: number, bytes: number): void {
  if (delta === 1) code.get(a).not().get(result).and();
  else code.get(a).get(result).not().and();
  code.const(bytes * 8 - 1).shrU().const(1).and();
}

const CR0_PE = 1 << 0, FLAG_VM = 1 << 17;
/** Pushes an i32: SSE, or behind a VEX prefix AVX, is not available. */
export function pushSseBlocked({ code, vex, long }: Emitter): void {
  code.get(S).load32(vex ? state.AVX_BLOCKED : state.SSE_BLOCKED);
  if (!vex || long) return;
  // Neither real nor virtual-8086 mode knows the prefix.
  code.get(S).load32(state.CR0).const32(CR0_PE).and32().eqz32().or32();
  code.get(S).load32(state.FLAGS_OTHER).const32(FLAG_VM).and32().or32();
}

const sizeOf = (bytes: number, anyAlignment: boolean): number => (anyAlignment ? bytes | state.ANY_ALIGNMENT : bytes);

/** Counts that a branch goes to the uop in local `target`, unless a region begins there; uses P and M. */
export function pushHeat(code: CodeWriter, hot: number, target: number, counter: number = P, left: number = M): void {
  code.get(target).load16U32(uop.UOP_HANDLER).const32(HANDLER_REGION).ne32();
  code.if();
  code.get(0).get(target).const32(state.HEAT_SHIFT).shrU32().const32(state.HEAT_MASK).and32().add32().tee(counter);
  code.get(counter).load16U32(state.HEAT).const32(1).sub32().tee(left).store16From32(state.HEAT).get(left).eqz32();
  code.ifSeldom();
  code.get(target).call(hot);
  code.end();
  code.end();
}

export class RegisterFileBinding implements Binding {
  /** Set while the code is a case of the interpreter's loop; null in a function of its own. */
  readonly #loop: Label | null;

  constructor(loop: Label | null) { this.#loop = loop; }

  // ---- Where control goes next -------------------------------------------------------------------------------------

  continueAt({ code }: Emitter): void {
    if (this.#loop === null) code.return();
    else code.set(U).br(this.#loop);
  }
  jump(e: Emitter, rip: number): void {
    e.code.get(S).get(rip).call(e.runtime.lookup);
    this.continueAt(e);
  }
  /** The target is cached in the uop when it lies in the same page. */
  branch(e: Emitter): void {
    const { code } = e;
    if (e.form.key.endsWith(NEAR)) {
      code.get(U).load32(uop.UOP_DISPLACEMENT).tee(N).eqz32();
      code.if();
      code.get(U).call(e.runtime.link).set(N);
      code.end();
      pushHeat(code, e.runtime.hot, N);
      code.get(N);
      this.continueAt(e);
      return;
    }
    e.nextRip();
    code.get(U).load(uop.UOP_IMMEDIATE).add();
    // Cut to what the operand size allows.
    if (!e.long) code.zeroExtend(e.size === 2 ? 2 : 4);
    code.set(T);
    this.jump(e, T);
  }
  nextRip({ code, long }: Emitter): void {
    code.get(S).load(state.PAGE_RIP).get(U).load16U(uop.UOP_NEXT).add();
    if (!long) code.zeroExtend(4);
  }
  raise({ code, runtime }: Emitter, vector: number, errorCode: number): void {
    code.const32(vector).const32(errorCode).call(runtime.raise).unreachable();
  }
  raiseIf(e: Emitter, vector: number, errorCode: number): void {
    e.code.if();
    this.raise(e, vector, errorCode);
    e.code.end();
  }
  checkEvents({ code }: Emitter): void {
    code.get(S).load32(state.EVENT_PENDING);
    code.if();
    code.get(S).get(S).load32(state.BUDGET_HELD).get(S).load32(state.BUDGET).add32().store32(state.BUDGET_HELD);
    code.get(S).const32(0).store32(state.BUDGET);
    code.end();
  }
  pause({ code }: Emitter): void {
    code.get(S).load32(state.YIELDS);
    code.if();
    code.get(S).const32(1).store32(state.PAUSED);
    code.get(S).get(S).load32(state.BUDGET_HELD).get(S).load32(state.BUDGET).add32().store32(state.BUDGET_HELD);
    code.get(S).const32(0).store32(state.BUDGET);
    code.end();
  }
  system(e: Emitter, id: number): void {
    const { code } = e;
    code.const32(id).get(U).call(e.runtime.system).tee(N);
    code.if();
    code.get(N).const32(1).eq32();
    code.if();
    code.get(S).get(S).load(state.RIP).call(e.runtime.lookup);
    this.continueAt(e);
    code.end();
    code.get(S).const32(state.STATIC_UOPS).add32();
    this.continueAt(e);
    code.end();
  }
  now({ code, runtime }: Emitter, id: number): void { code.const32(id).call(runtime.now); }
  requireSse(e: Emitter): void {
    pushSseBlocked(e);
    e.code.if();
    this.system(e, e.vex ? call.AVX_NOT_AVAILABLE : call.SSE_NOT_AVAILABLE);
    e.code.end();
  }
  requireX87(e: Emitter): void {
    e.code.get(S).load32(state.X87_BLOCKED);
    e.code.if();
    this.system(e, call.X87_NOT_AVAILABLE);
    e.code.end();
  }
  leaveIf({ code }: Emitter): void { code.drop(); }

  // ---- Addresses ---------------------------------------------------------------------------------------------------

  effectiveAddress({ code }: Emitter): void {
    code.get(S).get(U).load16U32(uop.UOP_BASE).add32().load();
    code.get(S).get(U).load16U32(uop.UOP_INDEX).add32().load().get(U).load8U(uop.UOP_SCALE).shl().add();
    code.get(U).load32S(uop.UOP_DISPLACEMENT).add();
  }
  addressOfOffset(e: Emitter, bytes: number, write: boolean): void {
    const { code } = e;
    if (e.long) {
      code.get(S).get(U).load16U32(uop.UOP_SEGMENT_BASE).add32().load().add();
      return;
    }
    code.set(VA);
    code.get(S).get(U).load8U32(uop.UOP_SEGMENT).get(VA).const32(bytes).call(write ? e.runtime.linearWrite : e.runtime.linearRead);
  }
  segmentAddress(e: Emitter, segment: number, bytes: number, write: boolean): void {
    const { code } = e;
    if (e.long) {
      if (segment === state.FS || segment === state.GS) code.get(S).load(state.SEGMENT_BASE + segment * 8).add();
      return;
    }
    code.set(VA).get(S).const32(segment).get(VA).const32(bytes).call(write ? e.runtime.linearWrite : e.runtime.linearRead);
  }
  maskStackOffset({ code, long }: Emitter): void {
    if (!long) code.get(S).load(state.STACK_MASK).and();
  }
  /** The bits that the stack size does not reach are kept. */
  setStackOffset({ code, long }: Emitter): void {
    if (!long) {
      code.set(VA).get(S).load(state.GPR + 4 * 8).get(S).load(state.STACK_MASK).not().and();
      code.get(VA).get(S).load(state.STACK_MASK).and().or();
    }
    code.set(VA).get(S).get(VA).store(state.GPR + 4 * 8);
  }

  // ---- Memory ------------------------------------------------------------------------------------------------------

  /** Pushes an i32: the TLB entry of the address in VA answers for an access of `bytes`. Leaves the entry in P. */
  #tlbHit({ code }: Emitter, tlb: number, bytes: number): void {
    pushTlbPlace(code.get(VA)).get(S).load32(state.TLB_BASE).add32().set(P);
    code.get(VA);
    if (bytes > 1) code.const(bytes - 1).add();
    code.const(-4096).and().get(S).load(state.DATA_TAG).or().get(P).load(tlb).eq();
  }
  load(e: Emitter, bytes: number, anyAlignment: boolean): void {
    const { code, runtime } = e;
    this.#tlbHit(e, state.READ_TLB, bytes);
    code.if(I64);
    code.get(VA).wrap().get(P).load32(state.READ_TLB + state.TLB_ADDEND).add32().loadSize(bytes);
    code.else();
    code.get(S).get(VA).const32(sizeOf(bytes, anyAlignment)).call(runtime.slowLoad);
    code.end();
  }
  store(e: Emitter, bytes: number, value: number, anyAlignment: boolean): void {
    const { code, runtime } = e;
    this.#tlbHit(e, state.WRITE_TLB, bytes);
    code.if();
    code.get(VA).wrap().get(P).load32(state.WRITE_TLB + state.TLB_ADDEND).add32().get(value).storeSize(bytes);
    code.else();
    code.get(S).get(VA).get(value).const32(sizeOf(bytes, anyAlignment)).call(runtime.slowStore);
    code.end();
  }
  loadForUpdate(e: Emitter, bytes: number, anyAlignment: boolean): void {
    const { code, runtime } = e;
    this.#tlbHit(e, state.WRITE_TLB, bytes);
    code.if(I64);
    code.get(VA).wrap().get(P).load32(state.WRITE_TLB + state.TLB_ADDEND).add32().tee(H).loadSize(bytes);
    code.else();
    code.const32(0).set(H);
    code.get(S).get(VA).const32(sizeOf(bytes, anyAlignment)).call(runtime.slowLoadForUpdate);
    code.end();
  }
  storeBack(e: Emitter, bytes: number, value: number): void {
    const { code, runtime } = e;
    code.get(H);
    code.if();
    code.get(H).get(value).storeSize(bytes);
    code.else();
    code.get(S).get(VA).get(value).const32(bytes).call(runtime.slowStore);
    code.end();
  }
  place(): boolean { return false; }
  loadVector(e: Emitter): void {
    const { code, runtime } = e;
    this.#tlbHit(e, state.READ_TLB, 16);
    code.if(V128);
    code.get(VA).wrap().get(P).load32(state.READ_TLB + state.TLB_ADDEND).add32().loadV128();
    code.else();
    code.get(S).get(VA).const32(16).call(runtime.slowLoad).drop().get(S).loadV128(state.VALUE);
    code.end();
  }
  storeVector(e: Emitter, value: number): void {
    const { code, runtime } = e;
    this.#tlbHit(e, state.WRITE_TLB, 16);
    code.if();
    code.get(VA).wrap().get(P).load32(state.WRITE_TLB + state.TLB_ADDEND).add32().get(value).storeV128();
    code.else();
    code.get(S).get(value).storeV128(state.VALUE).get(S).get(VA).get(S).load(state.VALUE).const32(16).call(runtime.slowStore);
    code.end();
  }

  // ---- Registers ---------------------------------------------------------------------------------------------------

  registerAddress({ code }: Emitter, field: number): void { code.get(S).get(U).load16U32(field).add32(); }
  readRegister(e: Emitter, field: number, bytes: number): void {
    this.registerAddress(e, field);
    e.code.loadSize(bytes);
  }
  writeRegister(e: Emitter, field: number, bytes: number, value: number, clears: boolean): void {
    this.registerAddress(e, field);
    e.code.get(value);
    if (clears && bytes === 4) e.code.zeroExtend(4).store();
    else e.code.storeSize(bytes);
  }
  readGpr({ code }: Emitter, number: number, bytes: number): void { code.get(S).loadSize(bytes, state.GPR + number * 8); }
  writeGpr({ code }: Emitter, number: number, bytes: number, value: number): void {
    code.get(S).get(value);
    if (bytes === 4) code.zeroExtend(4).store(state.GPR + number * 8);
    else code.storeSize(bytes, state.GPR + number * 8);
  }
  readVector(e: Emitter, field: number): void {
    this.registerAddress(e, field);
    e.code.loadV128();
  }
  writeVector(e: Emitter, field: number, value: number): void {
    this.registerAddress(e, field);
    e.code.get(value).storeV128();
  }
  writeXmm({ code }: Emitter, number: number, value: number): void { code.get(S).get(value).storeV128(state.XMM + number * 16); }
  immediate({ code }: Emitter): void { code.get(U).load(uop.UOP_IMMEDIATE); }
  field({ code }: Emitter, field: number, bytes: 1 | 2): void {
    code.get(U);
    if (bytes === 1) code.load8U32(field);
    else code.load16U32(field);
  }

  // ---- Floating point ----------------------------------------------------------------------------------------------

  floatScalar({ code, runtime }: Emitter, of: FloatFormat, operation: SoftOperation, a: number, b: number, result: number): void {
    const { single, double } = runtime.floatCommit;
    code.get(S).get(a).get(b).call((of === SINGLE ? single : double).scalar[operation]).set(result);
  }
  floatLanes({ code, runtime }: Emitter, of: FloatFormat, operation: SoftOperation, a: number, b: number, result: number, noted: boolean): void {
    const { float, floatCommit } = runtime;
    const index = of === SINGLE ? (noted ? float.single.lanes : floatCommit.single.packed)[operation] : (noted ? float.double.lanes : floatCommit.double.packed)[operation];
    code.get(S).get(a).get(b).call(index).set(result);
  }
  commitFloat({ code, runtime }: Emitter): void { code.get(S).call(runtime.floatCommit.commit); }

  // ---- Flags -------------------------------------------------------------------------------------------------------

  #setResult({ code }: Emitter, result: number, bytes: number): void { code.get(S).get(result).signExtend(bytes).store(state.FLAG_RESULT); }
  #setExtra({ code }: Emitter, a: number, b: number): void { code.get(S).get(a).get(b).xor().wrap().const32(0xff).and32().store32(state.FLAG_EXTRA); }
  #setCarry({ code }: Emitter, bytes: number): void {
    if (bytes < 8) code.const(64 - bytes * 8).shl();
    code.set(VA).get(S).get(VA).store(state.FLAG_CARRY);
  }
  flagsAdd(e: Emitter, a: number, b: number, result: number, bytes: number): void {
    const { code } = e;
    this.#setResult(e, result, bytes);
    this.#setExtra(e, a, b);
    code.get(a).get(b).and().get(a).get(b).or().get(result).not().and().or();
    this.#setCarry(e, bytes);
  }
  flagsSubtract(e: Emitter, a: number, b: number, result: number, bytes: number): void {
    const { code } = e;
    this.#setResult(e, result, bytes);
    this.#setExtra(e, a, b);
    code.get(a).not().get(b).and().get(a).not().get(b).or().get(result).and().or();
    this.#setCarry(e, bytes);
  }
  flagsLogic(e: Emitter, result: number, bytes: number): void {
    const { code } = e;
    this.#setResult(e, result, bytes);
    code.get(S).get(result).wrap().const32(0xff).and32().store32(state.FLAG_EXTRA);
    code.get(S).const(0).store(state.FLAG_CARRY);
  }
  flagsStep(e: Emitter, delta: 1 | -1, a: number, result: number): void {
    const { code, size } = e;
    this.#setResult(e, result, size);
    code.get(S).get(a).const(1).xor().wrap().const32(0xff).and32().store32(state.FLAG_EXTRA);
    code.get(S).get(S).load(state.FLAG_CARRY).const64(0, -0x8000_0000).and().tee(VA).get(VA).const(1).shrU().or();
    pushStepOverflow(code, delta, a, result, size);
    code.const(62).shl().xor().store(state.FLAG_CARRY);
  }
  flagsWhen({ code }: Emitter, emit: () => void): void {
    code.if();
    emit();
    code.end();
  }
  setCarryOverflow({ code }: Emitter): void {
    code.set(N).set(M);
    code.get(S).get(M).extendU().const(63).shl().get(M).get(N).xor32().extendU().const(62).shl().or().store(state.FLAG_CARRY);
  }
  carry({ code }: Emitter): void { code.get(S).load(state.FLAG_CARRY).const(63).shrU(); }
  setCarry({ code }: Emitter): void {
    // OF = bit 63 xor bit 62, so both bits change together.
    code.extendU().const(63).shl().get(S).load(state.FLAG_CARRY).const64(0, -0x8000_0000).and().xor().set(VA);
    code.get(S).get(S).load(state.FLAG_CARRY).get(VA).xor().get(VA).const(1).shrU().xor().store(state.FLAG_CARRY);
  }
  arithmeticFlags({ code, runtime }: Emitter): void { code.get(S).call(runtime.getFlags); }
  setArithmeticFlags({ code, runtime }: Emitter): void { code.set(N).get(S).get(N).call(runtime.setFlags); }

  flagsOfComparison({ code }: Emitter): void {
    code.set(P).set(N).set(M);
    code.get(S).get(N).eqz32().extendU().store(state.FLAG_RESULT);
    code.get(S).get(N).get(P).xor32().const32(8).shl32().store32(state.FLAG_EXTRA);
    code.get(S).const(0).get(M).extendU().sub().const(62).shl().store(state.FLAG_CARRY);
  }
  condition({ code }: Emitter, number: number): void {
    pushCondition(code, number >> 1, {
      carry: () => { code.get(S).load(state.FLAG_CARRY).const(63).shrU().wrap(); },
      overflow: () => { code.get(S).load(state.FLAG_CARRY).get(S).load(state.FLAG_CARRY).const(1).shl().xor().const(63).shrU().wrap(); },
      zero: () => { code.get(S).load(state.FLAG_RESULT).eqz(); },
      sign: () => { code.get(S).load(state.FLAG_RESULT).const(63).shrU().wrap().get(S).load32(state.FLAG_EXTRA).const32(16).shrU32().xor32(); },
      parity: () => {
        code.get(S).load32(state.FLAG_RESULT).get(S).load32(state.FLAG_EXTRA).const32(8).shrU32().xor32().const32(0xff).and32();
        code.popcnt32().const32(1).and32().eqz32();
      },
    });
    if ((number & 1) !== 0) code.eqz32();
  }
}
