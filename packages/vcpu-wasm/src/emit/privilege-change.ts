/**
 * SYSCALL, SYSRET, INT n and IRET in 64-bit mode, the last two and SYSENTER and SYSEXIT in flat 32-bit code, where everything is as systems have it: flat segments, no flag that wants attention.
 * Whatever is not so is left to TypeScript, before anything has changed (SDM vol. 2; AMD APM vol. 3).
 */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, C, K, M, N, P, S, T, U } from '../locals.ts';
import * as state from '../cpu-state.ts';
import { REACH_USER, writeDataReach } from '../data-reach.ts';
import { CODE_32, CODE_64, DATA } from '../fast-system-call.ts';
import { setNullStack } from '../handler-entry.ts';
import * as call from '../system-call.ts';
import * as uop from '../uop.ts';
import { TAG_OPEN, TAG_USER } from '../tlb.ts';
import type { Label } from '../wasm/code-writer.ts';

const RCX = 1, RDX = 2, RSP = 4, R11 = 11;
const EFER_SCE = 1;
const FLAG_IF = 0x200, FLAG_RF = 0x1_0000;
/** TF, NT, VM, AC, VIF and VIP: they change more than themselves. */
const FLAGS_OF_CONSEQUENCE = 0x1e_4100;
/** ID, RF, IOPL, DF and IF. */
const PLAIN_FLAGS = 0x21_3600;
/** L0 to G3. */
const DR7_ENABLES = 0xff;
const LEVEL_TO_DPL = 13;
const USER = 3;
/** From the selector in STAR (AMD APM vol. 2, section 6.1.1). */
const CODE_OF_USER = 16, STACK_OF_USER = 8;
/** What systems have in their descriptor tables: base 0, the whole address space, accessed. */
const FLAT_LOW = 0x0000_ffff;
const FLAT_HIGH = 0x000f_0000;
const CODE_HIGH: number = CODE_64 | FLAT_HIGH, DATA_HIGH: number = DATA | FLAT_HIGH;
/** Of the tag of fetches: the size of the code. */
const TAG_OF_SIZE = 3, TAG_32 = 1;
const CR0_PE = 1, EFER_LMA = 0x400;

/** CS and SS with the selectors in locals M and K for the level in local N, and what follows from that. */
function enterLevel(e: Emitter): void {
  e.code.get(S).get(N).store32(state.CPL);
  setFlat(e, state.CS, M, CODE_64);
  setFlat(e, state.SS, K, DATA);
  e.code.get(S).const64(-1, 0).store(state.STACK_MASK);
  setTags(e);
}
/** A flat segment of the level in local N. */
function setFlat({ code }: Emitter, segment: number, selector: number, attributes: number): void {
  const at = state.SEGMENT + segment * state.SEGMENT_STRIDE;
  code.get(S).get(selector).store32(at + state.SEGMENT_SELECTOR);
  code.get(S).get(N).const32(LEVEL_TO_DPL).shl32().const32(attributes).or32().store32(at + state.SEGMENT_ATTRIBUTES);
  code.get(S).const32(-1).store32(at + state.SEGMENT_LIMIT);
  code.get(S).const(0).store(state.SEGMENT_BASE + segment * 8);
  code.get(S).const64(-1, 0).store(state.LIMIT_READ + segment * 8);
  code.get(S).const64(-1, segment === state.CS ? -1 : 0).store(state.LIMIT_WRITE + segment * 8);
}
/** What the level in local N may reach. */
function setTags({ code, long }: Emitter): void {
  const user = (ifUser: number, ifNot: number): void => { code.const32(ifUser).const32(ifNot).get(N).select(); };
  for (const [tag, cleared] of [[state.DATA_TAG, TAG_USER | TAG_OPEN], [state.FETCH_TAG, TAG_USER]] as const) {
    const is32 = !long && tag === state.FETCH_TAG;
    code.get(S).get(S).load32(tag).const32(~(is32 ? cleared | TAG_OF_SIZE : cleared)).and32();
    user(is32 ? TAG_USER | TAG_32 : TAG_USER, is32 ? TAG_32 : 0);
    code.or32().store32(tag);
  }
  writeDataReach(code, REACH_USER, N);
}
/** The flags in the low half of local A, of which none is of consequence, nor is any that they replace. */
function restoreFlags(e: Emitter): void {
  const { code } = e;
  code.get(A).wrap();
  e.setArithmeticFlags();
  code.get(S).get(A).wrap().const32(PLAIN_FLAGS & ~FLAG_RF).and32().store32(state.FLAGS_OTHER);
}
/** An interrupt that waited for IF comes now. */
function checkEvents(e: Emitter): void {
  e.code.get(A).wrap().const32(FLAG_IF).and32();
  e.code.if();
  e.checkEvents();
  e.code.end();
}
/** Not canonical: bits 47 to 63 are not all equal. */
function unlessCanonical({ code }: Emitter, address: number, label: Label): void {
  code.get(address).get(address).const(16).shl().const(16).shrS().ne().brIf(label);
}
const orElse = (id: number, emit: (e: Emitter, otherwise: Label) => void, inProtectedMode = false): Emit => (e) => {
  if (e.long || inProtectedMode) {
    const otherwise = e.code.block();
    emit(e, otherwise);
    e.code.end();
  }
  e.system(id);
};

