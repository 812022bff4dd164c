/** Delivery of interrupts and exceptions through the IVT or IDT (SDM vol. 3, chapter 6; real mode section 20.1.4). */
import {
  CR0_PE, DR7_GD, DESCRIPTOR_L, DESCRIPTOR_PRESENT, DESCRIPTOR_S, DESCRIPTOR_DB, SEGMENT_ACCESSED, SEGMENT_CODE, SEGMENT_CONFORMING,
  SEGMENT_WRITABLE, SELECTOR_ERROR_EXTERNAL, SELECTOR_ERROR_IDT, SYSTEM_INTERRUPT_GATE, SYSTEM_INTERRUPT_GATE_16, SYSTEM_TASK_GATE,
  SYSTEM_TRAP_GATE, SYSTEM_TRAP_GATE_16, SYSTEM_TSS_16_BUSY, VECTOR_DB, VECTOR_GP, VECTOR_NP, VECTOR_PF, VECTOR_SS, VECTOR_TS,
  VECTORS_CONTRIBUTORY,
} from '@vm/x86';
import * as state from './cpu-state.ts';
import type { FlagsRegister } from './flags-register.ts';
import type { LinearMemory } from './linear-memory.ts';
import { isCanonical } from './page-walk.ts';
import { dplOf, isNull, typeOf } from './segmentation.ts';
import type { Segmentation } from './segmentation.ts';
import type { StateView } from './state-view.ts';
import { TASK_CALL } from './task-switch.ts';
import type { TaskSwitch } from './task-switch.ts';

/** The generated function of handler-entry.ts: not 0 when it did all there is to do. */
export type EnterHandler = (s: number, vector: number, errorCode: number, addedFlags: number, software: number) => number;

/** Where an event comes from; software interrupts are checked against the gate's privilege. */
export const SOURCE_EXCEPTION = 0;
export const SOURCE_SOFTWARE = 1;
export const SOURCE_EXTERNAL = 2;
export type Source = typeof SOURCE_EXCEPTION | typeof SOURCE_SOFTWARE | typeof SOURCE_EXTERNAL;

const FLAG_TF = 0x100;
const FLAG_IF = 0x200;
const FLAG_NT = 0x4000;
const FLAG_RF = 0x1_0000;
const FLAG_VM = 0x2_0000;
const FLAG_AC = 0x4_0000;
const RSP = 4;
const DR7 = state.DR + 7 * 8;

/** A fault `next` in the delivery of `current` is a double fault (SDM vol. 3, table 6-5). */
export function isDoubleFault(current: number, next: number): boolean {
  const contributory = (vector: number): boolean => ((VECTORS_CONTRIBUTORY >> vector) & 1) !== 0;
  return (contributory(current) && contributory(next)) || (current === VECTOR_PF && (contributory(next) || next === VECTOR_PF));
}


export class ExceptionDelivery {
  readonly #state: StateView;
  readonly #memory: LinearMemory;
  readonly #segments: Segmentation;
  readonly #flags: FlagsRegister;
  readonly #tasks: TaskSwitch;
  readonly #enterLong: EnterHandler;
  readonly #enterProtected: EnterHandler;
  /** The flags that are pushed. */
  #image = 0;
  /** Error code of a stack that is at no address. */
  #stackError = 0;

  constructor(view: StateView, memory: LinearMemory, segments: Segmentation, flags: FlagsRegister, tasks: TaskSwitch, enter: { readonly long: EnterHandler; readonly protected: EnterHandler }) {
    this.#state = view;
    this.#memory = memory;
    this.#segments = segments;
    this.#flags = flags;
    this.#tasks = tasks;
    this.#enterLong = enter.long;
    this.#enterProtected = enter.protected;
  }

