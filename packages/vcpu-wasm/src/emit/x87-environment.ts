/** FLDENV, FNSTENV, FRSTOR and FNSAVE: the environment, and with it the registers, in 14 to 108 bytes of memory (SDM vol. 1, section 8.1.10). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { B, C, M, S } from '../locals.ts';
import * as state from '../cpu-state.ts';
import { apart, beginWaiting, callX87, linear, takeAddress } from './x87-instruction.ts';

const CR0_PE = 1;
const FLAGS_VM_BIT = 17;
/** Images are copied in pieces that divide every size of image. */
const PIECE = 2;

const sizeOf = (e: Emitter): 2 | 4 => (e.size === 2 ? 2 : 4);

/** Pushes an i32: is the format that of real-address and virtual-8086 mode? */
function pushReal(e: Emitter): void {
  const { code } = e;
  if (e.long) { code.const32(0); return; }
  code.get(S).load32(state.CR0).const32(CR0_PE).and32().eqz32();
  code.get(S).load32(state.FLAGS_OTHER).const32(FLAGS_VM_BIT).shrU32().const32(1).and32().or32();
}
/** Runs `copy` for each piece, with its linear address on the stack and its offset in M; C is the address of the first. */
function forEachPiece(e: Emitter, copy: () => void): void {
  const { code } = e;
  code.const32(0).set(M);
  const again = code.loop();
  pushPieceAddress(e);
  copy();
  code.get(M).const32(PIECE).add32().tee(M).const32(e.bytes(0)).ltU32().brIf(again);
  code.end();
}
function pushPieceAddress(e: Emitter): void {
  e.code.get(C).get(M).extendU().add();
  if (!e.long) e.code.zeroExtend(4);
}
const save = (registers: boolean): Emit => (e) => {
  const { code } = e;
  const { environment } = e.runtime.x87;
  e.requireX87();
  takeAddress(e);
  linear(e, e.bytes(0), true);
  code.set(C);
  // The image spans at most two pages: with both ends proved writable no store can fault.
  for (const end of [0, e.bytes(0) - PIECE]) {
    code.const32(end).set(M);
    pushPieceAddress(e);
    e.loadForUpdate(PIECE);
    code.drop();
  }
  code.get(S);
  pushReal(e);
  code.const32(registers ? 1 : 0);
  callX87(e, environment.save[sizeOf(e)]);
  forEachPiece(e, () => {
    code.get(S).get(M).add32().load16U(state.X87_IMAGE).set(B);
    e.store(PIECE, B);
  });
  code.get(S);
  callX87(e, registers ? environment.initialise : environment.maskAll);
};
const restore = (registers: boolean): Emit => (e) => {
  const { code } = e;
  beginWaiting(e);
  takeAddress(e);
  linear(e, e.bytes(0), false);
  code.set(C);
  forEachPiece(e, () => {
    e.load(PIECE);
    code.set(B).get(S).get(M).add32().get(B).store16(state.X87_IMAGE);
  });
  code.get(S);
  pushReal(e);
  code.const32(registers ? 1 : 0);
  callX87(e, e.runtime.x87.environment.restore[sizeOf(e)]);
};

export const X87_ENVIRONMENT: EmitterTable = {
  fnstenv: apart(save(false)),
  fldenv: apart(restore(false)),
  fnsave: apart(save(true)),
  frstor: apart(restore(true)),
};
