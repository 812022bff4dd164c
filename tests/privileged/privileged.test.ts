import { itWithOracle, noteCases } from '@vm/testkit/oracle';
import { describe, expect, it } from 'vitest';
import { BARE_BASE, compileBare, runBare } from './bare-machine.ts';
import { runBareInBochs } from './bochs.ts';
import { BOCHS, compareReports } from './other-processors.ts';

const MOST_SHOWN = 20;

describe('privileges, segments, tasks and pages', () => {
  for (const [source, bits, first, least] of [['legacy.c', 32, 'segment ds 00', 6000], ['long.c', 64, 'canonical r40', 5600]] as const) {
    itWithOracle(it, 'bochs', `${source}: as Bochs has them`, async (bochs) => {
      using made = compileBare('gcc', source, bits);
      const [ours, other] = await Promise.all([runBare(made.image, BARE_BASE), runBareInBochs(bochs, 'gcc', made.image, first)]);
      expect(ours.split('\n').length).toBeGreaterThan(least);
      expect(ours.endsWith('\nEND\n')).toBe(true);
      const { surprises, compared, excused } = compareReports(ours, other, BOCHS);
      noteCases({ suite: 'privileged', run: compared, passed: compared - surprises.length, excused: excused.list() });
      expect(surprises.slice(0, MOST_SHOWN)).toEqual([]);
    });
  }
});
