import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VmError } from '@vm/core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { defaultCacheFolder } from './cache-folder.ts';
import { GuestCache } from './guest-cache.ts';

const GUEST = { name: 'linux-image-x', architecture: 'amd64', packages: [{ name: 'linux-image-1-x', version: '1.2', sha256: '00' }], known: { path: '/k', sha256: '11' } };
const FILES = { kernel: Uint8Array.from([1, 2, 3]), initrd: Uint8Array.from([4, 5]) };
let folder = '';

beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-cache-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('finds what was stored, and only under its name and architecture', () => {
  const cache = new GuestCache(folder);
  expect(cache.find('linux-image-x', 'amd64')).toBeNull();
  expect(cache.list()).toEqual([]);
  const stored = cache.store(GUEST, FILES);
  expect(cache.find('linux-image-x', 'amd64')).toEqual(stored);
  expect(readFileSync(stored.kernel)).toEqual(Buffer.from([1, 2, 3]));
  expect(cache.find('linux-image-x', 'i386')).toBeNull();
  expect(cache.list()).toEqual([stored.record]);
  expect(readdirSync(stored.folder).sort()).toEqual(['guest.json', 'initrd.gz', 'vmlinuz']);
});

it('does not take a file for whole that has changed', () => {
  const cache = new GuestCache(folder);
  const { kernel } = cache.store(GUEST, FILES);
  writeFileSync(kernel, Uint8Array.from([1, 2, 4]));
  expect(cache.find('linux-image-x', 'amd64')).toBeNull();
  cache.store(GUEST, FILES);
  expect(cache.find('linux-image-x', 'amd64')).not.toBeNull();
});

it.each(['', '{', '{}', 'null', '{"format":2}'])('does not believe the record %j', (text) => {
  const cache = new GuestCache(folder);
  const stored = cache.store(GUEST, FILES);
  writeFileSync(join(stored.folder, 'guest.json'), text);
  expect(cache.find('linux-image-x', 'amd64')).toBeNull();
});

it('says where it cannot write', () => {
  writeFileSync(join(folder, 'guests'), '');
  const store = (): unknown => new GuestCache(folder).store(GUEST, FILES);
  expect(store).toThrow(VmError);
  expect(store).toThrow(`cannot make the folder ${join(folder, 'guests', 'linux-image-x_amd64')}`);
});

it.each([
  [{ VM_CACHE: '/a', XDG_CACHE_HOME: '/b', HOME: '/c' }, '/a'],
  [{ XDG_CACHE_HOME: '/b', HOME: '/c' }, '/b/vm'],
  [{ VM_CACHE: '', HOME: '/c' }, '/c/.cache/vm'],
])('lies, with %j, in %s', (env, path) => {
  expect(defaultCacheFolder(env)).toBe(path);
});
