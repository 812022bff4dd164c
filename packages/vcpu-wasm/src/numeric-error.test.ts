import { EXIT_HALT } from '@vm/core/exit';
import { createAssembler, mem, r32, RAX } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';

const CODE = 0x8000, CONTROL = 0x2_0000;
const NE = 0x20;
const MF = 16;
const DIVIDE_BY_ZERO = [0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9]; // fld1; fldz; fdivp
const FWAIT = 0x9b;

/** Divides by zero with that exception unmasked, waits, and says that it has come through. */
function machineThatDivides(ne: number): { machine: FlatMachine; levels: boolean[] } {
  const machine = new FlatMachine('protected');
  machine.view.setUint16(CONTROL, 0x37b, true);
  const load = createAssembler(32).op('fldcw', mem(2, { displacement: CONTROL })).bytes();
  machine.put(CODE, [...load, ...DIVIDE_BY_ZERO, FWAIT, ...createAssembler(32).mov(r32(RAX), 7).hlt().bytes()]);
  machine.enter(CODE);
  const { vcpu } = machine;
  vcpu.state.set(state.CR0, (vcpu.state.get(state.CR0) & ~NE) | ne);
  const levels: boolean[] = [];
  vcpu.numericError.output = (asserted) => levels.push(asserted);
  return { machine, levels };
}

describe('an x87 exception', () => {
  it('is #MF with CR0.NE', () => {
    const { machine, levels } = machineThatDivides(NE);
    machine.run(100);
    expect(machine.vcpu.exceptions[MF]).toBe(1);
    expect(levels).toEqual([]);
  });
  it('is a signal to the board without, and the next instruction waits until the board has its way', () => {
    const { machine, levels } = machineThatDivides(0);
    const { vcpu } = machine;
    expect(vcpu.run(100)).toBe(EXIT_HALT);
    expect([levels, machine.gpr(RAX), vcpu.exceptions[MF]]).toEqual([[true], 0n, 0]);
    vcpu.numericError.ignore();
    vcpu.notify('nmi', 0); // any interrupt wakes it: here one whose handler returns at once
    machine.put(0x9000, [0xcf]);
    machine.view.setUint32(0x7000 + 16, (8 << 16) | 0x9000, true);
    machine.view.setUint32(0x7000 + 20, 0x8e00, true);
    vcpu.state.set64(state.IDTR_BASE, 0x7000, 0);
    vcpu.state.set(state.IDTR_LIMIT, 0xff);
    machine.setGpr(4, 0x6000n);
    expect(vcpu.run(100)).toBe(EXIT_HALT);
    expect([levels, machine.gpr(RAX)]).toEqual([[true, false], 7n]);
  });
  it('counts again after a handler has cleared the one that was ignored', () => {
    const { machine } = machineThatDivides(0);
    const { vcpu } = machine;
    vcpu.run(100);
    vcpu.numericError.ignore();
    expect(vcpu.numericError.goesOn()).toBe(true);
    vcpu.state.set(state.X87_STATUS, 0); // what FNCLEX does
    vcpu.numericError.handlerReturns();
    expect(vcpu.numericError.goesOn()).toBe(false);
  });
});
