import { expect, it } from 'vitest';
import { collectStatistics, formatStatistics } from './statistics.ts';

const MACHINE = {
  counters: { read: () => ({ 'cpu.instructions': 90_000_000, 'cpu.halts': 1234, 'clock.nanos': 2_500_000_000, 'pio.reads': 7, 'pio.writes': 8 }) },
  vcpu: { missing: new Map([['RDMSR 611', 2]]) },
};

it('collects what the machine counts', () => {
  expect(collectStatistics(MACHINE, 3000)).toEqual({
    elapsedMs: 3000, instructions: 90_000_000, mips: 30, counters: MACHINE.counters.read(), missing: { 'RDMSR 611': 2 },
  });
  expect(collectStatistics({ counters: { read: () => ({}) }, vcpu: {} }, 0)).toEqual({ elapsedMs: 0, instructions: 0, mips: 0, counters: {}, missing: {} });
});

it('writes a line a part', () => {
  expect(formatStatistics(collectStatistics(MACHINE, 3000)).split('\n')).toEqual([
    'time          3.0 s',
    'instructions  90,000,000 (30.0 million a second)',
    'cpu           1,234 halts',
    'clock         2.500 s',
    'pio           7 reads, 8 writes',
    'missing       RDMSR 611: 2 times',
  ]);
});
