import { type Excuses, itWithOracle, noteCases } from '@vm/testkit/oracle';
import { describe, expect, it } from 'vitest';
import { BARE_BASE, compileBare, runBare, runBareInQemu } from './bare-machine.ts';
import { runBareInBochs } from './bochs.ts';
import { BOCHS, compareReports, type KnownDifference, QEMU } from './other-processors.ts';

const MOST_SHOWN = 20;
const PROGRAMS = [
  { source: 'legacy.c', bits: 32, first: 'segment ds 00', least: 6000, leastInQemu: 5600 },
  { source: 'long.c', bits: 64, first: 'canonical r40', least: 5600, leastInQemu: 5300 },
] as const;

function check(suite: string, ours: string, other: string, known: readonly KnownDifference[]): { readonly compared: number; readonly excused: Excuses } {
  const { surprises, compared, excused } = compareReports(ours, other, known);
  noteCases({ suite, run: compared, passed: compared - surprises.length, excused: excused.list() });
  expect(surprises.slice(0, MOST_SHOWN)).toEqual([]);
  return { compared, excused };
}

describe.each(PROGRAMS)('privileges, segments, tasks and pages: $source', ({ source, bits, first, least, leastInQemu }) => {
  // Both tests compare with the same run.
  let run: Promise<string> | undefined;
  const runOnce = (image: string): Promise<string> => (run ??= runBare(image, BARE_BASE));

  itWithOracle(it, 'bochs', 'as Bochs has them', async (bochs) => {
    using made = compileBare('gcc', source, bits);
    const [ours, other] = await Promise.all([runOnce(made.image), runBareInBochs(bochs, 'gcc', made.image, first)]);
    expect(ours.split('\n').length).toBeGreaterThan(least);
    expect(ours.endsWith('\nEND\n')).toBe(true);
    check('privileged', ours, other, BOCHS);
  });

  // Both programs come to a case that QEMU 7.2 does not survive; what it says until then counts.
  itWithOracle(it, 'qemu-system-x86_64', "as QEMU's translator has them, but for its known errors", async (qemu) => {
    using made = compileBare('gcc', source, bits);
    const [ours, other] = await Promise.all([runOnce(made.image), runBareInQemu(qemu, made.image, 'max')]);
    expect(check('privileged-qemu', ours, other, QEMU).compared).toBeGreaterThan(leastInQemu);
  });
});
