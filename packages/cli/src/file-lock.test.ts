import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { withFileLock } from './file-lock.ts';

let folder = '';
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-lock-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('lets one at a time in, and tells who waits', async () => {
  const path = join(folder, 'deep', 'lock');
  const events: string[] = [];
  let leave = (): void => {};
  const first = withFileLock(path, () => events.push('never'), () => {
    events.push('first in');
    return new Promise<void>((resolve) => (leave = resolve));
  });
  const second = withFileLock(path, (owner) => events.push(owner === process.pid ? 'second waits' : 'stranger'), async () => void events.push('second in'));
  events.push('first out');
  leave();
  await Promise.all([first, second]);
  expect(events).toEqual(['first in', 'second waits', 'first out', 'second in']);
  expect(existsSync(path)).toBe(false);
});

it('takes over from a process that is no more', async () => {
  const path = join(folder, 'lock');
  writeFileSync(path, '4194303'); // above the highest process number of a stock kernel
  expect(await withFileLock(path, () => {}, async () => 'in')).toBe('in');
});

it('is given back when the work fails', async () => {
  const path = join(folder, 'lock');
  await expect(withFileLock(path, () => {}, () => Promise.reject(new Error('work')))).rejects.toThrow('work');
  expect(existsSync(path)).toBe(false);
});
