import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { formatDocument } from './conformance/document.ts';
import { resultOf } from './conformance/results.ts';
import { type Suite, SUITES } from './conformance/suites.ts';

const ROOT = new URL('../', import.meta.url);
const DOCUMENT = readFileSync(new URL('docs/conformance.md', ROOT), 'utf8');

describe('docs/conformance.md', () => {
  it('lists the suites that there are, in their order, each with its cases', () => {
    const rows = DOCUMENT.split('\n').filter((line) => line.startsWith('| ['));
    expect(rows.map((row) => row.split(' | ').slice(0, 2).join(' | '))).toEqual(SUITES.map(({ title, file, oracle }) => `| [${title}](../${file}) | ${oracle}`));
    for (const row of rows) {
      const [run, passed] = row.split(' | ').slice(2, 4).map((text) => Number(text.replaceAll(',', ''))) as [number, number];
      expect([row, passed]).toEqual([row, run]);
      expect(run > 0 || row.includes('for want of')).toBe(true);
    }
  });

  it('is about files that there are, and that note their cases where it counts those', () => {
    for (const { id, file, counts } of SUITES) {
      expect([file, existsSync(new URL(file, ROOT))]).toEqual([file, true]);
      if (counts === 'cases' && file.endsWith('.test.ts')) expect(readFileSync(new URL(file, ROOT), 'utf8')).toContain(`'${id}'`);
    }
  });
});

describe('the results of a suite', () => {
  const suite = (counts: Suite['counts']): Suite => ({ id: 'one', title: 'One', oracle: 'a host', file: 'tests/one.test.ts', counts });
  const report = (...assertionResults: { readonly status: string; readonly title: string }[]) => ({ testResults: [{ name: '/x/tests/one.test.ts', status: 'passed', assertionResults }] });

  it('are its notes, added up, with the reasons of what is excused', () => {
    const notes = [
      { suite: 'one', run: 10, passed: 10, excused: [{ reason: 'older', forms: { '8E': 2 } }] },
      { suite: 'two', run: 5, passed: 1 },
      { suite: 'one', run: 20, passed: 19, excused: [{ reason: 'older', forms: { '8E': 1, C4: 4 } }] },
    ];
    expect(resultOf(suite('cases'), notes, report({ status: 'passed', title: 'a' }), false)).toMatchObject({ run: 30, passed: 29, leftOut: {}, excused: { older: { '8E': 3, C4: 4 } }, broken: false });
    expect(resultOf(suite('cases'), notes, null, true).broken).toBe(true);
    expect(resultOf(suite('cases'), [], report({ status: 'skipped', title: 'a [needs gcc]' }), false)).toMatchObject({ run: 0, leftOut: { gcc: 1 }, broken: false });
    expect(resultOf(suite('cases'), [], report({ status: 'passed', title: 'a' }), false).broken).toBe(true); // it has forgotten to count
  });

  it('are its tests where those are the cases', () => {
    const tests = report({ status: 'passed', title: 'a' }, { status: 'failed', title: 'b' }, { status: 'skipped', title: 'c [needs apt-get]' });
    expect(resultOf(suite('tests'), [], tests, true)).toMatchObject({ run: 2, passed: 1, leftOut: { 'apt-get': 1 }, broken: true });
  });

  it('become a row and a list of reasons', () => {
    const text = formatDocument([{ suite: suite('cases'), run: 12_345, passed: 12_344, leftOut: { gcc: 2 }, excused: { older: { B: 1, A: 1, C: 5 } }, broken: false }], { processor: 'P', tools: ['gcc 1'] });
    expect(text).toContain('| [One](../tests/one.test.ts) | a host | 12,345 | 12,344 | 7 | 2 for want of gcc |\n');
    expect(text).toContain('### One\n\n- older: 7 cases. Forms: C (5), A (1), B (1).\n');
  });
});
