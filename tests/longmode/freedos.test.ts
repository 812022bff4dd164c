/** LMS-03: a DOS that nobody here wrote, in virtual-8086 mode, with every request to its BIOS a round trip to long mode. */
import { expect, it } from 'vitest';
import { runBare } from '../bare-run.ts';
import { FREEDOS_SAYS, freedosMonitor, hasFreedos } from './freedos.ts';

it.skipIf(!hasFreedos)("FreeDOS's kernel comes as far as to its disks [needs the FreeDOS floppy]", async () => {
  const { how, output } = await runBare({ kernel: freedosMonitor().bytes }, /no hard disks detected/);
  for (const text of FREEDOS_SAYS.slice(0, 2)) expect(output).toContain(text);
  expect(how).toBe('said');
});
