import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PROMPT } from '@vm/cli';
import { expect } from 'vitest';
import { itWithGuest } from './guest-image.ts';
import { start, underLoad, VM } from './vm-program.ts';
import { type Run, runOf } from './vm-run.ts';

itWithGuest('linux-image-cloud-amd64', 'two boots of a stock kernel with the same script are the same run, also on a loaded host', async (image) => {
  const folder = mkdtempSync(join(tmpdir(), 'vm-determinism-'));
  const script = join(folder, 'commands');
  writeFileSync(script, 'uname -a\nseq 1 50 | wc -l\nsleep 1\ncat /proc/uptime /proc/interrupts\npoweroff -f\n');
  const options = ['--kernel', image.kernel, '--initrd', image.initrd, '--append', 'console=ttyS0 quiet', '--clock', 'virtual', '--script', script, '--prompt', PROMPT];
  const boot = async (): Promise<Run> => runOf(await start([...VM, 'boot', ...options, '--stats=json'], '').done);
  const alone = await boot();
  expect(alone.code).toBe(0);
  expect(alone.output).toContain('reboot: Power down');
  expect(await underLoad(2, boot)).toEqual(alone);
  rmSync(folder, { recursive: true });
});
