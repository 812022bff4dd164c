/** x87 arithmetic of two operands and comparisons (SDM vol. 1, sections 8.3.5 and 8.3.6). */
import type { Emit, Emitter, EmitterTable, InstructionEmitter } from '../emitter.ts';
import { N, S } from '../locals.ts';
import * as state from '../cpu-state.ts';
import { C0, C1, C2, C3 } from '../float80/format.ts';
import { OPERATIONS } from '../float80/register-stack.ts';
import type { Operation } from '../float80/register-stack.ts';
import { apart, beginWaiting, callX87, endWith, loadNumber, notePlace, pushIndex, SIGNIFICAND, STATUS, TOP_WORD } from './x87-instruction.ts';

const operate = (operation: Operation, integer: boolean, pops: number): Emit => (e) => {
  const { code } = e;
  const { registers, source } = e.runtime.x87.stack.operations[operation];
  beginWaiting(e);
  if (e.isMemory(1)) {
    loadNumber(e, 1, integer);
    code.get(S).get(SIGNIFICAND).get(TOP_WORD).get(STATUS);
    callX87(e, source);
  } else {
    notePlace(e);
    code.get(S);
    pushIndex(e, 0);
    pushIndex(e, 1);
    callX87(e, registers);
  }
  endWith(e, pops);
};

/** Pushes the condition codes of a comparison, and C1 when nothing stopped it. */
function pushComparison(e: Emitter, integer: boolean, quiet: boolean): void {
  const { code } = e;
  const { stack } = e.runtime.x87;
  const kind = quiet ? 1 : 0;
  if (e.isMemory(1)) {
    loadNumber(e, 1, integer);
    code.get(S).get(SIGNIFICAND).get(TOP_WORD).get(STATUS).const32(kind);
    callX87(e, stack.compareSource);
    return;
  }
  notePlace(e);
  code.get(S);
  if (e.form.operands.length === 0) code.const32(1); // FCOMPP, FUCOMPP
  else pushIndex(e, 1);
  code.const32(kind);
  callX87(e, stack.compareRegisters);
}
const compare = (integer: boolean, quiet: boolean, pops: number): Emit => (e) => {
  const { code } = e;
  beginWaiting(e);
  pushComparison(e, integer, quiet);
  code.set(N);
  code.get(S).get(S).load32(state.X87_STATUS).const32(~0x4500).and32().get(N).const32(0x4500).and32().or32().store32(state.X87_STATUS);
  code.get(N).const32(C1).and32();
  endWith(e, pops);
};
/** C3, C2 and C0 are ZF, PF and CF; the other arithmetic flags are cleared. */
const compareToFlags = (quiet: boolean, pops: number): Emit => (e) => {
  const { code } = e;
  beginWaiting(e);
  pushComparison(e, false, quiet);
  code.set(TOP_WORD);
  for (const condition of [C0, C3, C2]) code.get(TOP_WORD).const32(condition).and32().const32(0).ne32();
  e.flagsOfComparison();
  code.get(TOP_WORD).const32(C1).and32();
  endWith(e, pops);
};

const table: Record<string, InstructionEmitter> = {
  fcom: apart(compare(false, false, 0)),
  fcomp: apart(compare(false, false, 1)),
  fcompp: apart(compare(false, false, 2)),
  ficom: apart(compare(true, false, 0)),
  ficomp: apart(compare(true, false, 1)),
  fucom: apart(compare(false, true, 0)),
  fucomp: apart(compare(false, true, 1)),
  fucompp: apart(compare(false, true, 2)),
  fcomi: apart(compareToFlags(false, 0)),
  fcomip: apart(compareToFlags(false, 1)),
  fucomi: apart(compareToFlags(true, 0)),
  fucomip: apart(compareToFlags(true, 1)),
};
for (const operation of OPERATIONS) {
  table[`f${operation}`] = apart(operate(operation, false, 0));
  table[`f${operation}p`] = apart(operate(operation, false, 1));
  table[`fi${operation}`] = apart(operate(operation, true, 0));
}

export const X87_ARITHMETIC: EmitterTable = table;
