import { control, createAssembler, mem, r64, RAX, RBX, RCX, RDX } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { EXIT_HALT } from '@vm/core/exit';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';
import { SHADOW_MODES } from './shadow-mode.ts';
import type { ShadowMode } from './shadow-mode.ts';

const CODE = 0x9000;
const ROOT_A = 0x2000, ROOT_B = 0x6000;
const TABLE_A = 0xa000, TABLE_B = 0xb000;
const PAGE = 0x40_0000; // of which each space has its own
const R8 = 8, R9 = 9, R10 = 10, R11 = 11;
const FRAMES = [0x1_0000, 0x1_1000, 0x1_2000, 0x1_3000];

/** Two address spaces that share everything but the page at PAGE; the page tables are where they say. */
function machineWith(shadow: ShadowMode, processors = 1): FlatMachine {
  const machine = new FlatMachine('long', { processors, processor: { shadow, auditShadow: true } });
  const { view } = machine;
  const entry = (at: number, low: number): void => view.setUint32(at, low, true);
  entry(ROOT_B, 0x7000 | 7);
  entry(0x7000, 0x8000 | 7);
  for (let i = 0; i < 512; i++) entry(0x8000 + i * 8, (i * 0x20_0000) | 0x87);
  entry(0x4000 + 2 * 8, TABLE_A | 7);
  entry(0x8000 + 2 * 8, TABLE_B | 7);
  entry(TABLE_A, (FRAMES[0] as number) | 7);
  entry(TABLE_B, (FRAMES[1] as number) | 7);
  FRAMES.forEach((frame, i) => entry(frame, 0x100 + i));
  return machine;
}
const read = (machine: FlatMachine, ...registers: number[]): bigint[] => registers.map((register) => machine.gpr(register));

describe.each(SHADOW_MODES)('page tables, with shadow tables %s', (shadow) => {
  it('show each address space its own page, and edits after the next switch', () => {
    const machine = machineWith(shadow);
    const a = createAssembler(64).mov(r64(RBX), PAGE).mov(r64(RCX), 40).label('again')
      .mov(r64(RAX), ROOT_B).mov(control(3), r64(RAX)).mov(r64(R8), mem(8, { base: RBX }))
      .mov(r64(RDX), TABLE_B).mov(r64(RAX), (FRAMES[2] as number) | 7).mov(mem(8, { base: RDX }), r64(RAX))
      .mov(r64(RAX), ROOT_A).mov(control(3), r64(RAX)).mov(r64(R9), mem(8, { base: RBX }))
      .mov(r64(RAX), ROOT_B).mov(control(3), r64(RAX)).mov(r64(R10), mem(8, { base: RBX }))
      .mov(r64(RAX), (FRAMES[1] as number) | 7).mov(mem(8, { base: RDX }), r64(RAX)).invlpg(mem(1, { base: RBX })).mov(r64(R11), mem(8, { base: RBX }))
      .sub(r64(RCX), 1).jcc(5, 'again').hlt();
    machine.put(CODE, a.bytes());
    machine.enter(CODE);
    expect(machine.run()).toBe(true);
    expect(read(machine, R8, R9, R10, R11)).toEqual([0x101n, 0x100n, 0x102n, 0x101n]);
  });

  it('become dirty at the first store and accessed at the first load', () => {
    const machine = machineWith(shadow);
    const bits = (): number => machine.view.getUint32(TABLE_A, true) & 0x60;
    const run = (a: { bytes(): ArrayLike<number> }): void => {
      machine.put(CODE, a.bytes());
      machine.enter(CODE);
      expect(machine.run()).toBe(true);
    };
    run(createAssembler(64).hlt());
    expect(bits()).toBe(0);
    run(createAssembler(64).mov(r64(RBX), PAGE).mov(r64(RAX), mem(8, { base: RBX })).hlt());
    expect(bits()).toBe(0x20);
    run(createAssembler(64).mov(r64(RBX), PAGE).mov(mem(8, { base: RBX }), r64(RAX)).hlt());
    expect(bits()).toBe(0x60);
  });

  it('are edited by one processor and seen by the other after its own switch', () => {
    const machine = machineWith(shadow, 2);
    const [first, second] = machine.vcpus;
    if (first === undefined || second === undefined) throw new Error('there are two processors');
    const edit = CODE, look = CODE + 0x200;
    machine.put(edit, createAssembler(64).mov(r64(RBX), TABLE_A).mov(mem(8, { base: RBX }), r64(RAX)).hlt().bytes());
    machine.put(look, createAssembler(64).mov(r64(RBX), PAGE).mov(r64(RAX), ROOT_A).mov(control(3), r64(RAX)).mov(r64(R8), mem(8, { base: RBX })).hlt().bytes());
    const gpr = (vcpu: typeof first, register: number): number => vcpu.state.at + state.GPR + register * 8;
    for (let round = 0; round < 6; round++) {
      first.loadBootState({ ...machine.entry, rip: edit, rax: (FRAMES[round % 4] as number) | 7 });
      expect(first.run(100)).toBe(EXIT_HALT);
      second.loadBootState({ ...machine.entry, rip: look });
      expect(second.run(100)).toBe(EXIT_HALT);
      expect(second.state.view.getUint32(gpr(second, R8), true)).toBe(0x100 + (round % 4));
    }
  });

  it('are seen when a device stores to them', () => {
    const machine = machineWith(shadow);
    const reload = createAssembler(64).mov(r64(RBX), PAGE).mov(r64(RAX), ROOT_A).mov(control(3), r64(RAX)).mov(r64(R8), mem(8, { base: RBX })).hlt();
    for (let round = 0; round < 4; round++) {
      const frame = FRAMES[round % 2] as number;
      machine.view.setUint32(TABLE_A, frame | 7, true);
      const offset = machine.ram.offsetOf(TABLE_A);
      const attributes = new Uint8Array(machine.ram.memory.buffer);
      if (attributes[machine.ram.attributesOffset + ((offset - machine.ram.base) >>> 12)] !== 0) machine.ram.written(offset, 4);
      machine.put(CODE, reload.bytes());
      machine.enter(CODE);
      expect(machine.run()).toBe(true);
      expect(machine.gpr(R8)).toBe(BigInt(0x100 + (round % 2)));
    }
  });
});

it('shadow tables lie where generated code can read them, and are counted', () => {
  const counts = (shadow: ShadowMode): Map<string, number> => {
    const machine = machineWith(shadow);
    machine.put(CODE, createAssembler(64).mov(r64(RBX), PAGE).mov(r64(RAX), mem(8, { base: RBX })).hlt().bytes());
    machine.enter(CODE);
    machine.run();
    return new Map(machine.vcpu.counts());
  };
  expect(counts('diff').get('shadow.fills')).toBeGreaterThan(0);
  expect(counts('off').has('shadow.fills')).toBe(false);
});
