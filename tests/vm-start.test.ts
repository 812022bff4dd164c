import { expect } from 'vitest';
import { itWithGuest } from './guest-image.ts';
import { start, VM } from './vm-program.ts';

itWithGuest('linux-image-cloud-amd64', 'vm start without a terminal runs its commands, checks the sum and ends with 0', async (image) => {
  const { code, output, errors } = await start([...VM, 'start'], '').done;
  expect({ code, errors }).toMatchObject({ code: 0, errors: expect.stringMatching(/at the shell after [\d.]+ /) as string });
  expect(output).toMatch(/Linux vm 6\.\S+ #1 SMP .* x86_64 GNU\/Linux/);
  expect(output).toMatch(/model name\s+: \S/);
  expect(output).toMatch(/LOC: +\d+ +Local timer interrupts/);
  expect(output).toContain(`${image.record.known.sha256}  ${image.record.known.path}`);
  expect(output).toContain('reboot: Power down');
});

itWithGuest('linux-image-cloud-amd64', 'vm start ends with 124 when the time is over', async () => {
  expect(await start([...VM, 'start', '--timeout', '1s'], '').done).toMatchObject({ code: 124, errors: 'vm: still running after 1.0 s\n' });
});
