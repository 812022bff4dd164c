/**
 * MOV and POP into ES, DS, FS and GS (SDM vol. 2): in flat 32-bit code of level 0, from the data segments that systems have, of four gigabytes. A 32-bit
 * Linux does that ten times in a system call. Whatever is not so is left to TypeScript, before anything has changed.
 */
import { CR0_PE, DESCRIPTOR_G, DESCRIPTOR_LIMIT_HIGH_MASK, DESCRIPTOR_PRESENT, DESCRIPTOR_S, SEGMENT_ACCESSED, SEGMENT_CODE, SEGMENT_EXPAND_DOWN, SEGMENT_WRITABLE } from '@vm/x86';
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, C, D, K, M, N, P, S, U } from '../locals.ts';
import * as state from '../cpu-state.ts';
import * as call from '../system-call.ts';
import * as uop from '../uop.ts';
import type { Label } from '../wasm/code-writer.ts';

const WANTED: number = DESCRIPTOR_PRESENT | DESCRIPTOR_S | SEGMENT_WRITABLE | SEGMENT_ACCESSED | DESCRIPTOR_G | DESCRIPTOR_LIMIT_HIGH_MASK;
const UNWANTED: number = SEGMENT_CODE | SEGMENT_EXPAND_DOWN;
const ATTRIBUTES = 0xf0_ff00;
const WHOLE = 0xffff_ffff;
const DPL_SHIFT = 13;

/** The selector is in local A. */
function loadSegment(e: Emitter, otherwise: Label): void {
  const { code } = e;
  code.get(S).load32(state.CPL).get(S).load32(state.CR0).const32(CR0_PE).and32().get(S).load32(state.FLAT).and32().eqz32().or32().brIf(otherwise);
  // M: eight times the number of the register; CS and SS stand between ES and DS.
  code.get(U).load16U32(uop.UOP_REGISTER_0).const32(state.SEGMENT).sub32().const32(1).shrU32().tee(M);
  code.const32(state.CS * 8).sub32().const32((state.SS - state.CS) * 8).leU32().brIf(otherwise);
  code.get(A).wrap().const32(0xffff).and32().tee(N).const32(0xfffc).and32();
  code.if();
  code.get(N).const32(4).and32().get(N).const32(7).or32().get(S).load32(state.GDTR_LIMIT).gtU32().or32().brIf(otherwise);
  code.get(S).load(state.GDTR_BASE).get(N).const32(0xfff8).and32().extendU().add().zeroExtend(4);
  e.load(8);
  code.tee(D).const(32).shrU().wrap().tee(P).const32(WANTED | UNWANTED).and32().const32(WANTED).ne32();
  code.get(D).const(0xffff).and().const(0xffff).ne().or32();
  code.get(P).const32(DPL_SHIFT).shrU32().const32(3).and32().get(N).const32(3).and32().ltU32().or32().brIf(otherwise);
  code.get(P).const32(ATTRIBUTES).and32().set(K);
  code.get(D).const(16).shrU().const(0xff_ffff).and().get(D).const(56).shrU().const(24).shl().or().tee(C);
  // ES and DS are flat, or the code around would not be run as it is.
  code.const(0).ne().get(M).const32(state.FS * 8).ltU32().and32().brIf(otherwise);
  code.const64(WHOLE, 0).set(B);
  code.else();
  code.get(M).const32(state.FS * 8).ltU32().brIf(otherwise);
  code.const32(0).set(K).const(0).set(C).const64(WHOLE, WHOLE).set(B);
  code.end();
  code.get(S).get(M).const32(1).shl32().add32().tee(P).get(N).store32(state.SEGMENT + state.SEGMENT_SELECTOR);
  code.get(P).get(K).store32(state.SEGMENT + state.SEGMENT_ATTRIBUTES);
  code.get(P).const32(WHOLE).const32(0).get(K).select().store32(state.SEGMENT + state.SEGMENT_LIMIT);
  code.get(S).get(M).add32().tee(P).get(C).store(state.SEGMENT_BASE).get(P).get(B).store(state.LIMIT_READ).get(P).get(B).store(state.LIMIT_WRITE);
}
const orElse = (e: Emitter, id: number, before: () => void, after: () => void): void => {
  const { code } = e;
  if (e.long) { e.system(id); return; }
  const done = code.block();
  const otherwise = code.block();
  before();
  loadSegment(e, otherwise);
  after();
  code.br(done);
  code.end();
  e.system(id);
  code.end();
};

/** SCRATCH = the selector, for TypeScript. */
export const moveToSegment: Emit = (e) => {
  e.read(1);
  e.code.set(A).get(S).get(A).store(state.SCRATCH);
  orElse(e, call.LOAD_SEGMENT, () => undefined, () => undefined);
};
const popSegment: Emit = (e) => orElse(e, call.POP_SEGMENT, () => {
  e.peek(2);
  e.code.set(A);
}, () => e.release(e.size));

export const SEGMENT_LOAD: EmitterTable = { pop_seg: { emit: popSegment, apart: true } };
