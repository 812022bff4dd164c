/** Hardware task switches (SDM vol. 3, section 8.3), outside long mode. */
import {
  CR0_PG, CR0_TS, DESCRIPTOR_PRESENT, DESCRIPTOR_S, FLAG_ALWAYS_ONE, FLAG_NT, FLAG_VM, SEGMENT_ACCESSED, SEGMENT_CODE, SEGMENT_CONFORMING, SEGMENT_READABLE,
  SEGMENT_WRITABLE, SELECTOR_LDT, SYSTEM_LDT, VECTOR_GP, VECTOR_NP, VECTOR_SS, VECTOR_TS,
} from '@vm/x86';
import type { ControlRegisters } from './control-registers.ts';
import * as state from './cpu-state.ts';
import type { FlagsRegister } from './flags-register.ts';
import type { GuestFault } from './guest-fault.ts';
import type { LinearMemory } from './linear-memory.ts';
import { dplOf, isNull, typeOf } from './segmentation.ts';
import type { Segmentation } from './segmentation.ts';
import type { StateView } from './state-view.ts';

/** What asks for the switch: a far jump, a far call or an event through a task gate, or IRET with NT. */
export const TASK_JUMP = 0;
export const TASK_CALL = 1;
export const TASK_RETURN = 2;
export type TaskCause = typeof TASK_JUMP | typeof TASK_CALL | typeof TASK_RETURN;

const BUSY = 0x200;
/** Where the fields of a task-state segment lie (SDM vol. 3, figures 8-2 and 8-10). */
interface TssLayout { readonly bytes: number; readonly lastByte: number; readonly ip: number; readonly flags: number; readonly registers: number; readonly selectors: number; readonly selectorStride: number; readonly segments: number; readonly ldt: number }
const TSS_32: TssLayout = { bytes: 4, lastByte: 0x67, ip: 0x20, flags: 0x24, registers: 0x28, selectors: 0x48, selectorStride: 4, segments: 6, ldt: 0x60 };
const TSS_16: TssLayout = { bytes: 2, lastByte: 0x2b, ip: 0x0e, flags: 0x10, registers: 0x12, selectors: 0x22, selectorStride: 2, segments: 4, ldt: 0x2a };
const TSS_CR3 = 0x1c;
const TSS_TRAP = 0x64;
/** L0 to L3. */
const DR7_LOCAL = 0x55;

/** What a switch needs from the processor's loop. */
export interface TaskSwitchListener {
  debugRegistersChanged(): void;
  /** The new task begins with a debug exception. */
  taskTrap(): void;
}

export class TaskSwitch {
  readonly #state: StateView;
  readonly #memory: LinearMemory;
  readonly #segments: Segmentation;
  readonly #flags: FlagsRegister;
  readonly #control: ControlRegisters;
  readonly #fault: GuestFault;
  readonly #loop: TaskSwitchListener;

  constructor(view: StateView, memory: LinearMemory, segments: Segmentation, flags: FlagsRegister, control: ControlRegisters, fault: GuestFault, loop: TaskSwitchListener) {
    this.#state = view;
    this.#memory = memory;
    this.#segments = segments;
    this.#flags = flags;
    this.#control = control;
    this.#fault = fault;
    this.#loop = loop;
  }

