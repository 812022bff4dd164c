/** The same DOS to its prompt, on three processors. */
import { findOracle } from '@vm/testkit/oracle';
import { expect, it } from 'vitest';
import { runImage } from '../../examples/world-switch/src/run-monitor.ts';
import { FREEDOS_SAYS, freedosMonitor, hasFreedos } from './freedos.ts';
import { runInBochs, runInQemu } from './other-processors.ts';

const qemu = findOracle('qemu-system-x86_64');
const bochs = findOracle('bochs');

it.skipIf(!hasFreedos || qemu === null)("FreeDOS says the same on QEMU's translator [needs the FreeDOS floppy]", async () => {
  const image = freedosMonitor({ paging: 'pae' });
  const { output, code } = await runImage(image.bytes);
  for (const text of FREEDOS_SAYS) expect(output).toContain(text);
  expect(code).toBe(0);
  expect(await runInQemu(qemu!, image, 'multiboot')).toBe(output);
});

it.skipIf(!hasFreedos || bochs === null)('FreeDOS says the same on Bochs [needs the FreeDOS floppy]', async () => {
  const image = freedosMonitor();
  expect(await runInBochs(bochs!, image)).toBe((await runImage(image.bytes)).output);
});
