/** Jumps, calls, returns and loops within a code segment (SDM vol. 1, section 7.3.8). */
import type { Emit, EmitterTable } from '../emitter.ts';
import { A, B, U } from '../locals.ts';
import * as uop from '../uop.ts';

const RCX = 1;

const jcc: Emit = (e) => {
  e.condition(e.form.condition);
  e.code.if();
  e.branch();
  e.code.end();
};
const isDirect = (e: Parameters<Emit>[0]): boolean => e.form.operands[0]?.letter === 'J';

const jmp: Emit = (e) => {
  if (isDirect(e)) { e.branch(); return; }
  e.read(0);
  e.code.set(A);
  e.requireCanonical(A);
  e.jump(A);
};
const call: Emit = (e) => {
  if (!isDirect(e)) {
    e.read(0);
    e.code.set(B);
    e.requireCanonical(B);
  }
  e.nextRip();
  e.code.set(A);
  e.push(e.size, A);
  if (isDirect(e)) e.branch();
  else e.jump(B);
};
const ret: Emit = (e) => {
  const { code } = e;
  e.peek(e.size);
  code.set(A);
  e.requireCanonical(A);
  e.stackOffset(e.size);
  if (e.form.operands.length > 0) code.get(U).load16U(uop.UOP_IMMEDIATE).add();
  e.setStackOffset();
  e.jump(A);
};
/** LOOP, LOOPE, LOOPNE count in rCX of the address size. */
const loop = (condition: number): Emit => (e) => {
  const { code } = e;
  const bytes = e.form.addressBytes;
  e.readGpr(RCX, bytes);
  code.const(1).sub().set(A);
  e.writeGpr(RCX, bytes, A);
  code.get(A).zeroExtend(bytes).const(0).ne();
  if (condition >= 0) { e.condition(condition); code.and32(); }
  code.if();
  e.branch();
  code.end();
};
const jcxz: Emit = (e) => {
  e.readGpr(RCX, e.form.addressBytes);
  e.code.eqz();
  e.code.if();
  e.branch();
  e.code.end();
};

export const CONTROL_FLOW: EmitterTable = {
  jcc: { emit: jcc },
  jmp: { emit: jmp },
  call: { emit: call },
  ret: { emit: ret },
  loop: { emit: loop(-1) },
  loope: { emit: loop(4) },
  loopne: { emit: loop(5) },
  jcxz: { emit: jcxz },
};
