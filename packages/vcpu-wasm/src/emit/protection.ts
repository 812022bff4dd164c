/** Instructions around address spaces and user memory: FSGSBASE, SMAP, INVPCID, RDPID (SDM vol. 3, sections 4.6, 4.10 and 8.2.5). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, N, R, S, X } from '../locals.ts';
import * as state from '../cpu-state.ts';
import { REACH_OPEN, writeDataReach } from '../data-reach.ts';
import * as call from '../system-call.ts';
import { TAG_OPEN } from '../tlb.ts';

const INVALID_OPCODE = 6, GENERAL_PROTECTION = 13;
const CR4_FSGSBASE_BIT = 16, CR4_SMAP_BIT = 21;
const FLAG_AC = 1 << 18;

/** #UD unless CR4.FSGSBASE is set. */
function requireBases(e: Emitter): void {
  e.code.get(S).load32(state.CR4).const32(1 << CR4_FSGSBASE_BIT).and32().eqz32();
  e.raiseIf(INVALID_OPCODE);
}
const readBase = (segment: number): Emit => (e) => {
  requireBases(e);
  e.code.get(S).load(state.SEGMENT_BASE + segment * 8).set(R);
  if (e.size === 4) e.code.get(R).zeroExtend(4).set(R);
  e.write(0, R);
};
const writeBase = (segment: number): Emit => (e) => {
  const { code } = e;
  requireBases(e);
  e.read(0);
  code.set(A);
  // Canonical: bits 47 to 63 are all equal.
  code.get(A).get(A).const(16).shl().const(16).shrS().ne();
  e.raiseIf(GENERAL_PROTECTION, 0);
  code.get(S).get(A).store(state.SEGMENT_BASE + segment * 8);
};

/** CLAC and STAC: the supervisor's translations with and without user pages differ in one bit of the tag. */
const setAccess = (open: boolean): Emit => (e) => {
  const { code } = e;
  code.get(S).load32(state.CPL);
  e.raiseIf(INVALID_OPCODE);
  code.get(S).get(S).load32(state.FLAGS_OTHER).const32(~FLAG_AC).and32();
  if (open) code.const32(FLAG_AC).or32();
  code.store32(state.FLAGS_OTHER);
  if (open) code.get(S).load32(state.CR4).const32(CR4_SMAP_BIT).shrU32().const32(TAG_OPEN).and32().set(N);
  else code.const32(0).set(N);
  code.get(S).get(S).load32(state.DATA_TAG).const32(~TAG_OPEN).and32().get(N).or32().store32(state.DATA_TAG);
  writeDataReach(code, REACH_OPEN, N);
};

const invalidateContext: Emit = (e) => {
  const { code } = e;
  e.requireSupervisor();
  e.address(16, false);
  e.loadVector(false);
  code.set(X);
  e.read(0);
  code.set(A);
  code.get(S).get(A).store(state.SCRATCH).get(S).get(X).storeV128(state.SCRATCH + 16);
  e.system(call.INVPCID);
};
const readProcessorId: Emit = (e) => {
  e.code.get(S).load32U(state.MSR_TSC_AUX).set(R);
  e.write(0, R);
};

const rare = (emit: Emit): { emit: Emit; apart: true } => ({ emit, apart: true });

export const PROTECTION: EmitterTable = {
  rdfsbase: rare(readBase(state.FS)),
  rdgsbase: rare(readBase(state.GS)),
  wrfsbase: rare(writeBase(state.FS)),
  wrgsbase: rare(writeBase(state.GS)),
  clac: rare(setAccess(false)),
  stac: rare(setAccess(true)),
  invpcid: rare(invalidateContext),
  rdpid: rare(readProcessorId),
};
