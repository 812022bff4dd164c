/** Addition, subtraction, comparison and logic (SDM vol. 1, sections 7.3.2 and 7.3.3). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, R } from '../locals.ts';

/** Loads the operands of a two-operand instruction into A (the destination) and B. */
function operands(e: Emitter, update: boolean): void {
  if (update) e.readForUpdate(0);
  else e.read(0);
  e.code.set(A);
  // The register or immediate source cannot disturb H and VA, which update() needs.
  e.read(1);
  e.code.set(B);
}

const add: Emit = (e) => {
  operands(e, true);
  e.code.get(A).get(B).add().set(R);
  e.update(0, R);
  e.flagsAdd(A, B, R);
};
const adc: Emit = (e) => {
  operands(e, true);
  e.carry();
  e.code.get(A).add().get(B).add().set(R);
  e.update(0, R);
  e.flagsAdd(A, B, R, true);
};
const sub: Emit = (e) => {
  operands(e, true);
  e.code.get(A).get(B).sub().set(R);
  e.update(0, R);
  e.flagsSubtract(A, B, R);
};
const sbb: Emit = (e) => {
  operands(e, true);
  e.code.get(A).get(B).sub();
  e.carry();
  e.code.sub().set(R);
  e.update(0, R);
  e.flagsSubtract(A, B, R, true);
};
const cmp: Emit = (e) => {
  operands(e, false);
  e.code.get(A).get(B).sub().set(R);
  e.flagsSubtract(A, B, R);
};

const logic = (combine: (e: Emitter) => void): Emit => (e) => {
  operands(e, true);
  e.code.get(A).get(B);
  combine(e);
  e.code.set(R);
  e.update(0, R);
  e.flagsLogic(R);
};
const test: Emit = (e) => {
  operands(e, false);
  e.code.get(A).get(B).and().set(R);
  e.flagsLogic(R);
};
const not: Emit = (e) => {
  e.readForUpdate(0);
  e.code.not().set(R);
  e.update(0, R);
};
const neg: Emit = (e) => {
  e.readForUpdate(0);
  e.code.set(B).const(0).set(A);
  e.code.get(A).get(B).sub().set(R);
  e.update(0, R);
  e.flagsSubtract(A, B, R);
};

/** INC and DEC: all flags of the addition or subtraction of 1, but CF stays. */
const step = (delta: 1 | -1): Emit => (e) => {
  const { code } = e;
  e.readForUpdate(0);
  code.set(A).get(A).const(delta).add().set(R);
  e.update(0, R);
  e.flagsStep(delta, A, R);
};

export const ARITHMETIC: EmitterTable = {
  add: { emit: add },
  adc: { emit: adc },
  sub: { emit: sub },
  sbb: { emit: sbb },
  cmp: { emit: cmp },
  and: { emit: logic((e) => e.code.and()) },
  or: { emit: logic((e) => e.code.or()) },
  xor: { emit: logic((e) => e.code.xor()) },
  test: { emit: test },
  not: { emit: not },
  neg: { emit: neg },
  inc: { emit: step(1) },
  dec: { emit: step(-1) },
};
