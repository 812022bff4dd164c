/** The stack and the flags register (SDM vol. 1, chapters 6 and 7.3.13). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, C, M, N, R, S, T, U } from '../locals.ts';
import { I32 } from '../wasm/code-writer.ts';
import * as state from '../cpu-state.ts';
import * as uop from '../uop.ts';
import * as call from '../system-call.ts';

const RSP = 4;
const RBP = 5;
const TF = 0x100;
const IF = 0x200;
const DF = 0x400;
const AC = 0x4_0000;

const push: Emit = (e) => {
  e.read(0);
  if (e.form.operands[0]?.letter === 'I') e.code.zeroExtend(e.size);
  e.code.set(A);
  e.push(e.size, A);
};
const pop: Emit = (e) => {
  const { code } = e;
  e.peek(e.size);
  code.set(A);
  if (e.isMemory(0)) {
    // An address with rsp as base uses the value after the pop; a faulting store puts it back.
    e.readGpr(RSP, 8);
    code.set(B);
    e.release(e.size);
    e.readGpr(RSP, 8);
    code.set(C);
    e.effectiveAddress();
    code.set(T);
    e.writeGpr(RSP, 8, B);
    code.get(T);
    e.addressOfOffset(e.size, true);
    e.store(e.size, A);
    e.writeGpr(RSP, 8, C);
    return;
  }
  e.release(e.size);
  e.write(0, A);
};
const pusha: Emit = (e) => {
  const { code, size } = e;
  // All places are proved writable before the first store, in the order of the stores.
  for (let i = 1; i <= 8; i++) {
    e.stackOffset(-size * i);
    e.segmentAddress(state.SS, size, true);
    e.loadForUpdate(size);
    code.drop();
  }
  for (let i = 0; i < 8; i++) {
    e.readGpr(i, size);
    code.set(A);
    e.stackOffset(-size * (i + 1));
    e.segmentAddress(state.SS, size, true);
    e.store(size, A);
  }
  e.stackOffset(-size * 8);
  e.setStackOffset();
};
const popa: Emit = (e) => {
  const { code, size } = e;
  e.peek(size, size * 7);
  code.drop();
  e.peek(size, 0);
  code.drop();
  for (let i = 7; i >= 0; i--) {
    if (i === RSP) continue;
    e.peek(size, size * (7 - i));
    code.set(A);
    e.writeGpr(i, size, A);
  }
  e.release(size * 8);
};

/** In virtual-8086 mode PUSHF and POPF need IOPL 3; TypeScript decides. */
function checkVirtual8086(e: Emitter, id: number): void {
  if (e.long) return;
  e.code.get(S).load32(state.FLAGS_OTHER).const32(0x2_0000).and32();
  e.code.if();
  e.system(id);
  e.code.end();
}

const pushf: Emit = (e) => {
  const { code } = e;
  checkVirtual8086(e, call.VIRTUAL_8086_PUSHF);
  e.arithmeticFlags();
  code.get(S).load32(state.FLAGS_OTHER).const32(~0x3_0000).and32().or32().const32(2).or32().extendU().set(A);
  e.push(e.size, A);
};
const popf: Emit = (e) => {
  const { code, size } = e;
  checkVirtual8086(e, call.VIRTUAL_8086_POPF);
  e.peek(size);
  code.set(A);
  code.get(S).load32(state.FLAGS_OTHER).set(M);
  // TF or AC, or an interrupt that may come now.
  code.get(A).wrap().get(M).const32(AC).and32().or32().const32(TF | AC).and32();
  code.get(A).wrap().const32(IF).and32().get(S).load32(state.EVENT_PENDING).eqz32().eqz32().const32(9).shl32().and32().or32();
  e.leaveRegionIf();
  e.release(size);
  code.get(A).wrap();
  e.setArithmeticFlags();
  // Which other bits change depends on the privilege; the upper half only from a 32- or 64-bit pop. SDM vol. 2, POPF.
  code.get(S).load32(state.CPL).eqz32();
  code.if(I32);
  code.const32(size === 2 ? 0x7700 : 0x24_7700);
  code.else();
  code.get(S).load32(state.FLAGS_OTHER).const32(12).shrU32().const32(3).and32().get(S).load32(state.CPL).geU32();
  code.const32(9).shl32().const32(size === 2 ? 0x4500 : 0x24_4500).or32();
  code.end();
  if (size !== 2) code.const32(AC).or32();
  code.set(N);
  code.get(S).get(S).load32(state.FLAGS_OTHER).get(N).const32(-1).xor32().and32().get(A).wrap().get(N).and32().or32();
  if (size !== 2) code.const32(~0x1_0000).and32(); // RF
  code.store32(state.FLAGS_OTHER);
  // TF, and AC when it is or was set.
  code.get(A).wrap().get(M).const32(AC).and32().or32().const32(TF | AC).and32();
  code.if();
  e.system(call.FLAGS_ATTENTION);
  code.end();
  code.get(A).const(IF).and().const(0).ne();
  code.if();
  e.checkEvents();
  code.end();
};

