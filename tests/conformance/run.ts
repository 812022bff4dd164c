// npm run conformance [-- --write] [--only REGEX] [--quick]
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { SuiteCases } from '@vm/testkit/oracle';
import { formatDocument } from './document.ts';
import { type RunnerReport, resultOf, type SuiteResult } from './results.ts';
import { type Suite, SUITES } from './suites.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DOCUMENT = join(ROOT, 'docs/conformance.md');
const VITEST = join(ROOT, 'node_modules/vitest/vitest.mjs');
const SOURCE = ['--conditions=vm-source', '--disable-warning=ExperimentalWarning'];
const TEST_TIMEOUT_MS = 3_600_000; // all cases take longer than a test run allows
const TOOLS = ['gcc', 'objdump', 'qemu-system-x86_64'];

const OPTIONS = { write: { type: 'boolean', default: false }, quick: { type: 'boolean', default: false }, only: { type: 'string' }, help: { type: 'boolean', short: 'h' } } as const;
const USAGE = [
  'usage: npm run conformance [-- --write] [--only REGEX] [--quick]', '', ...SUITES.map(({ id, title }) => `  ${id.padEnd(18)} ${title}`), '',
  '--only   suites whose name matches', '--quick  the selection of cases of the test run, and not all', '--write  write docs/conformance.md, of a whole run',
].join('\n');

const values = parse();
if (values.help === true) {
  console.log(USAGE);
  process.exit(0);
}
const outcomes = new Map<string, Outcome>();
const only = new RegExp(values.only ?? '');
if (values.write && (values.quick || values.only !== undefined)) {
  console.error('--write is for whole runs: without --quick and --only');
  process.exit(2);
}
const results = SUITES.filter(({ id }) => only.test(id)).map((suite) => show(run(suite)));
const broken = results.filter((result) => result.broken || result.passed < result.run);
if (values.write) {
  writeFileSync(DOCUMENT, formatDocument(results, { processor: cpus()[0]?.model.trim() ?? 'an unknown processor', tools: TOOLS.map(versionOf).filter((version) => version !== null) }));
  console.log('docs/conformance.md is written');
}
console.log(broken.length === 0 ? 'all suites passed' : `not passed: ${broken.map(({ suite }) => suite.id).join(', ')}`);
process.exit(broken.length === 0 ? 0 : 1);

function parse(): ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'] {
  try {
    const { values: given } = parseArgs({ options: OPTIONS });
    if (!SUITES.some(({ id }) => new RegExp(given.only ?? '').test(id))) throw new RangeError(`no suite matches ${JSON.stringify(given.only)}`);
    return given;
  } catch (error) {
    console.error(`${(error as Error).message.split('. ')[0]}\n${USAGE}`);
    process.exit(2);
  }
}

/** What a file said, for all suites in it. */
interface Outcome {
  readonly notes: readonly SuiteCases[];
  readonly report: RunnerReport | null;
  readonly failed: boolean;
}

function run(suite: Suite): SuiteResult {
  let outcome = outcomes.get(suite.file);
  if (outcome === undefined) outcomes.set(suite.file, (outcome = runFile(suite)));
  return resultOf(suite, outcome.notes, outcome.report, outcome.failed);
}

/** One after the other, each in a process of its own, so that none disturbs the timing of another. */
function runFile(suite: Suite): Outcome {
  const folder = mkdtempSync(join(tmpdir(), 'vm-conformance-'));
  try {
    const notes = join(folder, 'notes');
    const report = join(folder, 'report');
    // All cases, not the selection of the test run.
    const env = { ...process.env, VM_CONFORMANCE: notes, ...(values.quick ? {} : { VM_LONG: '1' }) };
    const args = suite.arguments === undefined
      ? [VITEST, 'run', '--reporter=json', `--outputFile.json=${report}`, `--testTimeout=${TEST_TIMEOUT_MS}`, suite.file]
      : [join(ROOT, suite.file), ...suite.arguments];
    const { status, stdout, stderr } = spawnSync(process.execPath, [...SOURCE, ...args], { cwd: ROOT, env, encoding: 'utf8', maxBuffer: 2 ** 28 });
    const noted = existsSync(notes) ? readFileSync(notes, 'utf8').trim().split('\n').filter(Boolean).map((line) => JSON.parse(line) as SuiteCases) : [];
    const known = existsSync(report) ? (JSON.parse(readFileSync(report, 'utf8')) as RunnerReport) : null;
    if (status !== 0) process.stderr.write(`${stdout.slice(-4000)}\n${stderr.slice(-4000)}\n`);
    return { notes: noted, report: known, failed: status !== 0 };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function show(result: SuiteResult): SuiteResult {
  const { suite, run: count, passed, leftOut, excused } = result;
  const reasons = Object.values(excused).flatMap((forms) => Object.values(forms)).reduce((sum, one) => sum + one, 0);
  const missing = Object.entries(leftOut).map(([why, tests]) => `, ${tests} left out for want of ${why}`).join('');
  console.log(`${(result.broken || passed < count ? 'FAIL' : 'ok').padEnd(5)}${suite.id.padEnd(18)}${count} run, ${passed} passed, ${reasons} excused${missing}`);
  return result;
}

function versionOf(tool: string): string | null {
  const { stdout } = spawnSync(tool, ['--version'], { encoding: 'utf8' });
  return stdout === null || stdout === '' ? null : (stdout.split('\n')[0] ?? null);
}
