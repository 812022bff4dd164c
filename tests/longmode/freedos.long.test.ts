/** The same DOS to its prompt, on three processors. */
import { findOracle } from '@vm/testkit/oracle';
import { expect, it } from 'vitest';
import { runBare } from '../bare-run.ts';
import { FREEDOS_SAYS, freedosMonitor, hasFreedos } from './freedos.ts';
import { runInBochs, runInQemu } from './other-processors.ts';

const qemu = findOracle('qemu-system-x86_64');
const bochs = findOracle('bochs');

it.skipIf(!hasFreedos)('FreeDOS runs commands at its prompt [needs the FreeDOS floppy]', async () => {
  const { how, code, output } = await runBare({ kernel: freedosMonitor({ excursion: 'always' }).bytes });
  for (const text of FREEDOS_SAYS) expect(output).toContain(text);
  expect([how, code]).toEqual(['exit', 0]);
});

it.skipIf(!hasFreedos || qemu === null)("FreeDOS says the same on QEMU's translator [needs the FreeDOS floppy]", async () => {
  const image = freedosMonitor({ paging: 'pae' });
  expect(await runInQemu(qemu!, image, 'multiboot')).toBe((await runBare({ kernel: image.bytes })).output);
});

it.skipIf(!hasFreedos || bochs === null)('FreeDOS says the same on Bochs [needs the FreeDOS floppy]', async () => {
  const image = freedosMonitor();
  expect(await runInBochs(bochs!, image)).toBe((await runBare({ kernel: image.bytes })).output);
});
