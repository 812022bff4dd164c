import { createAssembler, MSR_MCG_CAP, MSR_MISC_ENABLE, r32, RAX, RCX, RDX } from '@vm/x86';
import { expect, it } from 'vitest';
import { FlatMachine } from './flat-machine.ts';

const CPUID = [0x0f, 0xa2] as const;
const RDMSR = [0x0f, 0x32] as const;
const WRMSR = [0x0f, 0x30] as const;

function setup(write: (code: ReturnType<typeof createAssembler>) => void) {
  const machine = new FlatMachine('protected');
  const code = createAssembler(32);
  write(code);
  machine.put(0x8000, code.hlt().bytes());
  machine.enter(0x8000);
  return machine;
}

it('has the machine-check architecture, and no bank that could report anything', () => {
  const features = setup((code) => void code.mov(r32(RAX), 1).data(...CPUID));
  expect(features.run()).toBe(true);
  expect(features.gpr(RDX) & 0x4080n).toBe(0x4080n);
  const banks = setup((code) => void code.mov(r32(RAX), -1).mov(r32(RCX), MSR_MCG_CAP).data(...RDMSR));
  expect(banks.run()).toBe(true);
  expect([banks.gpr(RAX), banks.gpr(RDX)]).toEqual([0n, 0n]);
});

it('raises an exception when a register that only tells is written', () => {
  const machine = setup((code) => void code.mov(r32(RCX), MSR_MCG_CAP).data(...WRMSR));
  expect(machine.run()).toBe(false);
});

it('keeps what is written to IA32_MISC_ENABLE', () => {
  const machine = setup((code) => void code.mov(r32(RCX), MSR_MISC_ENABLE).mov(r32(RAX), 0xc5_0809).mov(r32(RDX), 4).data(...WRMSR).mov(r32(RAX), 0).mov(r32(RDX), 0).data(...RDMSR));
  expect(machine.run()).toBe(true);
  expect([machine.gpr(RAX), machine.gpr(RDX)]).toEqual([0xc5_0809n, 4n]);
});
