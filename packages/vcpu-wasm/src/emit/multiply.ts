/** Multiplication, division and decimal adjustment (SDM vol. 1, sections 7.3.2 and 7.3.4). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, C, D, N, R, S, T, V, VA } from '../locals.ts';
import * as state from '../cpu-state.ts';

const RAX = 0;
const RDX = 2;
const DIVIDE_ERROR = 0;

/** Pushes the upper 64 bits of the unsigned product of locals a and b; uses VA, V and T. */
export function pushHighProduct(e: Emitter, a: number, b: number): void {
  const { code } = e;
  const low = (x: number): void => { code.get(x).zeroExtend(4); };
  const high = (x: number): void => { code.get(x).const(32).shrU(); };
  // (ah·2^32 + al)(bh·2^32 + bl): the middle sum cannot overflow when the carry of al·bl goes in first.
  high(a); low(b); code.mul();
  low(a); low(b); code.mul().const(32).shrU().add().set(VA);
  low(a); high(b); code.mul().get(VA).zeroExtend(4).add().set(V);
  high(a); high(b); code.mul().get(VA).const(32).shrU().add().get(V).const(32).shrU().add();
}
/** The same for signed factors. */
function highSignedProduct(e: Emitter, a: number, b: number): void {
  pushHighProduct(e, a, b);
  e.code.get(a).const(63).shrS().get(b).and().sub();
  e.code.get(b).const(63).shrS().get(a).and().sub();
}
/** CF = OF = the i32 on the stack. */
function carryAndOverflow(e: Emitter): void {
  e.code.tee(N).get(N);
  e.setCarryOverflow();
}

const multiplyAccumulator = (signed: boolean): Emit => (e) => {
  const { code, size } = e;
  e.read(0);
  if (signed) code.signExtend(size);
  code.set(B);
  e.readGpr(RAX, size);
  if (signed) code.signExtend(size);
  code.set(A);
  code.get(A).get(B).mul().set(R);
  if (size === 8) {
    if (signed) highSignedProduct(e, A, B);
    else pushHighProduct(e, A, B);
    code.set(D);
  } else {
    code.get(R).const(size * 8).shrS().set(D);
  }
  if (size === 1) e.writeGpr(RAX, 2, R);
  else {
    e.writeGpr(RAX, size, R);
    e.writeGpr(RDX, size, D);
  }
  if (signed) {
    if (size === 8) code.get(D).get(R).const(63).shrS().ne();
    else code.get(R).get(R).signExtend(size).ne();
  } else code.get(D).zeroExtend(size).const(0).ne();
  carryAndOverflow(e);
};

const imul: Emit = (e) => {
  if (e.form.operands.length === 1) { multiplyAccumulator(true)(e); return; }
  const { code, size } = e;
  const three = e.form.operands.length === 3;
  e.read(three ? 1 : 0);
  code.signExtend(size).set(A);
  e.read(three ? 2 : 1);
  code.signExtend(size).set(B);
  code.get(A).get(B).mul().set(R);
  if (size === 8) {
    highSignedProduct(e, A, B);
    code.get(R).const(63).shrS().ne().set(N);
  } else code.get(R).get(R).signExtend(size).ne().set(N);
  e.write(0, R);
  code.get(N);
  carryAndOverflow(e);
};

/** Divides D:A (128 bits) by B into quotient R and remainder D. The quotient is known to fit. Uses T and C. */
function longDivision(e: Emitter): void {
  const { code } = e;
  code.const(64).set(C).const(0).set(R);
  const loop = code.loop();
  // Shift D:A left; T is the bit that leaves D.
  code.get(D).const(63).shrU().set(T);
  code.get(D).const(1).shl().get(A).const(63).shrU().or().set(D);
  code.get(A).const(1).shl().set(A);
  code.get(R).const(1).shl().set(R);
  code.get(T).const(0).ne().get(D).get(B).geU().or32();
  code.if();
  code.get(D).get(B).sub().set(D).get(R).const(1).or().set(R);
  code.end();
  code.get(C).const(1).sub().tee(C).const(0).ne().brIf(loop);
  code.end();
}

