/** Why a region was left, from what it says: a reason of its own, or the instruction that it left undone, or where it leads. */
import * as state from './cpu-state.ts';
import { U } from './locals.ts';
import type { CodeWriter } from './wasm/code-writer.ts';

/** In REGION_EXIT: how many instructions were counted that have not run. */
export const UNDONE_MASK = 0xfff;

/** Pushes the number of the reason. Local `exit` is REGION_EXIT, `uop` what the region answered; `free` is an i32 local. */
export function pushExitReason(code: CodeWriter, exit: number, free: number, uop: number = U): void {
  code.get(exit).const32(state.REGION_EXIT_REASON_SHIFT).shrU32().tee(free).const32(state.EXIT_INSTRUCTION).get(free).select();
  code.const32(state.EXIT_ADDRESS).const32(state.EXIT_BRANCH).get(uop).eqz32().select().get(exit).select();
}
/** Pushes the budget that there is, modulo 2^32, whoever holds it: it goes down by what is run. */
export function pushBudget(code: CodeWriter): void {
  code.get(0).load32(state.BUDGET).get(0).load32(state.BUDGET_HELD).add32().get(0).load32(state.BUDGET_TAKEN).add32();
}