const syscall = orElse(call.SYSCALL, (e, otherwise) => {
  const { code } = e;
  code.get(S).load32(state.EFER).const32(EFER_SCE).and32().eqz32().brIf(otherwise);
  code.get(S).load32(state.FLAGS_OTHER).tee(P).const32(FLAGS_OF_CONSEQUENCE | FLAG_RF).and32().get(S).load32(state.LEVEL_ASKS).or32().brIf(otherwise);
  e.nextRip();
  code.set(B);
  e.writeGpr(RCX, 8, B);
  e.arithmeticFlags();
  code.tee(N).get(P).or32().const32(2).or32().extendU().set(A);
  e.writeGpr(R11, 8, A);
  code.get(N).get(S).load32(state.MSR_FMASK).const32(-1).xor32().and32();
  e.setArithmeticFlags();
  code.get(S).get(P).get(S).load32(state.MSR_FMASK).const32(-1).xor32().and32().store32(state.FLAGS_OTHER);
  code.get(S).load16U32(state.MSR_STAR + 4).const32(0xfffc).and32().tee(M).const32(8).add32().set(K);
  code.const32(0).set(N);
  enterLevel(e);
  code.get(S).load(state.MSR_LSTAR).set(T);
  e.jump(T);
});
const sysret = orElse(call.SYSRET, (e, otherwise) => {
  const { code } = e;
  if (e.size !== 8) return;
  code.get(S).load32(state.EFER).const32(EFER_SCE).and32().eqz32().get(S).load32(state.CPL).or32().get(S).load32(state.LEVEL_ASKS).or32().brIf(otherwise);
  e.readGpr(R11, 8);
  code.tee(A).wrap().get(S).load32(state.FLAGS_OTHER).or32().const32(FLAGS_OF_CONSEQUENCE | FLAG_RF).and32().brIf(otherwise);
  e.readGpr(RCX, 8);
  code.set(T);
  unlessCanonical(e, T, otherwise);
  restoreFlags(e);
  code.get(S).load16U32(state.MSR_STAR + 6).tee(M).const32(STACK_OF_USER).add32().const32(USER).or32().const32(0xffff).and32().set(K);
  code.get(M).const32(CODE_OF_USER).add32().const32(USER).or32().const32(0xffff).and32().set(M);
  code.const32(USER).set(N);
  enterLevel(e);
  checkEvents(e);
  e.jump(T);
});