/** D = A - R * B: a second division would take the host as long as the first. */
function remainder({ code }: Emitter): void { code.get(A).get(R).get(B).mul().sub().set(D); }

/** Pushes AX, DX:AX or EDX:EAX. */
function dividend(e: Emitter): void {
  const { code, size } = e;
  e.readGpr(RAX, size === 1 ? 2 : size);
  if (size === 1) return;
  e.readGpr(RDX, size);
  code.const(size * 8).shl().or();
}

const div: Emit = (e) => {
  const { code, size } = e;
  e.read(0);
  code.tee(B).eqz();
  e.raiseIf(DIVIDE_ERROR);
  if (size === 8) {
    e.readGpr(RAX, 8);
    code.set(A);
    e.readGpr(RDX, 8);
    code.tee(D).get(B).geU();
    e.raiseIf(DIVIDE_ERROR);
    code.get(D).eqz();
    code.if();
    code.get(A).get(B).divU().set(R);
    remainder(e);
    code.else();
    longDivision(e);
    code.end();
  } else {
    dividend(e);
    code.set(A);
    code.get(A).get(B).divU().tee(R).const(size * 8).shrU().const(0).ne();
    e.raiseIf(DIVIDE_ERROR);
    remainder(e);
  }
  writeQuotient(e);
};

function writeQuotient(e: Emitter): void {
  const { code, size } = e;
  if (size === 1) {
    code.get(R).const(0xff).and().get(D).const(0xff).and().const(8).shl().or().set(R);
    e.writeGpr(RAX, 2, R);
    return;
  }
  e.writeGpr(RAX, size, R);
  e.writeGpr(RDX, size, D);
}

const idiv: Emit = (e) => {
  const { code, size } = e;
  e.read(0);
  code.signExtend(size).tee(B).eqz();
  e.raiseIf(DIVIDE_ERROR);
  if (size === 8) {
    // Divide magnitudes, then give the signs back: quotient like dividend xor divisor, remainder like the dividend.
    e.readGpr(RAX, 8);
    code.set(A);
    e.readGpr(RDX, 8);
    code.set(D);
    code.get(D).const(63).shrS().set(V); // -1 for a negative dividend
    code.get(D).const(63).shrS().get(B).const(63).shrS().xor().set(VA);
    code.get(V).const(0).ne();
    code.if();
    code.get(D).not().get(A).eqz().extendU().add().set(D).const(0).get(A).sub().set(A);
    code.end();
    code.get(B).const(0).ltS();
    code.if();
    code.const(0).get(B).sub().set(B);
    code.end();
    code.get(D).get(B).geU();
    e.raiseIf(DIVIDE_ERROR);
    code.get(D).eqz();
    code.if();
    code.get(A).get(B).divU().set(R);
    remainder(e);
    code.else();
    longDivision(e);
    code.end();
    code.get(VA).const(0).ne();
    code.if();
    code.const(0).get(R).sub().set(R);
    code.get(R).const(0).gtS();
    e.raiseIf(DIVIDE_ERROR);
    code.else();
    code.get(R).const(0).ltS();
    e.raiseIf(DIVIDE_ERROR);
    code.end();
    code.get(V).const(0).ne();
    code.if();
    code.const(0).get(D).sub().set(D);
    code.end();
  } else {
    dividend(e);
    code.signExtend(size === 1 ? 2 : size === 2 ? 4 : 8).set(A);
    // The one quotient that would trap in WebAssembly is out of range here too.
    code.get(A).const64(0, -0x8000_0000).eq().get(B).const(-1).eq().and32();
    e.raiseIf(DIVIDE_ERROR);
    code.get(A).get(B).divS().tee(R).get(R).signExtend(size).ne();
    e.raiseIf(DIVIDE_ERROR);
    remainder(e);
  }
  writeQuotient(e);
};

