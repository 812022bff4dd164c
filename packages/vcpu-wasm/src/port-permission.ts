/** I/O privilege: IOPL, then the permission bitmap of the TSS (SDM vol. 1, section 19.5). */
import { FLAG_IOPL, VECTOR_GP } from '@vm/x86';
import * as state from './cpu-state.ts';
import type { LinearMemory } from './linear-memory.ts';
import { typeOf } from './segmentation.ts';
import type { Segmentation } from './segmentation.ts';
import type { StateView } from './state-view.ts';

const IOPL_SHIFT = 12;
const TSS_MAP_BASE = 0x66;
/** Type bit of the TSSs that have a bitmap. */
const TSS_32 = 8;

export class PortPermission {
  readonly #state: StateView;
  readonly #memory: LinearMemory;
  readonly #segments: Segmentation;

  constructor(view: StateView, memory: LinearMemory, segments: Segmentation) {
    this.#state = view;
    this.#memory = memory;
    this.#segments = segments;
  }

  /** #GP(0) when the program may not use all of the `bytes` ports from `port` on. */
  check(port: number, bytes: number): void {
    const s = this.#state;
    const cpl = s.get(state.CPL);
    if (cpl === 0 || (cpl <= (s.get(state.FLAGS_OTHER) & FLAG_IOPL) >> IOPL_SHIFT && !this.#segments.isVirtual8086())) return;
    const limit = s.limit(state.TR);
    if (limit <= TSS_MAP_BASE || (typeOf(s.attributes(state.TR)) & TSS_32) === 0) this.#memory.raise(VECTOR_GP, 0);
    const base = s.base(state.TR);
    const high = s.baseHigh(state.TR);
    const at = this.#memory.load16((base + TSS_MAP_BASE) >>> 0, high, true) + (port >>> 3);
    // Two bytes are read always.
    if (at + 1 > limit) this.#memory.raise(VECTOR_GP, 0);
    const bits = this.#memory.load16((base + at) >>> 0, high, true);
    if (((bits >>> (port & 7)) & ((1 << bytes) - 1)) !== 0) this.#memory.raise(VECTOR_GP, 0);
  }
}