  /** Saves the running task with `rip` as its next instruction and enters the one of `selector`. */
  enter(selector: number, cause: TaskCause, rip: number): void {
    const s = this.#state;
    const memory = this.#memory;
    const segments = this.#segments;
    const vector = cause === TASK_RETURN ? VECTOR_TS : VECTOR_GP;
    const error = selector & 0xfffc;
    if (isNull(selector) || (selector & SELECTOR_LDT) !== 0) memory.raise(vector, error);
    segments.readDescriptor(selector, vector);
    const type = typeOf(segments.high);
    const busy = (type & 2) !== 0;
    if ((segments.high & DESCRIPTOR_S) !== 0 || (type & ~0xa) !== 1 || busy !== (cause === TASK_RETURN)) memory.raise(vector, error);
    if ((segments.high & DESCRIPTOR_PRESENT) === 0) memory.raise(VECTOR_NP, error);
    const layout = (type & 8) !== 0 ? TSS_32 : TSS_16;
    const { low, high, addressLow, addressHigh } = segments;
    const base = ((low >>> 16) | ((high & 0xff) << 16) | (high & 0xff00_0000)) >>> 0;
    let limit = (low & 0xffff) | (high & 0xf_0000);
    if ((high & 0x80_0000) !== 0) limit = ((limit << 12) | 0xfff) >>> 0;
    if (limit < layout.lastByte) memory.raise(VECTOR_TS, error);

    // The new state is read whole before the old is touched, so that a page fault leaves everything as it was.
    const at = (offset: number): number => (base + offset) >>> 0;
    const read = (offset: number, bytes: number): number => (bytes === 4 ? memory.load32(at(offset), 0, true) : memory.load16(at(offset), 0, true));
    const ip = read(layout.ip, layout.bytes);
    let flags = read(layout.flags, layout.bytes);
    const registers = Array.from({ length: 8 }, (_, i) => read(layout.registers + i * layout.bytes, layout.bytes));
    const selectors = Array.from({ length: layout.segments }, (_, i) => read(layout.selectors + i * layout.selectorStride, 2));
    const ldt = read(layout.ldt, 2);
    const trap = layout === TSS_32 && (read(TSS_TRAP, 2) & 1) !== 0;
    const cr3 = layout === TSS_32 && (s.get(state.CR0) & CR0_PG) !== 0 ? read(TSS_CR3, 4) : -1;

    const oldSelector = s.selector(state.TR);
    this.#saveOld(cause, rip);
    if (cause !== TASK_CALL) this.#setBusy(oldSelector, false);
    if (cause === TASK_CALL) {
      memory.storeValue(at(0), 0, 2, oldSelector, 0, true);
      flags |= FLAG_NT;
    }
    segments.low = low;
    segments.high = high;
    segments.addressLow = addressLow;
    segments.addressHigh = addressHigh;
    segments.baseHigh = 0;
    if (cause !== TASK_RETURN) segments.markDescriptor(BUSY);
    segments.setFromDescriptor(state.TR, selector);
    this.#control.writeCr0((s.get(state.CR0) | CR0_TS) >>> 0);
    if (cr3 >= 0) this.#control.write(3, cr3, 0);
    // Breakpoints of the old task go (SDM vol. 3, section 17.2.4), and the new one may ask for a trap before it begins (8.2.1).
    s.set(state.DR + 56, s.get(state.DR + 56) & ~DR7_LOCAL);
    this.#loop.debugRegistersChanged();
    if (trap) this.#loop.taskTrap();
    this.#fault.ripSet = true;
    this.#loadNew(ip, flags, registers, selectors, ldt, layout);
    this.#fault.ripSet = false;
  }

