/** Far jumps, calls and returns, and IRET (SDM vol. 3, section 5.8; vol. 2, JMP, CALL, RET, IRET). */
import {
  DESCRIPTOR_DB, DESCRIPTOR_L, DESCRIPTOR_PRESENT, DESCRIPTOR_S, SEGMENT_ACCESSED, SEGMENT_CODE, SEGMENT_CONFORMING, SEGMENT_WRITABLE,
  SYSTEM_CALL_GATE, SYSTEM_CALL_GATE_16, SYSTEM_TASK_GATE, VECTOR_GP, VECTOR_NP, VECTOR_SS, VECTOR_TS,
} from '@vm/x86';
import * as state from './cpu-state.ts';
import type { ExceptionDelivery } from './exception-delivery.ts';
import type { FlagsRegister } from './flags-register.ts';
import type { LinearMemory } from './linear-memory.ts';
import { isCanonical } from './page-walk.ts';
import { dplOf, isNull, typeOf } from './segmentation.ts';
import type { Segmentation } from './segmentation.ts';
import type { StateView } from './state-view.ts';
import { TASK_CALL, TASK_JUMP, TASK_RETURN } from './task-switch.ts';
import type { TaskSwitch } from './task-switch.ts';

const RSP = 4;
const FLAG_IF = 0x200;
const FLAG_IOPL = 0x3000;
const FLAG_NT = 0x4000;
const FLAG_RF = 0x1_0000;
const FLAG_VM = 0x2_0000;
const FLAG_AC_ID = 0x24_0000;
const FLAG_VIF_VIP = 0x18_0000;
/** Flags that IRET changes at any privilege: CF PF AF ZF SF TF DF OF NT. */
const FLAGS_ALWAYS = 0x4dd5;

export class FarTransfer {
  readonly #state: StateView;
  readonly #memory: LinearMemory;
  readonly #segments: Segmentation;
  readonly #flags: FlagsRegister;
  readonly #delivery: ExceptionDelivery;
  readonly #tasks: TaskSwitch;

  constructor(view: StateView, memory: LinearMemory, segments: Segmentation, flags: FlagsRegister, delivery: ExceptionDelivery, tasks: TaskSwitch) {
    this.#state = view;
    this.#memory = memory;
    this.#segments = segments;
    this.#flags = flags;
    this.#delivery = delivery;
    this.#tasks = tasks;
  }

  // ---- A stack that is not committed until the end --------------------------------------------------------------------

