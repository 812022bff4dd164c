import type { SuiteCases } from '@vm/testkit/oracle';
import type { Suite } from './suites.ts';

/** What one suite has done in all its tests. */
export interface SuiteResult {
  readonly suite: Suite;
  readonly run: number;
  readonly passed: number;
  /** Tests that were left out, by what they lack. */
  readonly leftOut: Readonly<Record<string, number>>;
  /** Cases by reason and form. */
  readonly excused: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Something went wrong that is no case. */
  readonly broken: boolean;
}

/** The part of the test runner's report that is used here. */
export interface RunnerReport {
  readonly testResults: readonly { readonly name: string; readonly status: string; readonly assertionResults: readonly { readonly status: string; readonly title: string }[] }[];
}

/** Puts together what the suite noted and what the test runner says of its file; `report` is null for a program. */
export function resultOf(suite: Suite, notes: readonly SuiteCases[], report: RunnerReport | null, failed: boolean): SuiteResult {
  const tests = report?.testResults.filter(({ name }) => name.endsWith(suite.file)).flatMap(({ assertionResults }) => assertionResults) ?? [];
  const leftOut: Record<string, number> = {};
  for (const { status, title } of tests) {
    if (status === 'passed' || status === 'failed') continue;
    const why = /\[needs ([^\]]+)\]/.exec(title)?.[1] ?? 'a reason of its own';
    leftOut[why] = (leftOut[why] ?? 0) + 1;
  }
  const count = (wanted: string): number => tests.filter(({ status }) => status === wanted).length;
  const own = notes.filter((note) => note.suite === suite.id);
  const sum = (value: (note: SuiteCases) => number): number => own.reduce((total, note) => total + value(note), 0);
  const excused: Record<string, Record<string, number>> = {};
  for (const { reason, forms } of own.flatMap((note) => note.excused ?? [])) {
    const known = (excused[reason] ??= {});
    for (const [form, cases] of Object.entries(forms)) known[form] = (known[form] ?? 0) + cases;
  }
  const cases = suite.counts === 'cases';
  const run = cases ? sum((note) => note.run) : count('passed') + count('failed');
  const passed = cases ? sum((note) => note.passed) : count('passed');
  return { suite, run, passed, leftOut, excused, broken: count('failed') > 0 || (report === null && failed) || (run === 0 && Object.keys(leftOut).length === 0) };
}
