/**
 * Debian's kernels with 32-bit paging, PAE and four levels, with the shadow page tables checked at every switch: the boot, and programs
 * that fork, run each other, pass tokens round and fault, say the same with every policy.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PROMPT, writeCpio } from '@vm/cli';
import type { CpioEntry } from '@vm/cli';
import { bootGuest } from '@vm/pc';
import { findOracle } from '@vm/testkit/oracle';
import { SHADOW_MODES, type ShadowMode, wasmEngine } from '@vm/vcpu-wasm';
import { afterAll, describe, expect } from 'vitest';
import { type GuestImage, itWithGuest } from './guest-image.ts';

const SOURCES = fileURLToPath(new URL('../bench/programs/', import.meta.url));
const PROGRAMS = ['forkx', 'pingpong', 'pfault'];
const SCALE = '0.01';
const WAIT = { timeoutMs: 600_000 };
const folder = mkdtempSync(join(tmpdir(), 'vm-shadow-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function compile(program: string, options: readonly string[]): CpioEntry {
  const path = join(folder, `${program}${options.join('')}`);
  const { status, stderr } = spawnSync('gcc', ['-O2', ...options, '-static', '-o', path, join(SOURCES, `${program}.c`), '-lm'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`gcc ${program} ${options.join(' ')}: ${stderr}`);
  return { kind: 'file', path: `programs/${program}`, bytes: readFileSync(path), mode: 0o755 };
}

/** What the guest says without times, addresses and numbers of processes. */
async function says(image: GuestImage, programs: readonly CpioEntry[], shadow: ShadowMode): Promise<string[]> {
  const initrd = Buffer.concat([image.initrdBytes, new Uint8Array(-image.initrdBytes.length & 3), writeCpio([{ kind: 'folder', path: 'programs' }, ...programs])]);
  await using guest = await bootGuest({
    engine: wasmEngine({ shadow, auditShadow: true }), ramBytes: 256 * 2 ** 20, kernel: image.kernelBytes, initrd, commandLine: 'console=ttyS0 quiet', clock: { kind: 'virtual', nanosPerInstruction: 10 },
  });
  await guest.waitFor(PROMPT, WAIT);
  let text = '';
  for (const command of [...PROGRAMS.map((program) => `/programs/${program} ${SCALE}`), 'for i in 1 2 3 4 5; do (echo $i | cat | wc -c) > /tmp/$i; cat /tmp/$i; done', 'ls /', 'uname -a']) {
    guest.type(`${command}\n`);
    text += await guest.waitFor(PROMPT, WAIT);
  }
  expect(text).not.toMatch(/segfault|Oops|BUG:|FAIL/);
  return text.replaceAll('\r', '').split('\n').map((line) => line.replace(/ns=\d+ /, ''));
}

describe.skipIf(findOracle('gcc') === null)('a guest says the same with every policy of the shadow page tables', () => {
  for (const [kernel, options] of [['linux-image-cloud-amd64', []], ['linux-image-686-pae', ['-m32']], ['linux-image-686', ['-m32']]] as const) {
    itWithGuest(kernel, `${kernel}`, async (image) => {
      const programs = PROGRAMS.map((program) => compile(program, options));
      const [first, ...others] = SHADOW_MODES;
      if (first === undefined) throw new Error('there is a mode without shadow tables');
      const expected = await says(image, programs, first);
      expect(expected.filter((line) => line.startsWith('BENCH')).length).toBeGreaterThanOrEqual(8);
      for (const shadow of others) expect([shadow, ...await says(image, programs, shadow)]).toEqual([shadow, ...expected]);
    });
  }
});
