/** What REP MOVS and REP STOS add to the count of instructions: the same whatever the TLB and the code cache hold. */
import { createAssembler, r32, r64, RAX, RCX, RDI, RSI } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { EXIT_BUDGET, EXIT_HALT } from '@vm/core/exit';
import { FlatMachine } from './flat-machine.ts';

const CODE = 0x8000, FROM = 0x2_0000, TO = 0x4_0000;

interface Copy { readonly from: number; readonly to: number; readonly count: number; readonly size: 1 | 2 | 4 | 8; readonly stos?: boolean }
const COPIES: readonly Copy[] = [
  { from: FROM, to: TO, count: 10_000, size: 1 },
  { from: FROM + 0xffd, to: TO + 0x7, count: 3_000, size: 4 },
  { from: FROM + 3, to: TO + 0xffe, count: 2_000, size: 8 },
  { from: FROM + 0xff8, to: TO + 0xff8, count: 2, size: 8 },
  { from: FROM, to: FROM + 1, count: 5_000, size: 1 }, // repeats what it copied
  { from: FROM, to: TO + 0x100, count: 9_000, size: 1, stos: true },
  { from: FROM, to: TO + 0xfff, count: 3_000, size: 2, stos: true },
];
const program = ({ from, to, count, size, stos }: Copy): Uint8Array => {
  const code = createAssembler(64).mov(r64(RSI), from).mov(r64(RDI), to).mov(r64(RCX), count).mov(r32(RAX), 0x1234);
  return (stos === true ? code.rep().size(size).stos() : code.rep().size(size).movs()).hlt().bytes();
};
function run(machine: FlatMachine, budget: number): number {
  const before = machine.vcpu.retired;
  machine.enter(CODE);
  while (machine.vcpu.run(budget) !== EXIT_HALT) expect(machine.gpr(RCX)).toBeGreaterThanOrEqual(0n);
  return machine.vcpu.retired - before;
}

describe.each(COPIES)('$count elements of $size bytes from $from to $to', (copy) => {
  const fresh = (): FlatMachine => {
    const machine = new FlatMachine('long');
    machine.put(CODE, program(copy));
    return machine;
  };
  const pages = Math.ceil((copy.count * copy.size) / 4096);

  it('count as pieces of pages, with the TLB empty, full, and shut', () => {
    const machine = fresh();
    const cold = run(machine, 1e6);
    expect(cold).toBeLessThanOrEqual(5 + (copy.stos === true ? 1 : 2) * 2 * (pages + 1));
    expect(run(machine, 1e6)).toBe(cold);
    // Watched for code, the pages answer to nobody: each element is done on its own.
    const watched = fresh();
    for (let page = 0; page <= pages; page++) {
      watched.put(copy.to - (copy.to % 4096) + page * 4096 + 8, createAssembler(64).op('nop').hlt().bytes());
      watched.enter(copy.to - (copy.to % 4096) + page * 4096 + 8);
      watched.run();
    }
    const expected = machine.view.buffer.slice(copy.to, copy.to + copy.count * copy.size);
    expect(run(watched, 1e6)).toBe(cold);
    if (copy.from !== FROM || copy.to !== FROM + 1) expect(watched.view.buffer.slice(copy.to, copy.to + copy.count * copy.size)).toEqual(expected);
  });

  it('count the same however the budget is cut', () => {
    const whole = run(fresh(), 1e6);
    for (const budget of [1, 2, 3]) expect(run(fresh(), budget)).toBe(whole);
    const machine = fresh();
    machine.enter(CODE);
    expect(machine.vcpu.run(whole - 1)).toBe(EXIT_BUDGET);
    expect(machine.gpr(RCX)).toBe(0n);
  });
});
