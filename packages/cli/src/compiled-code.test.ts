import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
let folder = '';

beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'vm-compiled-'))));
afterEach(() => rmSync(folder, { recursive: true }));

/** What `vm --version` says where the cache is at `cache`. */
function version(cache: string, env: NodeJS.ProcessEnv = {}): string {
  const { NODE_COMPILE_CACHE: _, NODE_DISABLE_COMPILE_CACHE: __, ...rest } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--conditions=vm-source', '--disable-warning=ExperimentalWarning', MAIN, '--version'], { env: { ...rest, VM_CACHE: cache, ...env }, encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, '']);
  return stdout.trim();
}
/** The files below a folder, and when each was written. */
function filesIn(cache: string): Map<string, number> {
  return new Map(readdirSync(cache, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map(({ parentPath, name }) => [name, statSync(join(parentPath, name)).mtimeMs]));
}

it('keeps what V8 compiled beside the guests, and V8 takes it the next time', () => {
  const said = version(folder);
  const kept = filesIn(join(folder, 'compiled'));
  expect(kept.size).toBeGreaterThan(5);
  expect(version(folder)).toBe(said);
  // What it had refused would have been written anew.
  expect(filesIn(join(folder, 'compiled'))).toEqual(kept);
});

it('keeps nothing where it is told not to', () => {
  version(folder, { NODE_DISABLE_COMPILE_CACHE: '1' });
  expect(readdirSync(folder)).toEqual([]);
});

it('keeps it elsewhere where it is told to', () => {
  version(join(folder, 'here'), { NODE_COMPILE_CACHE: join(folder, 'there') });
  expect(readdirSync(folder)).toEqual(['there']);
});

it('says nothing where the folder cannot be made', () => {
  writeFileSync(join(folder, 'file'), '');
  expect(version(join(folder, 'file'))).toMatch(/^\d+\.\d+\.\d+$/);
});
