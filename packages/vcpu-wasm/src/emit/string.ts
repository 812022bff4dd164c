/** String instructions with and without REP (SDM vol. 1, section 7.3.9). One call runs one element, or one page's worth. */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import * as call from '../system-call.ts';
import { A, B, C, D, H, M, N, P, R, S, T, U, V, VA } from '../locals.ts';
import { I32 } from '../wasm/code-writer.ts';
import * as state from '../cpu-state.ts';
import * as uop from '../uop.ts';
import { pushTlbPlace } from '../tlb-place.ts';

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RSI = 6;
const RDI = 7;
const DF = 0x400;
const TF = 0x100;
const PAGE = 4096;

/** Leaves at once when a REP count is 0. */
function begin(e: Emitter): void {
  if (e.form.rep === 0) return;
  const { code } = e;
  e.readGpr(RCX, e.form.addressBytes);
  code.eqz();
  code.if();
  code.get(U).const32(uop.UOP_BYTES).add32();
  e.continueAt();
  code.end();
}
/** D = step of the index registers. */
function step(e: Emitter): void {
  const { code } = e;
  code.const(-e.size).const(e.size).get(S).load32(state.FLAGS_OTHER).const32(DF).and32().select().set(D);
}
/** Offset in rSI or rDI into `local`. */
function index(e: Emitter, register: number, local: number): void {
  e.readGpr(register, e.form.addressBytes);
  e.code.set(local);
}
function advance(e: Emitter, register: number, local: number): void {
  e.code.get(local).get(D).add().set(V);
  e.writeGpr(register, e.form.addressBytes, V);
}
/** Runs the instruction again. Whatever comes before that finds it half done. */
function goOn(e: Emitter): void {
  e.code.get(S).get(U).store32(state.REPEATED);
  e.again();
}
/** It is done. */
function finish({ code }: Emitter): void { code.get(S).const32(0).store32(state.REPEATED); }
/** Takes one from rCX; runs the instruction again while it is not 0. `until` pushes an i32 that ends the loop early. */
function repeat(e: Emitter, until: (() => void) | null, piece: (() => void) | null = null): void {
  if (e.form.rep === 0) return;
  const { code } = e;
  const bytes = e.form.addressBytes;
  e.readGpr(RCX, bytes);
  code.const(1).sub().set(V);
  e.writeGpr(RCX, bytes, V);
  code.get(V).zeroExtend(bytes).const(0).ne();
  if (until !== null) { until(); code.eqz32().and32(); }
  code.if();
  piece?.();
  goOn(e);
  code.end();
  finish(e);
}
const isPiecewise = ({ form }: Emitter): boolean => form.rep !== 0 && form.addressBytes !== 2;
/** What wants attention during an element is noticed afterwards. */
function heed(e: Emitter): void { if (isPiecewise(e)) e.code.get(S).const32(0).store32(state.ATTENTION); }
/**
 * What `bulk` does at once counts as one instruction, so it has to when it is done by elements too: whether the TLB answers, and whether
 * a page is known to hold code, may not be seen in the count. So an element is free when the next one lies in the same page, but for
 * one that made something want attention. VA = linear address of the destination, C = that of the source.
 */
function countPiece(e: Emitter, withSource: boolean): void {
  if (!isPiecewise(e)) return;
  const { code, size } = e;
  pieces(e, withSource);
  for (const local of withSource ? [VA, C] : [VA]) code.get(local).get(local).const(2 * size - 1).add().xor().const(-PAGE).and().eqz().and32();
  code.get(S).load32(state.ATTENTION).eqz32().and32();
  code.if();
  code.get(S).get(S).load32(state.BUDGET).const32(1).add32().store32(state.BUDGET);
  code.end();
}
const source = (e: Emitter, local: number): void => { e.code.get(local); e.addressOfOffset(e.size, false); };
const destination = (e: Emitter, local: number, write: boolean): void => { e.code.get(local); e.segmentAddress(state.ES, e.size, write); };

