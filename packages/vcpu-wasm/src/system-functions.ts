/** The system functions behind `system-call.ts`: one method for each group, one switch over all. */
import {
  CR0_EM, CR0_NE, CR0_PE, CR0_TS, CR4_DE, CR4_OSFXSR, CR4_PCE, CR4_PCIDE, CR4_TSD, DESCRIPTOR_S, DR6_BD, DR7_GD, FLAG_IOPL, MSR_APIC_BASE, SEGMENT_CODE, SEGMENT_READABLE, SEGMENT_WRITABLE, VECTOR_DB,
  VECTOR_GP, VECTOR_MF, VECTOR_NM, VECTOR_UD, VECTOR_XM, cpuid, descriptorLimit,
} from '@vm/x86';
import type { CpuidContext } from '@vm/x86';
import type { HypervisorPort } from '@vm/core/engine';
import type { ControlRegisters } from './control-registers.ts';
import * as state from './cpu-state.ts';
import type { FarTransfer } from './far-transfer.ts';
import type { FastSystemCall } from './fast-system-call.ts';
import type { FlagsRegister } from './flags-register.ts';
import type { FxsaveImage } from './fxsave.ts';
import type { LinearMemory } from './linear-memory.ts';
import type { ModelRegisters } from './model-registers.ts';
import { isCanonical } from './page-walk.ts';
import { typeOf } from './segmentation.ts';
import type { Segmentation } from './segmentation.ts';
import type { StateView } from './state-view.ts';
import * as call from './system-call.ts';
import type { TimeStamp } from './time-stamp.ts';
import * as uop from './uop.ts';
import type { Virtual8086 } from './virtual-8086.ts';
import type { XsaveArea } from './xsave.ts';

/** What the functions need from the processor's loop. */
export interface LoopControl {
  halt(): void;
  /** No interrupt before the instruction after the next boundary; `traps`: no debug trap either (MOV SS, POP SS). */
  shadow(traps: boolean): void;
  /** IRET begins, whatever comes of it: non-maskable interrupts are let in again (SDM vol. 3, section 6.7.1). */
  interruptReturns(): void;
  /** Look for events and at the flags at the next boundary. */
  attend(): void;
  /** The instruction enters a handler: no single-step trap after it. */
  entered(): void;
  /** Whether a single-step trap follows the instruction is for the TF that it leaves to say (APM vol. 3, SYSCALL and SYSRET). */
  stepByNewFlags(): void;
  debugRegistersChanged(): void;
  /** Vector of a software interrupt; RIP is already behind it. INT1 is a debug exception: no gate asks for its privilege. */
  softwareInterrupt(vector: number, isException: boolean): void;
  cpuidContext(): CpuidContext;
  hypervisor(): HypervisorPort | undefined;
  unknownRegister(index: number, write: boolean): void;
  /** An x87 exception that the board is told of: false when the instruction has to wait for the interrupt. */
  numericErrorGoesOn(): boolean;
  /** #GP when the program may not use the port. */
  checkPort(port: number, bytes: number): void;
}

export interface ProcessorParts {
  readonly state: StateView;
  readonly memory: LinearMemory;
  readonly segments: Segmentation;
  readonly flags: FlagsRegister;
  readonly control: ControlRegisters;
  readonly registers: ModelRegisters;
  readonly transfer: FarTransfer;
  readonly fast: FastSystemCall;
  readonly time: TimeStamp;
  readonly fxsave: FxsaveImage;
  readonly xsave: XsaveArea;
  readonly virtual: Virtual8086;
}

/** Answers of a system function. */
export const GO_ON = 0;
export const RIP_SET = 1;
export const LEAVE = 2;

const RAX = 0, RCX = 1, RDX = 2, RBX = 3, RSP = 4, RBP = 5;
const TWO_32 = 0x1_0000_0000;

export class SystemFunctions {
  readonly #state: StateView;
  readonly #parts: ProcessorParts;
  readonly #loop: LoopControl;
  /** Calls by number. */
  readonly #counts: Uint32Array = new Uint32Array(64);

