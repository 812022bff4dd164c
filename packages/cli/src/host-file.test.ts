import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { explainFileError, explainWriteError, readNamedFile } from './host-file.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vm-file-'));
  chmodSync(folder, 0o755);
});
afterEach(() => rmSync(folder, { recursive: true }));

it('reads a file', () => {
  writeFileSync(join(folder, 'file'), 'bytes');
  expect(new TextDecoder().decode(readNamedFile('--kernel', join(folder, 'file')))).toBe('bytes');
});

it.each([['none', 'there is no such file'], ['file/below', 'a part of the path is no folder'], ['.', 'it is a directory']])('says why it cannot read %s', (name, why) => {
  writeFileSync(join(folder, 'file'), '');
  const path = `${folder}/${name}`;
  expect(() => readNamedFile('--initrd', path)).toThrow(`--initrd ${path}: ${why}`);
});

it('says that it may not read a file', () => {
  const path = join(folder, 'secret');
  writeFileSync(path, '', { mode: 0 });
  const root = process.geteuid!() === 0; // root may read everything
  if (root) process.seteuid!(65_534);
  try {
    expect(() => readNamedFile('--kernel', path)).toThrow(`--kernel ${path}: permission denied`);
  } finally {
    if (root) process.seteuid!(0);
  }
});

it('has words for a disk that is full, and the system\'s own where it has none', () => {
  expect(explainFileError(Object.assign(new Error('x'), { code: 'ENOSPC' }))).toBe('no space is left on the device');
  expect(explainFileError(new Error('something else'))).toBe('something else');
  expect(explainWriteError(Object.assign(new Error('x'), { code: 'ENOENT' }))).toBe('there is no such folder');
  expect(explainWriteError(Object.assign(new Error('x'), { code: 'EROFS' }))).toBe('the file system is read-only');
});
