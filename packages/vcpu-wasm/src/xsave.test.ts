import { createAssembler, mem, RAX, RBX, RCX, RDX, r32, r64, VECTOR_GP, VECTOR_NM, VECTOR_UD, ymm } from '@vm/x86';
import type { Assembler } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';
import type { FlatMode } from './flat-machine.ts';

const CODE = 0x8000;
const AREA = 0x10_0040;
const CR0_TS = 8;
const OSXSAVE = 1 << 18;
const BITS = { real: 16, protected: 32, long: 64 } as const;

interface Setting { readonly mode?: FlatMode; readonly prepare?: (machine: FlatMachine) => void; readonly cr0?: number; readonly cr4?: number; readonly xcr0?: number }

/** Runs code on a processor of the third level to its HLT, or to the exception that it raises. */
function run(write: (a: Assembler) => Assembler, { mode = 'long', prepare, cr0 = 0, cr4 = OSXSAVE, xcr0 = 7 }: Setting = {}): FlatMachine {
  const machine = new FlatMachine(mode, { processor: { cpuModel: 'x86-64-v3' } });
  machine.entry = { ...machine.entry, cr0: (machine.entry.cr0 | cr0) >>> 0, cr4: (machine.entry.cr4 & ~OSXSAVE) | cr4, xcr0 };
  machine.put(CODE, write(createAssembler(BITS[mode])).hlt().bytes());
  machine.enter(CODE);
  prepare?.(machine);
  machine.run(100);
  return machine;
}
/** The first exception, before the double fault that there being no handler can make of it. */
const raised = (machine: FlatMachine): number => [VECTOR_UD, VECTOR_NM, VECTOR_GP].find((vector) => (machine.vcpu.exceptions[vector] as number) > 0) ?? -1;
/** EDX:EAX asks for these components. */
const ask = (a: Assembler, components: number): Assembler => a.mov(r32(RAX), components).mov(r32(RDX), 0);
const area = mem(0, { displacement: AREA });

/** Fills every byte of the vector registers with a number that tells its place, and empties no x87 register. */
function fill(machine: FlatMachine): void {
  const { u8, at } = machine.vcpu.state;
  for (let i = 0; i < 512; i++) u8[at + state.XMM + i] = (i * 7 + 1) & 0xff;
  for (let i = 0; i < 8; i++) u8.fill(i + 1, at + state.X87 + i * 16, at + state.X87 + i * 16 + 10);
  u8.fill(0, at + state.X87_EMPTY, at + state.X87_EMPTY + 8);
}
const registers = (machine: FlatMachine): string => {
  const { u8, at } = machine.vcpu.state;
  return Buffer.from(u8.subarray(at + state.XMM, at + state.X87 + 128)).toString('hex');
};

