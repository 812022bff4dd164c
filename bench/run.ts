// npm run bench -- NAME [--quick] [--json FILE] [--charts FOLDER] [--markdown FILE]
import { writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { setV8Flags } from '@vm/vcpu-wasm/node';
import { short, tableOf, writeTables } from './markdown.ts';
import { BENCHMARKS, type Row } from './registry.ts';

const NAMED = { type: 'string' } as const;
const OPTIONS = {
  quick: { type: 'boolean', default: false }, json: NAMED, charts: NAMED, help: { type: 'boolean', short: 'h' },
  bits: NAMED, peers: NAMED, programs: NAMED, rows: NAMED, scale: NAMED, rounds: NAMED, markdown: NAMED, resume: { type: 'boolean' },
} as const;
const GENERAL = new Set(['quick', 'json', 'charts', 'markdown', 'help']);

async function usage(): Promise<string> {
  const lines = ['usage: npm run bench -- NAME... [--quick] [--json FILE] [--charts FOLDER] [--markdown FILE] [OPTION...]', ''];
  for (const [name, load] of Object.entries(BENCHMARKS)) {
    const { summary, options = {} } = await load();
    lines.push(`  ${name.padEnd(12)} ${summary}`, ...Object.entries(options).map(([option, what]) => `  ${''.padEnd(14)} --${option.padEnd(10)} ${what}`));
  }
  return [...lines, '  all          all of them'].join('\n');
}
async function refuse(why: string): Promise<never> {
  console.error(`${why}\n${await usage()}`);
  process.exit(2);
}
function parse(): ReturnType<typeof parseArgs<{ allowPositionals: true; options: typeof OPTIONS }>> {
  return parseArgs({ allowPositionals: true, options: OPTIONS });
}

let parsed: ReturnType<typeof parse>;
try {
  parsed = parse();
} catch (error) {
  parsed = await refuse((error as Error).message.split('. ')[0]!);
}
const { values, positionals } = parsed;
if (values.help === true) {
  console.log(await usage());
  process.exit(0);
}
const names = positionals[0] === 'all' ? Object.keys(BENCHMARKS) : positionals;
const unknown = names.filter((name) => BENCHMARKS[name] === undefined);
if (names.length === 0) await refuse('which one?');
if (unknown.length > 0) await refuse(`no benchmark is named ${unknown.join(', ')}`);
const benchmarks = await Promise.all(names.map((name) => BENCHMARKS[name]!()));
for (const given of Object.keys(values)) {
  if (!GENERAL.has(given) && !benchmarks.some(({ options }) => options !== undefined && given in options)) await refuse(`--${given} is not an option of ${names.join(', ')}`);
}
const { quick, json, charts: folder, markdown, help: _help, ...settings } = values;

setV8Flags();
const rows: Row[] = [];
for (const [i, name] of names.entries()) {
  const benchmark = benchmarks[i]!;
  const found = await benchmark.run({ quick, ...settings });
  for (const { name: what, ...rest } of found) rows.push({ name: `${name}: ${what}`, ...rest });
  const charts = benchmark.charts?.(found) ?? [];
  if (folder !== undefined && charts.length > 0) await (await import('./chart.ts')).drawCharts(charts, folder);
  if (markdown !== undefined) writeTables(markdown, name, [benchmark.tables?.() ?? tableOf(found), ...(folder === undefined ? [] : charts.map(({ title, file }) => `![${title}](${relative(dirname(markdown), join(folder, file))})`))].join('\n\n'));
}
printTable(rows);
if (json !== undefined) writeFileSync(json, `${JSON.stringify(rows, null, 2)}\n`);

function printTable(all: readonly Row[]): void {
  const cells = all.map((row) => [row.name, `${short(row.ours)} ${row.unit}`, row.peer === null ? '' : `${row.peerName}: ${short(row.peer)} ${row.unit}`, row.ratio === null ? '' : `${row.ratio.toFixed(2)}x`, intervalOf(row), `${row.runs} runs`, targetOf(row)]);
  const widths = cells[0]?.map((_cell, column) => Math.max(...cells.map((line) => line[column]!.length))) ?? [];
  for (const line of cells) console.log(line.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd());
}

function intervalOf({ interval }: Row): string {
  return interval === undefined ? '' : `(${interval[0].toFixed(2)} to ${interval[1].toFixed(2)})`;
}

function targetOf({ ours, ratio, target }: Row): string {
  const { most, least } = target ?? {};
  const value = ratio ?? ours;
  if (most !== undefined) return `target ${most}: ${value <= most ? 'met' : 'missed'}`;
  return least === undefined ? '' : `target ${least} and more: ${value >= least ? 'met' : 'missed'}`;
}
