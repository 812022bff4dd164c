import { itWithOracle } from '@vm/testkit/oracle';
import { describe, expect, it } from 'vitest';
import { BARE_BASE, compileBare, runBare, runBareInQemu } from './bare-machine.ts';
import { compareReports, QEMU } from './other-processors.ts';

describe('privileges, segments, tasks and pages', () => {
  // Both programs come to a case that QEMU 7.2 does not survive; what it says until then counts.
  for (const [source, bits, least] of [['legacy.c', 32, 5500], ['long.c', 64, 4500]] as const) {
    itWithOracle(it, 'qemu-system-x86_64', `${source}: as QEMU's translator has them, but for its known errors`, async (qemu) => {
      using made = compileBare('gcc', source, bits);
      const ours = await runBare(made.image, BARE_BASE);
      const other = await runBareInQemu(qemu, made.image, 'max');
      expect(other.split('\n').length).toBeGreaterThan(least);
      expect(compareReports(ours, other.slice(0, other.lastIndexOf('\n')), QEMU).surprises.slice(0, 20)).toEqual([]);
    });
  }
});
