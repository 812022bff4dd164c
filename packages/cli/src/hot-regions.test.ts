import type { TracedRegion } from '@vm/vcpu-wasm';
import { expect, it } from 'vitest';
import { formatHotRegions } from './hot-regions.ts';

const NO_EXITS = { branch: 0, address: 0, instruction: 0, budget: 0, change: 0, fault: 0 };
const copy: TracedRegion = { address: 0xffff_ffff_8100_0010n, pageOffset: 0x123_4000, mode: 64, instructions: 12, bytes: 1500, written: 1, entries: 1000, executed: 60_000, exits: { ...NO_EXITS, address: 900, branch: 95, fault: 5 } };
const loop: TracedRegion = { address: 0x40_1000n, pageOffset: 0x77_7000, mode: 32, instructions: 3, bytes: 300, written: 2, entries: 4, executed: 20_000, exits: { ...NO_EXITS, budget: 4 } };
const cold: TracedRegion = { ...loop, address: 0x40_2000n, entries: 0, executed: 0, exits: NO_EXITS };
const nameOf = (address: bigint): string | null => (address === copy.address ? 'copy_page+0x10' : null);

it('says where, how much of all, and why it was left', () => {
  expect(formatHotRegions([copy, loop, cold], { most: 20, instructions: 100_000, nameOf }).split('\n')).toEqual([
    'hot regions: 2 of 3, in which 80.0 % of 100,000 instructions ran; 80.0 % ran in all of them',
    '   share  executed  entries    each  guest  bytes  written  where, and why it was left',
    '  60.0 %    60,000    1,000    60.0     12  1,500        1  copy_page+0x10: address 90.0 %, branch 9.5 %',
    '  20.0 %    20,000        4  5000.0      3    300        2  0x401000 (32-bit, page 777): budget 100.0 %',
    '  share of all instructions; instructions executed in it; entries, instructions at each; of the guest in it; bytes of WebAssembly; times written',
  ]);
});

it('tells no more than it was asked for', () => {
  const lines = formatHotRegions([copy, loop], { most: 1, instructions: 100_000, nameOf }).split('\n');
  expect(lines[0]).toBe('hot regions: 1 of 2, in which 60.0 % of 100,000 instructions ran; 80.0 % ran in all of them');
  expect(lines.filter((line) => line.includes('%'))).toHaveLength(2);
});

it('says so when nothing was translated', () => {
  expect(formatHotRegions([], { most: 20, instructions: 5, nameOf })).toBe('hot regions: none, because no code was translated');
  expect(formatHotRegions([cold], { most: 20, instructions: 5, nameOf })).toBe('hot regions: none, because no code was translated');
});
