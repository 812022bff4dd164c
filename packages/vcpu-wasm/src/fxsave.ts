/** The FXSAVE image (SDM vol. 1, section 10.5.1): x87, MMX and SSE state, 512 bytes. */
import { VECTOR_GP } from '@vm/x86';
import * as state from './cpu-state.ts';
import type { LinearMemory } from './linear-memory.ts';
import type { StateView } from './state-view.ts';

const IMAGE_BYTES = 512;
const MXCSR_OFFSET = 24;
const ST_OFFSET = 32;
/** ES and B of the x87 status word. */
const X87_SUMMARY = 0x8080;
const XMM_OFFSET = 160;
/** Bits of MXCSR that exist: flags, DAZ, masks, rounding, FTZ. */
export const MXCSR_MASK = 0xffff;

export class FxsaveImage {
  readonly #state: StateView;
  readonly #memory: LinearMemory;
  readonly #image = new DataView(new ArrayBuffer(IMAGE_BYTES));

  constructor(view: StateView, memory: LinearMemory) {
    this.#state = view;
    this.#memory = memory;
  }

  /** `wide`: 64-bit instruction and data pointers (FXSAVE64). `registers`: 16 xmm registers in 64-bit mode, else 8. */
  save(low: number, high: number, wide: boolean, registers: number): void {
    this.#align(low);
    const s = this.#state;
    const image = this.#image;
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
    image.setUint32(MXCSR_OFFSET, s.get(state.MXCSR), true);
    image.setUint32(MXCSR_OFFSET + 4, MXCSR_MASK, true);
    for (let i = 0; i < 8; i++) {
      const from = s.at + state.X87 + ((top + i) & 7) * 16;
      for (let b = 0; b < 16; b++) image.setUint8(ST_OFFSET + i * 16 + b, b < 10 ? s.u8[from + b] as number : 0);
    }
    for (let b = 0; b < registers * 16; b++) image.setUint8(XMM_OFFSET + b, s.u8[s.at + state.XMM + b] as number);
    const bytes = XMM_OFFSET + registers * 16;
    // Both ends are proved writable first; the image spans at most two pages.
    this.#memory.loadForUpdate(low, high, 1);
    this.#memory.loadForUpdate((low + bytes - 1) >>> 0, this.#carry(low, high, bytes - 1), 1);
    for (let at = 0; at < bytes; at += 8) {
      this.#memory.storeValue((low + at) >>> 0, this.#carry(low, high, at), 8, image.getUint32(at, true), image.getUint32(at + 4, true), false);
    }
  }
  restore(low: number, high: number, wide: boolean, registers: number): void {
    this.#align(low);
    const s = this.#state;
    const image = this.#image;
    const bytes = XMM_OFFSET + registers * 16;
    for (let at = 0; at < bytes; at += 8) {
      this.#memory.load((low + at) >>> 0, this.#carry(low, high, at), 8);
      image.setUint32(at, s.get(state.VALUE), true);
      image.setUint32(at + 4, s.high(state.VALUE), true);
    }
    const mxcsr = image.getUint32(MXCSR_OFFSET, true);
    if ((mxcsr & ~MXCSR_MASK) !== 0) this.#memory.raise(VECTOR_GP, 0);
    s.set(state.MXCSR, mxcsr);
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
    for (let b = 0; b < registers * 16; b++) s.u8[s.at + state.XMM + b] = image.getUint8(XMM_OFFSET + b);
  }
  #align(low: number): void { if ((low & 15) !== 0) this.#memory.raise(VECTOR_GP, 0); }
  #carry(low: number, high: number, add: number): number { return low + add > 0xffff_ffff ? (high + 1) >>> 0 : high; }
}
