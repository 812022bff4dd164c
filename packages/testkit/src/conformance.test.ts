import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { Excuses, noteCases } from './conformance.ts';

const folder = mkdtempSync(join(tmpdir(), 'vm-cases-'));
afterEach(() => vi.unstubAllEnvs());

it('notes cases one a line where somebody gathers them, and nowhere else', () => {
  const path = join(folder, 'notes');
  vi.stubEnv('VM_CONFORMANCE', '');
  noteCases({ suite: 'one', run: 1, passed: 1 });
  vi.stubEnv('VM_CONFORMANCE', path);
  noteCases({ suite: 'one', run: 2, passed: 1 });
  noteCases({ suite: 'two', run: 3, passed: 3, excused: [{ reason: 'older', forms: { '8E': 2 } }] });
  expect(readFileSync(path, 'utf8')).toBe('{"suite":"one","run":2,"passed":1}\n{"suite":"two","run":3,"passed":3,"excused":[{"reason":"older","forms":{"8E":2}}]}\n');
  rmSync(folder, { recursive: true });
});

it('counts excused cases by reason and form', () => {
  const excuses = new Excuses();
  for (const form of ['8E', 'C4', '8E']) excuses.add('older', form);
  excuses.add('broken', '8E');
  expect([excuses.count, excuses.list()]).toEqual([4, [{ reason: 'older', forms: { '8E': 2, C4: 1 } }, { reason: 'broken', forms: { '8E': 1 } }]]);
});
