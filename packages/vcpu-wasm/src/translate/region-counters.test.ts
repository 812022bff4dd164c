import { CONDITION_NE, mem, r32, RAX, RCX, RSI } from '@vm/x86';
import type { Assembler } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { TwoPageMachine } from './two-page-machine.ts';

/** Four instructions a turn with two accesses, all in one block; one instruction more in the region. */
const TURNS: readonly ((code: Assembler) => void)[] = [
  (code) => { code.label('turn').mov(mem(4, { base: RSI }), r32(RAX)).add(r32(RAX), mem(4, { base: RSI })).dec(r32(RCX)).jcc(CONDITION_NE, 'turn').hlt(); },
];
const LENGTH = 4, ACCESSES = 2;
const WARM = 4000, TURNS_COUNTED = 20;

function countsOf(machine: TwoPageMachine): Map<string, number> { return new Map(machine.machine.vcpu.counts()); }

describe.each(['long', 'protected'] as const)('counters of translated code, %s mode', (width) => {
  it('say what ran in regions, how often they accessed memory and why they were left', () => {
    const machine = new TwoPageMachine(width, 'eager', TURNS);
    machine.run(WARM);
    machine.reset();
    machine.run(2 * LENGTH);
    const before = countsOf(machine);
    machine.run(TURNS_COUNTED * LENGTH + 1);
    const after = countsOf(machine);
    const added = (name: string): number => (after.get(`translator.${name}`) ?? NaN) - (before.get(`translator.${name}`) ?? NaN);
    expect(added('executed')).toBe(TURNS_COUNTED * LENGTH);
    expect(added('accesses')).toBe(TURNS_COUNTED * ACCESSES);
    // It turns while there is budget for all of it; the last instruction is interpreted.
    expect([added('entries'), added('exits.budget')]).toEqual([1, 1]);
    for (const other of ['branch', 'address', 'instruction', 'change']) expect([other, added(`exits.${other}`)]).toEqual([other, 0]);
    expect(after.get('translator.blocks')).toBeGreaterThan(0);
  });

  it('add up: every entry has an exit', () => {
    const machine = new TwoPageMachine(width, 'eager', TURNS);
    for (let i = 0; i < 50; i++) {
      machine.reset();
      machine.run(7 + i);
    }
    const counts = countsOf(machine);
    const exits = ['branch', 'address', 'instruction', 'budget', 'change'].map((name) => counts.get(`translator.exits.${name}`) ?? NaN);
    expect(exits.reduce((sum, count) => sum + count, 0)).toBe(counts.get('translator.entries'));
    expect(counts.get('translator.entries')).toBeGreaterThan(50);
  });
});
