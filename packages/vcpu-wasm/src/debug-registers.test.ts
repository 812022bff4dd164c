import { createAssembler, debug, mem, r16, r32, r64, RAX, RBX, RCX, segment } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';

const CODE = 0x8000;
const IDT = 0x5000;
const HANDLER = 0x9000;
const DATA = 0x2_0000;
const LOG = 0x2_1000;

/** A long-mode machine whose #DB handler stores DR6 and the return address, clears DR6 and sets RF when `resume` asks for it. */
function machineWithHandler(resume: boolean): FlatMachine {
  const machine = new FlatMachine('long');
  const a = createAssembler(64).push(r64(RAX)).push(r64(RBX)).mov(r64(RBX), mem(8, { displacement: LOG }));
  a.op('mov_dr', r64(RAX), debug(6)).mov(mem(8, { base: RBX }), r64(RAX)).mov(r64(RAX), mem(8, { base: 4, displacement: 16 })).mov(mem(8, { base: RBX, displacement: 8 }), r64(RAX));
  a.add(mem(8, { displacement: LOG }), 16).mov(r64(RAX), 0xffff_0ff0).op('mov_dr', debug(6), r64(RAX));
  if (resume) a.or(mem(4, { base: 4, displacement: 32 }), 0x1_0000);
  a.pop(r64(RBX)).pop(r64(RAX)).size(8).iret();
  machine.put(HANDLER, a.bytes());
  machine.view.setUint32(IDT + 16, (8 << 16) | HANDLER, true);
  machine.view.setUint32(IDT + 20, 0x8e00, true);
  machine.view.setUint32(LOG, LOG + 16, true);
  return machine;
}
/** A #DB handler that stores the flags that it was entered with. */
function flagsHandler(): Uint8Array {
  const a = createAssembler(64).push(r64(RAX)).push(r64(RBX)).mov(r64(RBX), mem(8, { displacement: LOG })).mov(r64(RAX), mem(8, { base: 4, displacement: 32 }));
  return a.mov(mem(8, { base: RBX }), r64(RAX)).add(mem(8, { displacement: LOG }), 8).pop(r64(RBX)).pop(r64(RAX)).size(8).iret().bytes();
}
function start(machine: FlatMachine, code: Uint8Array, flags = 2): void {
  machine.put(CODE, code);
  machine.enter(CODE);
  const { state: s } = machine.vcpu;
  s.set64(state.IDTR_BASE, IDT, 0);
  s.set(state.IDTR_LIMIT, 0xfff);
  machine.setGpr(4, 0x7000n);
  machine.flags = flags;
}
/** What the handler saw: DR6 without its fixed bits, and where the guest was to go on. */
function log(machine: FlatMachine): [number, number][] {
  const seen: [number, number][] = [];
  for (let at = LOG + 16; at < machine.view.getUint32(LOG, true); at += 16) seen.push([(machine.view.getUint32(at, true) & ~0xffff_0ff0) >>> 0, machine.view.getUint32(at + 8, true) - CODE]);
  return seen;
}

