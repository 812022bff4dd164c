/** LMS-03, LMS-04: the same image says the same on this engine, on QEMU's translator and on Bochs. */
import { buildMonitor, type MonitorOptions } from '@vm/longmode-switch';
import { itWithOracle } from '@vm/testkit/oracle';
import { describe, expect, it } from 'vitest';
import { runBare } from '../bare-run.ts';
import { runInBochs, runInQemu } from './other-processors.ts';
import { SAMPLE_TRANSCRIPT, sampleGuest } from './sample-guest.ts';

const VARIANTS: readonly Partial<MonitorOptions>[] = [{ excursion: 'always' }, { excursion: 'avoid', paging: 'pae' }, { excursion: 'batch', order: 'manual' }, { excursion: 'always', paging: 'unpaged' }];
const build = (options: Partial<MonitorOptions>) => buildMonitor({ guest: { kind: 'flat', bytes: sampleGuest() }, hz: 500, ...options });

describe.each(VARIANTS)('a guest with a kernel and a program, %o', (variant) => {
  it('comes to its end here, and so do the programs of the 64-bit side', async () => {
    expect(await runBare({ kernel: build(variant).bytes })).toMatchObject({ how: 'exit', code: 0, output: SAMPLE_TRANSCRIPT });
  });

  itWithOracle(it, 'qemu-system-x86_64', "says the same on QEMU's translator", async (qemu) => {
    expect(await runInQemu(qemu, build(variant), 'multiboot')).toBe(SAMPLE_TRANSCRIPT);
  });

  itWithOracle(it, 'bochs', 'says the same on Bochs, from a disk', async (bochs) => {
    expect(await runInBochs(bochs, build(variant))).toBe(SAMPLE_TRANSCRIPT);
  });
});

itWithOracle(it, 'qemu-system-x86_64', 'an image boots from a disk by a BIOS', async (qemu) => {
  expect(await runInQemu(qemu, build({}), 'disk')).toBe(SAMPLE_TRANSCRIPT);
});
