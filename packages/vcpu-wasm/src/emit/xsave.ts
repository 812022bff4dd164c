/** XSAVE, XSAVEOPT, XRSTOR, XGETBV, XSETBV: checked here, done in TypeScript (SDM vol. 1, chapter 13). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, S } from '../locals.ts';
import * as state from '../cpu-state.ts';
import * as call from '../system-call.ts';
import { AVX_OFFSET } from '../xsave.ts';

const INVALID_OPCODE = 6, DEVICE_NOT_AVAILABLE = 7;
const CR4_OSXSAVE = 1 << 18, CR0_TS = 1 << 3;

/** #UD while the system has not said that it knows the extended state. */
function requireExtended(e: Emitter): void {
  e.code.get(S).load32(state.CR4).const32(CR4_OSXSAVE).and32().eqz32();
  e.raiseIf(INVALID_OPCODE);
}
const area = (id: number, write: boolean): Emit => (e) => {
  requireExtended(e);
  e.code.get(S).load32(state.CR0).const32(CR0_TS).and32();
  e.raiseIf(DEVICE_NOT_AVAILABLE);
  e.address(AVX_OFFSET, write);
  e.code.set(A).get(S).get(A).store(state.SCRATCH);
  e.system(id);
};
const readControl: Emit = (e) => {
  requireExtended(e);
  e.system(call.XGETBV);
};
const writeControl: Emit = (e) => {
  requireExtended(e);
  e.requireSupervisor();
  e.system(call.XSETBV);
};

const apart = (emit: Emit): { emit: Emit; apart: true } => ({ emit, apart: true });

export const XSAVE: EmitterTable = {
  xsave: apart(area(call.XSAVE, true)),
  xsaveopt: apart(area(call.XSAVEOPT, true)),
  xrstor: apart(area(call.XRSTOR, false)),
  xgetbv: apart(readControl),
  xsetbv: apart(writeControl),
};
