/** Programs that much of the time goes to are written again in larger regions: they do the same, instruction by instruction, and leave them seldom. */
import { CONDITION_B, CONDITION_NE, createAssembler, mem, r32, r64, RAX, RBX, RCX, RDX, RSI, RSP } from '@vm/x86';
import type { Assembler } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import * as state from '../cpu-state.ts';
import { FlatMachine } from '../flat-machine.ts';
import { readState } from '../flat-state.ts';
import { Random } from '../native/random.ts';
import type { TranslatorMode } from './translator-mode.ts';

const CODE = 0x9_0000, TABLE = 0x9_8000, PROGRAM = 0x9_9000, STACK = 0xa_0000;
const HANDLERS = 12;
const R8 = 8;
const seed = Number(process.env['VM_SEED'] ?? 1);

/** Numbers of handlers, read one by one, and a jump to each by way of a table: what a switch becomes. */
function interpreter(code: Assembler, random: Random): void {
  code.label('begin').mov(r32(RSI), PROGRAM);
  for (let i = 0; i < HANDLERS; i++) {
    code.label(`handler${i}`);
    for (let k = random.below(5); k >= 0; k--) code.add(r64(R8), i + k).rol(r64(R8), 1 + k);
    if (i % 3 === 0) code.push(r64(R8)).xor(r64(R8), i).pop(r64(RDX));
    if (i % 4 === 1) code.call('helper');
    code.movzx(r32(RBX), mem(1, { base: RSI })).inc(r32(RSI)).and(r32(RSI), 0x3ff).or(r32(RSI), PROGRAM).jmp(mem(8, { index: RBX, scale: 8, displacement: TABLE }));
  }
  code.label('helper').mov(r64(RCX), r64(R8)).and(r32(RCX), 3).jcc(CONDITION_NE, 'odd').inc(r64(R8)).label('odd').ret();
}
/** Two calls of itself, as of Fibonacci's numbers. */
function recursion(code: Assembler): void {
  code.label('begin').mov(r32(RAX), 12).call('fib').add(r64(R8), r64(RAX)).jmp('begin');
  code.label('fib').cmp(r32(RAX), 2).jcc(CONDITION_B, 'end').push(r64(RBX)).push(r64(RDX)).mov(r32(RBX), r32(RAX)).sub(r32(RAX), 1).call('fib');
  code.mov(r32(RDX), r32(RAX)).mov(r32(RAX), r32(RBX)).sub(r32(RAX), 2).call('fib').add(r32(RAX), r32(RDX)).pop(r64(RDX)).pop(r64(RBX)).label('end').ret();
}
/** Hundreds of instructions without a branch, of which some leave the region in their midst. */
function straight(code: Assembler): void {
  code.label('begin').mov(r32(RSI), STACK - 0x1004);
  for (let i = 0; i < 330; i++) {
    if (i % 100 === 7) code.add(mem(8, { base: RSI }), r64(R8)); // of two pages
    else code.add(r64(R8), i);
  }
  code.jmp('begin');
}
const PROGRAMS = { interpreter, recursion, straight } as const;

function machineOf(name: keyof typeof PROGRAMS, translator: TranslatorMode): FlatMachine {
  const machine = new FlatMachine('long', { processor: { translator } });
  const random = new Random(seed);
  const code = createAssembler(64, { origin: CODE });
  PROGRAMS[name](code, random);
  machine.put(CODE, code.bytes());
  if (name === 'interpreter') for (let i = 0; i < HANDLERS; i++) machine.view.setUint32(TABLE + i * 8, CODE + (code.offsetOf(`handler${i}`) ?? 0), true);
  for (let i = 0; i < 0x400; i++) machine.bytes[PROGRAM + i] = random.below(HANDLERS);
  machine.enter(CODE);
  machine.setGpr(RSP, BigInt(STACK));
  machine.vcpu.state.set(state.CPL, 3); // a system's own code is left as it is
  machine.vcpu.memory.tlb.updateTags();
  return machine;
}
const counts = (machine: FlatMachine): ReadonlyMap<string, number> => new Map(machine.vcpu.counts());

describe.each(['interpreter', 'recursion', 'straight'] as const)(`%s, seed ${seed}`, (name) => {
  it.each(['eager', 'on'] as const)('stands after any number of instructions where it stands when it is interpreted, translator %s', (translator) => {
    const [interpreted, translated] = [machineOf(name, 'off'), machineOf(name, translator)];
    for (const machine of [interpreted, translated]) for (let i = 0; i < 40; i++) machine.run(5000);
    const pauses = new Random(seed);
    for (let i = 0; i < 400; i++) {
      const count = 1 + pauses.below(i % 2 === 0 ? 40 : 1500);
      for (const machine of [interpreted, translated]) machine.run(count);
      expect([i, readState(translated.vcpu)]).toEqual([i, readState(interpreted.vcpu)]);
    }
    expect(translated.vcpu.retired).toBe(interpreted.vcpu.retired);
  });
});

it.each([['interpreter', 60], ['recursion', 60]] as const)('%s runs more than %i instructions in a region at a time once much of the time goes there', (name, least) => {
  const machine = machineOf(name, 'on');
  for (let i = 0; i < 300; i++) machine.run(5000);
  const before = counts(machine);
  for (let i = 0; i < 100; i++) machine.run(5000);
  const after = counts(machine);
  const more = (counter: string): number => (after.get(counter) ?? 0) - (before.get(counter) ?? 0);
  expect(more('translator.executed')).toBeGreaterThan(400_000);
  expect(more('translator.executed') / more('translator.entries')).toBeGreaterThan(least);
});
