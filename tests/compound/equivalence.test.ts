/** Random programs full of traps, run with blocks and without: devices, memory and registers see the same, at the same time. */
import { describe, expect, it } from 'vitest';
import type { CompoundOptions } from '@vm/trap-compound';
import { Random } from '../../packages/vcpu-wasm/src/native/random.ts';
import { type SeenRun, TrapMachine } from './trap-machine.ts';
import { writeProgram } from './random-traps.ts';

const SEED = Number(process.env['VM_SEED'] ?? 1);
const BLOCKS = Number(process.env['VM_BLOCKS'] ?? (process.env['VM_LONG'] === undefined ? 10_000 : 250_000)); // of each kind
const WAYS: readonly CompoundOptions[] = [
  { policy: 'fixed', handoff: 'list', window: 64, gap: 16 },
  { policy: 'fixed', handoff: 'list', window: 4096, gap: 1024 },
  { policy: 'fixed', handoff: 'list', window: 5, gap: 1, accesses: 2 },
  { policy: 'fixed', handoff: 'each' },
  { policy: 'adaptive', handoff: 'list' },
];

describe.each([{ bits: 32, dma: false }, { bits: 64, dma: true }, { bits: 32, dma: true }, { bits: 64, dma: false }] as const)(`programs of $bits bits, devices that reach RAM: $dma, VM_SEED=${SEED}`, ({ bits, dma }) => {
  it('CMP-01 CMP-05 CMP-08 CMP-09 CMP-10 CMP-11 CMP-12 CMP-13 CMP-14: compounded and singly, what they and their devices see is the same', { timeout: 3600_000 }, async () => {
    await using singly = await TrapMachine.create(bits, undefined, 'off', dma);
    const machines = await Promise.all(WAYS.map((way, i) => TrapMachine.create(bits, way, i % 2 === 0 ? 'off' : 'on', dma)));
    const random = new Random(SEED * 4 + (bits === 64 ? 1 : 0) + (dma ? 2 : 0));
    const blocks = (): number => machines.reduce((sum, { machine }) => sum + Number(new Map(machine.vcpu.counts()).get('compound.blocks')), 0);
    let takenBack = 0;
    for (let number = 0; blocks() < BLOCKS; number++) {
      const program = writeProgram(random, bits);
      const slices = random.once(2) ? null : 1 + random.below(200);
      const run = (machine: TrapMachine): SeenRun => {
        const own = new Random(number);
        return machine.run(program, slices === null ? () => 100_000 : () => 1 + own.below(slices));
      };
      const { interrupts: before } = singly.machine.vcpu;
      const expected = run(singly);
      expect(expected.ended, `program ${number}`).toBe(true);
      for (const [i, machine] of machines.entries()) {
        const earlier = machine.machine.vcpu.interrupts;
        const seen = run(machine);
        expect({ ...seen, interrupts: seen.interrupts - earlier }, `program ${number}, ${JSON.stringify(WAYS[i])}`).toEqual({ ...expected, interrupts: expected.interrupts - before });
      }
    }
    for (const { machine } of machines) takenBack += Number(new Map(machine.vcpu.counts()).get('compound.takenBack'));
    expect(takenBack).toBeGreaterThan(BLOCKS / 1000);
    for (const machine of machines) await machine[Symbol.asyncDispose]();
  });
});