describe('extended state', () => {
  it('is what CPUID says, with the size of what is switched on', () => {
    const leaf = (subleaf: number, setting: Setting): number[] => {
      const machine = run((a) => a.mov(r32(RAX), 0xd).mov(r32(RCX), subleaf).cpuid(), setting);
      return [RAX, RBX, RCX, RDX].map((register) => Number(machine.gpr(register)));
    };
    expect(leaf(0, { xcr0: 7 })).toEqual([7, 832, 832, 0]);
    expect(leaf(0, { xcr0: 3 })).toEqual([7, 576, 832, 0]);
    expect(leaf(1, {})).toEqual([1, 0, 0, 0]);
    expect(leaf(2, {})).toEqual([256, 576, 0, 0]);
    expect(leaf(3, {})).toEqual([0, 0, 0, 0]);
    const osxsave = (cr4: number): number => (Number(run((a) => a.mov(r32(RAX), 1).cpuid(), { cr4 }).gpr(RCX)) >>> 27) & 1;
    expect([osxsave(0), osxsave(OSXSAVE)]).toEqual([0, 1]);
  });

  it('is switched on by XSETBV', () => {
    const set = (value: number, setting: Setting = {}, number = 0, high = 0): FlatMachine =>
      run((a) => a.mov(r32(RCX), number).mov(r32(RAX), value).mov(r32(RDX), high).op('xsetbv').op('xgetbv'), { xcr0: 1, ...setting });
    for (const value of [1, 3, 7]) expect([raised(set(value)), set(value).gpr(RAX)]).toEqual([-1, BigInt(value)]);
    // Without the x87, AVX without SSE, components that are not there, another register.
    for (const value of [0, 2, 5, 0xf, 0x8000_0001]) expect(raised(set(value)), String(value)).toBe(VECTOR_GP);
    expect(raised(set(7, {}, 1))).toBe(VECTOR_GP);
    expect(raised(set(7, {}, 0, 1))).toBe(VECTOR_GP);
    expect(raised(set(7, { cr4: 0 }))).toBe(VECTOR_UD);
    const user: Setting = { prepare: (machine) => machine.vcpu.segments.setCpl(3) };
    expect(raised(set(7, user))).toBe(VECTOR_GP);
  });

  it.each(['long', 'protected'] as const)('comes back as it was saved, in %s mode', (mode) => {
    let before = '';
    const machine = run((a) => ask(a, 7).op('xsave', area).op('vzeroall').op('fninit').op('emms').op('xrstor', area), {
      mode, prepare: (one) => { fill(one); before = registers(one); },
    });
    expect(raised(machine)).toBe(-1);
    expect(registers(machine)).toBe(before);
    expect(machine.view.getUint32(AREA + 512, true)).toBe(7);
    expect(machine.view.getUint32(AREA + 24 + 4, true)).toBe(0xffff);
  });

  it('is stored only where it was asked for', () => {
    const machine = run((a) => ask(a, 4).op('xsave', area), { prepare: (one) => { fill(one); one.bytes.fill(0xaa, AREA, AREA + 1024); one.bytes.fill(0, AREA + 512, AREA + 576); } });
    const untouched = (from: number, to: number): boolean => machine.bytes.subarray(AREA + from, AREA + to).every((byte) => byte === 0xaa);
    expect([untouched(0, 24), untouched(32, 512), untouched(832, 1024)]).toEqual([true, true, true]);
    expect([machine.view.getUint32(AREA + 24, true), machine.view.getUint32(AREA + 512, true)]).toEqual([0x1f80, 4]);
  });

  it('is left out by XSAVEOPT where it is as after a reset, and restored to that', () => {
    const machine = run((a) => ask(a, 7).op('xsaveopt', area).op('xrstor', area), {
      prepare: (one) => {
        fill(one);
        const { u8, at } = one.vcpu.state;
        u8.fill(0, at + state.YMM_HIGH, at + state.X87);
        one.bytes.fill(0xaa, AREA, AREA + 1024);
        one.bytes.fill(0, AREA + 512, AREA + 576);
      },
    });
    expect(raised(machine)).toBe(-1);
    expect(machine.view.getUint32(AREA + 512, true)).toBe(3);
    expect(machine.bytes[AREA + 576]).toBe(0xaa);
    expect(machine.vcpu.state.u8.subarray(machine.vcpu.state.at + state.YMM_HIGH, machine.vcpu.state.at + state.X87).every((byte) => byte === 0)).toBe(true);
  });

  it('is initialized by XRSTOR where the area has nothing, but for MXCSR', () => {
    const machine = run((a) => ask(a, 7).op('xrstor', area), { prepare: (one) => { fill(one); one.view.setUint32(AREA + 24, 0x3f80, true); } });
    expect(raised(machine)).toBe(-1);
    const { state: s } = machine.vcpu;
    expect(registers(machine)).toBe('00'.repeat(512 + 128));
    expect([s.get(state.X87_CONTROL), s.get(state.X87_EMPTY), s.get(state.MXCSR)]).toEqual([0x37f, 0x0101_0101, 0x3f80]);
  });

  it('raises what the manual says', () => {
    const broken = (at: number, value: number, operation = 'xrstor'): number =>
      raised(run((a) => ask(a, 7).op(operation, area), { prepare: (one) => one.view.setUint32(AREA + at, value, true) }));
    expect(broken(512, 8)).toBe(VECTOR_GP); // a component that is switched off
    expect(broken(520 + 4, 0x8000_0000)).toBe(VECTOR_GP); // the compacted format
    expect(broken(528, 1)).toBe(VECTOR_GP);
    expect(broken(24, 0x1_0000)).toBe(VECTOR_GP); // MXCSR
    expect(broken(536, 1)).toBe(-1);
    for (const operation of ['xsave', 'xsaveopt', 'xrstor']) {
      expect(raised(run((a) => ask(a, 7).op(operation, mem(0, { displacement: AREA + 16 }))))).toBe(VECTOR_GP);
      expect(raised(run((a) => ask(a, 7).op(operation, area), { cr4: 0 }))).toBe(VECTOR_UD);
      expect(raised(run((a) => ask(a, 7).op(operation, area), { cr0: CR0_TS }))).toBe(VECTOR_NM);
    }
    expect(raised(run((a) => a.mov(r32(RCX), 1).op('xgetbv')))).toBe(VECTOR_GP);
    expect(raised(run((a) => a.mov(r32(RCX), 0).op('xgetbv'), { cr4: 0 }))).toBe(VECTOR_UD);
  });
});

