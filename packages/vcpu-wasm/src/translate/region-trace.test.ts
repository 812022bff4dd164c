import { CONDITION_NE, createAssembler, mem, r32, r64, RAX, RBX, RCX, RSP } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { FlatMachine } from '../flat-machine.ts';
import { readState } from '../flat-state.ts';
import { tracedRegions } from '../inspection.ts';
import type { TracedRegion } from './region-trace.ts';

const AT = 0x1_0000, FAR = 0x2_0000, STACK = 0x3_0000;
const TURNS = 500;
const NOWHERE = 0x7f00_0000_0000;

/** A loop of two instructions, called far away once a turn; at its end it loads from a page that is not there. */
function program(traceRegions: boolean): FlatMachine {
  const machine = new FlatMachine('long', { processor: { translator: 'eager', traceRegions } });
  const code = createAssembler(64, { origin: AT }).mov(r32(RCX), TURNS).label('turn').mov(r64(RBX), FAR).call(r64(RBX)).dec(r32(RCX)).jcc(CONDITION_NE, 'turn');
  machine.put(AT, code.mov(r64(RBX), NOWHERE).mov(r32(RAX), mem(4, { base: RBX })).hlt().bytes());
  machine.put(FAR, createAssembler(64, { origin: FAR }).add(r32(RAX), 3).ret().bytes());
  machine.enter(AT);
  machine.setGpr(RSP, BigInt(STACK));
  return machine;
}
const count = (machine: FlatMachine, name: string): number => new Map(machine.vcpu.counts()).get(`translator.${name}`) ?? NaN;
const sum = (regions: readonly TracedRegion[], of: (region: TracedRegion) => number): number => regions.reduce((all, region) => all + of(region), 0);

describe('regions that are traced', () => {
  const traced = program(true);
  traced.run(20_000);
  const regions = tracedRegions(traced.vcpu);

  it('are told by the address that became hot, the busiest first, with what they are made of', () => {
    const callee = regions.find(({ address }) => address === BigInt(FAR))!;
    expect(callee).toMatchObject({ mode: 64, pageOffset: expect.any(Number), instructions: 2, written: 1 });
    expect(callee.bytes).toBeGreaterThan(50);
    expect(callee.bytes).toBeLessThan(2000);
    expect(callee.entries).toBeGreaterThan(TURNS - 20);
    expect(callee.executed).toBe(2 * callee.entries);
    expect(callee.exits.address).toBe(callee.entries);
    for (let i = 1; i < regions.length; i++) expect(regions[i]!.executed).toBeLessThanOrEqual(regions[i - 1]!.executed);
  });

  it('add up to what the processor counts', () => {
    expect(sum(regions, ({ entries }) => entries)).toBe(count(traced, 'entries'));
    expect(sum(regions, ({ executed }) => executed)).toBe(count(traced, 'executed'));
    expect(sum(regions, ({ written }) => written)).toBe(count(traced, 'regions'));
    for (const reason of ['branch', 'address', 'instruction', 'budget', 'change'] as const) expect([reason, sum(regions, ({ exits }) => exits[reason])]).toEqual([reason, count(traced, `exits.${reason}`)]);
  });

  it('do what they do without', () => {
    const plain = program(false);
    plain.run(20_000);
    expect(readState(traced.vcpu)).toEqual(readState(plain.vcpu));
    expect(tracedRegions(plain.vcpu)).toEqual([]);
    for (const name of ['entries', 'executed', 'bytes', 'regions']) expect([name, count(traced, name)]).toEqual([name, count(plain, name)]);
  });
});
