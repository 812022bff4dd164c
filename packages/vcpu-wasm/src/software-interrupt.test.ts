/** INT 1 asks for the privilege of its gate as each INT n does; the instruction of one byte, INT1, does not (SDM vol. 2, INT n/INTO/INT3/INT1). */
import { describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';
import { CODE_32, CODE_64, DATA, SELECTOR_CODE, SELECTOR_DATA, SELECTOR_USER_CODE_32, SELECTOR_USER_CODE_64, SELECTOR_USER_DATA, USER } from './flat-tables.ts';

const IDT = 0x6800, TASK = 0x7000, CODE = 0x8000, HANDLERS = 0x9000, KERNEL_STACK = 0x2_0000;
const DB = 1, GP = 13;
const INT_1 = [0xcd, 1], INT1 = [0xf1];
const GATE = 0x8e00;
const DR7 = state.DR + 7 * 8, DR7_GD = 1 << 13;
const handlerOf = (vector: number): number => HANDLERS + vector * 16;

/** At level 3, in front of the code. */
function userMachine(mode: 'long' | 'protected', code: readonly number[], gate: number): FlatMachine {
  const machine = new FlatMachine(mode);
  const long = mode === 'long';
  const { view, vcpu } = machine;
  for (const vector of [DB, GP]) {
    const at = IDT + vector * (long ? 16 : 8);
    view.setUint32(at, (SELECTOR_CODE << 16) | handlerOf(vector), true);
    view.setUint32(at + 4, gate, true);
  }
  view.setUint32(TASK + 4, KERNEL_STACK, true);
  view.setUint32(TASK + 8, long ? 0 : SELECTOR_DATA, true);
  machine.put(CODE, code);
  machine.entry = { ...machine.entry, idt: { base: IDT, limit: 0x7ff }, tr: { selector: 0x38, base: TASK, limit: 0x67, attributes: 0x8b00 } };
  machine.enter(CODE);
  vcpu.segments.restore(state.SS, [SELECTOR_USER_DATA, DATA | USER, 0, 0, 0xffff_ffff]);
  vcpu.segments.restore(state.CS, [long ? SELECTOR_USER_CODE_64 : SELECTOR_USER_CODE_32, (long ? CODE_64 : CODE_32) | USER, 0, 0, 0xffff_ffff]);
  vcpu.segments.setCpl(3);
  vcpu.state.set(DR7, vcpu.state.get(DR7) | DR7_GD);
  vcpu.run(1);
  return machine;
}
const seen = ({ vcpu: { state: s, events } }: FlatMachine): readonly number[] => [s.get(state.RIP), s.get(state.CPL), s.get(DR7) & DR7_GD, events.errorCodeOf(GP)];

describe.each(['long', 'protected'] as const)('in %s mode', (mode) => {
  it('INT 1 of a program does not pass a gate of level 0', () => {
    expect(seen(userMachine(mode, INT_1, GATE))).toEqual([handlerOf(GP), 0, DR7_GD, DB * 8 + 2]);
  });
  it('INT 1 passes a gate of level 3, and is no debug exception', () => {
    expect(seen(userMachine(mode, INT_1, GATE | USER)).slice(0, 3)).toEqual([handlerOf(DB), 0, DR7_GD]);
  });
  it('INT1 passes a gate of level 0, as a debug exception', () => {
    expect(seen(userMachine(mode, INT1, GATE)).slice(0, 3)).toEqual([handlerOf(DB), 0, 0]);
  });
});
