/** x87 instructions of one number, constants, conditional moves and the stack pointer (SDM vol. 1, sections 8.3.3 to 8.3.7 and 8.3.11). */
import type { Emit, Emitter, EmitterTable, InstructionEmitter } from '../emitter.ts';
import { N, S } from '../locals.ts';
import * as state from '../cpu-state.ts';
import { C1 } from '../float80/format.ts';
import type { TopFunctions } from '../float80/top-functions.ts';
import { apart, beginWaiting, callX87, notePlace, pop, pushIndex } from './x87-instruction.ts';

const onTop = (name: keyof TopFunctions): Emit => (e) => {
  beginWaiting(e);
  notePlace(e);
  e.code.get(S);
  callX87(e, e.runtime.x87.top[name]);
  e.code.drop();
};

interface Constant {
  /** The first 64 bits of the significand. */
  readonly significand: readonly [number, number];
  readonly top: number;
  /** What the bits that follow round to: down in every mode but up when they are less than half. */
  readonly below: 'nothing' | 'less than half' | 'more than half';
}
/** SDM vol. 1, section 8.3.3: rounded as the control word says, without precision exception. */
const CONSTANTS: Readonly<Record<string, Constant>> = {
  fld1: { significand: [0, 0x8000_0000], top: 0x3fff, below: 'nothing' },
  fldl2t: { significand: [0xcd1b_8afe, 0xd49a_784b], top: 0x4000, below: 'less than half' },
  fldl2e: { significand: [0x5c17_f0bb, 0xb8aa_3b29], top: 0x3fff, below: 'more than half' },
  fldpi: { significand: [0x2168_c234, 0xc90f_daa2], top: 0x4000, below: 'more than half' },
  fldlg2: { significand: [0xfbcf_f798, 0x9a20_9a84], top: 0x3ffd, below: 'more than half' },
  fldln2: { significand: [0xd1cf_79ab, 0xb172_17f7], top: 0x3ffe, below: 'more than half' },
  fldz: { significand: [0, 0], top: 0, below: 'nothing' },
};
const load = ({ significand, top, below }: Constant): Emit => (e) => {
  const { code } = e;
  beginWaiting(e);
  notePlace(e);
  code.get(S).const64(significand[0], significand[1]);
  if (below !== 'nothing') {
    code.get(S).load32(state.X87_CONTROL).const32(10).shrU32().const32(3).and32().set(N);
    code.get(N).const32(2).eq32();
    if (below === 'more than half') code.get(N).eqz32().or32();
    code.extendU().add();
  }
  code.const32(top).const32(0);
  callX87(e, e.runtime.x87.stack.push);
  code.drop();
};
const fcmov: Emit = (e) => {
  const { code } = e;
  beginWaiting(e);
  notePlace(e);
  code.get(S);
  pushIndex(e, 1);
  e.condition(e.form.condition);
  callX87(e, e.runtime.x87.top.copyFrom);
  code.drop();
};
const moveTop = (by: number): Emit => (e) => {
  const { code } = e;
  beginWaiting(e);
  notePlace(e);
  code.get(S).get(S).load32(state.X87_TOP).const32(by).add32().const32(7).and32().store32(state.X87_TOP);
  clearC1(e);
};
function clearC1(e: Emitter): void {
  e.code.get(S).get(S).load32(state.X87_STATUS).const32(~C1).and32().store32(state.X87_STATUS);
}
const free = (pops: number): Emit => (e) => {
  const { code } = e;
  beginWaiting(e);
  notePlace(e);
  code.get(S).get(S).load32(state.X87_TOP);
  pushIndex(e, 0);
  code.add32().const32(7).and32().add32().const32(1).store8From32(state.X87_EMPTY);
  clearC1(e);
  if (pops > 0) pop(e, pops);
};

const table: Record<string, InstructionEmitter> = {
  fsqrt: apart(onTop('squareRoot')),
  frndint: apart(onTop('roundToInteger')),
  fchs: apart(onTop('changeSign')),
  fabs: apart(onTop('absolute')),
  ftst: apart(onTop('test')),
  fxam: apart(onTop('examine')),
  fscale: apart(onTop('scale')),
  fprem: apart(onTop('remainder')),
  fprem1: apart(onTop('nearestRemainder')),
  fxtract: apart(onTop('extract')),
  fcmov: apart(fcmov),
  fincstp: apart(moveTop(1)),
  fdecstp: apart(moveTop(-1)),
  ffree: apart(free(0)),
  ffreep: apart(free(1)),
};
for (const [name, constant] of Object.entries(CONSTANTS)) table[name] = apart(load(constant));

export const X87_TOP: EmitterTable = table;
