import { CPU_FEATURES, RAX, RBX, RCX, RDX } from '@vm/x86';
import type { CpuFeature } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { CPU_MODEL_NAMES, cpuModel, DEFAULT_CPU_MODEL, modelText } from './cpu-model.ts';
import type { CpuModelName } from './cpu-model.ts';
import { FlatMachine } from './flat-machine.ts';
import type { FlatMode } from './flat-machine.ts';

const AT = 0x8000;
const UD = 6;
/** Features stand in its subleaf 1. */
const EXTENDED_STATE = 0xd;

function run(name: CpuModelName, mode: FlatMode, bytes: readonly number[], features: readonly CpuFeature[] = []): FlatMachine {
  const machine = new FlatMachine(mode, { processor: { cpuModel: name, cpuFeatures: features } });
  machine.put(AT, [...bytes, 0xf4]);
  machine.enter(AT);
  machine.run(100);
  return machine;
}
const undefinedOn = (name: CpuModelName, mode: FlatMode, bytes: readonly number[]): boolean => (run(name, mode, bytes).vcpu.exceptions[UD] as number) > 0;

/** Leaf `leaf` in `register`, as the guest reads it. */
function leafOf(machine: FlatMachine, leaf: number, register: 'eax' | 'ebx' | 'ecx' | 'edx', subleaf = leaf === EXTENDED_STATE ? 1 : 0): number {
  machine.put(AT, [0x0f, 0xa2, 0xf4]);
  machine.enter(AT);
  machine.setGpr(RAX, BigInt(leaf));
  machine.setGpr(RCX, BigInt(subleaf));
  expect(machine.run(10)).toBe(true);
  return Number(machine.gpr({ eax: RAX, ebx: RBX, ecx: RCX, edx: RDX }[register])) >>> 0;
}

