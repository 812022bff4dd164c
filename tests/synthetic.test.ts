/** A program without an operating system finds the synthetic interrupt controller as its specification has it. */
import { itWithOracle } from '@vm/testkit/oracle';
import { describe, expect, it } from 'vitest';
import { build } from './bare-build.ts';
import { type ProgramEnd, runProgram } from './bare-guest.ts';

const run = (path: string, processors = 1): Promise<ProgramEnd> => runProgram(path, `NR_CPUS=${processors}\n`, { processors, enlighten: 'hyperv-full' });

describe('a program in C', () => {
  for (const width of [32, 64] as const) {
    itWithOracle(it, 'gcc', `of ${width} bits finds sources, messages, flags, timers, calls and ends of interrupts`, async () => {
      const { output, code, counters } = await run(build('synthetic', width, ['start.S', 'synthetic.c']));
      expect(output).not.toContain('FAIL');
      expect(output).toMatch(/SUMMARY: 47 tests, 0 unexpected failures/);
      expect([code, counters['device.local-apic.ends.spurious'], counters['device.synthetic.messages.posted']]).toEqual([0, 0, 38]);
    });
    for (const processors of [2, 4]) {
      itWithOracle(it, 'gcc', `of ${width} bits finds those of other processors, of ${processors}`, async () => {
        const { output, code, counters } = await run(build('partners', width, ['start.S', 'processors.S', 'partners.c']), processors);
        expect(output).not.toContain('FAIL');
        expect(output).toMatch(/SUMMARY: 8 tests, 0 unexpected failures/);
        expect([code, counters['device.local-apic.ends.spurious']]).toEqual([0, 0]);
      });
    }
  }
});
