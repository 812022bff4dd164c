import { CR4_FSGSBASE, CR4_PCIDE, CR4_SMAP, CR4_SMEP, CR4_UMIP, FLAG_AC, RAX, RBX, RCX } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';
import type { FlatMachineOptions } from './flat-machine.ts';

const AT = 0x8000;
const UD = 6, GP = 13, PF = 14;
const DATA = 0x20_0000;

interface Setup {
  readonly cr4?: number;
  readonly cpl?: number;
  readonly registers?: Readonly<Record<number, bigint>>;
  readonly processor?: FlatMachineOptions['processor'];
}
/** Runs long-mode code over pages that are the user's, as all of the flat machine's are. */
function run(bytes: readonly number[], { cr4 = 0, cpl = 0, registers = {}, processor }: Setup = {}): FlatMachine {
  const machine = new FlatMachine('long', processor === undefined ? {} : { processor });
  machine.put(AT, [...bytes, 0xf4]);
  machine.enter(AT);
  const { state: cpu } = machine.vcpu;
  cpu.set(state.CR4, cpu.get(state.CR4) | cr4);
  machine.vcpu.segments.setCpl(cpl);
  for (const [register, value] of Object.entries(registers)) machine.setGpr(Number(register), value);
  machine.run(100);
  return machine;
}
const raised = (machine: FlatMachine, vector: number): number => machine.vcpu.exceptions[vector] as number;

const STAC = [0x0f, 0x01, 0xcb], CLAC = [0x0f, 0x01, 0xca];
const LOAD = [0x48, 0x8b, 0x03]; // mov rax, [rbx]
const STORE = [0x48, 0x89, 0x03];

describe('SMAP and SMEP', () => {
  // The code lies in a user page, so that only the pages of the supervisor may be executed with SMEP.
  it('keep the supervisor out of user pages but between STAC and CLAC', () => {
    const registers = { [RBX]: BigInt(DATA), [RAX]: 7n };
    expect(raised(run(LOAD, { registers }), PF)).toBe(0);
    expect(raised(run(LOAD, { registers, cr4: CR4_SMAP }), PF)).toBeGreaterThan(0);
    expect(raised(run(STORE, { registers, cr4: CR4_SMAP }), PF)).toBeGreaterThan(0);
    expect(raised(run([...STAC, ...STORE, ...LOAD], { registers, cr4: CR4_SMAP }), PF)).toBe(0);
    const shut = run([...STAC, ...LOAD, ...CLAC, ...LOAD], { registers, cr4: CR4_SMAP });
    expect(raised(shut, PF)).toBeGreaterThan(0);
    expect(shut.vcpu.state.get(state.CR2)).toBe(DATA);
  });
  it('follow AC through POPF too', () => {
    const registers = { [RBX]: BigInt(DATA), [RCX]: BigInt(FLAG_AC | 2), 4: BigInt(DATA + 0x800) };
    // The stack is a user page as well: AC has to be set to pop. push 2; popf drops it again.
    const popAc = [...STAC, 0x51, 0x9d];
    expect(raised(run([...popAc, ...LOAD], { registers, cr4: CR4_SMAP }), PF)).toBe(0);
    expect(raised(run([...popAc, ...LOAD, 0x6a, 0x02, 0x9d, ...LOAD], { registers, cr4: CR4_SMAP }), PF)).toBeGreaterThan(0);
  });
  it('keep the supervisor from running user pages', () => {
    expect(raised(run([0x90]), PF)).toBe(0);
    expect(raised(run([0x90], { cr4: CR4_SMEP }), PF)).toBeGreaterThan(0);
  });
  it('have STAC and CLAC for the supervisor alone', () => {
    expect(raised(run(STAC, { cpl: 3 }), UD)).toBeGreaterThan(0);
    expect(raised(run(CLAC, { cpl: 3 }), UD)).toBeGreaterThan(0);
  });
});

describe('FSGSBASE', () => {
  const wrfsbase = [0xf3, 0x48, 0x0f, 0xae, 0xd3], rdfsbase = [0xf3, 0x48, 0x0f, 0xae, 0xc0], rdgsbase32 = [0xf3, 0x0f, 0xae, 0xc8], wrgsbase = [0xf3, 0x48, 0x0f, 0xae, 0xdb];
  it('moves the bases at every level once CR4 allows it', () => {
    const registers = { [RBX]: 0x7fff_1234_5678n };
    expect(raised(run(wrfsbase, { registers }), UD)).toBeGreaterThan(0);
    const done = run([...wrfsbase, ...rdfsbase], { registers, cr4: CR4_FSGSBASE, cpl: 3 });
    expect(done.gpr(RAX)).toBe(0x7fff_1234_5678n);
    expect(run([...wrgsbase, ...rdgsbase32], { registers, cr4: CR4_FSGSBASE }).gpr(RAX)).toBe(0x1234_5678n);
  });
  it('refuses a base that is not canonical', () => {
    expect(raised(run(wrgsbase, { registers: { [RBX]: 0x8000_0000_0000n }, cr4: CR4_FSGSBASE }), GP)).toBeGreaterThan(0);
    expect(raised(run(wrgsbase, { registers: { [RBX]: 0xffff_8000_0000_0000n }, cr4: CR4_FSGSBASE }), GP)).toBe(0);
  });
});

