/** XSAVE, XSAVEOPT and XRSTOR in the standard format (SDM vol. 1, chapter 13), and the register that says which state they know. */
import { AVX_BYTES, AVX_OFFSET, VECTOR_GP, XSTATE_AVX, XSTATE_SSE, XSTATE_X87 } from '@vm/x86';
import * as state from './cpu-state.ts';
import { IMAGE_BYTES, MXCSR_OFFSET, ST_OFFSET, StateImage, XMM_OFFSET } from './fxsave.ts';
import type { LinearMemory } from './linear-memory.ts';
import type { Segmentation } from './segmentation.ts';
import type { StateView } from './state-view.ts';

export { AVX_OFFSET, isExtendedControl, stateComponents, XSTATE_AVX, XSTATE_SSE } from '@vm/x86';

const ALIGNMENT = 64;
const WHOLE = 0x1_0000_0000;
const X87_INITIAL_CONTROL = 0x37f;

export class XsaveArea {
  readonly #state: StateView;
  readonly #memory: LinearMemory;
  readonly #segments: Segmentation;
  readonly #image: StateImage;

  constructor(view: StateView, memory: LinearMemory, segments: Segmentation) {
    this.#state = view;
    this.#memory = memory;
    this.#segments = segments;
    this.#image = new StateImage(view, memory, AVX_OFFSET + AVX_BYTES);
  }

  /** Where the segment ends below the component behind the header, that is a fault: the instruction has checked what comes before. */
  #checkExtended(segment: number, low: number, write: boolean): void {
    if (this.#segments.is64Bit()) return;
    const offset = (low - this.#state.base(segment)) >>> 0;
    if (offset + AVX_OFFSET + AVX_BYTES <= WHOLE) this.#segments.checkAccess(segment, offset + AVX_OFFSET, AVX_BYTES, write);
  }
  /** `segment` is that of the memory operand. `asked` is EDX:EAX, of which only the low half can matter. `optimized`: what is in its initial state is not stored. */
  save(segment: number, low: number, high: number, asked: number, wide: boolean, registers: number, optimized: boolean): void {
    const image = this.#image;
    const wanted = asked & this.#state.get(state.XCR0);
    const used = this.#inUse(registers);
    const stored = optimized ? wanted & used : wanted;
    const control = (wanted & (XSTATE_SSE | XSTATE_AVX)) !== 0;
    image.place(low, high, ALIGNMENT);
    image.load(IMAGE_BYTES, IMAGE_BYTES + 8);
    image.view.setUint32(IMAGE_BYTES, (image.view.getUint32(IMAGE_BYTES, true) & ~wanted) | (wanted & used), true);
    if ((stored & XSTATE_AVX) !== 0) this.#checkExtended(segment, low, true);
    if ((stored & XSTATE_X87) !== 0) image.gatherX87(wide);
    if (control) image.gatherControl();
    image.gatherVectors(state.XMM, XMM_OFFSET, registers);
    image.gatherVectors(state.YMM_HIGH, AVX_OFFSET, registers);
    image.probe(0, (stored & XSTATE_AVX) !== 0 ? AVX_OFFSET + registers * 16 : IMAGE_BYTES + 8);
    if ((stored & XSTATE_X87) !== 0) {
      image.store(0, MXCSR_OFFSET);
      image.store(ST_OFFSET, XMM_OFFSET);
    }
    if (control) image.store(MXCSR_OFFSET, ST_OFFSET);
    if ((stored & XSTATE_SSE) !== 0) image.store(XMM_OFFSET, XMM_OFFSET + registers * 16);
    if ((stored & XSTATE_AVX) !== 0) image.store(AVX_OFFSET, AVX_OFFSET + registers * 16);
    image.store(IMAGE_BYTES, IMAGE_BYTES + 8);
  }

  restore(segment: number, low: number, high: number, asked: number, wide: boolean, registers: number): void {
    const image = this.#image;
    const enabled = this.#state.get(state.XCR0);
    const wanted = asked & enabled;
    image.place(low, high, ALIGNMENT);
    image.load(0, AVX_OFFSET);
    const header = (at: number): number => image.view.getUint32(IMAGE_BYTES + at, true);
    const present = header(0);
    // The compacted format is not there, so its word is 0, and so is the one after it.
    if ((present & ~enabled) !== 0 || [4, 8, 12, 16, 20].some((at) => header(at) !== 0)) this.#memory.raise(VECTOR_GP, 0);
    const control = (wanted & (XSTATE_SSE | XSTATE_AVX)) !== 0;
    if (control) image.checkControl();
    if ((wanted & present & XSTATE_AVX) !== 0) this.#checkExtended(segment, low, false);
    if ((wanted & present & XSTATE_AVX) !== 0) image.load(AVX_OFFSET, AVX_OFFSET + registers * 16);
    if ((wanted & XSTATE_X87) !== 0) {
      if ((present & XSTATE_X87) !== 0) image.applyX87(wide);
      else image.initializeX87();
    }
    if (control) image.applyControl();
    if ((wanted & XSTATE_SSE) !== 0) this.#vectors(state.XMM, XMM_OFFSET, registers, (present & XSTATE_SSE) !== 0);
    if ((wanted & XSTATE_AVX) !== 0) this.#vectors(state.YMM_HIGH, AVX_OFFSET, registers, (present & XSTATE_AVX) !== 0);
  }
  #vectors(field: number, from: number, registers: number, present: boolean): void {
    if (present) this.#image.applyVectors(field, from, registers);
    else this.#state.u8.fill(0, this.#state.at + field, this.#state.at + field + registers * 16);
  }

  /** Components that are not in their initial state (XINUSE, SDM vol. 1, section 13.6). */
  #inUse(registers: number): number {
    const s = this.#state;
    const isZero = (field: number, bytes: number): boolean => !s.u8.subarray(s.at + field, s.at + field + bytes).some((byte) => byte !== 0);
    const emptied = s.get(state.X87_EMPTY) === 0x0101_0101 && s.high(state.X87_EMPTY) === 0x0101_0101;
    const x87 = !emptied || s.get(state.X87_CONTROL) !== X87_INITIAL_CONTROL || s.get(state.X87_STATUS) !== 0 || s.get(state.X87_TOP) !== 0
      || !isZero(state.X87, 128) || !isZero(state.X87_OPCODE, state.MXCSR - state.X87_OPCODE);
    return (x87 ? XSTATE_X87 : 0) | (isZero(state.XMM, registers * 16) ? 0 : XSTATE_SSE) | (isZero(state.YMM_HIGH, registers * 16) ? 0 : XSTATE_AVX);
  }
}
