/** Segment registers and descriptors (SDM vol. 3, chapters 3 and 5). */
import {
  CR0_PE, DESCRIPTOR_DB, DESCRIPTOR_DPL_SHIFT, DESCRIPTOR_L, DESCRIPTOR_PRESENT, DESCRIPTOR_S, EFER_LMA, SEGMENT_ACCESSED, SEGMENT_CODE,
  SEGMENT_CONFORMING, SEGMENT_EXPAND_DOWN, SEGMENT_READABLE, SEGMENT_WRITABLE, SELECTOR_INDEX_MASK, SELECTOR_LDT, SYSTEM_LDT,
  SYSTEM_TSS_16_AVAILABLE, SYSTEM_TSS_AVAILABLE, VECTOR_GP, VECTOR_NP, VECTOR_SS, descriptorBase, descriptorLimit,
} from '@vm/x86';
import * as state from './cpu-state.ts';
import type { LinearMemory } from './linear-memory.ts';
import type { StateView } from './state-view.ts';

/** Bits of the descriptor's high half that a segment register keeps: type, S, DPL, P, AVL, L, D/B, G. */
export const ATTRIBUTES = 0x00f0_ff00;
const FLAG_VM = 0x2_0000;
/** Attributes of every segment in real mode: present, writable data, accessed. */
const REAL_MODE_ATTRIBUTES = 0x9300;
const VIRTUAL_8086_ATTRIBUTES = 0xf300;

export const typeOf = (high: number): number => (high >>> 8) & 15;
export const dplOf = (high: number): number => (high >>> DESCRIPTOR_DPL_SHIFT) & 3;
export const isNull = (selector: number): boolean => (selector & 0xfffc) === 0;

const limitField = (i: number): number => ((i & 1) === 0 ? state.LIMIT_READ : state.LIMIT_WRITE) + (i >> 1) * 8;

export class Segmentation {
  readonly #state: StateView;
  readonly #memory: LinearMemory;
  /** The descriptor last read. */
  low = 0;
  high = 0;
  /** Base address bits 32 to 63 of a long-mode system descriptor. */
  baseHigh = 0;

  constructor(view: StateView, memory: LinearMemory) {
    this.#state = view;
    this.#memory = memory;
  }

