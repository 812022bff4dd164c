/** RDTSC and RDTSCP (SDM vol. 2): TypeScript tells what time it is, and what programs see of that is made here. */
import type { Emit, EmitterTable } from '../emitter.ts';
import { A, B, F, S } from '../locals.ts';
import * as state from '../cpu-state.ts';
import * as call from '../system-call.ts';

const RAX = 0, RCX = 1, RDX = 2;
const CR4_TSD = 4;
const F64_NE = 0x62, F64_FLOOR = 0x9c, I64_TRUNC_SAT_F64_S = 6;

const timeStamp = (id: number): Emit => (e) => {
  const { code } = e;
  const done = code.block();
  const otherwise = code.block();
  code.get(S).load32(state.CPL).const32(0).ne32().get(S).load32(state.CR4).const32(CR4_TSD).and32().const32(0).ne32().and32().brSeldomIf(otherwise);
  e.now(id);
  code.tee(F).get(F).plain(F64_NE).brSeldomIf(otherwise);
  code.get(F).plain(F64_FLOOR).misc(I64_TRUNC_SAT_F64_S).get(S).load(state.TSC_OFFSET).add().tee(A).zeroExtend(4).set(B);
  e.writeGpr(RAX, 4, B);
  code.get(A).const(32).shrU().set(B);
  e.writeGpr(RDX, 4, B);
  if (id === call.RDTSCP) {
    code.get(S).load32U(state.MSR_TSC_AUX).set(B);
    e.writeGpr(RCX, 4, B);
  }
  code.br(done);
  code.end();
  e.system(id);
  code.end();
};

export const TIME_STAMP: EmitterTable = {
  rdtsc: { emit: timeStamp(call.RDTSC), apart: true },
  rdtscp: { emit: timeStamp(call.RDTSCP), apart: true },
};