describe('debug exceptions', () => {
  it('single-step traps after each instruction, but not after MOV SS, and not into handlers', () => {
    const machine = machineWithHandler(false);
    const a = createAssembler(64).nop();
    const offsets = [a.offset()];
    a.mov(r32(RCX), 16);
    offsets.push(a.offset());
    a.op('mov_seg', segment(2), r16(RCX));
    a.nop();
    offsets.push(a.offset());
    a.hlt();
    start(machine, a.bytes(), 0x102);
    machine.run();
    expect(log(machine).map(([cause, at]) => [cause, at])).toEqual(offsets.map((offset) => [0x4000, offset]));
  });

  it('single-step traps after each element of a REP', () => {
    const machine = machineWithHandler(false);
    const a = createAssembler(64).mov(r64(7), DATA).mov(r32(RCX), 3);
    const from = a.offset();
    a.rep().size(1).stos();
    const after = a.offset();
    start(machine, a.hlt().bytes(), 0x102);
    machine.run();
    expect(log(machine).map(([, at]) => at).filter((at) => at >= from)).toEqual([from, from, from, after]);
  });

  it('a data breakpoint that MOV SS hits waits for the next instruction', () => {
    const machine = machineWithHandler(false);
    machine.view.setUint16(DATA, 16, true);
    const a = createAssembler(64).mov(r64(RBX), DATA).op('mov_seg', segment(2), mem(2, { base: RBX })).nop();
    const after = a.offset();
    start(machine, a.nop().hlt().bytes());
    machine.vcpu.state.set64(state.DR, DATA, 0);
    machine.vcpu.state.set64(state.DR + 56, (0x402 | (0b0111 << 16)) >>> 0, 0);
    machine.vcpu.debugRegistersChanged();
    expect(machine.run()).toBe(true);
    expect(log(machine)).toEqual([[1, after]]);
  });

  it.each([['clears TF', 0x100, []], ['keeps TF', 0, [[0x4000, 0]]]] as const)('SYSCALL with a mask that %s', (_name, mask, expected) => {
    const machine = machineWithHandler(false);
    const target = CODE + 0x100;
    machine.put(target, [0x90, 0xf4]);
    start(machine, Uint8Array.of(0x0f, 0x05), 0x102);
    const { state: s } = machine.vcpu;
    s.set(state.EFER, s.get(state.EFER) | 1);
    s.set64(state.MSR_STAR, 0, 8);
    s.set64(state.MSR_LSTAR, target, 0);
    s.set64(state.MSR_FMASK, mask, 0);
    machine.run(12);
    expect(log(machine).slice(0, 1).map(([cause, at]) => [cause, at - 0x100])).toEqual(expected);
  });

  it('an execution breakpoint comes before the instruction, once with RF', () => {
    const machine = machineWithHandler(true);
    const a = createAssembler(64).mov(r32(RAX), 1);
    const at = a.offset();
    start(machine, a.add(r32(RAX), 1).hlt().bytes());
    machine.vcpu.state.set64(state.DR, CODE + at, 0);
    machine.vcpu.state.set64(state.DR + 56, 0x402, 0);
    machine.vcpu.debugRegistersChanged();
    expect(machine.run()).toBe(true);
    expect(log(machine)).toEqual([[1, at]]);
    expect(machine.gpr(RAX)).toBe(2n);
  });

  it('an execution breakpoint that the program sets counts from the next instruction on', () => {
    for (const between of [0, 3]) {
      const machine = machineWithHandler(true);
      const a = createAssembler(64).mov(r32(RAX), 0x402).mov(debug(7), r64(RAX));
      for (let i = 0; i < between; i++) a.nop();
      const at = a.offset();
      start(machine, a.add(r32(RAX), 1).hlt().bytes());
      machine.vcpu.state.set64(state.DR, CODE + at, 0);
      machine.vcpu.debugRegistersChanged();
      expect(machine.run()).toBe(true);
      expect(log(machine)).toEqual([[1, at]]);
    }
  });

  it('a data breakpoint comes after the store, and reads pass when only writes are watched', () => {
    const machine = machineWithHandler(false);
    const a = createAssembler(64).mov(r64(RBX), DATA).mov(r64(RAX), mem(8, { base: RBX })).mov(mem(1, { base: RBX, displacement: 5 }), 7);
    const after = a.offset();
    start(machine, a.mov(mem(1, { base: RBX, displacement: 8 }), 7).hlt().bytes());
    machine.vcpu.state.set64(state.DR + 8, DATA + 4, 0);
    machine.vcpu.state.set64(state.DR + 56, (0x408 | (0b1101 << 20)) >>> 0, 0);
    machine.vcpu.debugRegistersChanged();
    expect(machine.run()).toBe(true);
    expect(log(machine)).toEqual([[2, after]]);
  });

  it('between elements of a REP they leave RF set in the image, and behind the last one clear', () => {
    const machine = machineWithHandler(false);
    // The handler stores the flags in place of RIP.
    machine.put(HANDLER, flagsHandler());
    const a = createAssembler(64).mov(r64(7), DATA).mov(r32(RCX), 3);
    a.rep().size(1).stos();
    start(machine, a.nop().hlt().bytes(), 0x102);
    expect(machine.run()).toBe(true);
    const flags = Array.from({ length: 6 }, (_, i) => (machine.view.getUint32(LOG + 16 + i * 8, true) >>> 16) & 1);
    expect(flags).toEqual([0, 0, 1, 1, 0, 0]); // MOV, MOV, two elements, the last, NOP
  });

  it('an execution breakpoint on a REP comes before its first element only', () => {
    const machine = machineWithHandler(true);
    const a = createAssembler(64).mov(r64(7), DATA).mov(r32(RCX), 3);
    const at = a.offset();
    a.rep().size(1).stos();
    start(machine, a.hlt().bytes());
    machine.vcpu.state.set64(state.DR, CODE + at, 0);
    machine.vcpu.state.set64(state.DR + 56, 0x402, 0);
    machine.vcpu.debugRegistersChanged();
    expect(machine.run()).toBe(true);
    expect(log(machine)).toEqual([[1, at]]);
    expect(machine.gpr(RCX)).toBe(0n);
  });
});