/** Pushes whether `segment` (an i32 local holding its number, or a constant) spans the whole address space. */
function flatSegments(e: Emitter, withSource: boolean): void {
  const { code } = e;
  if (e.long) { code.const32(1); return; }
  code.get(S).load(state.LIMIT_WRITE + state.ES * 8).const64(-1, 0).eq();
  if (withSource) code.get(S).get(U).load8U32(uop.UOP_SEGMENT).const32(3).shl32().add32().load(state.LIMIT_READ).const64(-1, 0).eq().and32();
}
/** Pushes whether elements are done piece by piece: upwards through flat segments, and not in single steps, which are an element each (SDM vol. 3, section 17.3.1.4). */
function pieces(e: Emitter, withSource: boolean): void {
  e.code.get(S).load32(state.FLAGS_OTHER).const32(DF | TF).and32().eqz32();
  flatSegments(e, withSource);
  e.code.and32();
}
/** Pushes the host address of the linear address in `local`, or 0 when the TLB does not answer and cannot be made to. */
function hostAddress(e: Emitter, tlb: number, local: number): void {
  const { code, runtime } = e;
  pushTlbPlace(code.get(local)).get(S).load32(state.TLB_BASE).add32().set(P);
  code.get(local).const(-PAGE).and().get(S).load(state.DATA_TAG).or().get(P).load(tlb).eq();
  code.if(I32);
  code.const32(1);
  code.else();
  code.get(S).get(local).const32(1).call(tlb === state.READ_TLB ? runtime.refillRead : runtime.refillWrite);
  code.end();
  code.if(I32);
  code.get(local).wrap().get(P).load32(tlb + state.TLB_ADDEND).add32();
  code.else();
  code.const32(0);
  code.end();
}
/** C = elements that fit into the count and into the page of the linear address in `local`. */
function limitToPage(e: Emitter, local: number): void {
  const { code } = e;
  code.get(C).const(PAGE).get(local).const(PAGE - 1).and().sub().const(Math.log2(e.size)).shrU().tee(V);
  code.get(C).get(V).ltU().select().set(C);
}
/** The part of a REP MOVS or STOS that lies in one page, by bulk memory instructions; falls through when that is impossible. */
function bulk(e: Emitter, kind: 'movs' | 'stos'): void {
  const { code, size } = e;
  const bytes = e.form.addressBytes;
  if (!isPiecewise(e)) return;
  const move = kind === 'movs';
  pieces(e, move);
  code.if();
  // Linear addresses: T = destination, R = source. C = number of elements.
  code.get(B);
  e.segmentAddress(state.ES, size, true);
  code.set(T);
  e.readGpr(RCX, bytes);
  code.set(C);
  limitToPage(e, T);
  hostAddress(e, state.WRITE_TLB, T);
  code.set(H);
  if (move) {
    code.get(A);
    e.addressOfOffset(size, false);
    code.set(R);
    limitToPage(e, R);
    hostAddress(e, state.READ_TLB, R);
    code.set(M);
  } else code.const32(1).set(M);
  code.get(C).const(Math.log2(size)).shl().wrap().set(N);
  code.get(H).const32(0).ne32().get(M).const32(0).ne32().and32().get(C).const(1).gtU().and32();
  // A destination that lies less than the length above the source repeats it; that is left to single elements.
  if (move) code.get(H).get(M).sub32().get(N).geU32().and32();
  code.if();
  if (move) code.get(H).get(M).get(N).memoryCopy();
  else if (size === 1) code.get(H).get(R).wrap().get(N).memoryFill();
  else {
    code.get(R).get(R).const(0xff).and().const64(0x0101_0101, 0x0101_0101).mul().zeroExtend(size).eq();
    code.if();
    code.get(H).get(R).wrap().get(N).memoryFill();
    code.else();
    code.get(H).get(N).add32().set(M);
    const loop = code.loop();
    code.get(H).get(R).storeSize(size);
    code.get(H).const32(size).add32().tee(H).get(M).ltU32().brIf(loop);
    code.end();
    code.end();
  }
  code.get(N).extendU().set(D);
  advance(e, RDI, B);
  if (move) advance(e, RSI, A);
  e.readGpr(RCX, bytes);
  code.get(C).sub().set(V);
  e.writeGpr(RCX, bytes, V);
  code.get(V).zeroExtend(bytes).const(0).ne();
  code.if();
  goOn(e);
  code.end();
  finish(e);
  code.get(U).const32(uop.UOP_BYTES).add32();
  e.continueAt();
  code.end();
  code.end();
}