  /**
   * Enters the handler of `vector`; RIP in the state is the one to be saved. Faults are thrown before anything changes.
   * `repeating`: it comes between two elements of a REP, which has to go on as if it had never begun to be left.
   */
  deliver(vector: number, errorCode: number, source: Source, repeating = false): void {
    const resumes = (source === SOURCE_EXCEPTION && vector !== VECTOR_DB) || repeating;
    if (vector !== VECTOR_DB) {
      const enter = this.#segments.is64Bit() ? this.#enterLong : this.#enterProtected;
      if (enter(this.#state.at, vector, errorCode, resumes ? FLAG_RF : 0, source === SOURCE_SOFTWARE ? 1 : 0) !== 0) return;
    }
    const external = source === SOURCE_SOFTWARE ? 0 : SELECTOR_ERROR_EXTERNAL;
    // A faulting instruction will not meet its own breakpoint again, nor will a REP that was left half done (SDM vol. 3, section 17.3.1.1).
    this.#image = this.#flags.read() | (resumes ? FLAG_RF : 0);
    if ((this.#state.get(state.CR0) & CR0_PE) === 0) this.#deliverReal(vector);
    else if (this.#segments.isLongMode()) this.#deliverLong(vector, errorCode, source, external);
    else this.#deliverProtected(vector, errorCode, source, external);
    // The handler may use the debug registers (SDM vol. 3, section 17.2.4).
    if (vector === VECTOR_DB && source !== SOURCE_SOFTWARE) this.#state.set(DR7, this.#state.get(DR7) & ~DR7_GD);
  }

  #deliverReal(vector: number): void {
    const s = this.#state;
    if (vector * 4 + 3 > s.get(state.IDTR_LIMIT)) this.#memory.raise(VECTOR_GP, vector * 8 + SELECTOR_ERROR_IDT);
    const entry = this.#memory.load32((s.get(state.IDTR_BASE) + vector * 4) >>> 0, 0, true);
    const flags = this.#flags.read();
    let sp = s.gpr(RSP) & 0xffff;
    for (const value of [flags & 0xffff, s.selector(state.CS), s.get(state.RIP) & 0xffff]) {
      sp = (sp - 2) & 0xffff;
      this.#memory.storeValue((s.base(state.SS) + sp) >>> 0, 0, 2, value, 0, true);
    }
    s.set(state.GPR + RSP * 8, ((s.gpr(RSP) & 0xffff_0000) | sp) >>> 0);
    this.#flags.write(flags & ~(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF));
    this.#segments.setRealMode(state.CS, entry >>> 16);
    s.set64(state.RIP, entry & 0xffff, 0);
  }

  /** #GP, #NP and the like name the IDT entry. */
  #gateError(vector: number, external: number): number { return vector * 8 + SELECTOR_ERROR_IDT + external; }

  #deliverLong(vector: number, errorCode: number, source: Source, external: number): void {
    const s = this.#state;
    const memory = this.#memory;
    if (vector * 16 + 15 > s.get(state.IDTR_LIMIT)) memory.raise(VECTOR_GP, this.#gateError(vector, external));
    const at = s.get(state.IDTR_BASE) + vector * 16;
    const atHigh = (s.high(state.IDTR_BASE) + (at > 0xffff_ffff ? 1 : 0)) >>> 0;
    const offsetHigh = memory.load32((at + 8) >>> 0, atHigh, true);
    memory.load64(at >>> 0, atHigh, true);
    const gateLow = s.get(state.VALUE);
    const gateHigh = s.high(state.VALUE);
    const type = typeOf(gateHigh);
    if ((gateHigh & DESCRIPTOR_S) !== 0 || (type !== SYSTEM_INTERRUPT_GATE && type !== SYSTEM_TRAP_GATE)) memory.raise(VECTOR_GP, this.#gateError(vector, external));
    const cpl = s.get(state.CPL);
    if (source === SOURCE_SOFTWARE && dplOf(gateHigh) < cpl) memory.raise(VECTOR_GP, this.#gateError(vector, external));
    if ((gateHigh & DESCRIPTOR_PRESENT) === 0) memory.raise(VECTOR_NP, this.#gateError(vector, external));
    const selector = gateLow >>> 16;
    const error = (selector & 0xfffc) + external;
    if (isNull(selector)) memory.raise(VECTOR_GP, external);
    this.#segments.readDescriptor(selector);
    const { low, high, addressLow, addressHigh } = this.#segments;
    if ((high & (DESCRIPTOR_S | SEGMENT_CODE)) !== (DESCRIPTOR_S | SEGMENT_CODE) || dplOf(high) > cpl) memory.raise(VECTOR_GP, error);
    if ((high & DESCRIPTOR_PRESENT) === 0) memory.raise(VECTOR_NP, error);
    if ((high & DESCRIPTOR_L) === 0 || (high & DESCRIPTOR_DB) !== 0) memory.raise(VECTOR_GP, error);
    const newCpl = (high & SEGMENT_CONFORMING) !== 0 ? cpl : dplOf(high);

    const ist = gateHigh & 7;
    let spLow = s.gpr(RSP);
    let spHigh = s.gprHigh(RSP);
    if (ist !== 0 || newCpl < cpl) {
      this.#loadTaskStack(ist !== 0 ? 0x1c + ist * 8 : 4 + newCpl * 8);
      spLow = s.get(state.VALUE);
      spHigh = s.high(state.VALUE);
    }
    spLow = (spLow & ~15) >>> 0;
    const flags = this.#image;
    const ssSelector = s.selector(state.SS);
    const rspLow = s.gpr(RSP);
    const rspHigh = s.gprHigh(RSP);
    const ripLow = s.get(state.RIP);
    const ripHigh = s.high(state.RIP);
    // Pushes run with the rights of the new level; where that is 3 it was 3 before.
    const supervisor = newCpl !== 3;
    this.#stackError = external;
    this.#push64(spLow, spHigh, 8, ssSelector, 0, supervisor);
    this.#push64(spLow, spHigh, 16, rspLow, rspHigh, supervisor);
    this.#push64(spLow, spHigh, 24, flags, 0, supervisor);
    this.#push64(spLow, spHigh, 32, s.selector(state.CS), 0, supervisor);
    this.#push64(spLow, spHigh, 40, ripLow, ripHigh, supervisor);
    if (errorCode >= 0) this.#push64(spLow, spHigh, 48, errorCode, 0, supervisor);
    const used = errorCode >= 0 ? 48 : 40;
    s.setGpr(RSP, (spLow - used) >>> 0, spLow < used ? (spHigh - 1) >>> 0 : spHigh);
    if (newCpl < cpl) this.#segments.setNull(state.SS, newCpl);
    this.#segments.low = low;
    this.#segments.high = high;
    this.#segments.addressLow = addressLow;
    this.#segments.addressHigh = addressHigh;
    this.#segments.markDescriptor(SEGMENT_ACCESSED);
    s.set(state.CPL, newCpl);
    this.#segments.setFromDescriptor(state.CS, (selector & ~3) | newCpl);
    s.set64(state.RIP, (((gateHigh & 0xffff_0000) | (gateLow & 0xffff)) >>> 0), offsetHigh);
    this.#flags.write(flags & ~(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM | (type === SYSTEM_INTERRUPT_GATE ? FLAG_IF : 0)));
  }
  #push64(spLow: number, spHigh: number, below: number, low: number, high: number, supervisor: boolean): void {
    const atHigh = spLow < below ? (spHigh - 1) >>> 0 : spHigh;
    if (!isCanonical(atHigh)) this.#memory.raise(VECTOR_SS, this.#stackError);
    this.#memory.storeValue((spLow - below) >>> 0, atHigh, 8, low, high, supervisor);
  }
  /** Reads 8 bytes of the long-mode TSS at `offset` into VALUE. */
  #loadTaskStack(offset: number): void {
    const s = this.#state;
    if (offset + 7 > s.limit(state.TR)) this.#memory.raise(VECTOR_TS, s.selector(state.TR) & 0xfffc);
    const at = s.base(state.TR) + offset;
    this.#memory.load64(at >>> 0, (s.baseHigh(state.TR) + (at > 0xffff_ffff ? 1 : 0)) >>> 0, true);
  }

  #deliverProtected(vector: number, errorCode: number, source: Source, external: number): void {
    const s = this.#state;
    const memory = this.#memory;
    const segments = this.#segments;
    const virtual = segments.isVirtual8086();
    if (vector * 8 + 7 > s.get(state.IDTR_LIMIT)) memory.raise(VECTOR_GP, this.#gateError(vector, external));
    memory.load64((s.get(state.IDTR_BASE) + vector * 8) >>> 0, 0, true);
    const gateLow = s.get(state.VALUE);
    const gateHigh = s.high(state.VALUE);
    const type = typeOf(gateHigh);
    const known = type === SYSTEM_INTERRUPT_GATE || type === SYSTEM_TRAP_GATE || type === SYSTEM_INTERRUPT_GATE_16 || type === SYSTEM_TRAP_GATE_16;
    const cpl = s.get(state.CPL);
    if ((gateHigh & DESCRIPTOR_S) !== 0 || (!known && type !== SYSTEM_TASK_GATE)) memory.raise(VECTOR_GP, this.#gateError(vector, external));
    if (source === SOURCE_SOFTWARE && dplOf(gateHigh) < cpl) memory.raise(VECTOR_GP, this.#gateError(vector, external));
    if ((gateHigh & DESCRIPTOR_PRESENT) === 0) memory.raise(VECTOR_NP, this.#gateError(vector, external));
    if (!known) {
      this.#throughTaskGate(gateLow >>> 16, errorCode);
      return;
    }
    const wide = (type & 8) !== 0;
    const bytes = wide ? 4 : 2;
    const selector = gateLow >>> 16;
    const error = (selector & 0xfffc) + external;
    if (isNull(selector)) memory.raise(VECTOR_GP, external);
    segments.readDescriptor(selector);
    const codeLow = segments.low;
    const codeHigh = segments.high;
    const { addressLow, addressHigh } = segments;
    if ((codeHigh & (DESCRIPTOR_S | SEGMENT_CODE)) !== (DESCRIPTOR_S | SEGMENT_CODE) || dplOf(codeHigh) > cpl) memory.raise(VECTOR_GP, error);
    if ((codeHigh & DESCRIPTOR_PRESENT) === 0) memory.raise(VECTOR_NP, error);
    const conforming = (codeHigh & SEGMENT_CONFORMING) !== 0;
    const newCpl = conforming ? cpl : dplOf(codeHigh);
    if (virtual && newCpl !== 0) memory.raise(VECTOR_GP, error);

    const flags = this.#image;
    const oldSp = s.gpr(RSP);
    const oldSs = s.selector(state.SS);
    const inner = newCpl < cpl;
    let ssSelector = oldSs;
    let ssLow = 0;
    let ssHigh = 0;
    let sp = oldSp;
    let stackBase = s.base(state.SS);
    let stackMask = s.get(state.STACK_MASK);
    let stackLimit = s.limit(state.SS);
    if (inner) {
      this.readTaskStack(newCpl, external);
      sp = this.stackPointer;
      ssSelector = this.stackSelector;
      const ssError = (ssSelector & 0xfffc) + external;
      if (isNull(ssSelector)) memory.raise(VECTOR_TS, external);
      segments.readDescriptor(ssSelector, VECTOR_TS);
      ssLow = segments.low;
      ssHigh = segments.high;
      if ((ssHigh & (DESCRIPTOR_S | SEGMENT_CODE | SEGMENT_WRITABLE)) !== (DESCRIPTOR_S | SEGMENT_WRITABLE)
        || (ssSelector & 3) !== newCpl || dplOf(ssHigh) !== newCpl) memory.raise(VECTOR_TS, ssError);
      if ((ssHigh & DESCRIPTOR_PRESENT) === 0) memory.raise(VECTOR_SS, ssError);
      segments.markDescriptor(SEGMENT_ACCESSED);
      ssHigh = segments.high;
      stackBase = ((ssLow >>> 16) | ((ssHigh & 0xff) << 16) | (ssHigh & 0xff00_0000)) >>> 0;
      stackMask = (ssHigh & DESCRIPTOR_DB) !== 0 ? 0xffff_ffff : 0xffff;
      stackLimit = (ssHigh & 0x80_0000) !== 0 ? (((((ssLow & 0xffff) | (ssHigh & 0xf_0000)) << 12) | 0xfff) >>> 0) : (ssLow & 0xffff) | (ssHigh & 0xf_0000);
    }
    const pushes: number[] = [];
    if (virtual) for (const segment of [state.GS, state.FS, state.DS, state.ES]) pushes.push(s.selector(segment));
    if (inner) pushes.push(oldSs, oldSp);
    pushes.push(flags, s.selector(state.CS), s.get(state.RIP));
    if (errorCode >= 0) pushes.push(errorCode);
    const expandDown = inner ? (ssHigh & 0x400) !== 0 : (s.attributes(state.SS) & 0x400) !== 0;
    const lowest = (sp - pushes.length * bytes) & stackMask;
    if (expandDown ? (lowest >>> 0) <= stackLimit : (lowest >>> 0) + pushes.length * bytes - 1 > stackLimit) memory.raise(VECTOR_SS, inner ? (ssSelector & 0xfffc) + external : external);
    for (const value of pushes) {
      sp = ((sp - bytes) & stackMask) >>> 0;
      memory.storeValue((stackBase + sp) >>> 0, 0, bytes, value, 0, newCpl !== 3);
    }
    s.set(state.CPL, newCpl);
    const newFlags = flags & ~(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM | ((type & 1) === 0 ? FLAG_IF : 0));
    this.#flags.write(newFlags);
    if (virtual) for (const segment of [state.GS, state.FS, state.DS, state.ES]) segments.setNull(segment, 0);
    if (inner) {
      segments.low = ssLow;
      segments.high = ssHigh;
      segments.baseHigh = 0;
      segments.setFromDescriptor(state.SS, ssSelector);
    }
    s.set(state.GPR + RSP * 8, ((s.gpr(RSP) & ~stackMask) | (sp & stackMask)) >>> 0);
    segments.low = codeLow;
    segments.high = codeHigh;
    segments.addressLow = addressLow;
    segments.addressHigh = addressHigh;
    segments.baseHigh = 0;
    segments.markDescriptor(SEGMENT_ACCESSED);
    segments.setFromDescriptor(state.CS, (selector & ~3) | newCpl);
    s.set64(state.RIP, wide ? (((gateHigh & 0xffff_0000) | (gateLow & 0xffff)) >>> 0) : gateLow & 0xffff, 0);
  }

  /** The handler is a task of its own; the error code goes onto its stack. */
  #throughTaskGate(selector: number, errorCode: number): void {
    const s = this.#state;
    this.#flags.write(this.#image);
    this.#tasks.enter(selector, TASK_CALL, s.get(state.RIP));
    if (errorCode < 0) return;
    const bytes = (typeOf(s.attributes(state.TR)) & 8) !== 0 ? 4 : 2;
    const mask = s.get(state.STACK_MASK);
    const sp = ((s.gpr(RSP) - bytes) & mask) >>> 0;
    this.#segments.checkAccess(state.SS, sp, bytes, true);
    this.#memory.storeValue((s.base(state.SS) + sp) >>> 0, 0, bytes, errorCode, 0, true);
    s.set(state.GPR + RSP * 8, ((s.gpr(RSP) & ~mask) | sp) >>> 0);
  }

  stackPointer = 0;
  stackSelector = 0;
  /** Stack of an inner level from the 16- or 32-bit TSS. */
  readTaskStack(level: number, external: number): void {
    const s = this.#state;
    const narrow = typeOf(s.attributes(state.TR)) <= SYSTEM_TSS_16_BUSY;
    const offset = narrow ? 2 + level * 4 : 4 + level * 8;
    if (offset + (narrow ? 3 : 5) > s.limit(state.TR)) this.#memory.raise(VECTOR_TS, (s.selector(state.TR) & 0xfffc) + external);
    const at = s.base(state.TR) + offset;
    if (narrow) {
      this.stackPointer = this.#memory.load16(at >>> 0, 0, true);
      this.stackSelector = this.#memory.load16((at + 2) >>> 0, 0, true);
    } else {
      this.stackPointer = this.#memory.load32(at >>> 0, 0, true);
      this.stackSelector = this.#memory.load16((at + 4) >>> 0, 0, true);
    }
  }
}