/** Leaves unless this is flat 32-bit code of protected mode with no flag of consequence, and systems have set SYSENTER up; M becomes its CS. */
function requireSysenter({ code }: Emitter, otherwise: Label): void {
  code.get(S).load32(state.FLAGS_OTHER).const32(FLAGS_OF_CONSEQUENCE | FLAG_RF).and32().get(S).load32(state.LEVEL_ASKS).or32();
  code.get(S).load32(state.CR0).const32(CR0_PE).and32().get(S).load32(state.FLAT).and32().eqz32().or32().get(S).load32(state.EFER).const32(EFER_LMA).and32().or32();
  code.get(S).load32(state.MSR_SYSENTER_CS).const32(0xfffc).and32().tee(M).eqz32().or32().brIf(otherwise);
}
/** CS and SS with the selector in local M and the next one, for the level in local N. */
function enterFlat32(e: Emitter): void {
  const { code } = e;
  code.get(M).const32(8).add32().set(K).get(S).get(N).store32(state.CPL);
  setFlat(e, state.CS, M, CODE_32);
  setFlat(e, state.SS, K, DATA);
  setTags(e);
}
const sysenter = orElse(call.SYSENTER, (e, otherwise) => {
  const { code } = e;
  if (e.long) return;
  requireSysenter(e, otherwise);
  code.get(S).get(S).load32(state.FLAGS_OTHER).const32(~FLAG_IF).and32().store32(state.FLAGS_OTHER);
  code.const32(0).set(N);
  enterFlat32(e);
  code.get(S).load32U(state.MSR_SYSENTER_ESP).set(A);
  e.writeGpr(RSP, 4, A);
  code.get(S).load32U(state.MSR_SYSENTER_EIP).set(T);
  e.jump(T);
}, true);
const sysexit = orElse(call.SYSEXIT, (e, otherwise) => {
  const { code } = e;
  if (e.long) return;
  requireSysenter(e, otherwise);
  code.get(S).load32(state.CPL).brIf(otherwise);
  code.get(M).const32(CODE_OF_USER).add32().const32(USER).or32().set(M).const32(USER).set(N);
  enterFlat32(e);
  e.readGpr(RCX, 4);
  code.set(A);
  e.writeGpr(RSP, 4, A);
  e.readGpr(RDX, 4);
  code.set(T);
  e.jump(T);
}, true);

const int = orElse(call.SOFTWARE_INTERRUPT, (e, otherwise) => {
  const { code } = e;
  code.get(S).load32(state.FLAGS_OTHER).const32(FLAG_RF).and32().brIf(otherwise);
  code.get(S);
  e.nextRip();
  code.store(state.RIP).get(S).get(U).load8U32(uop.UOP_IMMEDIATE).const32(-1).const32(0).const32(1).call(e.runtime.enterHandler).eqz32().brIf(otherwise);
  code.get(S).load(state.RIP).set(T);
  e.jump(T);
}, true);

