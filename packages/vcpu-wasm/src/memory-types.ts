/**
 * Memory-type range registers (SDM vol. 3, section 12.11). What is written is checked and kept, and has no effect: there are
 * no caches whose policy it could be.
 */
import { MSR_MTRR_CAP, MSR_MTRR_DEF_TYPE, MSR_MTRR_FIX_16K_80000, MSR_MTRR_FIX_16K_A0000, MSR_MTRR_FIX_4K_C0000, MSR_MTRR_FIX_64K, MSR_MTRR_PHYS_BASE_0 } from '@vm/x86';
import * as state from './cpu-state.ts';
import { PHYSICAL_BITS } from './page-walk.ts';
import type { StateView } from './state-view.ts';

const RANGES = 8;
/** Number of ranges, fixed ranges, write combining. */
const CAPABILITIES = RANGES | 0x100 | 0x400;
/** In the order in which they are kept. */
const FIXED: readonly number[] = [MSR_MTRR_FIX_64K, MSR_MTRR_FIX_16K_80000, MSR_MTRR_FIX_16K_A0000, ...Array.from({ length: 8 }, (_, i) => MSR_MTRR_FIX_4K_C0000 + i)];

const TYPES = 0b0111_0011; // UC WC - - WT WP WB
const WRITE_BACK = 6;
const WRITE_PROTECTED = 5;
const ENABLED = 0x800;
const FIXED_ENABLED = 0x400;
/** Of a mask: the range counts. */
const VALID = 0x800;
const BASE_RESERVED = 0xf00;
const MASK_RESERVED = 0x7ff;
const DEFAULT_RESERVED = ~(0xff | ENABLED | FIXED_ENABLED);
const HIGH_RESERVED = ~0 << (PHYSICAL_BITS - 32);

export class MemoryTypes {
  readonly #state: StateView;
  low = 0;
  high = 0;

  constructor(view: StateView) {
    this.#state = view;
  }

  has(index: number): boolean { return index === MSR_MTRR_CAP || fieldOf(index) >= 0; }
  /** True when the register exists; its value is in `low` and `high`. */
  read(index: number): boolean {
    const field = fieldOf(index);
    if (field < 0 && index !== MSR_MTRR_CAP) return false;
    this.low = field < 0 ? CAPABILITIES : this.#state.get(field);
    this.high = field < 0 ? 0 : this.#state.high(field);
    return true;
  }
  /** False: a value that the register does not take. */
  write(index: number, low: number, high: number): boolean {
    const field = fieldOf(index);
    if (field < 0 || !isAllowed(index, low, high)) return false;
    this.#state.set64(field, low, high);
    return true;
  }
}

/** A type that a range may have. */
export function isMemoryType(type: number): boolean {
  return type < 8 && ((TYPES >> type) & 1) !== 0;
}

/** What firmware leaves: all of memory is cached but the video memory, ROMs, and the last GiB below 4 GiB, where devices are. */
export function writeFirmwareMemoryTypes(s: StateView): void {
  const devices = 0xc000_0000;
  s.set64(state.MTRR_VARIABLE, devices, 0);
  s.set64(state.MTRR_VARIABLE + 8, (devices | VALID) >>> 0, ~HIGH_RESERVED);
  FIXED.forEach((index, i) => {
    const type = index < MSR_MTRR_FIX_16K_A0000 ? WRITE_BACK : index < MSR_MTRR_FIX_4K_C0000 ? 0 : WRITE_PROTECTED;
    s.set64(state.MTRR_FIXED + i * 8, type * 0x0101_0101, type * 0x0101_0101);
  });
  s.set64(state.MTRR_DEFAULT, ENABLED | FIXED_ENABLED | WRITE_BACK, 0);
}

/** Where in the state a register is kept; -1 when it is none of them. */
function fieldOf(index: number): number {
  if (index >= MSR_MTRR_PHYS_BASE_0 && index < MSR_MTRR_PHYS_BASE_0 + RANGES * 2) return state.MTRR_VARIABLE + (index - MSR_MTRR_PHYS_BASE_0) * 8;
  if (index === MSR_MTRR_DEF_TYPE) return state.MTRR_DEFAULT;
  const fixed = FIXED.indexOf(index);
  return fixed < 0 ? -1 : state.MTRR_FIXED + fixed * 8;
}

function isAllowed(index: number, low: number, high: number): boolean {
  if (index === MSR_MTRR_DEF_TYPE) return (low & DEFAULT_RESERVED) === 0 && high === 0 && isMemoryType(low & 0xff);
  if (index >= MSR_MTRR_FIX_64K) {
    for (let i = 0; i < 32; i += 8) if (!isMemoryType((low >>> i) & 0xff) || !isMemoryType((high >>> i) & 0xff)) return false;
    return true;
  }
  if ((high & HIGH_RESERVED) !== 0) return false;
  return (index & 1) === 0 ? (low & BASE_RESERVED) === 0 && isMemoryType(low & 0xff) : (low & MASK_RESERVED) === 0;
}
