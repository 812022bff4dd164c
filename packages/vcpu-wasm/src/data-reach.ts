/** Whom data accesses are made for: which window of the TLB they use, and which rights of a translation they need where generated code answers a miss. */
import { READ_OPEN, READ_SUPERVISOR, READ_USER, WRITE_OPEN, WRITE_SUPERVISOR, WRITE_USER } from '@vm/shadow-mmu';
import * as state from './cpu-state.ts';
import { S } from './locals.ts';
import type { CodeWriter } from './wasm/code-writer.ts';

export interface DataReach { readonly base: number; readonly read: number; readonly write: number }
export const REACH_USER: DataReach = { base: state.BASE_USER, read: READ_USER, write: WRITE_USER };
export const REACH_SUPERVISOR: DataReach = { base: state.BASE_SUPERVISOR, read: READ_SUPERVISOR, write: WRITE_SUPERVISOR };
/** The supervisor while user pages are open to it (SMAP and RFLAGS.AC). */
export const REACH_OPEN: DataReach = { base: state.BASE_OPEN, read: READ_OPEN, write: WRITE_OPEN };

/** Generated code: from now on they are `reach` where the i32 local is not 0, else the supervisor's; without a local always those. */
export function writeDataReach(code: CodeWriter, reach: DataReach = REACH_SUPERVISOR, local: number | null = null): void {
  const choose = (push: (of: DataReach) => void): void => {
    if (local !== null) push(reach);
    push(REACH_SUPERVISOR);
    if (local !== null) code.get(local).select();
  };
  code.get(S);
  choose(({ base }) => { code.get(S).load32(state.TLB_BASES + base); });
  code.store32(state.TLB_BASE);
  // 0 says that generated code may not answer a miss, whoever asks.
  for (const [need, right] of [[state.SHADOW_READ_NEED, 'read'], [state.SHADOW_WRITE_NEED, 'write']] as const) {
    code.get(S);
    choose((of) => { code.const32(of[right]); });
    code.const32(0).get(S).load32(need).select().store32(need);
  }
}