const enter: Emit = (e) => {
  const { code, size } = e;
  e.readGpr(RBP, 8);
  code.set(T);
  // Level, 0 to 31: so many frame pointers are pushed, and RBP.
  code.get(U).load16U32(uop.UOP_IMMEDIATE_2).const32(31).and32().set(N);
  e.stackOffset(-size);
  code.tee(B);
  e.segmentAddress(state.SS, size, true);
  e.loadForUpdate(size);
  code.drop().get(B).get(N).extendU().const(size).mul().sub().get(U).load16U(uop.UOP_IMMEDIATE).sub();
  e.maskStackOffset();
  // Nothing is pushed at the new end of the stack, but it has to be writable (SDM vol. 2, ENTER).
  code.tee(C);
  e.segmentAddress(state.SS, size, true);
  e.loadForUpdate(size);
  code.drop().get(N);
  code.if();
  e.system(call.ENTER_NESTED);
  code.else();
  // Without nesting this is push rbp; mov rbp, rsp; sub rsp, n.
  code.get(B);
  e.segmentAddress(state.SS, size, true);
  e.store(size, T);
  e.writeGpr(RBP, e.long ? 8 : size, B);
  code.get(C);
  e.setStackOffset();
  code.end();
};
const leave: Emit = (e) => {
  const { code, size } = e;
  e.readGpr(RBP, 8);
  e.maskStackOffset();
  code.tee(B);
  e.segmentAddress(state.SS, size, false);
  e.load(size);
  code.set(A);
  code.get(B).const(size).add();
  e.setStackOffset();
  e.writeGpr(RBP, size, A);
};

const lahf: Emit = (e) => {
  e.arithmeticFlags();
  e.code.const32(0xd5).and32().const32(2).or32().set(N);
  e.code.get(S).get(N).store8From32(state.GPR + 1);
};
const sahf: Emit = (e) => {
  e.arithmeticFlags();
  e.code.const32(0x800).and32().get(S).load8U32(state.GPR + 1).const32(0xd5).and32().or32();
  e.setArithmeticFlags();
};
const carryTo = (value: 0 | 1): Emit => (e) => { e.code.const32(value); e.setCarry(); };
const cmc: Emit = (e) => { e.carry(); e.code.wrap().const32(1).xor32(); e.setCarry(); };
const salc: Emit = (e) => {
  e.code.const(0);
  e.carry();
  e.code.sub().set(R);
  e.writeGpr(0, 1, R);
};
const other = (bit: number, set: boolean): Emit => (e) => {
  const { code } = e;
  code.get(S).get(S).load32(state.FLAGS_OTHER);
  if (set) code.const32(bit).or32();
  else code.const32(~bit).and32();
  code.store32(state.FLAGS_OTHER);
};
/** CLI and STI need IOPL; what virtual-8086 mode and PVI add is decided in TypeScript. */
const interruptFlag = (set: boolean): Emit => (e) => {
  const { code } = e;
  code.get(S).load32(state.FLAGS_OTHER).const32(12).shrU32().const32(3).and32().get(S).load32(state.CPL).ltU32();
  code.if();
  e.system(set ? call.STI_WITHOUT_PRIVILEGE : call.CLI_WITHOUT_PRIVILEGE);
  code.else();
  if (set) {
    code.get(S).load32(state.FLAGS_OTHER).const32(IF).and32().eqz32();
    code.if();
    code.get(S).load32(state.EVENT_PENDING);
    e.leaveRegionIf();
    other(IF, true)(e);
    // The instruction after STI runs before an interrupt is taken (SDM vol. 2, STI).
    code.get(S).load32(state.EVENT_PENDING);
    code.if();
    e.system(call.INTERRUPT_SHADOW);
    code.end();
    code.end();
  } else other(IF, false)(e);
  code.end();
};

export const STACK: EmitterTable = {
  push: { emit: push },
  pop: { emit: pop },
  pusha: { emit: pusha, apart: true },
  popa: { emit: popa, apart: true },
  pushf: { emit: pushf },
  popf: { emit: popf },
  enter: { emit: enter, apart: true },
  leave: { emit: leave },
  lahf: { emit: lahf, apart: true },
  sahf: { emit: sahf, apart: true },
  clc: { emit: carryTo(0) },
  stc: { emit: carryTo(1) },
  cmc: { emit: cmc },
  salc: { emit: salc },
  cld: { emit: other(DF, false) },
  std: { emit: other(DF, true) },
  cli: { emit: interruptFlag(false) },
  sti: { emit: interruptFlag(true) },
};
