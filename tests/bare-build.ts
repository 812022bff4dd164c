import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { type BareKind, compileBare } from './bare-compile.ts';

const folder = mkdtempSync(join(tmpdir(), 'vm-multiboot-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Path of the executable. */
export function build(name: string, kind: BareKind, sources: readonly string[]): string {
  const path = join(folder, `${name}-${kind}`);
  expect(compileBare(path, kind, sources)).toBe('');
  return path;
}

/** The same program in a file for 32 bits, whatever it switches to. */
export function inElf32(path: string): string {
  expect(spawnSync('objcopy', ['-O', 'elf32-i386', path, `${path}-in-32`]).status).toBe(0);
  return `${path}-in-32`;
}
