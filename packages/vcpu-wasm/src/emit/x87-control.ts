/** x87 control: initialisation, control and status words, environments and images of the whole state (SDM vol. 1, sections 8.1.3 to 8.1.10; vol. 2). */
import type { Emit, EmitterTable } from '../emitter.ts';
import { A, N, R, S } from '../locals.ts';
import * as state from '../cpu-state.ts';
import * as call from '../system-call.ts';
import { apart, beginWaiting, callX87, checkPending, notePlace } from './x87-instruction.ts';

/** FWAIT alone looks at both MP and TS (SDM vol. 2, WAIT). */
const CR0_MP_TS = 0x0a;

const fninit: Emit = (e) => {
  e.requireX87();
  e.code.get(S);
  callX87(e, e.runtime.x87.environment.initialise);
};
const fnclex: Emit = (e) => {
  e.requireX87();
  e.code.get(S).get(S).load32(state.X87_STATUS).const32(0x7f00).and32().store32(state.X87_STATUS);
};
const fnstsw: Emit = (e) => {
  const { code } = e;
  e.requireX87();
  code.get(S).load32(state.X87_STATUS).get(S).load32(state.X87_TOP).const32(11).shl32().or32().extendU().set(R);
  e.write(0, R);
};
const fnstcw: Emit = (e) => {
  e.requireX87();
  e.code.get(S).load32(state.X87_CONTROL).extendU().set(R);
  e.write(0, R);
};
const fldcw: Emit = (e) => {
  beginWaiting(e);
  e.read(0);
  e.code.wrap().set(N).get(S).get(N);
  callX87(e, e.runtime.x87.environment.setControl);
};
const fwait: Emit = (e) => {
  const { code } = e;
  code.get(S).load32(state.CR0).const32(CR0_MP_TS).and32().const32(CR0_MP_TS).eq32();
  code.if();
  e.system(call.X87_NOT_AVAILABLE);
  code.end();
  checkPending(e);
};
/** The instructions of the 8087 and 80287 that do nothing since. */
const nothing: Emit = (e) => e.requireX87();
const fnop: Emit = (e) => {
  beginWaiting(e);
  notePlace(e);
};
const image = (id: number, write: boolean): Emit => (e) => {
  e.address(512, write);
  e.code.set(A).get(S).get(A).store(state.SCRATCH);
  e.system(id);
};

export const X87_CONTROL: EmitterTable = {
  fninit: apart(fninit),
  fnclex: apart(fnclex),
  fnstsw: apart(fnstsw),
  fnstcw: apart(fnstcw),
  fldcw: apart(fldcw),
  fwait: apart(fwait),
  fnop: apart(fnop),
  fneni: apart(nothing),
  fndisi: apart(nothing),
  fnsetpm: apart(nothing),
  fxsave: apart(image(call.FXSAVE, true)),
  fxrstor: apart(image(call.FXRSTOR, false)),
};