  isProtected(): boolean { return (this.#state.get(state.CR0) & CR0_PE) !== 0 && !this.isVirtual8086(); }
  isVirtual8086(): boolean { return (this.#state.get(state.FLAGS_OTHER) & FLAG_VM) !== 0; }
  isLongMode(): boolean { return (this.#state.get(state.EFER) & EFER_LMA) !== 0; }
  /** 64-bit code segment in long mode. */
  is64Bit(): boolean { return this.isLongMode() && (this.#state.attributes(state.CS) & DESCRIPTOR_L) !== 0; }

  // ---- Descriptor tables -------------------------------------------------------------------------------------------

  /** Address of a descriptor in `tableLow`, `tableHigh`; raises `vector` with the selector outside the table. */
  #locate(selector: number, bytes: number, vector: number): void {
    const s = this.#state;
    const local = (selector & SELECTOR_LDT) !== 0;
    const index = selector & SELECTOR_INDEX_MASK;
    const limit = local ? (s.attributes(state.LDTR) === 0 ? -1 : s.limit(state.LDTR)) : s.get(state.GDTR_LIMIT);
    if (index + bytes - 1 > limit) this.#memory.raise(vector, selector & 0xfffc);
    const baseLow = local ? s.base(state.LDTR) : s.get(state.GDTR_BASE);
    const baseHigh = local ? s.baseHigh(state.LDTR) : s.high(state.GDTR_BASE);
    this.addressLow = (baseLow + index) >>> 0;
    this.addressHigh = (baseHigh + (baseLow + index > 0xffff_ffff ? 1 : 0)) >>> 0;
    if (!this.isLongMode()) this.addressHigh = 0;
  }
  addressLow = 0;
  addressHigh = 0;

  /** Reads an 8-byte descriptor into `low` and `high`. */
  readDescriptor(selector: number, vector: number = VECTOR_GP): void {
    this.#locate(selector, 8, vector);
    this.#memory.load64(this.addressLow, this.addressHigh, true);
    this.low = this.#state.get(state.VALUE);
    this.high = this.#state.high(state.VALUE);
    this.baseHigh = 0;
  }
  /** Reads a system descriptor, 16 bytes in long mode. */
  readSystemDescriptor(selector: number, vector: number = VECTOR_GP): void {
    const long = this.isLongMode();
    this.#locate(selector, long ? 16 : 8, vector);
    const { addressLow, addressHigh } = this;
    let upper = 0;
    if (long) {
      // The type of the upper half is 0, so that no selector names it (SDM vol. 3, section 5.8.3.1).
      const nothing = this.#memory.load32((addressLow + 12) >>> 0, addressHigh, true) & 0x1f00;
      if (nothing !== 0) this.#memory.raise(vector, selector & 0xfffc);
      upper = this.#memory.load32((addressLow + 8) >>> 0, addressHigh, true);
    }
    this.#memory.load64(addressLow, addressHigh, true);
    this.low = this.#state.get(state.VALUE);
    this.high = this.#state.high(state.VALUE);
    this.baseHigh = upper;
  }
  /** Sets type bits of the descriptor last read (accessed, busy) in memory. */
  markDescriptor(bits: number): void {
    if ((this.high & bits) === bits) return;
    this.high |= bits;
    this.#memory.storeValue((this.addressLow + 4) >>> 0, this.addressHigh, 4, this.high, 0, true);
  }

  // ---- Segment registers -------------------------------------------------------------------------------------------

  /** Loads the hidden part from the descriptor last read. */
  setFromDescriptor(segment: number, selector: number): void {
    this.setSegment(segment, selector, this.high & ATTRIBUTES, descriptorBase(this.low, this.high), this.baseHigh, descriptorLimit(this.low, this.high));
  }
  setNull(segment: number, selector: number): void {
    this.setSegment(segment, selector, 0, 0, 0, 0);
  }
  setSegment(segment: number, selector: number, attributes: number, base: number, baseHigh: number, limit: number): void {
    const s = this.#state;
    const at = state.SEGMENT + segment * state.SEGMENT_STRIDE;
    s.set(at + state.SEGMENT_SELECTOR, selector);
    s.set(at + state.SEGMENT_ATTRIBUTES, attributes);
    s.set(at + state.SEGMENT_LIMIT, limit);
    s.set64(state.SEGMENT_BASE + segment * 8, base, baseHigh);
    if (segment <= state.GS) this.#updateLimits(segment, attributes, limit);
    if (segment === state.SS) s.set64(state.STACK_MASK, (attributes & DESCRIPTOR_DB) !== 0 ? 0xffff_ffff : 0xffff, 0);
    if (segment === state.CS) this.codeSegmentChanged();
    if (segment <= state.DS && !this.is64Bit()) this.#updateFlat(); // 64-bit code asks when it leaves for other code
  }
  /** A segment register with its hidden part, to put back when a fault undoes a transfer. */
  remember(segment: number): readonly number[] {
    const s = this.#state;
    return [s.selector(segment), s.attributes(segment), s.base(segment), s.baseHigh(segment), s.limit(segment)];
  }
  restore(segment: number, [selector = 0, attributes = 0, base = 0, baseHigh = 0, limit = 0]: readonly number[]): void {
    this.setSegment(segment, selector, attributes, base, baseHigh, limit);
  }
  /** What translated code of 32-bit segments relies on. */
  #updateFlat(): void {
    const flat = this.#spans(state.ES) && this.#spans(state.CS) && this.#spans(state.SS) && this.#spans(state.DS) && this.#state.get(state.STACK_MASK) === 0xffff_ffff;
    this.#state.set(state.FLAT, flat ? 1 : 0);
  }
  /** Four gigabytes from 0 on, to read and, but for CS, to write. */
  #spans(segment: number): boolean {
    const s = this.#state;
    const whole = (limits: number): boolean => s.get(limits) === 0xffff_ffff && s.high(limits) === 0;
    return s.base(segment) === 0 && whole(state.LIMIT_READ + segment * 8) && (segment === state.CS || whole(state.LIMIT_WRITE + segment * 8));
  }
  /** Real mode and virtual-8086 mode: base is the selector times 16, the limit stays (real) or is 64 KiB. */
  setRealMode(segment: number, selector: number): void {
    const virtual = this.isVirtual8086();
    this.setSegment(segment, selector, virtual ? VIRTUAL_8086_ATTRIBUTES : REAL_MODE_ATTRIBUTES, (selector << 4) >>> 0, 0,
      virtual ? 0xffff : Math.max(this.#state.limit(segment), 0xffff));
  }
  /** Code size, privilege and translation tags follow CS. */
  codeSegmentChanged(): void {
    const attributes = this.#state.attributes(state.CS);
    this.#memory.tlb.setCodeSize(this.is64Bit() ? 64 : (attributes & DESCRIPTOR_DB) !== 0 ? 32 : 16);
  }
  setCpl(cpl: number): void {
    this.#state.set(state.CPL, cpl);
    this.#memory.tlb.updateTags();
  }
  /** The offsets that generated code may use without asking. */
  #updateLimits(segment: number, attributes: number, limit: number): void {
    const s = this.#state;
    const present = (attributes & (DESCRIPTOR_PRESENT | DESCRIPTOR_S)) === (DESCRIPTOR_PRESENT | DESCRIPTOR_S);
    const code = (attributes & SEGMENT_CODE) !== 0;
    const simple = present && (code || (attributes & SEGMENT_EXPAND_DOWN) === 0);
    const real = !this.isProtected();
    const readable = simple && (!code || (attributes & SEGMENT_READABLE) !== 0 || real);
    const writable = simple && (real || (!code && (attributes & SEGMENT_WRITABLE) !== 0));
    s.set64(state.LIMIT_READ + segment * 8, readable ? limit : 0xffff_ffff, readable ? 0 : 0xffff_ffff);
    s.set64(state.LIMIT_WRITE + segment * 8, writable ? limit : 0xffff_ffff, writable ? 0 : 0xffff_ffff);
  }
  /**
   * Limits that generated code compares with itself, two bits a segment: for reading and for writing. They are from when the
   * register was loaded, and a change of mode leaves them.
   */
  get plainLimits(): number {
    let bits = 0;
    for (let i = 0; i < 12; i++) if (this.#state.high(limitField(i)) === 0) bits |= 1 << i;
    return bits;
  }
  set plainLimits(bits: number) {
    for (let i = 0; i < 12; i++) {
      const plain = ((bits >>> i) & 1) !== 0;
      this.#state.set64(limitField(i), plain ? this.#state.limit(i >> 1) : 0xffff_ffff, plain ? 0 : 0xffff_ffff);
    }
    this.#updateFlat();
  }
  /** The check that the fast comparison did not pass: raises, or comes back when the access is allowed after all. */
  checkAccess(segment: number, offset: number, bytes: number, write: boolean, error = 0): void {
    const s = this.#state;
    const attributes = s.attributes(segment);
    const vector = segment === state.SS ? VECTOR_SS : VECTOR_GP;
    if ((attributes & (DESCRIPTOR_PRESENT | DESCRIPTOR_S)) !== (DESCRIPTOR_PRESENT | DESCRIPTOR_S)) this.#memory.raise(vector, error);
    const code = (attributes & SEGMENT_CODE) !== 0;
    if (write ? code || (attributes & SEGMENT_WRITABLE) === 0 : code && (attributes & SEGMENT_READABLE) === 0) this.#memory.raise(vector, error);
    const limit = s.limit(segment);
    const last = offset + bytes - 1;
    if (!code && (attributes & SEGMENT_EXPAND_DOWN) !== 0) {
      const top = (attributes & DESCRIPTOR_DB) !== 0 ? 0xffff_ffff : 0xffff;
      if (offset <= limit || last > top) this.#memory.raise(vector, error);
      return;
    }
    if (last > limit) this.#memory.raise(vector, error);
  }

  /** MOV, POP and the L-instructions into es, ss, ds, fs or gs; SDM vol. 2, MOV. */
  load(segment: number, selector: number): void {
    const s = this.#state;
    if (!this.isProtected()) { this.setRealMode(segment, selector); return; }
    const cpl = s.get(state.CPL);
    if (isNull(selector)) {
      // A null stack segment is possible only in 64-bit mode below level 3, with RPL = CPL.
      if (segment === state.SS && (!this.is64Bit() || cpl === 3 || (selector & 3) !== cpl)) this.#memory.raise(VECTOR_GP, 0);
      this.setNull(segment, selector);
      // The base of fs and gs becomes 0 (Intel; AMD processors keep it).
      return;
    }
    this.readDescriptor(selector);
    const error = selector & 0xfffc;
    const rpl = selector & 3;
    const dpl = dplOf(this.high);
    if ((this.high & DESCRIPTOR_S) === 0) this.#memory.raise(VECTOR_GP, error);
    const code = (this.high & SEGMENT_CODE) !== 0;
    if (segment === state.SS) {
      if (code || (this.high & SEGMENT_WRITABLE) === 0 || rpl !== cpl || dpl !== cpl) this.#memory.raise(VECTOR_GP, error);
      if ((this.high & DESCRIPTOR_PRESENT) === 0) this.#memory.raise(VECTOR_SS, error);
    } else {
      if (code && (this.high & SEGMENT_READABLE) === 0) this.#memory.raise(VECTOR_GP, error);
      if ((!code || (this.high & SEGMENT_CONFORMING) === 0) && (rpl > dpl || cpl > dpl)) this.#memory.raise(VECTOR_GP, error);
      if ((this.high & DESCRIPTOR_PRESENT) === 0) this.#memory.raise(VECTOR_NP, error);
    }
    this.markDescriptor(SEGMENT_ACCESSED);
    this.setFromDescriptor(segment, selector);
  }
  /** After a return to an outer level, data segments of an inner level are made null (SDM vol. 3, section 5.8.6). */
  dropInnerSegments(cpl: number): void {
    for (const segment of [state.ES, state.DS, state.FS, state.GS]) {
      const attributes = this.#state.attributes(segment);
      const conforming = (attributes & (SEGMENT_CODE | SEGMENT_CONFORMING)) === (SEGMENT_CODE | SEGMENT_CONFORMING);
      if (!conforming && dplOf(attributes) < cpl && (attributes & DESCRIPTOR_PRESENT) !== 0) this.setNull(segment, 0);
    }
  }

  loadLocalTable(selector: number): void {
    if (isNull(selector)) { this.setNull(state.LDTR, selector); return; }
    const error = selector & 0xfffc;
    if ((selector & SELECTOR_LDT) !== 0) this.#memory.raise(VECTOR_GP, error);
    this.readSystemDescriptor(selector);
    if ((this.high & DESCRIPTOR_S) !== 0 || typeOf(this.high) !== SYSTEM_LDT) this.#memory.raise(VECTOR_GP, error);
    if ((this.high & DESCRIPTOR_PRESENT) === 0) this.#memory.raise(VECTOR_NP, error);
    this.setFromDescriptor(state.LDTR, selector);
  }
  loadTask(selector: number): void {
    const error = selector & 0xfffc;
    if (isNull(selector) || (selector & SELECTOR_LDT) !== 0) this.#memory.raise(VECTOR_GP, error);
    this.readSystemDescriptor(selector);
    const type = typeOf(this.high);
    if ((this.high & DESCRIPTOR_S) !== 0 || (type !== SYSTEM_TSS_AVAILABLE && (type !== SYSTEM_TSS_16_AVAILABLE || this.isLongMode()))) this.#memory.raise(VECTOR_GP, error);
    if ((this.high & DESCRIPTOR_PRESENT) === 0) this.#memory.raise(VECTOR_NP, error);
    this.markDescriptor(0x200); // busy
    this.setFromDescriptor(state.TR, selector);
  }

  /** LAR, LSL, VERR, VERW: whether the descriptor is visible; it is in `low` and `high` then. No faults but of paging. */
  probe(selector: number): boolean {
    const s = this.#state;
    if (isNull(selector)) return false;
    const local = (selector & SELECTOR_LDT) !== 0;
    const limit = local ? (s.attributes(state.LDTR) === 0 ? -1 : s.limit(state.LDTR)) : s.get(state.GDTR_LIMIT);
    if ((selector & SELECTOR_INDEX_MASK) + 7 > limit) return false;
    this.readDescriptor(selector);
    if ((this.high & (DESCRIPTOR_S | SEGMENT_CODE | SEGMENT_CONFORMING)) === (DESCRIPTOR_S | SEGMENT_CODE | SEGMENT_CONFORMING)) return true;
    return dplOf(this.high) >= Math.max(s.get(state.CPL), selector & 3);
  }
}
