import {
  CR0_EM, CR0_TS, CR4_OSFXSR, CR4_OSXMMEXCPT, control, createAssembler, mem, mmx, r64, RAX, RBX, RCX, RDI, VECTOR_GP, VECTOR_MF, VECTOR_NM, VECTOR_PF, VECTOR_UD, VECTOR_XM, xmm,
} from '@vm/x86';
import type { Operand } from '@vm/x86';
import { beforeEach, describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';

const CODE_AT = 0x8000;
const SECOND_LARGE_PAGE = 0x20_0000;
/** Page-directory entry of the second 2-MiB page. */
const SECOND_ENTRY = 0x4008;
const NONE = -1;

describe('MMX and SSE instructions', () => {
  const machine = new FlatMachine('long');
  const cpu = machine.vcpu.state;

  beforeEach(() => {
    machine.view.setUint32(SECOND_ENTRY, SECOND_LARGE_PAGE | 0x87, true);
    machine.enter(CODE_AT);
    machine.vcpu.exceptions.fill(0);
  });
  /** Runs one instruction after CR0 and CR4 were set; answers the vector of its exception. */
  function vectorOf(name: string, operands: readonly Operand[], cr0 = 0, cr4Cleared = 0): number {
    const code = createAssembler(64).op('mov_cr', control(0), r64(RAX)).op('mov_cr', control(4), r64(RCX)).op(name, ...operands).hlt().bytes();
    machine.put(CODE_AT, code);
    machine.setGpr(RAX, BigInt((cpu.get(state.CR0) | cr0) >>> 0));
    machine.setGpr(RCX, BigInt((cpu.get(state.CR4) & ~cr4Cleared) >>> 0));
    if (machine.run(10)) return NONE;
    // There are no handlers, so #GP and #DF follow whatever came first.
    return [VECTOR_XM, VECTOR_MF, VECTOR_PF, VECTOR_NM, VECTOR_UD].find((vector) => (machine.vcpu.exceptions[vector] as number) > 0) ?? VECTOR_GP;
  }

  it('are not available when CR0.TS is set', () => {
    expect(vectorOf('addps', [xmm(1), xmm(2)], CR0_TS)).toBe(VECTOR_NM);
  });
  it('are not available to MMX when CR0.TS is set', () => {
    expect(vectorOf('paddb', [mmx(1), mmx(2)], CR0_TS)).toBe(VECTOR_NM);
  });
  it('do not exist when CR0.EM is set', () => {
    expect(vectorOf('addps', [xmm(1), xmm(2)], CR0_EM)).toBe(VECTOR_UD);
  });
  it('do not exist for MMX either when CR0.EM is set, rather than being emulated like x87 instructions', () => {
    expect(vectorOf('paddb', [mmx(1), mmx(2)], CR0_EM)).toBe(VECTOR_UD);
  });
  it('need CR4.OSFXSR for xmm registers', () => {
    expect(vectorOf('addps', [xmm(1), xmm(2)], 0, CR4_OSFXSR)).toBe(VECTOR_UD);
  });
  it('need no CR4.OSFXSR for MMX registers', () => {
    expect(vectorOf('paddb', [mmx(1), mmx(2)], 0, CR4_OSFXSR)).toBe(NONE);
  });
  it('report a pending x87 exception before MMX work', () => {
    cpu.set(state.X87_CONTROL, 0x37e);
    cpu.set(state.X87_STATUS, 0x8081);
    machine.put(CODE_AT, []);
    expect(vectorOf('paddb', [mmx(1), mmx(2)], 0x20)).toBe(VECTOR_MF);
  });
  it('raise #XM for an unmasked exception and #UD when the system does not want it', () => {
    // 0 / 0 with the invalid-operation exception unmasked.
    cpu.set(state.MXCSR, 0x1f00);
    expect(vectorOf('divsd', [xmm(1), xmm(2)])).toBe(VECTOR_XM);
    expect(cpu.get(state.MXCSR)).toBe(0x1f01);
    machine.enter(CODE_AT);
    machine.vcpu.exceptions.fill(0);
    cpu.set(state.MXCSR, 0x1f00);
    expect(vectorOf('divsd', [xmm(1), xmm(2)], 0, CR4_OSXMMEXCPT)).toBe(VECTOR_UD);
  });

  it('want aligned memory unless they say otherwise', () => {
    machine.setGpr(RBX, 0x9004n);
    expect(vectorOf('addps', [xmm(1), mem(16, { base: RBX })])).toBe(VECTOR_GP);
    machine.enter(CODE_AT);
    machine.setGpr(RBX, 0x9004n);
    expect(vectorOf('movups', [xmm(1), mem(16, { base: RBX })])).toBe(NONE);
  });
  it('store 16 bytes into two pages or into none', () => {
    const at = SECOND_LARGE_PAGE - 8;
    machine.bytes.fill(0x11, at, at + 16);
    for (let i = 0; i < 16; i++) cpu.u8[cpu.at + state.XMM + 16 + i] = i;
    machine.setGpr(RBX, BigInt(at));
    expect(vectorOf('movups', [mem(16, { base: RBX }), xmm(1)])).toBe(NONE);
    expect([...machine.bytes.subarray(at, at + 16)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

    machine.bytes.fill(0x11, at, at + 16);
    machine.view.setUint32(SECOND_ENTRY, 0, true);
    machine.enter(CODE_AT);
    for (let i = 0; i < 16; i++) cpu.u8[cpu.at + state.XMM + 16 + i] = i;
    machine.setGpr(RBX, BigInt(at));
    expect(vectorOf('movups', [mem(16, { base: RBX }), xmm(1)])).toBe(VECTOR_PF);
    expect([...machine.bytes.subarray(at, at + 16)]).toEqual(Array.from({ length: 16 }, () => 0x11));
  });
  it('store the bytes under a mask into two pages or into none, and raise the faults of storing all of them', () => {
    const store = (mask: readonly number[], at: number): number => {
      machine.bytes.fill(0x11, at, at + 16);
      machine.view.setUint32(SECOND_ENTRY, 0, true);
      machine.enter(CODE_AT);
      machine.vcpu.exceptions.fill(0);
      for (let i = 0; i < 16; i++) cpu.u8[cpu.at + state.XMM + 16 + i] = i;
      for (let i = 0; i < 16; i++) cpu.u8[cpu.at + state.XMM + 32 + i] = mask.includes(i) ? 0x80 : 0x7f;
      machine.setGpr(RDI, BigInt(at));
      return vectorOf('maskmovdqu', [xmm(1), xmm(2)]);
    };
    const whole = SECOND_LARGE_PAGE - 16, across = SECOND_LARGE_PAGE - 8;
    expect(store([1, 6], whole)).toBe(NONE);
    expect([...machine.bytes.subarray(whole, whole + 8)]).toEqual([0x11, 1, 0x11, 0x11, 0x11, 0x11, 6, 0x11]);
    for (const mask of [[1, 9], [1, 6], []]) {
      expect(store(mask, across)).toBe(VECTOR_PF);
      expect([...machine.bytes.subarray(across, across + 8)]).toEqual(Array.from({ length: 8 }, () => 0x11));
    }
    expect(store([], whole)).toBe(NONE);
  });
  it('make a reciprocal good to 12 bits, without touching MXCSR', () => {
    for (const x of [1, 3, 0.7, 123456, 1e-20]) {
      machine.enter(CODE_AT);
      cpu.view.setFloat32(cpu.at + state.XMM + 32, x, true);
      cpu.set(state.MXCSR, 0x1f80);
      expect(vectorOf('rcpss', [xmm(1), xmm(2)])).toBe(NONE);
      expect(Math.abs(cpu.view.getFloat32(cpu.at + state.XMM + 16, true) * x - 1)).toBeLessThan(1.5 * 2 ** -12);
      machine.enter(CODE_AT);
      cpu.view.setFloat32(cpu.at + state.XMM + 32, x, true);
      expect(vectorOf('rsqrtss', [xmm(1), xmm(2)])).toBe(NONE);
      expect(Math.abs(cpu.view.getFloat32(cpu.at + state.XMM + 16, true) * Math.sqrt(x) - 1)).toBeLessThan(1.5 * 2 ** -12);
      expect(cpu.get(state.MXCSR)).toBe(0x1f80);
    }
  });
});
