import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const ABI = new URL('../docs/abi.md', import.meta.url);
const STATEMENTS = new URL('../docs/statements.md', import.meta.url);
const abi = readFileSync(ABI, 'utf8');

describe('the rules of the device ABI', () => {
  const rules = Array.from(abi.matchAll(/^- \*\*([A-Z]\d+)\*\*/gm), ([, rule]) => rule!);
  const rows = Array.from(abi.matchAll(/^\| ([A-Z]\d+(?:, [A-Z]\d+)*) \| (.*) \|$/gm), ([, names, tests]) => ({ names: names!.split(', '), tests: tests! }));

  it('are numbered one after the other, and each has a test', () => {
    const letters = [...new Set(rules.map((rule) => rule[0]!))];
    for (const letter of letters) expect(rules.filter((rule) => rule[0] === letter)).toEqual(rules.filter((rule) => rule[0] === letter).map((_rule, i) => `${letter}${i + 1}`));
    expect(rows.flatMap(({ names }) => names).sort()).toEqual([...rules].sort());
  });

  it('are shown by tests that are there', () => {
    for (const { names, tests } of rows) {
      const found = Array.from(tests.matchAll(/\[[^\]]+\]\(([^)]+)\)(?: "([^"]+)")?/g));
      expect(found.length, names.join()).toBeGreaterThan(0);
      for (const [, file, title = ''] of found) expect(readFileSync(new URL(file!, ABI), 'utf8').includes(title), `${names.join()}: ${title}`).toBe(true);
    }
  });
});

it('every statement names tests that are there, and no number twice', () => {
  const rows = readFileSync(STATEMENTS, 'utf8').split('\n').filter((line) => /^\| [A-Z]{3}-\d/.test(line));
  const numbers = rows.map((row) => /^\| ([A-Z]{3}-\d+)/.exec(row)![1]);
  expect(new Set(numbers).size).toBe(numbers.length);
  for (const row of rows) for (const [, file] of row.matchAll(/\]\(([^)]+)\)/g)) expect(readFileSync(new URL(file!, STATEMENTS), 'utf8').length, file).toBeGreaterThan(0);
});
