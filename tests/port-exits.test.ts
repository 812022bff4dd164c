import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const EXITS = 1_000_000;
const MOST_BYTES = 64 * 1024;

/** In a process of its own: the test runner allocates while it waits. */
it('a million port accesses from guest code to a device and back allocate nothing', async () => {
  const program = fileURLToPath(new URL('port-exits.program.ts', import.meta.url));
  // The young generation is large enough for an object at every exit, so that none of them can be collected unseen.
  const args = ['--conditions=vm-source', '--expose-gc', '--min-semi-space-size=64', '--max-semi-space-size=64', program, String(EXITS)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const { reads, writes, sum, grown } = JSON.parse(stdout) as { reads: number; writes: number; sum: number; grown: number };
  expect([reads, writes, sum]).toEqual([EXITS / 2, EXITS / 2, (EXITS / 2) & 0xff]);
  expect(grown).toBeLessThan(MOST_BYTES);
});
