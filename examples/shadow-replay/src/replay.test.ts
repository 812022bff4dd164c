import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { replay, type ReplayOptions } from './replay.ts';
import { parseTrace } from './trace.ts';

const events = parseTrace(gunzipSync(readFileSync(new URL('../shell.trace.gz', import.meta.url))).toString('latin1'));
const fills = (options: ReplayOptions): number => replay(events, options).counts['fills'] ?? 0;

describe('the trace of a shell', () => {
  it('is a real one: switches, changed entries and addresses given up', () => {
    for (const op of ['switch', 'store', 'page', 'access'] as const) expect(events.filter((event) => event.op === op).length).toBeGreaterThan(100);
  });

  it('fills less the more is kept', () => {
    const flush = fills({ policy: 'flush' });
    const cached = fills({ policy: 'cached' });
    const diff = fills({ policy: 'diff' });
    expect(cached).toBeLessThan(flush / 2);
    expect(diff).toBeLessThan(cached * 0.7);
  });

  it.each(['flush', 'cached', 'diff'] as const)('stands the audit with the policy %s', (policy) => {
    const { counts } = replay(events.slice(0, 60_000), { policy, tables: 160, spaces: 6, threshold: 40, auditEvery: 200 });
    expect(counts['fills']).toBeGreaterThan(0);
  });

  it('says which line is wrong', () => {
    expect(() => parseTrace('c 1000\nt zz 1\n')).toThrow('line 2');
    expect(() => parseTrace('q 1\n')).toThrow('line 1');
  });
});
