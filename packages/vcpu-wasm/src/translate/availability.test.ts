/** What makes SSE, AVX and the x87 unavailable in the midst of a region holds for the next instruction of it. */
import { control, CONDITION_NE, createAssembler, r32, r64, RAX, RBX, RCX, RDX } from '@vm/x86';
import type { Assembler } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import * as state from '../cpu-state.ts';
import { FlatMachine } from '../flat-machine.ts';

const CODE = 0x8000;
const TURNS = 40;
const CR0_TS = 8, CR4_OSFXSR = 0x200, CR4_OSXSAVE = 0x4_0000;
const ADDPS = [0x0f, 0x58, 0xc1], VADDPS = [0xc5, 0xf0, 0x58, 0xc2], FCHS = [0xd9, 0xe0], PADDB = [0x0f, 0xfc, 0xc1], LMSW_AX = [0x0f, 0x01, 0xf0], XSETBV = [0x0f, 0x01, 0xd1];
const SSE_ALONE = 3;

interface Change {
  readonly name: string;
  /** What `write` stores in the last turn is not what it stores before, by these bits. */
  readonly usual: (machine: FlatMachine) => number;
  readonly bits: number;
  readonly write: (code: Assembler, bits: 32 | 64) => void;
  readonly instruction: readonly number[];
}
const wide = (bits: 32 | 64) => (bits === 64 ? r64(RAX) : r32(RAX));
const toCr0 = { usual: ({ vcpu }: FlatMachine): number => vcpu.state.get(state.CR0), bits: CR0_TS, write: (code: Assembler, bits: 32 | 64): void => { code.mov(control(0), wide(bits)); } };
const toCr4 = { usual: ({ vcpu }: FlatMachine): number => vcpu.state.get(state.CR4), write: (code: Assembler, bits: 32 | 64): void => { code.mov(control(4), wide(bits)); } };
const CHANGES: readonly Change[] = [
  { name: 'SSE, MOV to CR0', ...toCr0, instruction: ADDPS },
  { name: 'AVX, MOV to CR0', ...toCr0, instruction: VADDPS },
  { name: 'the x87, MOV to CR0', ...toCr0, instruction: FCHS },
  { name: 'MMX, MOV to CR0', ...toCr0, instruction: PADDB },
  { name: 'SSE, LMSW', ...toCr0, write: (code) => { code.data(...LMSW_AX); }, instruction: ADDPS },
  { name: 'SSE, MOV to CR4', ...toCr4, bits: CR4_OSFXSR, instruction: ADDPS },
  { name: 'AVX, MOV to CR4', ...toCr4, bits: CR4_OSXSAVE, instruction: VADDPS },
  { name: 'AVX, XSETBV', usual: () => 7, bits: 7 ^ SSE_ALONE, write: (code) => { code.mov(r32(RBX), r32(RCX)).mov(r32(RCX), 0).data(...XSETBV).mov(r32(RCX), r32(RBX)); }, instruction: VADDPS },
];

describe.each([['long', 64], ['protected', 32]] as const)('%s mode', (mode, bits) => {
  it.each(CHANGES)('$name', ({ usual, bits: changed, write, instruction }) => {
    const seen = (['off', 'eager'] as const).map((translator) => {
      const machine = new FlatMachine(mode, { processor: { translator, cpuModel: 'x86-64-v3' } });
      const code = createAssembler(bits).label('turn').mov(r32(RAX), r32(6)).cmp(r32(RCX), 1).jcc(CONDITION_NE, 'usual').xor(r32(RAX), changed).label('usual').xor(r32(RDX), r32(RDX));
      write(code, bits);
      machine.put(CODE, code.data(...instruction).dec(r32(RCX)).jcc(CONDITION_NE, 'turn').hlt().bytes());
      machine.enter(CODE);
      machine.setGpr(6, BigInt(usual(machine)));
      machine.setGpr(RCX, BigInt(TURNS));
      machine.run(); // there is no handler
      const { vcpu } = machine;
      return { left: Number(machine.gpr(RCX)), exceptions: [...vcpu.exceptions.keys()].filter((vector) => (vcpu.exceptions[vector] as number) > 0), retired: vcpu.retired };
    });
    expect(seen[0]?.left).toBe(1);
    expect(seen[1]).toEqual(seen[0]);
  });
});
