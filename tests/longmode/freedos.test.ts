/** LMS-03: a DOS that nobody here wrote, in virtual-8086 mode, with every request to its BIOS a round trip to long mode. */
import { expect, it } from 'vitest';
import { runBare } from '../bare-run.ts';
import { FREEDOS_SAYS, freedosMonitor, hasFreedos } from './freedos.ts';

it.skipIf(!hasFreedos)('FreeDOS boots to its prompt and runs commands [needs the FreeDOS floppy]', async () => {
  const { how, code, output } = await runBare({ kernel: freedosMonitor().bytes });
  for (const text of FREEDOS_SAYS) expect(output).toContain(text);
  expect([how, code]).toEqual(['exit', 0]);
});
