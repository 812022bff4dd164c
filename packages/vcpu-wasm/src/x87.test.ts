import { VECTOR_MF, VECTOR_NM, VECTOR_PF } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';

const CODE = 0x8000;
const DATA = 0x9000;
const RSI = 6;
const HLT = 0xf4;

const FLD1 = [0xd9, 0xe8], FLDPI = [0xd9, 0xeb], FLDZ = [0xd9, 0xee], FLD_M64 = [0xdd, 0x06], FDIVP = [0xde, 0xf9], FPREM = [0xd9, 0xf8], FXCH = [0xd9, 0xc9];
const FNSTENV = [0xd9, 0x36], FLDCW = [0xd9, 0x2e], FNSTSW = [0xdf, 0xe0], FWAIT = [0x9b], FSTP_M80 = [0xdb, 0x3e], FSTP_M64 = [0xdd, 0x1e], FSIN = [0xd9, 0xfe];

function start(mode: 'real' | 'protected' | 'long', code: readonly number[], pointer = DATA): FlatMachine {
  const machine = new FlatMachine(mode);
  machine.put(CODE, [...code, HLT]);
  machine.enter(CODE);
  machine.setGpr(RSI, BigInt(pointer));
  return machine;
}
const depth = (machine: FlatMachine): number => (8 - machine.vcpu.state.get(state.X87_TOP)) & 7;
const raised = (machine: FlatMachine, vector: number): number => machine.vcpu.exceptions[vector] as number;

describe('x87 state', () => {
  it('remembers where the last instruction and its operand were', () => {
    const machine = start('long', [0x90, ...FLD_M64, ...FNSTENV], DATA);
    expect(machine.run()).toBe(true);
    const word = (field: number): number => machine.view.getUint32(DATA + field * 4, true);
    expect(word(0)).toBe(0xffff_037f);
    expect(word(1)).toBe(0xffff_3800);
    expect(word(2)).toBe(0xffff_7fff); // R7 holds 0
    expect(word(3)).toBe(CODE + 1);
    expect(word(4)).toBe((0x506 << 16) | 8);
    expect(word(5)).toBe(DATA);
    expect(word(6)).toBe(0xffff_0010);
  });

  it('stores linear addresses in real-address mode', () => {
    const machine = start('real', [0xdd, 0x04, 0xd9, 0x34]); // fld qword [si]; fnstenv [si]
    machine.vcpu.state.set(state.SEGMENT + state.DS * state.SEGMENT_STRIDE, 0x100);
    machine.vcpu.state.set64(state.SEGMENT_BASE + state.DS * 8, 0x1000, 0);
    expect(machine.run()).toBe(true);
    const word = (field: number): number => machine.view.getUint16(0x1000 + DATA + field * 2, true);
    expect([0, 1, 2, 3, 4, 5, 6].map(word)).toEqual([0x037f, 0x3800, 0x7fff, CODE, 0x504, DATA + 0x1000, 0]);
    expect(word(7)).toBe(0);
  });

  it('keeps an exception for the next waiting instruction', () => {
    const machine = start('protected', [...FLDCW, ...FLD1, ...FLDZ, ...FDIVP, ...FNSTSW, ...FWAIT]);
    machine.view.setUint16(DATA, 0x37b, true); // division by zero has no mask
    machine.run(5);
    expect(raised(machine, VECTOR_MF)).toBe(0);
    expect(machine.gpr(0) & 0xffffn).toBe(0xb084n); // ZE, ES and B; nothing was popped
    expect(depth(machine)).toBe(2);
    machine.run(1);
    expect(raised(machine, VECTOR_MF)).toBe(1);
  });

  it('is not available when CR0.TS is set', () => {
    const machine = start('long', FLD1);
    machine.vcpu.state.set(state.X87_BLOCKED, 1);
    machine.run(1);
    expect(raised(machine, VECTOR_NM)).toBe(1);
    expect(depth(machine)).toBe(0);
  });
});

describe('x87 stores', () => {
  const LAST_PAGE = 0x20_0000; // the first page of the second large page
  for (const [name, store, bytes] of [['of 10 bytes', FSTP_M80, 10], ['of 8 bytes', FSTP_M64, 8]] as const) {
    it(`${name} change nothing when their second page is missing`, () => {
      const machine = start('long', [...FLDPI, ...store], LAST_PAGE - bytes + 1);
      machine.view.setUint32(0x2000 + 0x2000 + 8, 0, true); // the page-directory entry of LAST_PAGE
      machine.bytes.fill(0x55, LAST_PAGE - 16, LAST_PAGE);
      machine.run(2);
      expect(raised(machine, VECTOR_PF)).toBe(1);
      expect(depth(machine)).toBe(1);
      expect(machine.vcpu.state.get(state.X87_INSTRUCTION_POINTER)).toBe(CODE); // still that of FLDPI
      expect([...machine.bytes.subarray(LAST_PAGE - 16, LAST_PAGE)]).toEqual(Array.from({ length: 16 }, () => 0x55));
    });
  }
});

describe('x87 functions', () => {
  // ST(0) as given, ST(1) = 2.5; the results were computed with 100 digits and rounded to 64 bits.
  const RESULTS: readonly (readonly [string, number, number, bigint])[] = [
    ['f2xm1', 0xf0, 0.625, 0x3ffe_8ace5422aa0db5ban],
    ['fyl2x', 0xf1, 0.625, 0xbfff_d8fba684fe764909n],
    ['fpatan', 0xf3, 0.625, 0x3fff_a9b464a8f4e7e4d2n],
    ['fyl2xp1', 0xf9, 0.15625, 0x3ffe_860cd6e4889ee3afn],
    ['fsin', 0xfe, 0.625, 0x3ffe_95c8ef544210ec0cn],
    ['fcos', 0xff, 0.625, 0x3ffe_cf9b476c897c25c6n],
    ['fsqrt', 0xfa, 0.625, 0x3ffe_ca62c1d6d2da9490n],
  ];
  for (const [name, opcode, argument, expected] of RESULTS) {
    it(`give the nearest number: ${name}`, () => {
      const machine = start('long', [...FLD_M64, 0xdd, 0x46, 0x08, 0xd9, opcode, ...FSTP_M80]);
      machine.view.setFloat64(DATA, 2.5, true);
      machine.view.setFloat64(DATA + 8, argument, true);
      expect(machine.run()).toBe(true);
      const result = (BigInt(machine.view.getUint16(DATA + 8, true)) << 64n) | machine.view.getBigUint64(DATA, true);
      expect(result.toString(16)).toBe(expected.toString(16));
    });
  }

  it('reduce an angle with FPREM until C2 is clear, and give its sine', () => {
    // 10^18 modulo pi, in as many steps as it takes.
    const machine = start('long', [...FLDPI, ...FLD_M64, ...FPREM, ...FNSTSW, 0x80, 0xe4, 0x04, 0x75, 0xf7, ...FXCH, 0xdd, 0xd8, ...FSIN, ...FSTP_M64]);
    machine.view.setFloat64(DATA, 1e18, true);
    expect(machine.run()).toBe(true);
    // 10^18 mod 3.14159265358979323851, the nearest number to pi in the extended format; its sine was computed with 100 digits.
    expect(machine.view.getFloat64(DATA, true)).toBeCloseTo(0.9947328352453048, 15);
    expect(depth(machine)).toBe(0);
  });
});