  constructor(parts: ProcessorParts, loop: LoopControl) {
    this.#state = parts.state;
    this.#parts = parts;
    this.#loop = loop;
  }

  /** How often generated code asked for what, by name. */
  *counted(): Generator<readonly [name: string, count: number]> {
    for (const [name, id] of Object.entries(call)) if (this.#counts[id] !== 0) yield [`system.${name.toLowerCase()}`, this.#counts[id] as number];
  }

  run(id: number, at: number): number {
    this.#counts[id] = (this.#counts[id] as number) + 1;
    const s = this.#state;
    const { memory, segments, control, transfer, fast, flags, virtual } = this.#parts;
    const value = s.get(state.SCRATCH);
    const valueHigh = s.high(state.SCRATCH);
    switch (id) {
      case call.HLT:
        this.#setNext(at);
        this.#loop.halt();
        return LEAVE;
      case call.CPUID: this.#cpuid(); return GO_ON;
      case call.HYPERCALL: this.#hypercall(); return GO_ON;
      case call.RDMSR: this.#readRegister(); return GO_ON;
      case call.WRMSR: this.#writeRegister(); return this.#afterModeChange(at);
      case call.RDTSC: this.#timeStamp(); return GO_ON;
      case call.RDTSCP:
        this.#timeStamp();
        s.setGpr(RCX, s.get(state.MSR_TSC_AUX), 0);
        return GO_ON;
      case call.RDPMC:
        if (s.get(state.CPL) !== 0 && (s.get(state.CR4) & CR4_PCE) === 0) memory.raise(VECTOR_GP, 0);
        return memory.raise(VECTOR_GP, 0); // there are no performance counters
      case call.READ_CONTROL: {
        const low = control.read(this.#register(at, 1));
        s.view.setUint32(s.at + this.#register(at, 0), low, true);
        s.view.setUint32(s.at + this.#register(at, 0) + 4, control.high, true);
        return GO_ON;
      }
      case call.WRITE_CONTROL: {
        const from = s.at + this.#register(at, 1);
        control.write(this.#register(at, 0), s.view.getUint32(from, true), segments.is64Bit() ? s.view.getUint32(from + 4, true) : 0);
        return this.#afterModeChange(at);
      }
      case call.READ_DEBUG: this.#readDebug(at); return GO_ON;
      case call.WRITE_DEBUG: this.#writeDebug(at); return GO_ON;
      case call.CLTS:
        s.set(state.CR0, s.get(state.CR0) & ~CR0_TS);
        control.floatingPointAvailability();
        return GO_ON;
      case call.LMSW: control.loadStatusWord(value); return this.#afterModeChange(at);
      case call.LGDT: this.#loadTable(state.GDTR_BASE, state.GDTR_LIMIT, at, value, valueHigh); return GO_ON;
      case call.LIDT: this.#loadTable(state.IDTR_BASE, state.IDTR_LIMIT, at, value, valueHigh); return GO_ON;
      case call.LLDT: segments.loadLocalTable(value & 0xffff); return GO_ON;
      case call.LTR: segments.loadTask(value & 0xffff); return GO_ON;
      case call.VERR: case call.VERW: this.#verify(value & 0xffff, id === call.VERW); return GO_ON;
      case call.LAR: case call.LSL: this.#descriptorInformation(id, at, value & 0xffff); return GO_ON;
      case call.LOAD_SEGMENT: this.#loadSegment(this.#segmentNumber(at), value & 0xffff); return GO_ON;
      case call.LOAD_FAR_POINTER: this.#loadFarPointer(at, value, valueHigh); return GO_ON;
      case call.POP_SEGMENT: this.#popSegment(at); return GO_ON;
      case call.FAR_JUMP:
        this.#setNext(at);
        transfer.jump(s.get(state.SCRATCH + 8) & 0xffff, value, valueHigh, s.get(state.RIP));
        return this.#leaveIfModeChanged();
      case call.FAR_CALL:
        this.#setNext(at);
        this.#farCall(at, value, valueHigh);
        return this.#leaveIfModeChanged();
      case call.FAR_RETURN:
        transfer.return(this.#size(at), s.view.getUint16(at + uop.UOP_IMMEDIATE, true));
        return this.#leaveIfModeChanged();
      case call.IRET:
        this.#loop.interruptReturns();
        if (segments.isVirtual8086() && (flags.other() & FLAG_IOPL) !== FLAG_IOPL) {
          virtual.interruptReturn(this.#size(at));
          return RIP_SET;
        }
        this.#setNext(at);
        transfer.interruptReturn(this.#size(at), s.get(state.RIP));
        this.#loop.attend();
        return this.#leaveIfModeChanged();
      case call.SOFTWARE_INTERRUPT:
        if (segments.isVirtual8086()) {
          this.#setNext(at);
          if (virtual.redirect(s.view.getUint8(at + uop.UOP_IMMEDIATE))) return RIP_SET;
        }
        this.#softwareInterrupt(at, s.view.getUint8(at + uop.UOP_IMMEDIATE));
        return this.#leaveIfModeChanged();
      case call.BREAKPOINT: this.#softwareInterrupt(at, 3); return this.#leaveIfModeChanged();
      case call.DEBUG_TRAP: this.#softwareInterrupt(at, VECTOR_DB, true); return this.#leaveIfModeChanged();
      case call.OVERFLOW:
        if ((flags.read() & 0x800) === 0) return GO_ON;
        this.#softwareInterrupt(at, 4);
        return this.#leaveIfModeChanged();
      case call.SYSCALL:
        this.#setNext(at);
        fast.syscall(s.get(state.RIP), s.high(state.RIP));
        this.#loop.stepByNewFlags();
        return this.#leaveIfModeChanged();
      case call.SYSRET:
        fast.sysret(this.#size(at));
        this.#loop.stepByNewFlags();
        this.#loop.attend();
        return this.#leaveIfModeChanged();
      case call.SYSENTER: fast.sysenter(); return this.#leaveIfModeChanged();
      case call.SYSEXIT: fast.sysexit(this.#size(at)); return this.#leaveIfModeChanged();
      case call.INVLPG: memory.invalidatePage(value, valueHigh); return GO_ON;
      case call.INVPCID: this.#invalidateContext(value, valueHigh); return GO_ON;
      case call.WBINVD: return GO_ON;
      case call.INTERRUPT_SHADOW: this.#loop.shadow(false); return GO_ON;
      case call.STI_WITHOUT_PRIVILEGE: case call.CLI_WITHOUT_PRIVILEGE: virtual.setVirtualInterruptFlag(id === call.STI_WITHOUT_PRIVILEGE); return GO_ON;
      case call.VIRTUAL_8086_PUSHF: return this.#unless(virtual.pushFlags(this.#size(at)), at);
      case call.VIRTUAL_8086_POPF: return this.#unless(virtual.popFlags(this.#size(at)), at);
      case call.FLAGS_ATTENTION:
        memory.tlb.updateTags();
        this.#loop.attend();
        return GO_ON;
      case call.CHECK_PORT: this.#loop.checkPort(s.gpr(RDX) & 0xffff, this.#size(at)); return GO_ON;
      case call.ENTER_NESTED: this.#enterNested(at); return GO_ON;
      case call.FXSAVE: case call.FXRSTOR: this.#fxsave(id, at, value, valueHigh); return GO_ON;
      case call.XSAVE: case call.XSAVEOPT: case call.XRSTOR: this.#xsave(id, at, value, valueHigh); return GO_ON;
      case call.XGETBV: this.#readExtended(); return GO_ON;
      case call.XSETBV: control.writeExtended(s.gpr(RCX), s.gpr(RAX), s.gpr(RDX)); return this.#afterModeChange(at);
      case call.X87_NOT_AVAILABLE: return memory.raise(VECTOR_NM, -1);
      case call.SSE_NOT_AVAILABLE:
        return memory.raise((s.get(state.CR0) & CR0_EM) !== 0 || (s.get(state.CR4) & CR4_OSFXSR) === 0 ? VECTOR_UD : VECTOR_NM, -1);
      case call.AVX_NOT_AVAILABLE: return memory.raise((s.get(state.AVX_BLOCKED) & CR0_TS) === s.get(state.AVX_BLOCKED) && segments.isProtected() ? VECTOR_NM : VECTOR_UD, -1);
      case call.X87_PENDING_EXCEPTION:
        if ((s.get(state.CR0) & CR0_NE) !== 0) memory.raise(VECTOR_MF, -1);
        if (this.#loop.numericErrorGoesOn()) return GO_ON;
        this.#setNext(at, s.view.getUint8(at + uop.UOP_LENGTH));
        return LEAVE;
      case call.SSE_EXCEPTION: return memory.raise((s.get(state.CR4) & (1 << 10)) !== 0 ? VECTOR_XM : VECTOR_UD, -1);
      default: throw new RangeError(`system function ${id} does not exist`);
    }
  }

  /** What generated code asks for in place of a function that does nothing else. */
  now(id: number): number {
    this.#counts[id] = (this.#counts[id] as number) + 1;
    return this.#parts.time.now();
  }

  // ---- The instruction that is running ---------------------------------------------------------------------------------

  #register(at: number, operand: 0 | 1): number {
    return this.#state.view.getUint16(at + (operand === 0 ? uop.UOP_REGISTER_0 : uop.UOP_REGISTER_1), true);
  }
  #segmentNumber(at: number): number { return (this.#register(at, 0) - state.SEGMENT) / state.SEGMENT_STRIDE; }
  /** Operand size in bytes, from the uop. */
  #size(at: number): number { return this.#state.view.getUint8(at + uop.UOP_SIZE); }
  /** RIP = the next instruction, or so many bytes before it. */
  #setNext(at: number, before = 0): void {
    const s = this.#state;
    const sum = s.get(state.PAGE_RIP) + s.view.getUint16(at + uop.UOP_NEXT, true) - before;
    s.set64(state.RIP, sum >>> 0, this.#parts.segments.is64Bit() ? (s.high(state.PAGE_RIP) + (sum >= TWO_32 ? 1 : 0)) >>> 0 : 0);
  }
  /** Go on behind the instruction when it is `done`, else run the rest of its emitter. */
  #unless(done: boolean, at: number): number {
    if (!done) return GO_ON;
    this.#setNext(at);
    return RIP_SET;
  }
  /** Control registers may have changed how the next instruction is fetched: look it up again. A region asks at its entry what may be used. */
  #afterModeChange(at: number): number {
    this.#setNext(at);
    return LEAVE;
  }
  /** Far transfers leave the loop, so that the processor picks the interpreter of the mode it is in now. */
  #leaveIfModeChanged(): number { return this.#parts.segments.is64Bit() === this.longInterpreter ? RIP_SET : LEAVE; }
  /** Which interpreter is running. */
  longInterpreter = false;

  // ---- Groups ------------------------------------------------------------------------------------------------------------

  #cpuid(): void {
    const s = this.#state;
    const leaf = s.gpr(RAX);
    const context = this.#loop.cpuidContext();
    const hypervised = leaf >>> 16 === 0x4000 && context.model.features.has('hypervisor');
    const answer = (hypervised ? this.#loop.hypervisor()?.leaf(leaf) : null) ?? cpuid(leaf, s.gpr(RCX), context);
    s.setGpr(RAX, answer[0], 0);
    s.setGpr(RBX, answer[1], 0);
    s.setGpr(RCX, answer[2], 0);
    s.setGpr(RDX, answer[3], 0);
  }
  /** Without a hypervisor that answers they are invalid, as on a processor without virtualization. */
  #hypercall(): void {
    const s = this.#state;
    const { memory, segments } = this.#parts;
    const registers = new Uint32Array(32);
    for (let i = 0; i < 16; i++) registers.set([s.gpr(i), s.high(state.GPR + i * 8)], i * 2);
    const mode = segments.is64Bit() ? 64 : (s.get(state.CR0) & CR0_PE) === 0 || segments.isVirtual8086() ? 16 : 32;
    if (this.#loop.hypervisor()?.call(registers, s.get(state.CPL), mode) !== true) memory.raise(VECTOR_UD, -1);
    for (let i = 0; i < 16; i++) if (i !== RSP) s.setGpr(i, registers[i * 2] as number, registers[i * 2 + 1] as number);
  }
  #readRegister(): void {
    const s = this.#state;
    const { registers, memory } = this.#parts;
    const index = s.gpr(RCX);
    if (!registers.read(index)) {
      this.#loop.unknownRegister(index, false);
      memory.raise(VECTOR_GP, 0);
    }
    s.setGpr(RAX, registers.low, 0);
    s.setGpr(RDX, registers.high, 0);
  }
  #writeRegister(): void {
    const s = this.#state;
    const { registers, memory } = this.#parts;
    const index = s.gpr(RCX);
    if (!registers.write(index, s.gpr(RAX), s.gpr(RDX))) {
      this.#loop.unknownRegister(index, true);
      memory.raise(VECTOR_GP, 0);
    }
    if (index === MSR_APIC_BASE) memory.windowMoved();
  }
  #timeStamp(): void {
    const s = this.#state;
    const { time, memory } = this.#parts;
    if ((s.get(state.CR4) & CR4_TSD) !== 0 && s.get(state.CPL) !== 0) memory.raise(VECTOR_GP, 0);
    time.read();
    s.setGpr(RAX, time.low, 0);
    s.setGpr(RDX, time.high, 0);
  }
  /** DR4 and DR5 are DR6 and DR7 while CR4.DE is 0; any access with DR7.GD set is a debug exception. */
  #debugNumber(number: number): number {
    const s = this.#state;
    const alias = number === 4 || number === 5;
    if (alias && (s.get(state.CR4) & CR4_DE) !== 0) this.#parts.memory.raise(VECTOR_UD, -1);
    const control = s.get(state.DR + 56);
    if ((control & DR7_GD) !== 0) {
      s.set(state.DR + 48, (s.get(state.DR + 48) | DR6_BD) >>> 0);
      s.set(state.DR + 56, control & ~DR7_GD);
      this.#parts.memory.raise(VECTOR_DB, -1);
    }
    return alias ? number + 2 : number;
  }
  #readDebug(at: number): void {
    const s = this.#state;
    const from = state.DR + this.#debugNumber(this.#register(at, 1)) * 8;
    s.set64(this.#register(at, 0), s.get(from), s.high(from));
  }
  #writeDebug(at: number): void {
    const s = this.#state;
    const number = this.#debugNumber(this.#register(at, 0));
    const low = s.get(this.#register(at, 1));
    const high = this.#parts.segments.is64Bit() ? s.high(this.#register(at, 1)) : 0;
    if (number >= 6 && high !== 0) this.#parts.memory.raise(VECTOR_GP, 0);
    if (number === 6) s.set64(state.DR + 48, ((low & 0xe00f) | 0xffff_0ff0) >>> 0, 0);
    else if (number === 7) s.set64(state.DR + 56, ((low & ~0xd000) | 0x400) >>> 0, 0);
    else s.set64(state.DR + number * 8, low, high);
    this.#loop.debugRegistersChanged();
  }
  #loadTable(base: number, limit: number, at: number, low: number, high: number): void {
    const s = this.#state;
    const { memory, segments } = this.#parts;
    const long = segments.is64Bit();
    const baseAt = low + 2;
    const newLimit = memory.load16(low, high, false);
    memory.load(baseAt >>> 0, baseAt >= TWO_32 ? (high + 1) >>> 0 : high, long ? 8 : 4);
    let baseLow = s.get(state.VALUE);
    const baseHigh = long ? s.high(state.VALUE) : 0;
    if (!long && this.#size(at) === 2) baseLow &= 0xff_ffff;
    if (!isCanonical(baseHigh)) memory.raise(VECTOR_GP, 0);
    s.set64(base, baseLow, baseHigh);
    s.set(limit, newLimit);
  }
  /** INVPCID (SDM vol. 2): whatever is asked to go, everything goes. */
  #invalidateContext(type: number, typeHigh: number): void {
    const s = this.#state;
    const { memory } = this.#parts;
    const ONE_ADDRESS = 0, ONE_CONTEXT = 1, LAST_TYPE = 3;
    const context = s.get(state.SCRATCH + 16);
    const top = s.high(state.SCRATCH + 24) >> 15;
    if (typeHigh !== 0 || type > LAST_TYPE || context > 0xfff || s.high(state.SCRATCH + 16) !== 0
      || (type === ONE_ADDRESS && top !== 0 && top !== -1)
      || (type <= ONE_CONTEXT && context !== 0 && (s.get(state.CR4) & CR4_PCIDE) === 0)) memory.raise(VECTOR_GP, 0);
    memory.pagingChanged();
  }
  #verify(selector: number, write: boolean): void {
    const { segments, flags } = this.#parts;
    let visible = segments.probe(selector);
    if (visible) {
      const { high } = segments;
      const code = (high & SEGMENT_CODE) !== 0;
      visible = (high & DESCRIPTOR_S) !== 0 && (write ? !code && (high & SEGMENT_WRITABLE) !== 0 : !code || (high & SEGMENT_READABLE) !== 0);
    }
    flags.setZero(visible);
  }
  #descriptorInformation(id: number, at: number, selector: number): void {
    const s = this.#state;
    const { segments, flags } = this.#parts;
    let visible = segments.probe(selector);
    if (visible && (segments.high & DESCRIPTOR_S) === 0) {
      // System descriptors that LAR and LSL show (SDM vol. 2): LDT and TSS, and for LAR gates too.
      const allowed = segments.isLongMode() ? (id === call.LAR ? 0b0001_1010_0000_0100 : 0b0000_1010_0000_0100) : id === call.LAR ? 0b0001_1010_0011_1110 : 0b0000_1010_0000_1110;
      visible = ((allowed >> typeOf(segments.high)) & 1) !== 0;
    }
    if (visible) {
      const value = id === call.LAR ? segments.high & 0x00ff_ff00 : descriptorLimit(segments.low, segments.high);
      const to = this.#register(at, 0);
      if (this.#size(at) === 2) s.view.setUint16(s.at + to, value & 0xffff, true);
      else s.set64(to, value >>> 0, 0);
    }
    flags.setZero(visible);
  }
  #loadSegment(segment: number, selector: number): void {
    this.#parts.segments.load(segment, selector);
    if (segment === state.SS) this.#loop.shadow(true);
  }
  #loadFarPointer(at: number, low: number, high: number): void {
    const s = this.#state;
    this.#parts.segments.load(s.view.getUint8(at + uop.UOP_TARGET_SEGMENT), s.get(state.SCRATCH + 8) & 0xffff);
    const to = this.#register(at, 0);
    const size = this.#size(at);
    if (size === 2) s.view.setUint16(s.at + to, low & 0xffff, true);
    else s.set64(to, low, size === 8 ? high : 0);
  }
  #popSegment(at: number): void {
    const s = this.#state;
    const { memory, segments } = this.#parts;
    const size = this.#size(at);
    const long = segments.is64Bit();
    const mask = s.get(state.STACK_MASK);
    const spLow = s.gpr(RSP);
    const spHigh = s.gprHigh(RSP);
    let selector: number;
    if (long) selector = memory.load16(spLow, spHigh, false);
    else {
      const offset = (spLow & mask) >>> 0;
      segments.checkAccess(state.SS, offset, 2, false);
      selector = memory.load16((s.base(state.SS) + offset) >>> 0, 0, false);
    }
    const segment = this.#segmentNumber(at);
    segments.load(segment, selector);
    const sum = spLow + size;
    if (long) s.setGpr(RSP, sum >>> 0, sum >= TWO_32 ? (spHigh + 1) >>> 0 : spHigh);
    else s.set(state.GPR + RSP * 8, ((spLow & ~mask) | (sum & mask)) >>> 0);
    if (segment === state.SS) this.#loop.shadow(true);
  }
  #farCall(at: number, low: number, high: number): void {
    const s = this.#state;
    const nextLow = s.get(state.RIP);
    const nextHigh = s.high(state.RIP);
    this.#parts.transfer.call(s.get(state.SCRATCH + 8) & 0xffff, low, high, this.#size(at), nextLow, nextHigh);
  }
  #softwareInterrupt(at: number, vector: number, isException = false): void {
    this.#setNext(at);
    this.#loop.softwareInterrupt(vector, isException);
    this.#loop.entered();
  }
  /** ENTER with a nesting level (SDM vol. 2, ENTER). */
  #enterNested(at: number): void {
    const s = this.#state;
    const { memory, segments } = this.#parts;
    const size = this.#size(at);
    const long = segments.is64Bit();
    const mask = long ? -1 : s.get(state.STACK_MASK);
    const level = s.view.getUint16(at + uop.UOP_IMMEDIATE_2, true) & 31;
    const frame = s.view.getUint16(at + uop.UOP_IMMEDIATE, true);
    let spLow = s.gpr(RSP), spHigh = s.gprHigh(RSP);
    let bpLow = s.gpr(RBP), bpHigh = s.gprHigh(RBP);
    const address = (low: number, write: boolean): number => {
      if (long) return low;
      const offset = (low & mask) >>> 0;
      segments.checkAccess(state.SS, offset, size, write);
      return (s.base(state.SS) + offset) >>> 0;
    };
    const push = (low: number, high: number): void => {
      spHigh = spLow < size ? (spHigh - 1) >>> 0 : spHigh;
      spLow = (spLow - size) >>> 0;
      memory.storeValue(address(spLow, true), long ? spHigh : 0, size, low, high, false);
    };
    push(bpLow, bpHigh);
    const frameLow = spLow, frameHigh = spHigh;
    for (let i = 1; i < level; i++) {
      bpHigh = bpLow < size ? (bpHigh - 1) >>> 0 : bpHigh;
      bpLow = (bpLow - size) >>> 0;
      memory.load(address(bpLow, false), long ? bpHigh : 0, size);
      push(s.get(state.VALUE), s.high(state.VALUE));
    }
    push(frameLow, frameHigh);
    const lastHigh = spLow < frame ? (spHigh - 1) >>> 0 : spHigh;
    const lastLow = (spLow - frame) >>> 0;
    if (long) {
      s.setGpr(RSP, lastLow, lastHigh);
      s.setGpr(RBP, frameLow, frameHigh);
    } else {
      s.set(state.GPR + RSP * 8, ((s.gpr(RSP) & ~mask) | (lastLow & mask)) >>> 0);
      if (size === 2) s.set(state.GPR + RBP * 8, ((s.gpr(RBP) & 0xffff_0000) | (frameLow & 0xffff)) >>> 0);
      else s.set(state.GPR + RBP * 8, frameLow);
    }
  }
  #readExtended(): void {
    const s = this.#state;
    if (s.gpr(RCX) !== 0) this.#parts.memory.raise(VECTOR_GP, 0);
    s.setGpr(RAX, s.get(state.XCR0), 0);
    s.setGpr(RDX, 0, 0);
  }
  #xsave(id: number, at: number, low: number, high: number): void {
    const { xsave, segments } = this.#parts;
    const wide = this.#size(at) === 8;
    const registers = segments.is64Bit() ? 16 : 8;
    const asked = this.#state.gpr(RAX);
    const segment = this.#state.view.getUint8(at + uop.UOP_SEGMENT);
    if (id === call.XRSTOR) xsave.restore(segment, low, high, asked, wide, registers);
    else xsave.save(segment, low, high, asked, wide, registers, id === call.XSAVEOPT);
  }
  #fxsave(id: number, at: number, low: number, high: number): void {
    const { fxsave, memory, segments } = this.#parts;
    if ((this.#state.get(state.CR0) & (CR0_EM | CR0_TS)) !== 0) memory.raise(VECTOR_NM, -1);
    const wide = this.#size(at) === 8;
    const registers = segments.is64Bit() ? 16 : 8;
    if (id === call.FXSAVE) fxsave.save(low, high, wide, registers);
    else fxsave.restore(low, high, wide, registers);
  }
}
