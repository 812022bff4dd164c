import { CONDITION_NE, createAssembler, mem, r32, r64, RAX, RBX, RCX } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { FlatMachine } from './flat-machine.ts';

describe('FlatMachine', () => {
  it('runs a loop in long mode and stops at HLT', () => {
    const machine = new FlatMachine('long');
    const code = createAssembler(64).mov(r64(RCX), 10).xor(r32(RAX), r32(RAX)).label('next').add(r64(RAX), r64(RCX)).dec(r64(RCX)).jcc(CONDITION_NE, 'next')
      .mov(mem(8, { base: RBX }), r64(RAX)).hlt().bytes();
    machine.put(0x8000, code);
    machine.enter(0x8000);
    machine.setGpr(RBX, 0x9000n);
    expect(machine.run()).toBe(true);
    expect(machine.gpr(RAX)).toBe(55n);
    expect(machine.view.getBigUint64(0x9000, true)).toBe(55n);
    expect(machine.vcpu.retired).toBe(34);
  });

  it('notices that code was replaced', () => {
    const machine = new FlatMachine('protected');
    for (const value of [1, 2, 3]) {
      machine.put(0x8000, createAssembler(32).mov(r32(RAX), value).hlt().bytes());
      machine.enter(0x8000);
      expect(machine.run()).toBe(true);
      expect(machine.gpr(RAX)).toBe(BigInt(value));
    }
  });
});
