/** Privileged and system instructions: operands are gathered here, the rest is done in TypeScript. */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, D, R, S, T, U } from '../locals.ts';
import * as state from '../cpu-state.ts';
import * as uop from '../uop.ts';
import * as call from '../system-call.ts';
import { moveToSegment } from './segment-load.ts';

const INVALID_OPCODE = 6, GENERAL_PROTECTION = 13;
const CR4_UMIP = 1 << 11;

const system = (id: number): Emit => (e) => e.system(id);
const privileged = (id: number): Emit => (e) => {
  e.requireSupervisor();
  e.system(id);
};
/** SCRATCH = value of operand k. */
const withValue = (id: number, k: number): Emit => (e) => {
  e.read(k);
  e.code.set(A).get(S).get(A).store(state.SCRATCH);
  e.system(id);
};
/** SCRATCH = linear address of the memory operand. */
const withAddress = (id: number, bytes: number, write: boolean): Emit => (e) => {
  e.address(bytes, write);
  e.code.set(A).get(S).get(A).store(state.SCRATCH);
  e.system(id);
};
/** SCRATCH = offset, SCRATCH + 8 = selector of a far pointer in memory or in the instruction. */
const withFarPointer = (id: number): Emit => (e) => {
  const { code, size } = e;
  const memory = e.form.operands.findIndex((operand) => operand.letter === 'M');
  if (memory >= 0) {
    e.address(size + 2, false);
    code.set(D);
    code.get(D);
    e.load(size);
    code.set(A);
    code.get(D).const(size).add();
    e.load(2);
    code.set(B);
  } else {
    code.get(U).load(uop.UOP_IMMEDIATE).zeroExtend(size).set(A).get(U).load16U(uop.UOP_IMMEDIATE_2).set(B);
  }
  code.get(S).get(A).store(state.SCRATCH).get(S).get(B).store(state.SCRATCH + 8);
  e.system(id);
};
/** Limit, then base: 24 bits of it with a 16-bit operand size stay whole, as on all processors since the 386. */
const storeTable = (base: number, limit: number): Emit => (e) => {
  const { code } = e;
  const bytes = e.long ? 8 : 4;
  requireTelling(e);
  e.address(bytes + 2, true);
  code.set(D);
  code.get(S).load16U(limit).set(A).get(S).load(base).set(B);
  // The base first: when both halves lie in different pages nothing is stored before the last fault.
  code.get(D).const(2).add();
  e.loadForUpdate(bytes);
  code.drop().get(D);
  e.store(2, A);
  code.get(D).const(2).add();
  e.store(bytes, B);
};
const storeSelector = (segment: number): Emit => (e) => {
  requireProtected(e);
  requireTelling(e);
  e.code.get(S).load16U(state.SEGMENT + segment * state.SEGMENT_STRIDE).set(R);
  e.write(0, R);
};
/** #UD in real and virtual-8086 mode. */
export function requireProtected(e: Parameters<Emit>[0]): void {
  if (e.long) return;
  e.code.get(S).load32(state.CR0).const32(1).and32().eqz32();
  e.code.get(S).load32(state.FLAGS_OTHER).const32(0x2_0000).and32().or32();
  e.raiseIf(INVALID_OPCODE);
}
const protectedOnly = (emit: Emit): Emit => (e) => {
  requireProtected(e);
  emit(e);
};
/** UMIP keeps what SGDT and its kind tell to the supervisor (SDM vol. 3, section 2.5). */
function requireTelling(e: Emitter): void {
  e.code.get(S).load32(state.CPL);
  e.code.if();
  e.code.get(S).load32(state.CR4).const32(CR4_UMIP).and32();
  e.raiseIf(GENERAL_PROTECTION, 0);
  e.code.end();
}
const smsw: Emit = (e) => {
  requireTelling(e);
  e.code.get(S).load(state.CR0).set(R);
  e.write(0, R);
};
const moveFromSegment: Emit = (e) => {
  if (e.form.operands[0]?.letter === 'S') {
    moveToSegment(e);
    return;
  }
  e.read(1);
  e.code.set(R);
  e.write(0, R);
};
const pushSegment: Emit = (e) => {
  e.read(0);
  e.code.set(A);
  e.push(e.size, A);
};
const input: Emit = (e) => {
  e.read(1);
  e.code.wrap().const32(e.form.operands[1]?.letter === 'I' ? 0xff : 0xffff).and32();
  e.code.const32(e.bytes(0)).call(e.runtime.portIn).extendU().set(R);
  e.write(0, R);
};
const output: Emit = (e) => {
  e.read(0);
  e.code.wrap().const32(e.form.operands[0]?.letter === 'I' ? 0xff : 0xffff).and32();
  e.code.const32(e.bytes(1));
  e.read(1);
  e.code.wrap().call(e.runtime.portOut);
};
const invalidOpcode: Emit = (e) => e.raise(INVALID_OPCODE);
const swapgs: Emit = (e) => {
  const { code } = e;
  e.requireSupervisor();
  code.get(S).load(state.SEGMENT_BASE + state.GS * 8).set(A);
  code.get(S).get(S).load(state.MSR_KERNEL_GS_BASE).store(state.SEGMENT_BASE + state.GS * 8);
  code.get(S).get(A).store(state.MSR_KERNEL_GS_BASE);
};
const arpl: Emit = (e) => {
  const { code } = e;
  requireProtected(e);
  // The destination is written only when it changes.
  e.read(0);
  code.set(A);
  e.read(1);
  code.set(B);
  code.get(A).const(3).and().get(B).const(3).and().ltU();
  code.if();
  code.get(A).const(-4).and().get(B).const(3).and().or().set(R);
  e.write(0, R);
  e.arithmeticFlags();
  code.const32(0x40).or32();
  e.setArithmeticFlags();
  code.else();
  e.arithmeticFlags();
  code.const32(~0x40).and32();
  e.setArithmeticFlags();
  code.end();
};
const bound: Emit = (e) => {
  const { code, size } = e;
  e.address(size * 2, false);
  code.set(D);
  code.get(D);
  e.load(size);
  code.signExtend(size).set(A);
  code.get(D).const(size).add();
  e.load(size);
  code.signExtend(size).set(B);
  e.read(0);
  code.signExtend(size).tee(T).get(A).ltS().get(T).get(B).gtS().or32();
  e.raiseIf(5);
};