  #saveOld(cause: TaskCause, rip: number): void {
    const s = this.#state;
    const layout = (typeOf(s.attributes(state.TR)) & 8) !== 0 ? TSS_32 : TSS_16;
    const base = s.base(state.TR);
    const store = (offset: number, bytes: number, value: number): void => this.#memory.storeValue((base + offset) >>> 0, 0, bytes, value, 0, true);
    const flags = this.#flags.read();
    store(layout.ip, layout.bytes, rip);
    store(layout.flags, layout.bytes, cause === TASK_RETURN ? flags & ~FLAG_NT : flags);
    for (let i = 0; i < 8; i++) store(layout.registers + i * layout.bytes, layout.bytes, s.gpr(i));
    for (let i = 0; i < layout.segments; i++) store(layout.selectors + i * layout.selectorStride, 2, s.selector(i));
  }
  #setBusy(selector: number, busy: boolean): void {
    const segments = this.#segments;
    segments.readDescriptor(selector);
    const high = busy ? segments.high | BUSY : segments.high & ~BUSY;
    this.#memory.storeValue((segments.addressLow + 4) >>> 0, segments.addressHigh, 4, high, 0, true);
  }

  /** From here on the new task runs, and faults are its own (#TS). */
  #loadNew(ip: number, flags: number, registers: readonly number[], selectors: readonly number[], ldt: number, layout: TssLayout): void {
    const s = this.#state;
    const segments = this.#segments;
    s.set64(state.RIP, ip, 0);
    registers.forEach((value, i) => s.setGpr(i, layout === TSS_32 ? value : ((s.gpr(i) & 0xffff_0000) | value) >>> 0, 0));
    this.#flags.write((flags & (layout === TSS_32 ? 0xffff_ffff : 0xffff)) | FLAG_ALWAYS_ONE);
    // All segment registers hold their selectors and nothing else until each is checked.
    const all = [...selectors, ...Array.from({ length: 6 - selectors.length }, () => 0)];
    s.set(state.CPL, (flags & FLAG_VM) !== 0 && layout === TSS_32 ? 3 : (all[state.CS] as number) & 3);
    all.forEach((selector, segment) => segments.setNull(segment, selector));
    this.#loadLdt(ldt);
    if (segments.isVirtual8086()) {
      all.forEach((selector, segment) => segments.setRealMode(segment, selector));
      segments.setCpl(3);
      return;
    }
    this.#loadCode(all[state.CS] as number);
    this.#loadStack(all[state.SS] as number);
    for (const segment of [state.ES, state.DS, state.FS, state.GS]) this.#loadData(segment, all[segment] as number);
    segments.setCpl((all[state.CS] as number) & 3);
  }
  #loadLdt(selector: number): void {
    const segments = this.#segments;
    const error = selector & 0xfffc;
    segments.setNull(state.LDTR, selector);
    if (isNull(selector)) return;
    if ((selector & SELECTOR_LDT) !== 0) this.#memory.raise(VECTOR_TS, error);
    segments.readDescriptor(selector, VECTOR_TS);
    if ((segments.high & (DESCRIPTOR_S | DESCRIPTOR_PRESENT)) !== DESCRIPTOR_PRESENT || typeOf(segments.high) !== SYSTEM_LDT) this.#memory.raise(VECTOR_TS, error);
    segments.setFromDescriptor(state.LDTR, selector);
  }
  #loadCode(selector: number): void {
    const segments = this.#segments;
    const error = selector & 0xfffc;
    if (isNull(selector)) this.#memory.raise(VECTOR_TS, 0);
    segments.readDescriptor(selector, VECTOR_TS);
    const { high } = segments;
    const rpl = selector & 3;
    if ((high & (DESCRIPTOR_S | SEGMENT_CODE)) !== (DESCRIPTOR_S | SEGMENT_CODE)
      || ((high & SEGMENT_CONFORMING) !== 0 ? dplOf(high) > rpl : dplOf(high) !== rpl)) this.#memory.raise(VECTOR_TS, error);
    if ((high & DESCRIPTOR_PRESENT) === 0) this.#memory.raise(VECTOR_NP, error);
    segments.markDescriptor(SEGMENT_ACCESSED);
    segments.setFromDescriptor(state.CS, selector);
  }
  #loadStack(selector: number): void {
    const segments = this.#segments;
    const error = selector & 0xfffc;
    const cpl = this.#state.get(state.CPL);
    if (isNull(selector)) this.#memory.raise(VECTOR_TS, 0);
    segments.readDescriptor(selector, VECTOR_TS);
    const { high } = segments;
    if ((high & (DESCRIPTOR_S | SEGMENT_CODE | SEGMENT_WRITABLE)) !== (DESCRIPTOR_S | SEGMENT_WRITABLE) || (selector & 3) !== cpl || dplOf(high) !== cpl) this.#memory.raise(VECTOR_TS, error);
    if ((high & DESCRIPTOR_PRESENT) === 0) this.#memory.raise(VECTOR_SS, error);
    segments.markDescriptor(SEGMENT_ACCESSED);
    segments.setFromDescriptor(state.SS, selector);
  }
  #loadData(segment: number, selector: number): void {
    const segments = this.#segments;
    const error = selector & 0xfffc;
    if (isNull(selector)) return;
    segments.readDescriptor(selector, VECTOR_TS);
    const { high } = segments;
    const code = (high & SEGMENT_CODE) !== 0;
    const privileged = !code || (high & SEGMENT_CONFORMING) === 0;
    if ((high & DESCRIPTOR_S) === 0 || (code && (high & SEGMENT_READABLE) === 0)
      || (privileged && dplOf(high) < Math.max(this.#state.get(state.CPL), selector & 3))) this.#memory.raise(VECTOR_TS, error);
    if ((high & DESCRIPTOR_PRESENT) === 0) this.#memory.raise(VECTOR_NP, error);
    segments.markDescriptor(SEGMENT_ACCESSED);
    segments.setFromDescriptor(segment, selector);
  }
}
