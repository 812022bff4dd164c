// npm test: checks of the repository, then all tests. Its last line is "N passed, N failed".
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ROOT } from './bootstrap.mjs';
import { checkApi } from './checks/api-report.mjs';
import { checkBudgets } from './checks/budgets.mjs';
import { checkBuild } from './checks/build.mjs';
import { checkLayers } from './checks/layers.mjs';
import { checkLint } from './checks/lint.mjs';
import { checkReadme } from './checks/readme.mjs';
import { checkTypes } from './checks/types.mjs';
import { runCommand } from './command.mjs';

const REPORT = join(ROOT, 'node_modules/.cache/vitest-report.json');
const CHECKS = [checkLayers, checkBudgets, checkLint, checkTypes, checkApi, checkReadme, checkBuild];

const args = process.argv.slice(2);
const long = args.includes('--long');
const filters = args.filter((arg) => arg !== '--long');
let passed = 0;
let failed = 0;

// With a filter, the caller works on one thing and wants its tests.
if (filters.length === 0) for (const check of CHECKS) await report(check);
await runTests();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

async function report(check) {
  const begin = performance.now();
  let results;
  try {
    results = await check();
  } catch (error) {
    results = [{ name: check.name, problems: [error.stack] }];
  }
  for (const { name, problems } of results) {
    if (problems.length === 0) passed++;
    else failed++;
    for (const problem of problems) console.log(`FAIL ${name}\n${problem}\n`);
  }
  const bad = results.filter(({ problems }) => problems.length > 0).length;
  console.log(`${bad === 0 ? 'ok  ' : 'FAIL'} ${check.name.replace('check', '').toLowerCase()}: ${results.length - bad} of ${results.length} (${((performance.now() - begin) / 1000).toFixed(1)} s)`);
}

async function runTests() {
  rmSync(REPORT, { force: true });
  mkdirSync(dirname(REPORT), { recursive: true });
  const env = { ...process.env, ...(long ? { VM_LONG: '1' } : {}) };
  const options = ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${REPORT}`, ...filters];
  const { code } = await runCommand('vitest', options, { show: true, env });
  let files;
  try {
    files = JSON.parse(readFileSync(REPORT, 'utf8')).testResults;
  } catch (error) {
    console.log(`FAIL the test runner left no report: ${error.message}`);
    failed++;
    return;
  }
  const before = failed;
  const leftOut = new Map();
  for (const file of files) {
    if (file.status === 'failed' && file.assertionResults.length === 0) failed++;
    for (const { status, title } of file.assertionResults) {
      if (status === 'passed') passed++;
      else if (status === 'failed') failed++;
      else {
        const why = /\[needs ([^\]]+)\]/.exec(title)?.[1] ?? 'a reason of their own';
        leftOut.set(why, (leftOut.get(why) ?? 0) + 1);
      }
    }
  }
  // Errors outside of any test.
  if (code !== 0 && failed === before) failed++;
  for (const [why, count] of leftOut) console.log(`${count} left out for want of ${why}`);
}
