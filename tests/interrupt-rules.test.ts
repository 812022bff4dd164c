/** Priorities, errors, destinations, NMI, levels and x2APIC mode, as a program without an operating system finds them on several processors. */
import { findOracle, itWithOracle } from '@vm/testkit/oracle';
import { describe, expect, it } from 'vitest';
import { build, inElf32 } from './bare-build.ts';
import { type ProgramEnd, runProgram } from './bare-guest.ts';
import { runInQemu } from './bare-qemu.ts';

const GOOD = 'SUMMARY: 36 tests, 0 unexpected failures';
/** QEMU 7.2 has no error for a message with an illegal vector (SDM vol. 3, 12.5.3). */
const WRONG_IN_QEMU = 'errors are seen after a store';
const programOf = (width: 32 | 64): string => build('rules', width, ['start.S', 'processors.S', 'rules.c']);
const environment = (processors: number): string => `NR_CPUS=${processors}\n`;

const run = (width: 32 | 64, processors: number): Promise<ProgramEnd> => runProgram(programOf(width), environment(processors), { processors });
const verdicts = (output: string): readonly string[] => output.split('\n').filter((line) => /^(PASS|FAIL): /.test(line) && !line.includes(WRONG_IN_QEMU));

describe('a program on several processors', () => {
  for (const width of [32, 64] as const) {
    for (const processors of [1, 2, 4]) {
      itWithOracle(it, 'gcc', `of ${width} bits finds the rules of interrupts kept, processors ${processors}`, async () => {
        const { code, output } = await run(width, processors);
        expect(output).not.toContain('FAIL');
        expect([code, output]).toEqual([0, expect.stringContaining(GOOD)]);
      });
    }
    if (width === 64 && findOracle('objcopy') === null) continue;
    itWithOracle(it, 'qemu-system-x86_64', `of ${width} bits finds the same on QEMU`, async (qemu) => {
      const path = width === 32 ? programOf(32) : inElf32(programOf(64));
      const theirs = verdicts(await runInQemu(qemu, path, 4, environment(4), ['-device', 'pc-testdev']));
      expect(theirs).toEqual(verdicts((await run(width, 4)).output));
      expect(theirs.length).toBe(35);
    });
  }
});
