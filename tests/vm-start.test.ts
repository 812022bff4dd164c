import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { itWithGuest } from './guest-image.ts';

const PROGRAM = fileURLToPath(new URL('../packages/cli/src/main.ts', import.meta.url));

itWithGuest('linux-image-cloud-amd64', 'vm start without a terminal runs its commands, checks the sum and ends with 0', async (image) => {
  const child = spawn(process.execPath, ['--conditions=vm-source', PROGRAM, 'start'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const code = await new Promise((resolve) => child.on('close', resolve));
  expect({ code, errors }).toMatchObject({ code: 0, errors: expect.stringMatching(/at the shell after [\d.]+ /) as string });
  expect(output).toMatch(/Linux vm 6\.\S+ #1 SMP .* x86_64 GNU\/Linux/);
  expect(output).toMatch(/model name\s+: \S/);
  expect(output).toMatch(/LOC: +\d+ +Local timer interrupts/);
  expect(output).toContain(`${image.record.known.sha256}  ${image.record.known.path}`);
  expect(output).toContain('reboot: Power down');
});
