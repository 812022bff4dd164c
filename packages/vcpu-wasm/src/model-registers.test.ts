import { createAssembler, MSR_AMD_DE_CFG, MSR_MCG_CAP, MSR_MISC_ENABLE, MSR_MTRR_CAP, MSR_MTRR_DEF_TYPE, MSR_TSC, MSR_TSC_ADJUST, r32, RAX, RCX, RDX } from '@vm/x86';
import { expect, it } from 'vitest';
import type { CpuModelName } from './cpu-model.ts';
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

/** What a register holds after a write; null where either of the two raises an exception. */
function written(index: number, value: bigint, cpuModel: CpuModelName = 'x86-64-v2'): bigint | null {
  return run(cpuModel, (code) => void code.mov(r32(RCX), index).mov(r32(RAX), Number(value & 0xffff_ffffn)).mov(r32(RDX), Number(value >> 32n)).data(...WRMSR).data(...RDMSR));
}
function read(index: number, cpuModel: CpuModelName = 'x86-64-v2'): bigint | null {
  return run(cpuModel, (code) => void code.mov(r32(RCX), index).data(...RDMSR));
}
function run(cpuModel: CpuModelName, write: (code: ReturnType<typeof createAssembler>) => void): bigint | null {
  const machine = new FlatMachine('protected', { processor: { cpuModel } });
  const code = createAssembler(32);
  write(code);
  machine.put(0x8000, code.hlt().bytes());
  machine.enter(0x8000);
  return machine.run() ? (machine.gpr(RDX) << 32n) | machine.gpr(RAX) : null;
}

it('has memory types as firmware leaves them: eight ranges, one for devices, video memory and ROMs among the fixed ones', () => {
  expect([MSR_MTRR_CAP, 0x200, 0x201, 0x202, 0x20f, 0x250, 0x259, 0x26f, MSR_MTRR_DEF_TYPE].map((index) => read(index)))
    .toEqual([0x508n, 0xc000_0000n, 0xff_c000_0800n, 0n, 0n, 0x0606_0606_0606_0606n, 0n, 0x0505_0505_0505_0505n, 0xc06n]);
  expect([read(0x210), read(0x24f), read(0x251), read(0x270), read(MSR_MTRR_CAP, '486'), read(0x200, '486')]).toEqual([null, null, null, null, null, null]);
  expect(written(MSR_MTRR_CAP, 0x508n)).toBe(null); // it only tells
});

it.each([
  [0x202, 0xff_1234_5006n], [0x203, 0xff_ffff_f800n], [0x20e, 1n], [0x20f, 0n], [0x250, 0x0605_0401_0001_0405n], [0x26f, 0x06n << 56n], [MSR_MTRR_DEF_TYPE, 0x806n], [MSR_MTRR_DEF_TYPE, 0n],
] as const)('keeps the memory type written to register 0x%s: 0x%s', (index, value) => {
  expect(written(index, value)).toBe(value);
});

it.each([
  ['bits of the address that there are not', 0x202, 0x100_0000_0006n], ['bits 8 to 11 of a base', 0x202, 0x106n], ['a type that there is not', 0x202, 2n], ['UC- as the type of a range', 0x202, 7n],
  ['bits below 11 of a mask', 0x203, 0x400n], ['bits of a mask that there are not', 0x203, 1n << 63n], ['a type that there is not, of a fixed range', 0x258, 3n << 56n],
  ['reserved bits of the default', MSR_MTRR_DEF_TYPE, 0x1000n], ['the upper half of the default', MSR_MTRR_DEF_TYPE, 1n << 32n], ['a default that there is not', MSR_MTRR_DEF_TYPE, 0xc02n],
])('refuses %s', (_what, index, value) => {
  expect(written(index, value)).toBe(null);
});

it('has the event counters of AMD without events, and a DE_CFG that cannot be changed', () => {
  expect([0xc001_0000, 0xc001_0003, 0xc001_0004, 0xc001_0007].map((index) => written(index, 0x1234n))).toEqual([0n, 0n, 0n, 0n]);
  expect([written(MSR_AMD_DE_CFG, 0n), read(MSR_AMD_DE_CFG, 'pentium3'), read(0xc001_0004, 'pentium3')]).toEqual([2n, null, null]);
});