/** Leaves unless the descriptor of the selector in an i32 local is flat and of level N; VA and P are free. */
function requireFlat(e: Emitter, selector: number, high: number, otherwise: Label): void {
  const { code } = e;
  // In the global table, within its limit, and not null, whatever stands in the table's first place.
  code.get(selector).const32(0xfffc).and32().eqz32().brIf(otherwise);
  code.get(selector).const32(4).and32().get(selector).const32(7).or32().get(S).load32(state.GDTR_LIMIT).gtU32().or32().brIf(otherwise);
  code.get(S).load(state.GDTR_BASE).get(selector).const32(0xfff8).and32().extendU().add();
  if (!e.long) code.zeroExtend(4);
  e.load(8);
  code.const64(FLAT_LOW, 0).get(N).const32(LEVEL_TO_DPL).shl32().const32(high).or32().extendU().const(32).shl().or().ne().brIf(otherwise);
}
const iret = orElse(call.IRET, (e, otherwise) => {
  const { code } = e;
  if (!e.long) { returnInProtectedMode(e, otherwise); return; }
  if (e.size !== 8) return;
  code.get(S).load32(state.CPL).get(S).load32(state.LEVEL_ASKS).or32().get(S).load32(state.FLAGS_OTHER).const32(FLAGS_OF_CONSEQUENCE).and32().or32().brIf(otherwise);
  e.peek(8);
  code.set(T);
  e.peek(8, 8);
  code.wrap().const32(0xffff).and32().tee(M).const32(3).and32().set(N);
  e.peek(8, 16);
  code.tee(A).wrap().const32(FLAGS_OF_CONSEQUENCE).and32().brIf(otherwise);
  // RF matters while there are breakpoints of instructions.
  code.get(A).wrap().const32(FLAG_RF).and32().get(S).load32(state.DR + 7 * 8).const32(DR7_ENABLES).and32().const32(0).ne32().const32(16).shl32().and32().brIf(otherwise);
  code.get(N).const32(1).sub32().const32(2).ltU32().brIf(otherwise); // rings 1 and 2
  requireFlat(e, M, CODE_HIGH, otherwise);
  unlessCanonical(e, T, otherwise);
  e.peek(8, 24);
  code.set(C);
  e.peek(8, 32);
  code.wrap().const32(0xffff).and32().tee(K).const32(3).and32().get(N).ne32().brIf(otherwise);
  // A handler that came from an outer level has a null SS, and so what interrupts it returns to one: to level 0, as the selector says too.
  code.get(K);
  code.if();
  requireFlat(e, K, DATA_HIGH, otherwise);
  code.end();
  code.get(N);
  code.if();
  requireUserSegments(e, otherwise);
  code.end();
  restoreFlags(e);
  e.writeGpr(RSP, 8, C);
  code.get(M).const32(3).and32().set(N);
  enterLevel(e);
  code.get(K).eqz32();
  code.if();
  setNullStack(code);
  code.end();
  checkEvents(e);
  e.jump(T);
}, true);
/** Segments of an inner level are lost on the way out: leaves where there are some. */
function requireUserSegments({ code }: Emitter, otherwise: Label): void {
  for (const segment of [state.ES, state.DS, state.FS, state.GS]) {
    code.get(S).load32(state.SEGMENT + segment * state.SEGMENT_STRIDE + state.SEGMENT_ATTRIBUTES).tee(P).const32(0x8000).and32().const32(0).ne32();
    code.get(P).const32(USER << LEVEL_TO_DPL).and32().const32(USER << LEVEL_TO_DPL).ne32().and32().brIf(otherwise);
  }
}
/** From flat 32-bit code of level 0 to code of that kind, of level 0 or 3: only on the way out is there a stack to return to. */
function returnInProtectedMode(e: Emitter, otherwise: Label): void {
  const { code } = e;
  if (e.size !== 4) return;
  code.get(S).load32(state.CPL).get(S).load32(state.LEVEL_ASKS).or32().get(S).load32(state.FLAGS_OTHER).const32(FLAGS_OF_CONSEQUENCE).and32().or32();
  code.get(S).load32(state.CR0).const32(CR0_PE).and32().get(S).load32(state.FLAT).and32().eqz32().or32().get(S).load32(state.EFER).const32(EFER_LMA).and32().or32().brIf(otherwise);
  e.peek(4);
  code.set(T);
  e.peek(4, 4);
  code.wrap().const32(0xffff).and32().tee(M).const32(3).and32().set(N);
  e.peek(4, 8);
  code.tee(A).wrap().const32(FLAGS_OF_CONSEQUENCE).and32().brIf(otherwise);
  // RF matters while there are breakpoints of instructions.
  code.get(A).wrap().const32(FLAG_RF).and32().get(S).load32(state.DR + 7 * 8).const32(DR7_ENABLES).and32().const32(0).ne32().const32(16).shl32().and32().brIf(otherwise);
  code.get(N).const32(1).sub32().const32(2).ltU32().brIf(otherwise);
  requireFlat(e, M, CODE_32 | FLAT_HIGH, otherwise);
  code.get(N);
  code.if();
  e.peek(4, 12);
  code.set(C);
  e.peek(4, 16);
  code.wrap().const32(0xffff).and32().tee(K).const32(3).and32().get(N).ne32().brIf(otherwise);
  requireFlat(e, K, DATA_HIGH, otherwise);
  requireUserSegments(e, otherwise);
  setFlat(e, state.SS, K, DATA);
  e.writeGpr(RSP, 4, C);
  code.else();
  e.release(12);
  code.end();
  restoreFlags(e);
  code.get(M).const32(3).and32().set(N).get(S).get(N).store32(state.CPL);
  setFlat(e, state.CS, M, CODE_32);
  setTags(e);
  checkEvents(e);
  e.jump(T);
}

export const PRIVILEGE_CHANGE: EmitterTable = {
  syscall: { emit: syscall, apart: true },
  sysret: { emit: sysret, apart: true },
  sysenter: { emit: sysenter, apart: true },
  sysexit: { emit: sysexit, apart: true },
  int: { emit: int, apart: true },
  iret: { emit: iret, apart: true },
};
