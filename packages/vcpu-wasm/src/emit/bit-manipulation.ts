/** BMI1 and BMI2: instructions on general registers with a VEX prefix (SDM vol. 1, section 5.1.16.1). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, C, D, R, T, U } from '../locals.ts';
import * as uop from '../uop.ts';
import { pushHighProduct } from './multiply.ts';
import { requireProtected } from './system.ts';

const RDX = 2;

/** Reads operands 1 and 2 into A and B, or the operands of the two-operand forms. */
function operands(e: Emitter, first: number, second: number): void {
  // VEX prefixes mean nothing in real and virtual-8086 mode.
  requireProtected(e);
  e.read(second);
  e.code.set(B);
  e.read(first);
  e.code.set(A);
}
/** SF and ZF from R, CF from local C, the others clear. */
function setFlags(e: Emitter): void {
  const { code } = e;
  const signBit = e.size * 8 - 1;
  code.get(R).eqz().const32(6).shl32();
  code.get(R).const(signBit).shrU().wrap().const32(1).and32().const32(7).shl32().or32();
  code.get(C).wrap().or32();
  e.setArithmeticFlags();
}
function cut(e: Emitter): void { if (e.size === 4) e.code.zeroExtend(4); }

const andNot: Emit = (e) => {
  operands(e, 1, 2);
  e.code.get(A).not().get(B).and().set(R).const(0).set(C);
  e.write(0, R);
  setFlags(e);
};
/** Bits from START on, as many as the second byte of the control says. */
const extractField: Emit = (e) => {
  const { code, size } = e;
  operands(e, 1, 2);
  code.get(B).const(0xff).and().set(T).get(B).const(8).shrU().const(0xff).and().set(D);
  // A shift by the size or more leaves nothing.
  code.get(A).get(T).shrU().const(0).get(T).const(size * 8).ltU().select().set(R);
  code.get(R).const(1).get(D).shl().const(1).sub().and().get(R).get(D).const(64).ltU().select().set(R);
  e.write(0, R);
  code.get(R).eqz().const32(6).shl32();
  e.setArithmeticFlags();
};
/** BLSI, BLSMSK, BLSR: `combine` makes R from A, the source; CF tells whether the source was zero. */
const lowestBit = (combine: (e: Emitter) => void, carryOfZero: 0 | 1): Emit => (e) => {
  const { code } = e;
  requireProtected(e);
  e.read(1);
  code.set(A);
  combine(e);
  cut(e);
  code.set(R).get(A).eqz();
  if (carryOfZero === 0) code.eqz32();
  code.extendU().set(C);
  e.write(0, R);
  setFlags(e);
};
/** BZHI: nothing from bit N on; CF when N is not a bit of the operand. */
const zeroHigh: Emit = (e) => {
  const { code, size } = e;
  operands(e, 1, 2);
  code.get(B).const(0xff).and().tee(T).const(size * 8 - 1).gtU().extendU().set(C);
  code.get(A).get(A).const(1).get(T).shl().const(1).sub().and().get(T).const(size * 8 - 1).gtU().select().set(R);
  e.write(0, R);
  setFlags(e);
};
/** PEXT gathers the bits of A under the mask B, PDEP scatters the low bits of A to its places. */
const gather = (scatter: boolean): Emit => (e) => {
  const { code } = e;
  operands(e, 1, 2);
  code.const(0).set(R).const(0).set(T);
  const done = code.block();
  const loop = code.loop();
  code.get(B).eqz().brIf(done);
  code.get(B).ctz().set(D);
  code.get(R).get(A).get(scatter ? T : D).shrU().const(1).and().get(scatter ? D : T).shl().or().set(R);
  code.get(T).const(1).add().set(T).get(B).get(B).const(1).sub().and().set(B).br(loop);
  code.end();
  code.end();
  e.write(0, R);
};
/** MULX: the high half of the product goes to operand 0, the low half to operand 1; no flags. */
const multiply: Emit = (e) => {
  const { code, size } = e;
  requireProtected(e);
  e.read(2);
  code.set(B);
  e.readGpr(RDX, size);
  code.set(A).get(A).get(B).mul().set(R);
  if (size === 8) pushHighProduct(e, A, B);
  else code.get(R).const(32).shrU();
  code.set(D);
  e.write(1, R);
  e.write(0, D);
};
/** SARX, SHLX, SHRX: the count is taken modulo the size; no flags. */
const shift = (by: (e: Emitter) => void, signed = false): Emit => (e) => {
  const { code, size } = e;
  operands(e, 1, 2);
  code.get(A);
  if (signed) code.signExtend(size);
  code.get(B).const(size * 8 - 1).and();
  by(e);
  cut(e);
  code.set(R);
  e.write(0, R);
};
const rotate: Emit = (e) => {
  const { code, size } = e;
  requireProtected(e);
  e.read(1);
  code.set(A).get(A);
  if (size === 4) code.get(A).const(32).shl().or();
  code.get(U).load8U(uop.UOP_IMMEDIATE).const(size * 8 - 1).and().rotr();
  cut(e);
  code.set(R);
  e.write(0, R);
};

const apart = (emit: Emit): { emit: Emit; apart: true } => ({ emit, apart: true });

export const BIT_MANIPULATION: EmitterTable = {
  andn: apart(andNot),
  bextr: apart(extractField),
  blsi: apart(lowestBit((e) => { e.code.const(0).get(A).sub().get(A).and(); }, 0)),
  blsmsk: apart(lowestBit((e) => { e.code.get(A).const(1).sub().get(A).xor(); }, 1)),
  blsr: apart(lowestBit((e) => { e.code.get(A).const(1).sub().get(A).and(); }, 1)),
  bzhi: apart(zeroHigh),
  pext: apart(gather(false)),
  pdep: apart(gather(true)),
  mulx: apart(multiply),
  sarx: apart(shift((e) => { e.code.shrS(); }, true)),
  shlx: apart(shift((e) => { e.code.shl(); })),
  shrx: apart(shift((e) => { e.code.shrU(); })),
  rorx: apart(rotate),
};