/** AL and AH as i64 locals A and B. */
function alAndAh(e: Emitter): void {
  e.code.get(S).load8U(state.GPR).set(A).get(S).load8U(state.GPR + 1).set(B);
}
function storeAl(e: Emitter, value: number): void { e.code.get(S).get(value).store8(state.GPR); }

const aam: Emit = (e) => {
  const { code } = e;
  e.read(0);
  code.const(0xff).and().tee(C).eqz();
  e.raiseIf(DIVIDE_ERROR);
  alAndAh(e);
  code.get(S).get(A).get(C).divU().store8(state.GPR + 1);
  code.get(A).get(C).remU().set(R);
  storeAl(e, R);
  e.flagsLogic(R, 1);
};
const aad: Emit = (e) => {
  const { code } = e;
  e.read(0);
  code.const(0xff).and().set(C);
  alAndAh(e);
  code.get(B).get(C).mul().get(A).add().const(0xff).and().set(R);
  e.writeGpr(RAX, 2, R);
  e.flagsLogic(R, 1);
};
/** AAA and AAS; SDM vol. 2. AX moves by 0x106, or -6 and -0x100. */
const asciiAdjust = (sign: 1 | -1): Emit => (e) => {
  const { code } = e;
  alAndAh(e);
  code.get(A).const(15).and().const(9).gtU();
  e.arithmeticFlags();
  code.const32(4).shrU32().const32(1).and32().or32().set(N);
  code.get(N).extendU().set(D);
  e.readGpr(RAX, 2);
  code.get(D).const(sign === 1 ? 0x106 : -0x106).mul().add().const64(0xff0f, 0).and().set(R);
  e.writeGpr(RAX, 2, R);
  code.get(R).const(0xff).and().set(R);
  e.flagsLogic(R, 1);
  // AF = CF = adjusted.
  e.arithmeticFlags();
  code.get(D).wrap().const32(0x11).mul32().or32();
  e.setArithmeticFlags();
};
/** DAA and DAS; SDM vol. 2. */
const decimalAdjust = (sign: 1 | -1): Emit => (e) => {
  const { code } = e;
  alAndAh(e);
  e.arithmeticFlags();
  code.extendU().set(D);
  code.get(A).set(R).const(0).set(C);
  code.get(A).const(15).and().const(9).gtU().get(D).const(0x10).and().const(0).ne().or32();
  code.if();
  code.get(R).const(6 * sign).add().set(R).get(C).const(0x10).or().set(C);
  if (sign === -1) {
    // DAS: the borrow of AL - 6 counts.
    code.get(A).const(6).ltU();
    code.if();
    code.get(C).const(1).or().set(C);
    code.end();
  }
  code.end();
  code.get(A).const(0x99).gtU().get(D).const(1).and().const(0).ne().or32();
  code.if();
  code.get(R).const(0x60 * sign).add().set(R).get(C).const(1).or().set(C);
  code.end();
  code.get(R).const(0xff).and().set(R);
  storeAl(e, R);
  e.flagsLogic(R, 1);
  e.arithmeticFlags();
  code.get(C).wrap().or32();
  e.setArithmeticFlags();
};

export const MULTIPLY: EmitterTable = {
  mul: { emit: multiplyAccumulator(false) },
  imul: { emit: imul },
  div: { emit: div, apart: true },
  idiv: { emit: idiv, apart: true },
  aam: { emit: aam, apart: true },
  aad: { emit: aad, apart: true },
  aaa: { emit: asciiAdjust(1), apart: true },
  aas: { emit: asciiAdjust(-1), apart: true },
  daa: { emit: decimalAdjust(1), apart: true },
  das: { emit: decimalAdjust(-1), apart: true },
};
