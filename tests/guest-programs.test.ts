/**
 * The programs of bench/programs, compiled for the host, give the same results in a guest: integer and floating-point code,
 * memory, self-modifying code and system calls, as 64-bit code, as 32-bit code with SSE2 and as 32-bit code with the x87; and vector
 * code at each level of x86-64 that the host has.
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
import { wasmEngine } from '@vm/vcpu-wasm';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { itWithGuest } from './guest-image.ts';

const SOURCES = fileURLToPath(new URL('../bench/programs/', import.meta.url));
const PROGRAMS = ['intmix', 'dhry', 'sieve', 'membw', 'chase', 'fpu', 'i64', 'branchy', 'smc', 'syscall'];
const SCALE = '0.01';
const KINDS = [
  { name: '64', options: [] },
  { name: '32-sse2', options: ['-m32', '-march=pentium4', '-mfpmath=sse'] },
  { name: '32-x87', options: ['-m32', '-march=i686', '-mfpmath=387'] },
] as const;
/** Programs about vectors, and what a host has to have for each level. */
const VECTORS = ['vectors', 'switches'];
const LEVELS = [['x86-64', 'sse2'], ['x86-64-v2', 'sse4_2'], ['x86-64-v3', 'avx2']] as const;
const folder = mkdtempSync(join(tmpdir(), 'vm-programs-'));
const built: { name: string; path: string }[] = [];
let refused = '';

const compile = (source: string, out: string, options: readonly string[]): string =>
  spawnSync('gcc', ['-O2', ...options, '-static', '-o', out, source, '-lm'], { encoding: 'utf8' }).stderr;

beforeAll(() => {
  if (findOracle('gcc') === null) return;
  for (const { name, options } of KINDS) {
    for (const program of PROGRAMS) {
      const path = join(folder, `${name}-${program}`);
      const complaint = compile(join(SOURCES, `${program}.c`), path, options);
      if (complaint !== '') {
        refused ||= complaint;
        break; // no libraries for this kind
      }
      built.push({ name: `${name}-${program}`, path });
    }
  }
  const hostFlags = process.platform === 'linux' ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  for (const [level, flag] of LEVELS) {
    if (!new RegExp(`\\b${flag}\\b`).test(hostFlags)) continue;
    for (const program of VECTORS) {
      const path = join(folder, `${program}-${level}`);
      const complaint = compile(fileURLToPath(new URL(`programs/${program}.c`, import.meta.url)), path, [`-march=${level}`, '-O3']);
      if (complaint === '') built.push({ name: `${program}-${level}`, path });
      else refused ||= complaint;
    }
  }
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Result lines without the time. */
const results = (text: string): string[] => text.replaceAll('\r', '').split('\n').filter((line) => line.startsWith('BENCH')).map((line) => line.replace(/ns=\d+ /, ''));

describe.skipIf(findOracle('gcc') === null)('programs in a guest', () => {
  itWithGuest('linux-image-cloud-amd64', 'give the results that they give on the host', async (image) => {
    if (process.env['VM_REQUIRE_ORACLES'] === '1') expect(refused).toBe('');
    expect(built.length).toBeGreaterThanOrEqual(PROGRAMS.length);
    const entries: CpioEntry[] = [{ kind: 'folder', path: 'programs' }];
    for (const { name, path } of built) entries.push({ kind: 'file', path: `programs/${name}`, bytes: readFileSync(path), mode: 0o755 });
    // The kernel unpacks archives one behind the other.
    const initrd = Buffer.concat([image.initrdBytes, new Uint8Array(-image.initrdBytes.length & 3), writeCpio(entries)]);
    await using guest = await bootGuest({
      engine: wasmEngine({ cpuModel: 'x86-64-v3' }), ramBytes: 512 * 2 ** 20, kernel: image.kernelBytes, initrd, commandLine: 'console=ttyS0 quiet cryptomgr.notests',
    });
    await guest.waitFor(PROMPT, { timeoutMs: 300_000 });
    for (const { name, path } of built) {
      guest.type(`/programs/${name} ${SCALE}\n`);
      const theirs = results(await guest.waitFor(PROMPT, { timeoutMs: 300_000 }));
      const ours = results(spawnSync(path, [SCALE], { encoding: 'utf8' }).stdout);
      expect(ours.length).toBeGreaterThan(0);
      expect([name, ...theirs]).toEqual([name, ...ours]);
    }
  });
});
