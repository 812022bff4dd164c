import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

it('the example of the README does what its comments say', async () => {
  const block = /^```ts\n([\s\S]*?)^```/m.exec(readFileSync(`${ROOT}README.md`, 'utf8'))?.[1] ?? '';
  const args = ['--conditions=vm-source', '--input-type=module-typescript', '--eval', block];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: ROOT });
  expect(stdout).toBe('!\nshutdown\n');
});
