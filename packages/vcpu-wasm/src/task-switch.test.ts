import { createAssembler, far, mem, r16, r32, RAX, RBX, RCX, RDX, RSP } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';

const GDT = 0x1000;
const TSS_A = 0x3000;
const TSS_B = 0x3100;
const CODE_A = 0x8000;
const CODE_B = 0x9000;
const SELECTOR_A = 0x18;
const SELECTOR_B = 0x20;
const GATE = 0x28;
const BUSY = 0x200;

function machineWithTasks(): FlatMachine {
  const machine = new FlatMachine('protected');
  const { view } = machine;
  const tss = (selector: number, base: number): void => {
    view.setUint32(GDT + selector, (base << 16) | 0x67, true);
    view.setUint32(GDT + selector + 4, 0x8900, true);
  };
  tss(SELECTOR_A, TSS_A);
  tss(SELECTOR_B, TSS_B);
  view.setUint32(GDT + GATE, SELECTOR_B << 16, true);
  view.setUint32(GDT + GATE + 4, 0x8500, true);
  // Task B starts at CODE_B with flat segments.
  view.setUint32(TSS_B + 0x20, CODE_B, true);
  view.setUint32(TSS_B + 0x24, 2, true);
  view.setUint32(TSS_B + 0x28 + RSP * 4, 0x6000, true);
  view.setUint32(TSS_B + 0x28 + RBX * 4, 77, true);
  for (let i = 0; i < 6; i++) view.setUint32(TSS_B + 0x48 + i * 4, i === 1 ? 8 : 16, true);
  return machine;
}
function start(machine: FlatMachine, code: Uint8Array): void {
  machine.put(CODE_A, code);
  machine.enter(CODE_A);
  const { state: s } = machine.vcpu;
  s.set(state.GDTR_LIMIT, 0x2f);
  machine.setGpr(RSP, 0x7000n);
}
const busy = (machine: FlatMachine, selector: number): boolean => (machine.view.getUint32(GDT + selector + 4, true) & BUSY) !== 0;

describe('hardware task switches', () => {
  it.each([['a task-state segment', SELECTOR_B], ['a task gate', GATE]])('call through %s and IRET come back with everything as it was', (_name, target) => {
    const machine = machineWithTasks();
    machine.put(CODE_B, createAssembler(32).mov(r32(RCX), r32(RBX)).mov(r32(0), 0x5000).op('mov', mem(4, { base: RAX }), r32(RCX)).size(4).iret().bytes());
    const code = createAssembler(32).mov(r32(RAX), SELECTOR_A).op('ltr', r16(RAX)).mov(r32(RDX), 5).callf(far(target, 0)).add(r32(RDX), 1).hlt().bytes();
    start(machine, code);
    expect(machine.run()).toBe(true);
    expect(machine.gpr(RDX)).toBe(6n);
    expect(machine.view.getUint32(0x5000, true)).toBe(77);
    expect(machine.view.getUint16(TSS_B, true)).toBe(SELECTOR_A);
    expect([busy(machine, SELECTOR_A), busy(machine, SELECTOR_B)]).toEqual([true, false]);
    expect(machine.vcpu.state.get(state.CR0) & 8).toBe(8);
  });

  it('a task with the trap bit begins with a debug exception, and breakpoints of the old one are gone', () => {
    const machine = machineWithTasks();
    const HANDLER = 0x9800, IDT = 0x5800;
    machine.put(HANDLER, createAssembler(32).mov(r32(RBX), mem(4, { base: RSP })).hlt().bytes());
    machine.view.setUint32(IDT + 8, (8 << 16) | HANDLER, true);
    machine.view.setUint32(IDT + 12, 0x8e00, true);
    machine.view.setUint16(TSS_B + 0x64, 1, true);
    machine.put(CODE_B, createAssembler(32).nop().hlt().bytes());
    start(machine, createAssembler(32).mov(r32(RAX), SELECTOR_A).op('ltr', r16(RAX)).jmpf(far(SELECTOR_B, 0)).hlt().bytes());
    const { state: s } = machine.vcpu;
    s.set64(state.IDTR_BASE, IDT, 0);
    s.set(state.IDTR_LIMIT, 0xff);
    s.set64(state.DR + 56, 0x4ff, 0);
    expect(machine.run()).toBe(true);
    expect(machine.gpr(RBX)).toBe(BigInt(CODE_B));
    expect([s.get(state.DR + 48) & 0xe00f, s.get(state.DR + 56)]).toEqual([0x8000, 0x4aa]);
  });

  it('a jump leaves the old task free and the new one busy', () => {
    const machine = machineWithTasks();
    machine.put(CODE_B, createAssembler(32).mov(r32(RCX), r32(RBX)).hlt().bytes());
    start(machine, createAssembler(32).mov(r32(RAX), SELECTOR_A).op('ltr', r16(RAX)).jmpf(far(SELECTOR_B, 0)).hlt().bytes());
    expect(machine.run()).toBe(true);
    expect(machine.gpr(RCX)).toBe(77n);
    expect(machine.vcpu.state.selector(state.TR)).toBe(SELECTOR_B);
    expect([busy(machine, SELECTOR_A), busy(machine, SELECTOR_B)]).toEqual([false, true]);
  });
});