const rare = (emit: Emit): { emit: Emit; apart: true } => ({ emit, apart: true });

export const SYSTEM: EmitterTable = {
  hlt: rare(privileged(call.HLT)),
  cpuid: rare(system(call.CPUID)),
  vmcall: rare(system(call.HYPERCALL)),
  vmmcall: rare(system(call.HYPERCALL)),
  rdmsr: rare(privileged(call.RDMSR)),
  wrmsr: rare(privileged(call.WRMSR)),
  rdpmc: rare(system(call.RDPMC)),
  clts: rare(privileged(call.CLTS)),
  invd: rare(privileged(call.WBINVD)),
  wbinvd: rare(privileged(call.WBINVD)),
  invlpg: rare((e) => { e.requireSupervisor(); withAddress(call.INVLPG, 1, false)(e); }),
  lgdt: rare((e) => { e.requireSupervisor(); withAddress(call.LGDT, e.long ? 10 : 6, false)(e); }),
  lidt: rare((e) => { e.requireSupervisor(); withAddress(call.LIDT, e.long ? 10 : 6, false)(e); }),
  sgdt: rare(storeTable(state.GDTR_BASE, state.GDTR_LIMIT)),
  sidt: rare(storeTable(state.IDTR_BASE, state.IDTR_LIMIT)),
  lldt: rare(protectedOnly((e) => { e.requireSupervisor(); withValue(call.LLDT, 0)(e); })),
  ltr: rare(protectedOnly((e) => { e.requireSupervisor(); withValue(call.LTR, 0)(e); })),
  sldt: rare(storeSelector(state.LDTR)),
  str: rare(storeSelector(state.TR)),
  smsw: rare(smsw),
  lmsw: rare((e) => { e.requireSupervisor(); withValue(call.LMSW, 0)(e); }),
  verr: rare(protectedOnly(withValue(call.VERR, 0))),
  verw: rare(protectedOnly(withValue(call.VERW, 0))),
  lar: rare(protectedOnly(withValue(call.LAR, 1))),
  lsl: rare(protectedOnly(withValue(call.LSL, 1))),
  arpl: rare(arpl),
  bound: rare(bound),
  mov_cr: rare((e) => { e.requireSupervisor(); e.system(e.form.operands[0]?.letter === 'C' ? call.WRITE_CONTROL : call.READ_CONTROL); }),
  mov_dr: rare((e) => { e.requireSupervisor(); e.system(e.form.operands[0]?.letter === 'D' ? call.WRITE_DEBUG : call.READ_DEBUG); }),
  mov_seg: rare(moveFromSegment),
  push_seg: rare(pushSegment),
  les: rare(withFarPointer(call.LOAD_FAR_POINTER)),
  lds: rare(withFarPointer(call.LOAD_FAR_POINTER)),
  lss: rare(withFarPointer(call.LOAD_FAR_POINTER)),
  lfs: rare(withFarPointer(call.LOAD_FAR_POINTER)),
  lgs: rare(withFarPointer(call.LOAD_FAR_POINTER)),
  callf: rare(withFarPointer(call.FAR_CALL)),
  jmpf: rare(withFarPointer(call.FAR_JUMP)),
  retf: rare(system(call.FAR_RETURN)),
  int3: rare(system(call.BREAKPOINT)),
  int1: rare(system(call.DEBUG_TRAP)),
  into: rare(system(call.OVERFLOW)),
  swapgs: rare(swapgs),
  in: rare(input),
  out: rare(output),
  ud0: rare(invalidOpcode),
  ud1: rare(invalidOpcode),
  ud2: rare(invalidOpcode),
};