describe('instructions with a VEX prefix', () => {
  const add = (a: Assembler): Assembler => a.op('vaddps', ymm(1), ymm(2), ymm(3));
  it('need AVX switched on, and protected mode', () => {
    expect(raised(run(add))).toBe(-1);
    expect(raised(run(add, { xcr0: 3 }))).toBe(VECTOR_UD);
    expect(raised(run(add, { xcr0: 1 }))).toBe(VECTOR_UD);
    expect(raised(run(add, { cr4: 0 }))).toBe(VECTOR_UD);
    expect(raised(run(add, { cr0: CR0_TS }))).toBe(VECTOR_NM);
    expect(raised(run(add, { cr0: CR0_TS, cr4: 0 }))).toBe(VECTOR_UD);
    expect(raised(run(add, { mode: 'protected' }))).toBe(-1);
    expect(raised(run(add, { mode: 'real' }))).toBe(VECTOR_UD);
    // CR0.EM is for the others.
    expect(raised(run(add, { cr0: 4 }))).toBe(-1);
  });

  it('ask for alignment only in the moves that are named for it', () => {
    const at = (name: string) => (a: Assembler): Assembler => a.mov(r64(RBX), AREA + 8).op(name, ymm(1), mem(32, { base: RBX }));
    for (const name of ['vmovups', 'vmovdqu', 'vlddqu', 'vsqrtps']) expect(raised(run(at(name))), name).toBe(-1);
    for (const name of ['vmovaps', 'vmovapd', 'vmovdqa', 'vmovntdqa']) expect(raised(run(at(name))), name).toBe(VECTOR_GP);
    // 16 bytes are not enough for 32.
    expect(raised(run((a) => a.op('vmovaps', ymm(1), mem(32, { displacement: AREA + 16 }))))).toBe(VECTOR_GP);
  });

  it.each([['xsave', 7, 831, 832], ['xsave', 3, 575, 576], ['xrstor', 7, 831, 832], ['xrstor', 3, 575, 576]] as const)('asks a segment to hold all that %s of components %i touches', (operation, components, fine, least) => {
    const limited = (limit: number): number => raised(run((a) => ask(a, components).op(operation, area), {
      mode: 'protected',
      prepare: (one) => {
        one.vcpu.segments.setSegment(state.DS, 16, 0x0040_9300, AREA, 0, limit);
        one.view.setUint32(2 * AREA + 512, 7, true);
      },
    }));
    // The area lies at offset AREA of a segment that begins at AREA.
    expect([limited(AREA + fine), limited(AREA + least - 2)]).toEqual([-1, VECTOR_GP]);
  });

  it('needs no more than what is there to restore', () => {
    const machine = run((a) => ask(a, 7).op('xrstor', area), { mode: 'protected', prepare: (one) => one.vcpu.segments.setSegment(state.DS, 16, 0x0040_9300, AREA, 0, AREA + 575) });
    expect(raised(machine)).toBe(-1);
  });
});