  #spLow = 0;
  #spHigh = 0;
  /** Addresses on the stack have 64 bits and no segment. */
  #flat = false;
  /** The stack is that of an inner level: its selector for error codes. -1: the present stack. */
  #inner = -1;
  #begin(): void {
    this.#flat = this.#segments.is64Bit();
    this.#inner = -1;
    this.#spLow = this.#state.gpr(RSP);
    this.#spHigh = this.#state.gprHigh(RSP);
  }
  #move(delta: number): void {
    const sum = this.#spLow + delta;
    if (sum < 0) this.#spHigh = (this.#spHigh - 1) >>> 0;
    else if (sum > 0xffff_ffff) this.#spHigh = (this.#spHigh + 1) >>> 0;
    this.#spLow = sum >>> 0;
  }
  #stackAddress(bytes: number, write: boolean): number {
    const s = this.#state;
    if (this.#flat) {
      if (this.#inner >= 0 && !isCanonical(this.#spHigh)) this.#memory.raise(VECTOR_SS, this.#inner);
      return this.#spLow;
    }
    const offset = (this.#spLow & s.get(state.STACK_MASK)) >>> 0;
    this.#segments.checkAccess(state.SS, offset, bytes, write, Math.max(0, this.#inner));
    return (s.base(state.SS) + offset) >>> 0;
  }
  /** Pops into VALUE; answers the low half. */
  #pop(bytes: number): number {
    const low = this.#stackAddress(bytes, false);
    this.#memory.load(low, this.#flat ? this.#spHigh : 0, bytes);
    this.#move(bytes);
    return this.#state.get(state.VALUE);
  }
  #push(bytes: number, low: number, high: number): void {
    this.#move(-bytes);
    const at = this.#stackAddress(bytes, true);
    // The tag in force while an inner stack is written is still that of the outer level.
    this.#memory.storeValue(at, this.#flat ? this.#spHigh : 0, bytes, low, high, this.#inner >= 0);
  }
  #commitStack(): void {
    const s = this.#state;
    if (this.#flat) { s.setGpr(RSP, this.#spLow, this.#spHigh); return; }
    const mask = s.get(state.STACK_MASK);
    s.set(state.GPR + RSP * 8, ((s.gpr(RSP) & ~mask) | (this.#spLow & mask)) >>> 0);
  }

  // ---- Code segments ---------------------------------------------------------------------------------------------------

  /** Checks the code descriptor last read as the target of a direct transfer. */
  #checkDirect(selector: number): void {
    const { high } = this.#segments;
    const error = selector & 0xfffc;
    const cpl = this.#state.get(state.CPL);
    const dpl = dplOf(high);
    if ((high & SEGMENT_CONFORMING) !== 0 ? dpl > cpl : (selector & 3) > cpl || dpl !== cpl) this.#memory.raise(VECTOR_GP, error);
    this.#checkCode(error);
  }
  #checkCode(error: number): void {
    const { high } = this.#segments;
    if (this.#segments.isLongMode() && (high & DESCRIPTOR_L) !== 0 && (high & DESCRIPTOR_DB) !== 0) this.#memory.raise(VECTOR_GP, error);
    if ((high & DESCRIPTOR_PRESENT) === 0) this.#memory.raise(VECTOR_NP, error);
  }
  /** Loads CS from the descriptor last read with `cpl` and jumps. */
  #enter(selector: number, cpl: number, ripLow: number, ripHigh: number): void {
    this.#segments.markDescriptor(SEGMENT_ACCESSED);
    this.#state.set(state.CPL, cpl);
    this.#segments.baseHigh = 0;
    this.#segments.setFromDescriptor(state.CS, (selector & ~3) | cpl);
    this.#state.set64(state.RIP, ripLow, this.#segments.is64Bit() ? ripHigh : 0);
  }
  /** #GP(0) for an instruction pointer outside the code segment of the descriptor, or one that is no address. */
  #checkTarget(low: number, high: number, descriptorHigh: number, descriptorLow: number): void {
    if (this.#segments.isLongMode() && (descriptorHigh & DESCRIPTOR_L) !== 0) {
      if (!isCanonical(high)) this.#memory.raise(VECTOR_GP, 0);
      return;
    }
    let limit = (descriptorLow & 0xffff) | (descriptorHigh & 0xf_0000);
    if ((descriptorHigh & 0x80_0000) !== 0) limit = ((limit << 12) | 0xfff) >>> 0;
    if (low > limit) this.#memory.raise(VECTOR_GP, 0);
  }

  /** `nextLow`: the instruction behind the jump, which a task that is left goes on with. */
  jump(selector: number, low: number, high: number, nextLow: number): void {
    const segments = this.#segments;
    if (!segments.isProtected()) {
      segments.setRealMode(state.CS, selector);
      this.#state.set64(state.RIP, low, 0);
      return;
    }
    if (isNull(selector)) this.#memory.raise(VECTOR_GP, 0);
    segments.readDescriptor(selector);
    if ((segments.high & DESCRIPTOR_S) === 0) {
      this.#returnLow = nextLow;
      this.#throughGate(selector, false);
      return;
    }
    if ((segments.high & SEGMENT_CODE) === 0) this.#memory.raise(VECTOR_GP, selector & 0xfffc);
    this.#checkDirect(selector);
    this.#checkTarget(low, high, segments.high, segments.low);
    this.#enter(selector, this.#state.get(state.CPL), low, high);
  }

  call(selector: number, low: number, high: number, size: number, returnLow: number, returnHigh: number): void {
    const segments = this.#segments;
    const s = this.#state;
    if (segments.isProtected()) {
      if (isNull(selector)) this.#memory.raise(VECTOR_GP, 0);
      segments.readDescriptor(selector);
      if ((segments.high & DESCRIPTOR_S) === 0) {
        this.#returnLow = returnLow;
        this.#returnHigh = returnHigh;
        this.#throughGate(selector, true);
        return;
      }
      if ((segments.high & SEGMENT_CODE) === 0) this.#memory.raise(VECTOR_GP, selector & 0xfffc);
      this.#checkDirect(selector);
      this.#checkTarget(low, high, segments.high, segments.low);
    }
    const codeLow = segments.low;
    const codeHigh = segments.high;
    const { addressLow, addressHigh } = segments;
    this.#begin();
    this.#push(size, s.selector(state.CS), 0);
    this.#push(size, returnLow, returnHigh);
    this.#commitStack();
    if (!segments.isProtected()) {
      segments.setRealMode(state.CS, selector);
      s.set64(state.RIP, low, 0);
      return;
    }
    segments.low = codeLow;
    segments.high = codeHigh;
    segments.addressLow = addressLow;
    segments.addressHigh = addressHigh;
    this.#enter(selector, s.get(state.CPL), low, high);
  }

  #returnLow = 0;
  #returnHigh = 0;
  /** Call gates, task gates and task-state segments. */
  #throughGate(gateSelector: number, isCall: boolean): void {
    const s = this.#state;
    const segments = this.#segments;
    const memory = this.#memory;
    const error = gateSelector & 0xfffc;
    const cpl = s.get(state.CPL);
    const long = segments.isLongMode();
    const type = typeOf(segments.high);
    const isTask = !long && (type === SYSTEM_TASK_GATE || (type & ~0xa) === 1);
    if (isTask) {
      if (dplOf(segments.high) < cpl || dplOf(segments.high) < (gateSelector & 3)) memory.raise(VECTOR_GP, error);
      if ((segments.high & DESCRIPTOR_PRESENT) === 0) memory.raise(VECTOR_NP, error);
      this.#tasks.enter(type === SYSTEM_TASK_GATE ? segments.low >>> 16 : gateSelector, isCall ? TASK_CALL : TASK_JUMP, this.#returnLow);
      return;
    }
    if (type !== SYSTEM_CALL_GATE && (type !== SYSTEM_CALL_GATE_16 || long)) memory.raise(VECTOR_GP, error);
    if (dplOf(segments.high) < cpl || dplOf(segments.high) < (gateSelector & 3)) memory.raise(VECTOR_GP, error);
    if ((segments.high & DESCRIPTOR_PRESENT) === 0) memory.raise(VECTOR_NP, error);
    const gateLow = segments.low;
    const gateHigh = segments.high;
    let ripHigh = 0;
    if (long) { segments.readSystemDescriptor(gateSelector); ripHigh = segments.baseHigh; }
    const wide = type === SYSTEM_CALL_GATE;
    const size = long ? 8 : wide ? 4 : 2;
    const selector = gateLow >>> 16;
    const rip = wide ? (((gateHigh & 0xffff_0000) | (gateLow & 0xffff)) >>> 0) : gateLow & 0xffff;
    if (isNull(selector)) memory.raise(VECTOR_GP, 0);
    segments.readDescriptor(selector);
    const codeError = selector & 0xfffc;
    if ((segments.high & (DESCRIPTOR_S | SEGMENT_CODE)) !== (DESCRIPTOR_S | SEGMENT_CODE) || dplOf(segments.high) > cpl) memory.raise(VECTOR_GP, codeError);
    if (long && (segments.high & (DESCRIPTOR_L | DESCRIPTOR_DB)) !== DESCRIPTOR_L) memory.raise(VECTOR_GP, codeError);
    const conforming = (segments.high & SEGMENT_CONFORMING) !== 0;
    const newCpl = conforming || !isCall ? cpl : dplOf(segments.high);
    if (!isCall && !conforming && dplOf(segments.high) !== cpl) memory.raise(VECTOR_GP, codeError);
    this.#checkCode(codeError);
    this.#checkTarget(rip, ripHigh, segments.high, segments.low);
    const codeLow = segments.low;
    const codeHigh = segments.high;
    const { addressLow, addressHigh } = segments;
    if (isCall) {
      this.#begin();
      const returnCs = s.selector(state.CS);
      const old = segments.remember(state.SS);
      /** From the top of the new stack downwards: parameters, then the old stack pointer. */
      const copied: number[] = [];
      let oldStackHigh = 0;
      if (long) this.#flat = true;
      if (newCpl < cpl) {
        const oldSs = s.selector(state.SS);
        const oldLow = this.#spLow;
        const oldHigh = this.#spHigh;
        const parameters = long ? 0 : gateHigh & 31;
        for (let i = 0; i < parameters; i++) copied.push(this.#pop(size));
        if (long) {
          const at = s.base(state.TR) + 4 + newCpl * 8;
          if (4 + newCpl * 8 + 7 > s.limit(state.TR)) memory.raise(VECTOR_TS, s.selector(state.TR) & 0xfffc);
          memory.load64(at >>> 0, (s.baseHigh(state.TR) + (at > 0xffff_ffff ? 1 : 0)) >>> 0, true);
          this.#spLow = s.get(state.VALUE);
          this.#spHigh = s.high(state.VALUE);
          segments.setNull(state.SS, newCpl);
          this.#inner = newCpl & 0xfffc;
        } else {
          this.#delivery.readTaskStack(newCpl, 0);
          const ssSelector = this.#delivery.stackSelector;
          if (isNull(ssSelector)) memory.raise(VECTOR_TS, 0);
          segments.readDescriptor(ssSelector, VECTOR_TS);
          if ((segments.high & (DESCRIPTOR_S | SEGMENT_CODE | SEGMENT_WRITABLE)) !== (DESCRIPTOR_S | SEGMENT_WRITABLE)
            || (ssSelector & 3) !== newCpl || dplOf(segments.high) !== newCpl) memory.raise(VECTOR_TS, ssSelector & 0xfffc);
          if ((segments.high & DESCRIPTOR_PRESENT) === 0) memory.raise(VECTOR_SS, ssSelector & 0xfffc);
          segments.markDescriptor(SEGMENT_ACCESSED);
          segments.setFromDescriptor(state.SS, ssSelector);
          this.#spLow = this.#delivery.stackPointer;
          this.#inner = ssSelector & 0xfffc;
        }
        copied.push(oldLow, oldSs);
        oldStackHigh = oldHigh;
      }
      try {
        for (let i = copied.length - 1; i >= 0; i--) this.#push(size, copied[i] as number, i === copied.length - 2 ? oldStackHigh : 0);
        this.#push(size, returnCs, 0);
        this.#push(size, this.#returnLow, this.#returnHigh);
      } catch (fault) {
        segments.restore(state.SS, old);
        throw fault;
      }
      this.#commitStack();
    }
    segments.low = codeLow;
    segments.high = codeHigh;
    segments.addressLow = addressLow;
    segments.addressHigh = addressHigh;
    this.#enter(selector, newCpl, rip, ripHigh);
  }

  /** RETF: `release` bytes of parameters are dropped on both stacks. */
  return(size: number, release: number): void {
    const s = this.#state;
    const segments = this.#segments;
    this.#begin();
    const ripLow = this.#pop(size);
    const ripHigh = size === 8 ? s.high(state.VALUE) : 0;
    const selector = this.#pop(size) & 0xffff;
    if (!segments.isProtected()) {
      this.#move(release);
      this.#commitStack();
      segments.setRealMode(state.CS, selector);
      s.set64(state.RIP, ripLow, 0);
      return;
    }
    this.#returnTo(selector, ripLow, ripHigh, size, release, -1);
  }

  /** The common part of RETF and IRET in protected mode; `flags` is -1 for RETF. */
  #returnTo(selector: number, ripLow: number, ripHigh: number, size: number, release: number, flags: number): void {
    const s = this.#state;
    const segments = this.#segments;
    const memory = this.#memory;
    const cpl = s.get(state.CPL);
    const rpl = selector & 3;
    const error = selector & 0xfffc;
    if (isNull(selector)) memory.raise(VECTOR_GP, 0);
    segments.readDescriptor(selector);
    const { high } = segments;
    if ((high & (DESCRIPTOR_S | SEGMENT_CODE)) !== (DESCRIPTOR_S | SEGMENT_CODE) || rpl < cpl) memory.raise(VECTOR_GP, error);
    if ((high & SEGMENT_CONFORMING) !== 0 ? dplOf(high) > rpl : dplOf(high) !== rpl) memory.raise(VECTOR_GP, error);
    this.#checkCode(error);
    this.#checkTarget(ripLow, ripHigh, segments.high, segments.low);
    const codeLow = segments.low;
    const codeHigh = segments.high;
    const { addressLow, addressHigh } = segments;
    const from64 = segments.is64Bit();
    const outer = rpl > cpl;
    this.#move(release);
    let ssSelector = 0;
    let newLow = 0;
    let newHigh = 0;
    // IRET in 64-bit mode always pops the stack; the others only when they go outwards.
    const popsStack = outer || (flags >= 0 && from64);
    let ssNull = false;
    let ssLow = 0;
    let ssHigh = 0;
    if (popsStack) {
      newLow = this.#pop(size);
      newHigh = size === 8 ? s.high(state.VALUE) : 0;
      ssSelector = this.#pop(size) & 0xffff;
      const ssError = ssSelector & 0xfffc;
      if (isNull(ssSelector)) {
        const to64 = segments.isLongMode() && (codeHigh & DESCRIPTOR_L) !== 0;
        if (!to64 || rpl === 3) memory.raise(VECTOR_GP, 0);
        ssNull = true;
      } else {
        segments.readDescriptor(ssSelector);
        if ((segments.high & (DESCRIPTOR_S | SEGMENT_CODE | SEGMENT_WRITABLE)) !== (DESCRIPTOR_S | SEGMENT_WRITABLE)
          || (ssSelector & 3) !== rpl || dplOf(segments.high) !== rpl) memory.raise(VECTOR_GP, ssError);
        if ((segments.high & DESCRIPTOR_PRESENT) === 0) memory.raise(VECTOR_SS, ssError);
        segments.markDescriptor(SEGMENT_ACCESSED);
        ssLow = segments.low;
        ssHigh = segments.high;
      }
    }
    if (flags >= 0) this.#restoreFlags(flags, size, cpl);
    if (!popsStack) this.#commitStack();
    segments.low = codeLow;
    segments.high = codeHigh;
    segments.addressLow = addressLow;
    segments.addressHigh = addressHigh;
    this.#enter(selector, rpl, ripLow, ripHigh);
    if (popsStack) {
      if (ssNull) segments.setNull(state.SS, ssSelector);
      else {
        segments.low = ssLow;
        segments.high = ssHigh;
        segments.baseHigh = 0;
        segments.setFromDescriptor(state.SS, ssSelector);
      }
      this.#spLow = newLow;
      this.#spHigh = newHigh;
      // RETF drops the parameters on the outer stack as well.
      if (outer && release !== 0) this.#move(release);
      if (segments.is64Bit()) s.setGpr(RSP, this.#spLow, this.#spHigh);
      else if (size === 2 || s.get(state.STACK_MASK) === 0xffff) s.set(state.GPR + RSP * 8, ((s.gpr(RSP) & 0xffff_0000) | (this.#spLow & 0xffff)) >>> 0);
      else s.setGpr(RSP, this.#spLow, 0);
    }
    if (outer) segments.dropInnerSegments(rpl);
    segments.setCpl(rpl);
  }
  #restoreFlags(flags: number, size: number, cpl: number): void {
    const old = this.#flags.read();
    let mask = FLAGS_ALWAYS;
    if (cpl <= ((old & FLAG_IOPL) >> 12)) mask |= FLAG_IF;
    if (cpl === 0) mask |= FLAG_IOPL;
    if (size !== 2) {
      mask |= FLAG_RF | FLAG_AC_ID;
      if (cpl === 0) mask |= FLAG_VIF_VIP;
    }
    this.#flags.write((old & ~mask) | (flags & mask));
  }

  interruptReturn(size: number, nextLow: number): void {
    const s = this.#state;
    const segments = this.#segments;
    const memory = this.#memory;
    const old = this.#flags.other();
    this.#begin();
    if (!segments.isProtected()) {
      const rip = this.#pop(size);
      const selector = this.#pop(size) & 0xffff;
      const flags = this.#pop(size);
      this.#commitStack();
      segments.setRealMode(state.CS, selector);
      s.set64(state.RIP, rip, 0);
      let mask = FLAGS_ALWAYS | FLAG_IF | (segments.isVirtual8086() ? 0 : FLAG_IOPL);
      if (size === 4) mask |= FLAG_RF | FLAG_AC_ID;
      this.#flags.write((this.#flags.read() & ~mask) | (flags & mask));
      return;
    }
    if ((old & FLAG_NT) !== 0) {
      // In long mode NT is an error; in protected mode it means the task that the back link names.
      if (segments.isLongMode()) memory.raise(VECTOR_GP, 0);
      this.#tasks.enter(memory.load16(s.base(state.TR), 0, true), TASK_RETURN, nextLow);
      return;
    }
    const ripLow = this.#pop(size);
    const ripHigh = size === 8 ? s.high(state.VALUE) : 0;
    const selector = this.#pop(size) & 0xffff;
    const flags = this.#pop(size);
    if ((flags & FLAG_VM) !== 0 && s.get(state.CPL) === 0 && !segments.isLongMode() && size === 4) {
      this.#returnToVirtual8086(selector, ripLow, flags);
      return;
    }
    this.#returnTo(selector, ripLow, ripHigh, size, 0, flags);
  }
  #returnToVirtual8086(selector: number, rip: number, flags: number): void {
    const s = this.#state;
    const segments = this.#segments;
    const sp = this.#pop(4);
    const ss = this.#pop(4) & 0xffff;
    const selectors: number[] = [];
    for (let i = 0; i < 4; i++) selectors.push(this.#pop(4) & 0xffff); // es ds fs gs
    this.#flags.write(flags);
    s.set(state.CPL, 3);
    segments.setRealMode(state.CS, selector);
    segments.setRealMode(state.SS, ss);
    [state.ES, state.DS, state.FS, state.GS].forEach((segment, i) => segments.setRealMode(segment, selectors[i] as number));
    s.setGpr(RSP, sp, 0);
    s.set64(state.RIP, rip & 0xffff, 0);
    segments.setCpl(3);
  }
}
