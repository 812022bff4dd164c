import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeFolder, requireSpace } from './host-folder.ts';

let folder = '';
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-folder-'))));
afterEach(() => rmSync(folder, { recursive: true }));

it('makes a folder with those above it, and again without a word', () => {
  makeFolder(join(folder, 'a/b/c'));
  makeFolder(join(folder, 'a/b/c'));
  expect(existsSync(join(folder, 'a/b/c'))).toBe(true);
});

it('says why a folder cannot be made', () => {
  writeFileSync(join(folder, 'file'), '');
  expect(() => makeFolder(join(folder, 'file/below'))).toThrow(/^cannot make the folder .*file\/below: /);
  expect(() => makeFolder('/proc/none/below')).toThrow(/^cannot make the folder \/proc\/none\/below: there is no such file$/);
});

it('wants room for what will be written', () => {
  requireSpace(folder, 1, 'a byte');
  expect(() => requireSpace(folder, 2 ** 60, 'a moon')).toThrow(/^no space for a moon in .*: it takes up to 1073741824 GiB, and .* are left$/);
});