const movs: Emit = (e) => {
  begin(e);
  index(e, RSI, A);
  index(e, RDI, B);
  bulk(e, 'movs');
  step(e);
  heed(e);
  source(e, A);
  e.load(e.size);
  e.code.set(R).get(VA).set(C);
  destination(e, B, true);
  e.store(e.size, R);
  advance(e, RSI, A);
  advance(e, RDI, B);
  repeat(e, null, () => countPiece(e, true));
};
const stos: Emit = (e) => {
  begin(e);
  index(e, RDI, B);
  e.readGpr(RAX, e.size);
  e.code.set(R);
  bulk(e, 'stos');
  step(e);
  heed(e);
  destination(e, B, true);
  e.store(e.size, R);
  advance(e, RDI, B);
  repeat(e, null, () => countPiece(e, false));
};
const lods: Emit = (e) => {
  begin(e);
  index(e, RSI, A);
  step(e);
  source(e, A);
  e.load(e.size);
  e.code.set(R);
  e.writeGpr(RAX, e.size, R);
  advance(e, RSI, A);
  repeat(e, null);
};
/** Ends REPE when the operands differ and REPNE when they are equal. */
const differs = (e: Emitter) => (): void => { e.condition(e.form.rep === 0xf3 ? 5 : 4); };

const cmps: Emit = (e) => {
  const { code } = e;
  begin(e);
  index(e, RSI, A);
  index(e, RDI, B);
  step(e);
  source(e, A);
  e.load(e.size);
  code.set(C);
  destination(e, B, false);
  e.load(e.size);
  code.set(T);
  advance(e, RSI, A);
  advance(e, RDI, B);
  code.get(C).get(T).sub().set(R);
  e.flagsSubtract(C, T, R);
  repeat(e, differs(e));
};
const scas: Emit = (e) => {
  const { code } = e;
  begin(e);
  index(e, RDI, B);
  step(e);
  e.readGpr(RAX, e.size);
  code.set(C);
  destination(e, B, false);
  e.load(e.size);
  code.set(T);
  advance(e, RDI, B);
  code.get(C).get(T).sub().set(R);
  e.flagsSubtract(C, T, R);
  repeat(e, differs(e));
};
const ins: Emit = (e) => {
  const { code } = e;
  // Before memory, and with a count of 0 too (APM vol. 3, INS and OUTS, as its processors do it).
  e.system(call.CHECK_PORT);
  begin(e);
  index(e, RDI, B);
  step(e);
  // The port is read only when the store cannot fault any more.
  destination(e, B, true);
  e.loadForUpdate(e.size);
  code.drop();
  code.get(VA).set(T);
  e.readGpr(RDX, 2);
  code.wrap().const32(e.size).call(e.runtime.portIn).extendU().set(R);
  code.get(T).set(VA);
  e.storeBack(e.size, R);
  advance(e, RDI, B);
  repeat(e, null);
};
const outs: Emit = (e) => {
  const { code } = e;
  e.system(call.CHECK_PORT);
  begin(e);
  index(e, RSI, A);
  step(e);
  source(e, A);
  e.load(e.size);
  code.set(R);
  e.readGpr(RDX, 2);
  code.wrap().const32(e.size).get(R).wrap().call(e.runtime.portOut);
  advance(e, RSI, A);
  repeat(e, null);
};

export const STRING: EmitterTable = {
  movs: { emit: movs, apart: true },
  stos: { emit: stos, apart: true },
  lods: { emit: lods, apart: true },
  cmps: { emit: cmps, apart: true },
  scas: { emit: scas, apart: true },
  ins: { emit: ins, apart: true },
  outs: { emit: outs, apart: true },
};
