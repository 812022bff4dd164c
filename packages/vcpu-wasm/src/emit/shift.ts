/** Shifts and rotates (SDM vol. 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, C, D, R, T } from '../locals.ts';

const bitsOf = (e: Emitter): number => e.size * 8;

/** Reads operand k as a count into C, masked to 5 or 6 bits. */
function count(e: Emitter, k: number): void {
  e.read(k);
  e.code.const(e.size === 8 ? 63 : 31).and().set(C);
}
/** Pushes bit `bit` of local `value` as i32. */
function bit(e: Emitter, value: number, at: number): void {
  e.code.get(value).const(at).shrU().const(1).and().wrap();
}

type Shift = 'shl' | 'shr' | 'sar';

const shift = (kind: Shift): Emit => (e) => {
  const { code } = e;
  e.readForUpdate(0);
  if (kind === 'sar') code.signExtend(e.size);
  code.set(A);
  count(e, 1);
  code.get(A).get(C);
  if (kind === 'shl') code.shl();
  else if (kind === 'shr') code.shrU();
  else code.shrS();
  code.set(R);
  e.update(0, R);
  code.get(C).const(0).ne();
  e.flagsWhen(() => shiftFlags(e, kind));
};
function shiftFlags(e: Emitter, kind: Shift): void {
  const { code } = e;
  const bits = bitsOf(e);
  code.get(R).zeroExtend(e.size).set(T);
  e.flagsLogic(T);
  if (kind === 'shl') {
    if (bits === 64) code.get(A).const(64).get(C).sub().shrU().const(1).and().set(D);
    else code.get(R).const(bits).shrU().const(1).and().set(D);
    code.get(D).wrap();
    bit(e, T, bits - 1);
    code.get(D).wrap().xor32();
  } else {
    code.get(A).get(C).const(1).sub();
    if (kind === 'shr') code.shrU();
    else code.shrS();
    code.const(1).and().wrap();
    if (kind === 'sar') code.const32(0);
    else {
      bit(e, T, bits - 1);
      bit(e, T, bits - 2);
      code.xor32();
    }
  }
  e.setCarryOverflow();
}

const rotate = (left: boolean): Emit => (e) => {
  const { code } = e;
  const bits = bitsOf(e);
  e.readForUpdate(0);
  code.set(A);
  count(e, 1);
  if (bits === 64) {
    code.get(A).get(C);
    if (left) code.rotl();
    else code.rotr();
    code.set(R);
  } else {
    code.get(C).const(bits - 1).and().set(T);
    if (left) code.get(A).get(T).shl().get(A).const(bits).get(T).sub().shrU().or();
    else code.get(A).get(T).shrU().get(A).const(bits).get(T).sub().shl().or();
    code.zeroExtend(e.size).set(R);
  }
  e.update(0, R);
  code.get(C).const(0).ne();
  e.flagsWhen(() => {
    bit(e, R, left ? 0 : bits - 1);
    bit(e, R, bits - 1);
    bit(e, R, left ? 0 : bits - 2);
    code.xor32();
    e.setCarryOverflow();
  });
};

const rotateThroughCarry = (left: boolean): Emit => (e) => {
  const { code } = e;
  const bits = bitsOf(e);
  e.readForUpdate(0);
  code.set(A);
  count(e, 1);
  if (bits < 32) code.get(C).const(bits + 1).remU().set(C);
  e.carry();
  code.set(B);
  code.get(A).set(R);
  code.get(C).const(0).ne();
  code.if();
  // Shifts by bits + 1 - count are done in two steps: a count of 64 would be taken as 0.
  if (left) {
    code.get(A).get(C).shl().get(B).get(C).const(1).sub().shl().or();
    code.get(A).const(1).shrU().const(bits).get(C).sub().shrU().or();
  } else {
    code.get(A).get(C).shrU().get(B).const(bits).get(C).sub().shl().or();
    code.get(A).const(1).shl().const(bits).get(C).sub().shl().or();
  }
  code.zeroExtend(e.size).set(R);
  code.end();
  e.update(0, R);
  code.get(C).const(0).ne();
  e.flagsWhen(() => {
    if (left) {
      code.get(A).const(bits).get(C).sub().shrU().const(1).and().tee(D).wrap();
      bit(e, R, bits - 1);
      code.get(D).wrap().xor32();
    } else {
      code.get(A).get(C).const(1).sub().shrU().const(1).and().wrap();
      bit(e, R, bits - 1);
      bit(e, R, bits - 2);
      code.xor32();
    }
    e.setCarryOverflow();
  });
};

const doubleShift = (left: boolean): Emit => (e) => {
  const { code } = e;
  const bits = bitsOf(e);
  e.readForUpdate(0);
  code.set(A);
  e.read(1);
  code.set(B);
  count(e, 2);
  code.get(A).set(R);
  code.get(C).const(0).ne();
  code.if();
  if (bits === 16) {
    // Counts of 17 to 31 are undefined; like the processors, go on with the destination's bits.
    if (left) code.get(A).const(32).shl().get(B).const(16).shl().or().get(A).or().get(C).shl().const(32).shrU();
    else code.get(A).const(32).shl().get(B).const(16).shl().or().get(A).or().get(C).shrU();
  } else if (left) code.get(A).get(C).shl().get(B).const(bits).get(C).sub().shrU().or();
  else code.get(A).get(C).shrU().get(B).const(bits).get(C).sub().shl().or();
  code.zeroExtend(e.size).set(R);
  code.end();
  e.update(0, R);
  code.get(C).const(0).ne();
  e.flagsWhen(() => {
    e.flagsLogic(R);
    if (left) code.get(A).const(bits).get(C).sub().shrU().const(1).and().wrap();
    else code.get(A).get(C).const(1).sub().shrU().const(1).and().wrap();
    bit(e, R, bits - 1);
    bit(e, A, bits - 1);
    code.xor32();
    e.setCarryOverflow();
  });
};

export const SHIFT: EmitterTable = {
  shl: { emit: shift('shl') },
  shr: { emit: shift('shr') },
  sar: { emit: shift('sar') },
  rol: { emit: rotate(true) },
  ror: { emit: rotate(false) },
  rcl: { emit: rotateThroughCarry(true), apart: true },
  rcr: { emit: rotateThroughCarry(false), apart: true },
  shld: { emit: doubleShift(true), apart: true },
  shrd: { emit: doubleShift(false), apart: true },
};
