/** x87 control: initialisation, control and status words, FXSAVE (SDM vol. 1, section 8.1; vol. 2). */
import type { Emit, EmitterTable } from '../emitter.ts';
import { A, N, R, S } from '../emitter.ts';
import * as state from '../cpu-state.ts';
import * as call from '../system-call.ts';

const fninit: Emit = (e) => {
  const { code } = e;
  e.requireX87();
  code.get(S).const32(0x37f).store32(state.X87_CONTROL);
  code.get(S).const32(0).store32(state.X87_STATUS);
  code.get(S).const32(0).store32(state.X87_TOP);
  code.get(S).const64(0x0101_0101, 0x0101_0101).store(state.X87_EMPTY);
  code.get(S).const32(0).store32(state.X87_OPCODE);
  code.get(S).const(0).store(state.X87_INSTRUCTION_POINTER);
  code.get(S).const(0).store(state.X87_DATA_POINTER);
  code.get(S).const(0).store(state.X87_CODE_SELECTOR);
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
  e.requireX87();
  e.read(0);
  e.code.wrap().const32(0x1f3f).and32().const32(0x40).or32().set(N);
  e.code.get(S).get(N).store32(state.X87_CONTROL);
};
const image = (id: number, write: boolean): Emit => (e) => {
  e.address(512, write);
  e.code.set(A).get(S).get(A).store(state.SCRATCH);
  e.system(id);
};

export const X87_CONTROL: EmitterTable = {
  fninit: { emit: fninit, apart: true },
  fnclex: { emit: fnclex, apart: true },
  fnstsw: { emit: fnstsw, apart: true },
  fnstcw: { emit: fnstcw, apart: true },
  fldcw: { emit: fldcw, apart: true },
  fwait: { emit: (e) => e.requireX87(), apart: true },
  fxsave: { emit: image(call.FXSAVE, true), apart: true },
  fxrstor: { emit: image(call.FXRSTOR, false), apart: true },
};
