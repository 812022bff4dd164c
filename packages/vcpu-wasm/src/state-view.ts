/** Typed access from TypeScript to one processor's block. 64-bit fields are used as two unsigned halves; no BigInt. */
import * as state from './cpu-state.ts';

export class StateView {
  /** Address of the block in the linear memory. */
  readonly at: number;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly u8: Uint8Array;
  readonly view: DataView;

  constructor(buffer: ArrayBufferLike, at: number) {
    this.at = at;
    this.u32 = new Uint32Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u8 = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }

  /** The 32-bit field at `offset`, unsigned. */
  get(offset: number): number { return this.u32[(this.at + offset) >>> 2] as number; }
  set(offset: number, value: number): void { this.u32[(this.at + offset) >>> 2] = value; }
  /** High half of the 64-bit field at `offset`; `get` gives the low half. */
  high(offset: number): number { return this.u32[(this.at + offset + 4) >>> 2] as number; }
  set64(offset: number, low: number, high: number): void {
    const index = (this.at + offset) >>> 2;
    this.u32[index] = low;
    this.u32[index + 1] = high;
  }
  /** The 64-bit field as a number: exact below 2^53 (physical addresses). */
  number(offset: number): number { return this.high(offset) * 0x1_0000_0000 + this.get(offset); }

  gpr(register: number): number { return this.get(state.GPR + register * 8); }
  gprHigh(register: number): number { return this.high(state.GPR + register * 8); }
  setGpr(register: number, low: number, high: number): void { this.set64(state.GPR + register * 8, low, high); }

  selector(segment: number): number { return this.get(state.SEGMENT + segment * state.SEGMENT_STRIDE); }
  attributes(segment: number): number { return this.get(state.SEGMENT + segment * state.SEGMENT_STRIDE + state.SEGMENT_ATTRIBUTES); }
  limit(segment: number): number { return this.get(state.SEGMENT + segment * state.SEGMENT_STRIDE + state.SEGMENT_LIMIT); }
  base(segment: number): number { return this.get(state.SEGMENT_BASE + segment * 8); }
  baseHigh(segment: number): number { return this.high(state.SEGMENT_BASE + segment * 8); }
}
