/** What INIT leaves alone, other than a reset (SDM vol. 3, table 9-1). */
import { CR0_CD, CR0_ET, CR0_NW } from '@vm/x86';
import * as state from './cpu-state.ts';
import type { StateView } from './state-view.ts';

/** Floating-point state, XCR0, model-specific registers and the time-stamp counter. */
const RANGES = [[state.XMM, state.MXCSR + 4], [state.XCR0, state.XCR0 + 8], [state.MSR_STAR, state.TSC_OFFSET + 8], [state.MSR_MISC_ENABLE, state.MSR_MISC_ENABLE + 8], [state.MTRR_VARIABLE, state.MTRR_END]] as const;

/** Runs `reset`, and puts back what stays. */
export function resetForInit(view: StateView, reset: () => void): void {
  const caches = view.get(state.CR0) & (CR0_CD | CR0_NW);
  const kept = RANGES.map(([from, to]) => view.u8.slice(view.at + from, view.at + to));
  reset();
  RANGES.forEach(([from], i) => view.u8.set(kept[i] as Uint8Array, view.at + from));
  view.set(state.CR0, CR0_ET | caches);
}