describe('UMIP', () => {
  it.each([
    ['SGDT', [0x0f, 0x01, 0x03]], ['SIDT', [0x0f, 0x01, 0x0b]], ['SLDT', [0x0f, 0x00, 0xc0]], ['STR', [0x0f, 0x00, 0xc8]], ['SMSW', [0x0f, 0x01, 0xe0]],
  ])('keeps %s from users', (_name, code) => {
    const registers = { [RBX]: BigInt(DATA) };
    expect(raised(run(code, { registers, cpl: 3 }), GP)).toBe(1); // the HLT
    expect(run(code, { registers, cpl: 0, cr4: CR4_UMIP }).vcpu.exceptions[GP]).toBe(0);
    const refused = run([0x90, ...code], { registers, cpl: 3, cr4: CR4_UMIP });
    expect(refused.vcpu.state.get(state.RIP)).toBe(AT + 1);
    expect(raised(refused, GP)).toBeGreaterThan(0);
  });
});

describe('process contexts', () => {
  const invpcid = [0x66, 0x0f, 0x38, 0x82, 0x03];
  const withDescriptor = (type: bigint, context: number, cr4 = 0): FlatMachine => {
    const machine = new FlatMachine('long');
    machine.view.setUint32(DATA, context, true);
    machine.put(AT, [...invpcid, 0xf4]);
    machine.enter(AT);
    machine.vcpu.state.set(state.CR4, machine.vcpu.state.get(state.CR4) | cr4);
    machine.setGpr(RBX, BigInt(DATA));
    machine.setGpr(RAX, type);
    machine.run(10);
    return machine;
  };
  it('are invalidated by INVPCID, which checks its operands', () => {
    const { flushes } = new FlatMachine('long').vcpu.memory.tlb;
    const done = withDescriptor(2n, 0);
    expect(raised(done, GP)).toBe(0);
    expect(done.vcpu.memory.tlb.flushes).toBeGreaterThan(flushes);
    expect(raised(withDescriptor(4n, 0), GP)).toBeGreaterThan(0);
    expect(raised(withDescriptor(1n, 5), GP)).toBeGreaterThan(0);
    expect(raised(withDescriptor(1n, 5, CR4_PCIDE), GP)).toBe(0);
    expect(raised(withDescriptor(1n, 0x1000, CR4_PCIDE), GP)).toBeGreaterThan(0);
  });
  it('let bit 63 of CR3 pass only while they are on', () => {
    const toCr3 = [0x0f, 0x22, 0xd8], fromCr3 = [0x0f, 0x20, 0xd8];
    const value = 0x8000_0000_0000_2001n;
    expect(raised(run(toCr3, { registers: { [RAX]: value } }), GP)).toBeGreaterThan(0);
    expect(run([...toCr3, ...fromCr3], { registers: { [RAX]: value }, cr4: CR4_PCIDE }).gpr(RAX)).toBe(0x2001n);
  });
});

describe('RDRAND and RDSEED', () => {
  const rdrand = [0x48, 0x0f, 0xc7, 0xf0], rdseed16 = [0x66, 0x0f, 0xc7, 0xfb];
  it('give the same numbers for the same seed and others for another', () => {
    const first = run(rdrand);
    expect(first.flags & 0x8d5).toBe(1);
    expect(run(rdrand).gpr(RAX)).toBe(first.gpr(RAX));
    expect(run([...rdrand, ...rdrand]).gpr(RAX)).not.toBe(first.gpr(RAX));
    expect(run(rdrand, { processor: { randomSeed: 1 } }).gpr(RAX)).not.toBe(first.gpr(RAX));
  });
  it('write as much as the operand size says', () => {
    const registers = { [RBX]: 0x1122_3344_5566_7788n };
    expect(run(rdseed16, { registers }).gpr(RBX) >> 16n).toBe(0x1122_3344_5566n);
  });
});

describe('RDPID', () => {
  it('reads IA32_TSC_AUX', () => {
    const machine = new FlatMachine('long');
    machine.put(AT, [0xf3, 0x0f, 0xc7, 0xf8, 0xf4]);
    machine.enter(AT);
    machine.vcpu.state.set64(state.MSR_TSC_AUX, 0x1234, 0);
    machine.run(10);
    expect(machine.gpr(RAX)).toBe(0x1234n);
  });
});
