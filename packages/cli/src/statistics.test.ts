import { expect, it } from 'vitest';
import { collectStatistics, formatStatistics } from './statistics.ts';

const COUNTERS = {
  'cpu.instructions': 90_000_000, 'cpu.halts': 1234, 'loop.busyNanos': 2_000_000_000, 'clock.nanos': 2_500_000_000, 'pio.reads': 7, 'pio.writes': 8, 'pio.open': 0,
  'device.com1.registers.reads': 5, 'device.com1.registers.writes': 6, 'cpu.tlb.flushes': 3,
};
const MACHINE = { counters: { read: () => COUNTERS }, vcpus: [{ missing: new Map([['RDMSR 611', 1]]) }, { missing: new Map([['RDMSR 611', 1]]) }] };

it('collects what the machine counts', () => {
  expect(collectStatistics(MACHINE, 3000)).toEqual({
    elapsedMs: 3000, busyMs: 2000, instructions: 90_000_000, mips: 45, phases: [], counters: COUNTERS, translation: null, missing: { 'RDMSR 611': 2 },
  });
  expect(collectStatistics({ counters: { read: () => ({}) }, vcpus: [{}] }, 0)).toEqual({ elapsedMs: 0, busyMs: 0, instructions: 0, mips: 0, phases: [], counters: {}, translation: null, missing: {} });
});

it('writes a line a part, and leaves out what never happened', () => {
  const phases = [{ name: 'to the first output', ms: 250, instructions: 1000, machineMs: 5 }];
  expect(formatStatistics(collectStatistics(MACHINE, 3000, phases)).split('\n')).toEqual([
    'time          3.0 s, at work 2.0 s',
    'instructions  90,000,000 (45.0 million a second)',
    'phase         to the first output: 250 ms, 1,000 instructions, 5 ms for the guest',
    'cpu           1,234 halts, 3 tlb flushes',
    'clock         2.500 s',
    'pio           7 reads, 8 writes',
    'com1          5 registers reads, 6 registers writes',
    'missing       RDMSR 611: 2 times',
  ]);
});

it('says what translating did', () => {
  const counters = { ...COUNTERS, 'cpu.translator.executed': 81_000_000, 'cpu.translator.entries': 810_000, 'cpu.translator.accesses': 20_000_000, 'cpu.translator.exits.instruction': 10_000, 'cpu.translator.regions': 12 };
  const statistics = collectStatistics({ ...MACHINE, counters: { read: () => counters } }, 3000);
  expect(statistics.translation).toEqual({ share: 0.9, instructionsPerEntry: 100, tlbHitRate: 0.9995 });
  expect(formatStatistics(statistics).split('\n').slice(-3)).toEqual([
    'translator    81,000,000 executed, 810,000 entries, 20,000,000 accesses, 10,000 exits instruction, 12 regions',
    'translated    90.0 % of the instructions, 100 an entry; the TLB answered 99.950 % of their accesses to memory',
    'missing       RDMSR 611: 2 times',
  ]);
});