it('tells the socket of the Pentium III', () => {
  expect([read(0x17, 'pentium3'), written(0x17, 0n, 'pentium3'), read(0x17, '486'), read(0x17)]).toEqual([0n, null, null, null]);
});

it('moves the time-stamp counter by what IA32_TSC_ADJUST is moved by, and the other way round', () => {
  const adjusted = setup((code) => void code.mov(r32(RCX), MSR_TSC_ADJUST).mov(r32(RAX), 0).mov(r32(RDX), 0x1234).data(...WRMSR).mov(r32(RCX), MSR_TSC).data(...RDMSR));
  expect(adjusted.run()).toBe(true);
  expect(adjusted.gpr(RDX)).toBe(0x1234n);
  const counted = setup((code) => void code.mov(r32(RCX), MSR_TSC).mov(r32(RAX), 0).mov(r32(RDX), 0x55).data(...WRMSR).mov(r32(RCX), MSR_TSC_ADJUST).data(...RDMSR));
  expect(counted.run()).toBe(true);
  // Less by the time that had passed.
  expect([0x54n, 0x55n]).toContain(counted.gpr(RDX));
});

it('tells the interrupt controller deadlines in machine time, wherever the counter stands, and moves those that wait (IRQ-49)', () => {
  const DEADLINE = 0x6e0, NEVER = (1n << 64n) - 1n;
  /** What the controller holds after stores of the adjustment and of the deadline in turn, and what the guest reads then. */
  const told = (...stores: readonly (readonly [index: number, value: bigint])[]): readonly [machine: bigint, guest: bigint] => {
    const port = {
      low: 0, high: 0, priority: 0, isPending: () => false, acknowledge: () => -1, window: () => -1, readRegister: () => 0, writeRegister: () => {},
      readModelRegister: (index: number) => index === DEADLINE,
      writeModelRegister: (index: number, low: number, high: number) => {
        [port.low, port.high] = [low >>> 0, high >>> 0];
        return index === DEADLINE;
      },
    };
    const machine = new FlatMachine('protected', { interrupts: port });
    const code = createAssembler(32);
    for (const [index, value] of stores) code.mov(r32(RCX), index).mov(r32(RAX), Number(BigInt.asIntN(32, value))).mov(r32(RDX), Number(BigInt.asIntN(32, value >> 32n))).data(...WRMSR);
    machine.put(0x8000, code.mov(r32(RCX), DEADLINE).data(...RDMSR).hlt().bytes());
    machine.enter(0x8000);
    expect(machine.run()).toBe(true);
    return [(BigInt(port.high) << 32n) | BigInt(port.low), (machine.gpr(RDX) << 32n) | machine.gpr(RAX)];
  };
  const ahead = 1n << 50n, behind = -(1n << 40n);
  expect(told([DEADLINE, 5000n])).toEqual([5000n, 5000n]);
  expect(told([MSR_TSC_ADJUST, ahead], [DEADLINE, ahead + 5000n])).toEqual([5000n, ahead + 5000n]);
  expect(told([DEADLINE, ahead + 5000n], [MSR_TSC_ADJUST, ahead])).toEqual([5000n, ahead + 5000n]);
  expect(told([MSR_TSC_ADJUST, behind], [DEADLINE, 5000n])).toEqual([5000n - behind, 5000n]);
  expect(told([MSR_TSC_ADJUST, ahead], [DEADLINE, 5000n])[0]).toBe(1n); // past: at once
  for (const adjustment of [0n, ahead, behind]) {
    expect(told([MSR_TSC_ADJUST, adjustment], [DEADLINE, NEVER])[0]).toBeGreaterThan(1n << 63n);
    expect(told([MSR_TSC_ADJUST, adjustment], [DEADLINE, 0n])).toEqual([0n, 0n]);
  }
});

it('has IA32_TSC_ADJUST, and says that the counter is invariant, from x86-64-v2 on', () => {
  expect(written(MSR_TSC_ADJUST, 5n)).toBe(5n);
  expect(written(MSR_TSC_ADJUST, 5n, 'x86-64-v1')).toBeNull();
  const power = setup((code) => void code.mov(r32(RAX), 0x8000_0007).data(...CPUID));
  expect(power.run()).toBe(true);
  expect(power.gpr(RDX)).toBe(0x100n);
});