describe('processor models', () => {
  it('claim just their features', () => {
    for (const name of CPU_MODEL_NAMES) {
      const { features } = cpuModel(name);
      const machine = new FlatMachine('protected', { processor: { cpuModel: name } });
      for (const [feature, [leaf, register, bit]] of Object.entries(CPU_FEATURES)) {
        if (feature === 'apic') continue; // no controller in this machine
        expect((leafOf(machine, leaf, register) >>> bit) & 1, `${name}: ${feature}`).toBe(features.has(feature as CpuFeature) ? 1 : 0);
      }
    }
  });

  // Each: code, the first model that has it.
  const popcnt = [0xf3, 0x0f, 0xb8, 0xc3], pshufb = [0x66, 0x0f, 0x38, 0x00, 0xc1], addpd = [0x66, 0x0f, 0x58, 0xc1], addps = [0x0f, 0x58, 0xc1];
  const cmov = [0x0f, 0x44, 0xc3], paddb = [0x0f, 0xfc, 0xc1], rdtsc = [0x0f, 0x31], crc32 = [0xf2, 0x0f, 0x38, 0xf1, 0xc3], aesenc = [0x66, 0x0f, 0x38, 0xdc, 0xc1];
  const paddq = [0x0f, 0xd4, 0xc1], pmaxub = [0x0f, 0xde, 0xc1], movbe = [0x0f, 0x38, 0xf0, 0x03], nopl = [0x0f, 0x1f, 0xc0];
  const cases: readonly [string, readonly number[], number][] = [
    ['POPCNT', popcnt, 3], ['PSHUFB', pshufb, 3], ['CRC32', crc32, 3], ['AESENC', aesenc, 3], ['ADDPD', addpd, 2], ['PADDQ on MMX', paddq, 2],
    ['VADDPS', [0xc5, 0xf0, 0x58, 0xc2], 4], ['VADDPS of 256 bits', [0xc5, 0xf4, 0x58, 0xc2], 4], ['VPADDD of 256 bits', [0xc5, 0xf5, 0xfe, 0xc2], 4], ['XGETBV', [0xb9, 0, 0, 0, 0, 0x0f, 0x01, 0xd0], 4],
    ['ADDPS', addps, 1], ['PMAXUB on MMX', pmaxub, 1], ['CMOV', cmov, 1], ['PADDB on MMX', paddb, 1], ['RDTSC', rdtsc, 1], ['long NOP', nopl, 1], ['MOVBE', movbe, 4],
  ];
  it.each(cases)('raise #UD for %s before they have it', (_name, bytes, first) => {
    CPU_MODEL_NAMES.forEach((name, at) => expect(undefinedOn(name, 'protected', bytes), name).toBe(at < first));
  });

  it('of x86-64-v1 have neither CMPXCHG16B nor LAHF in 64-bit code, but CMPXCHG8B', () => {
    const wide = [0x48, 0x0f, 0xc7, 0x0c, 0x25, 0, 0, 1, 0];
    expect(undefinedOn('x86-64-v1', 'long', wide)).toBe(true);
    expect(undefinedOn('x86-64-v1', 'long', wide.slice(1))).toBe(false);
    expect(undefinedOn('x86-64-v2', 'long', wide)).toBe(false);
    expect(undefinedOn('x86-64-v1', 'long', [0x9f])).toBe(true);
    expect(undefinedOn('x86-64-v1', 'protected', [0x9f])).toBe(false);
    expect(undefinedOn('x86-64-v2', 'long', [0x9f])).toBe(false);
  });

  it('take TZCNT for BSF and LZCNT for BSR where those are not known', () => {
    const lzcnt = [0xbb, 0x10, 0, 0, 0, 0xf3, 0x0f, 0xbd, 0xc3];
    expect(run('x86-64-v2', 'protected', lzcnt).gpr(RAX)).toBe(4n);
    expect(run('x86-64-v2', 'protected', lzcnt, ['lzcnt']).gpr(RAX)).toBe(27n);
  });

  it('take no VEX prefix in real mode', () => {
    const andn = [0xc4, 0xe2, 0x60, 0xf2, 0xc1];
    expect(run('x86-64-v2', 'protected', andn, ['bmi1']).vcpu.exceptions[UD]).toBe(0);
    expect(run('x86-64-v2', 'real', andn, ['bmi1']).vcpu.exceptions[UD]).toBeGreaterThan(0);
    expect(undefinedOn('x86-64-v2', 'protected', andn)).toBe(true);
  });

  it('have 256 bits of integers only with AVX2', () => {
    const wide = [0xc5, 0xf5, 0xfe, 0xc2], narrow = [0xc5, 0xf1, 0xfe, 0xc2]; // VPADDD
    expect(undefinedOn('x86-64-v2', 'long', narrow)).toBe(true);
    expect(run('x86-64-v2', 'long', narrow, ['xsave', 'avx']).vcpu.exceptions[UD]).toBe(0);
    expect(run('x86-64-v2', 'long', wide, ['xsave', 'avx']).vcpu.exceptions[UD]).toBe(1);
    expect(run('x86-64-v2', 'long', wide, ['xsave', 'avx', 'avx2']).vcpu.exceptions[UD]).toBe(0);
  });

  it('refuse bits of control registers that belong to other models', () => {
    const setCr4 = (bit: number): number[] => [0x0f, 0x20, 0xe0, 0x0f, 0xba, 0xe8, bit, 0x0f, 0x22, 0xe0]; // bts eax, bit
    const general = (name: CpuModelName, bit: number): number => run(name, 'protected', setCr4(bit)).vcpu.exceptions[13] as number;
    expect(general('pentium3', 7)).toBe(0);
    expect(general('486', 7)).toBeGreaterThan(0);
    expect(general('x86-64-v2', 18)).toBeGreaterThan(0);
  });

  it('lack what they are asked to lack, and say so', () => {
    const model = cpuModel('x86-64-v2', ['extapic'], ['x2apic', 'tsc-deadline']);
    expect([model.features.has('x2apic'), model.features.has('extapic'), modelText(model)]).toEqual([false, true, 'x86-64-v2 with extapic without tsc-deadline without x2apic']);
  });

  it('are refused when the name or a feature is not known', () => {
    expect(() => cpuModel('z80' as CpuModelName)).toThrow(/no processor "z80"; there are 486/);
    expect(() => cpuModel('486', ['umip', 'vmx' as CpuFeature])).toThrow(/does not have/);
    expect(cpuModel().name).toBe(DEFAULT_CPU_MODEL);
  });
});
