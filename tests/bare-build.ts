import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect } from 'vitest';

export const SOURCES: string = fileURLToPath(new URL('bare/', import.meta.url));
const OPTIONS = ['-O2', '-ffreestanding', '-fno-pic', '-fno-stack-protector', '-mno-red-zone', '-mgeneral-regs-only', '-nostdlib', '-static', '-Wl,--build-id=none', '-Wl,-z,max-page-size=4096'];
const LINKED = ['-Wl,--section-start=.start=0x400000', '-Wl,-Ttext=0x401000'];
const KINDS = {
  32: ['-m32', ...LINKED],
  64: ['-m64', '-DLONG', '-mcmodel=large', ...LINKED],
  real: ['-m32', '-Wl,--section-start=.start=0x8000'],
} as const;
const folder = mkdtempSync(join(tmpdir(), 'vm-multiboot-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Path of the executable. */
export function build(name: string, kind: keyof typeof KINDS, sources: readonly string[]): string {
  const path = join(folder, `${name}-${kind}`);
  const { status, stderr } = spawnSync('gcc', [...OPTIONS, ...KINDS[kind], '-o', path, ...sources.map((source) => join(SOURCES, source))], { encoding: 'utf8' });
  expect([stderr, status]).toEqual(['', 0]);
  return path;
}

/** The same program in a file for 32 bits, whatever it switches to. */
export function inElf32(path: string): string {
  expect(spawnSync('objcopy', ['-O', 'elf32-i386', path, `${path}-in-32`]).status).toBe(0);
  return `${path}-in-32`;
}
