/** The FXSAVE image (SDM vol. 1, section 10.5.1), 512 bytes of x87, MMX and SSE state; it is the first part of an XSAVE area too. */
import { VECTOR_GP } from '@vm/x86';
import * as state from './cpu-state.ts';
import type { LinearMemory } from './linear-memory.ts';
import type { StateView } from './state-view.ts';

export const IMAGE_BYTES = 512;
/** Where MXCSR and its mask stand, and the registers. */
export const MXCSR_OFFSET = 24;
export const ST_OFFSET = 32;
export const XMM_OFFSET = 160;
/** Bits of MXCSR that exist: flags, DAZ, masks, rounding, FTZ. */
export const MXCSR_MASK = 0xffff;
/** ES and B of the x87 status word. */
const X87_SUMMARY = 0x8080;
const X87_INITIAL_CONTROL = 0x37f;

/** An area in guest memory that registers are gathered in and taken from; at most two pages long. */
export class StateImage {
  readonly #state: StateView;
  readonly #memory: LinearMemory;
  readonly view: DataView;
  readonly #bytes: Uint8Array;
  #low = 0;
  #high = 0;

  constructor(view: StateView, memory: LinearMemory, bytes: number) {
    this.#state = view;
    this.#memory = memory;
    this.#bytes = new Uint8Array(bytes);
    this.view = new DataView(this.#bytes.buffer);
  }

  /** The image lies at this address; #GP when that is no multiple of `alignment`. */
  place(low: number, high: number, alignment: number): void {
    if ((low & (alignment - 1)) !== 0) this.#memory.raise(VECTOR_GP, 0);
    this.#low = low;
    this.#high = high;
  }
  load(from: number, to: number): void {
    const offset = this.#hostOffset(from, to, false);
    if (offset >= 0) {
      this.#bytes.set(this.#state.u8.subarray(offset, offset + to - from), from);
      return;
    }
    for (let at = from; at < to; at += 8) {
      this.#memory.load((this.#low + at) >>> 0, this.#carry(at), 8);
      this.view.setUint32(at, this.#state.get(state.VALUE), true);
      this.view.setUint32(at + 4, this.#state.high(state.VALUE), true);
    }
  }
  /** Before the first store: both ends can be written. */
  probe(from: number, to: number): void {
    this.#memory.loadForUpdate((this.#low + from) >>> 0, this.#carry(from), 1);
    this.#memory.loadForUpdate((this.#low + to - 1) >>> 0, this.#carry(to - 1), 1);
  }
  store(from: number, to: number): void {
    const offset = this.#hostOffset(from, to, true);
    if (offset >= 0) {
      this.#state.u8.set(this.#bytes.subarray(from, to), offset);
      return;
    }
    for (let at = from; at < to; at += 8) {
      this.#memory.storeValue((this.#low + at) >>> 0, this.#carry(at), 8, this.view.getUint32(at, true), this.view.getUint32(at + 4, true), false);
    }
  }
  #hostOffset(from: number, to: number, write: boolean): number { return this.#memory.hostOffset((this.#low + from) >>> 0, this.#carry(from), to - from, write); }
  #carry(add: number): number { return this.#low + add > 0xffff_ffff ? (this.#high + 1) >>> 0 : this.#high; }

  // ---- Registers -------------------------------------------------------------------------------------------------------

  /** `wide`: 64-bit instruction and data pointers. */
  gatherX87(wide: boolean): void {
    const s = this.#state;
    const image = this.view;
    const top = s.get(state.X87_TOP) & 7;
    image.setUint16(0, s.get(state.X87_CONTROL), true);
    image.setUint16(2, (s.get(state.X87_STATUS) & ~0x3800) | (top << 11), true);
    let tags = 0;
    for (let i = 0; i < 8; i++) if (s.u8[s.at + state.X87_EMPTY + i] === 0) tags |= 1 << i;
    image.setUint8(4, tags);
    image.setUint8(5, 0);
    image.setUint16(6, s.get(state.X87_OPCODE) & 0x7ff, true);
    image.setUint32(8, s.get(state.X87_INSTRUCTION_POINTER), true);
    image.setUint32(16, s.get(state.X87_DATA_POINTER), true);
    if (wide) {
      image.setUint32(12, s.high(state.X87_INSTRUCTION_POINTER), true);
      image.setUint32(20, s.high(state.X87_DATA_POINTER), true);
    } else {
      image.setUint32(12, s.get(state.X87_CODE_SELECTOR) & 0xffff, true);
      image.setUint32(20, s.get(state.X87_DATA_SELECTOR) & 0xffff, true);
    }
    for (let i = 0; i < 8; i++) {
      const from = s.at + state.X87 + ((top + i) & 7) * 16;
      for (let b = 0; b < 16; b++) image.setUint8(ST_OFFSET + i * 16 + b, b < 10 ? s.u8[from + b] as number : 0);
    }
  }
  gatherControl(): void {
    this.view.setUint32(MXCSR_OFFSET, this.#state.get(state.MXCSR), true);
    this.view.setUint32(MXCSR_OFFSET + 4, MXCSR_MASK, true);
  }
  /** `count` vector registers of 16 bytes, from the field `field` of the state to `to`. */
  gatherVectors(field: number, to: number, count: number): void {
    const s = this.#state;
    this.#bytes.set(s.u8.subarray(s.at + field, s.at + field + count * 16), to);
  }

  applyX87(wide: boolean): void {
    const s = this.#state;
    const image = this.view;
    s.set(state.X87_CONTROL, (image.getUint16(0, true) & 0x1f3f) | 0x40);
    const status = image.getUint16(2, true);
    const top = (status >> 11) & 7;
    // ES and B follow from the exceptions that are not masked, whatever the image says.
    const pending = (status & ~s.get(state.X87_CONTROL) & 0x3f) !== 0 ? X87_SUMMARY : 0;
    s.set(state.X87_STATUS, (status & ~0x3800 & ~X87_SUMMARY) | pending);
    s.set(state.X87_TOP, top);
    const tags = image.getUint8(4);
    for (let i = 0; i < 8; i++) s.u8[s.at + state.X87_EMPTY + i] = ((tags >> i) & 1) ^ 1;
    s.set(state.X87_OPCODE, image.getUint16(6, true) & 0x7ff);
    s.set64(state.X87_INSTRUCTION_POINTER, image.getUint32(8, true), wide ? image.getUint32(12, true) : 0);
    s.set64(state.X87_DATA_POINTER, image.getUint32(16, true), wide ? image.getUint32(20, true) : 0);
    s.set(state.X87_CODE_SELECTOR, wide ? 0 : image.getUint16(12, true));
    s.set(state.X87_DATA_SELECTOR, wide ? 0 : image.getUint16(20, true));
    for (let i = 0; i < 8; i++) {
      const to = s.at + state.X87 + ((top + i) & 7) * 16;
      for (let b = 0; b < 10; b++) s.u8[to + b] = image.getUint8(ST_OFFSET + i * 16 + b);
    }
  }
  /** The x87 as XRSTOR leaves it when the area has nothing for it (SDM vol. 1, section 13.6). */
  initializeX87(): void {
    this.#bytes.fill(0, 0, MXCSR_OFFSET).fill(0, ST_OFFSET, XMM_OFFSET);
    this.view.setUint16(0, X87_INITIAL_CONTROL, true);
    this.applyX87(true);
  }
  /** #GP when the image's MXCSR has bits that do not exist. */
  checkControl(): void { if ((this.view.getUint32(MXCSR_OFFSET, true) & ~MXCSR_MASK) !== 0) this.#memory.raise(VECTOR_GP, 0); }
  applyControl(): void { this.#state.set(state.MXCSR, this.view.getUint32(MXCSR_OFFSET, true)); }
  applyVectors(field: number, from: number, count: number): void {
    const s = this.#state;
    s.u8.set(this.#bytes.subarray(from, from + count * 16), s.at + field);
  }
}

export class FxsaveImage {
  readonly #image: StateImage;

  constructor(view: StateView, memory: LinearMemory) { this.#image = new StateImage(view, memory, IMAGE_BYTES); }

  /** `wide`: 64-bit instruction and data pointers (FXSAVE64). `registers`: 16 xmm registers in 64-bit mode, else 8. */
  save(low: number, high: number, wide: boolean, registers: number): void {
    const image = this.#image;
    const bytes = XMM_OFFSET + registers * 16;
    image.place(low, high, 16);
    image.gatherX87(wide);
    image.gatherControl();
    image.gatherVectors(state.XMM, XMM_OFFSET, registers);
    image.probe(0, bytes);
    image.store(0, bytes);
  }
  restore(low: number, high: number, wide: boolean, registers: number): void {
    const image = this.#image;
    image.place(low, high, 16);
    image.load(0, XMM_OFFSET + registers * 16);
    image.checkControl();
    image.applyControl();
    image.applyX87(wide);
    image.applyVectors(state.XMM, XMM_OFFSET, registers);
  }
}
