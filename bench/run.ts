// npm run bench -- NAME [--quick] [--json FILE] [--charts FOLDER]
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { hintBranches } from '@vm/vcpu-wasm/node';
import { BENCHMARKS, type Row } from './registry.ts';

const OPTIONS = { quick: { type: 'boolean', default: false }, json: { type: 'string' }, charts: { type: 'string' }, help: { type: 'boolean', short: 'h' } } as const;

async function usage(): Promise<string> {
  const lines = ['usage: npm run bench -- NAME... [--quick] [--json FILE] [--charts FOLDER]', ''];
  for (const [name, load] of Object.entries(BENCHMARKS)) lines.push(`  ${name.padEnd(12)} ${(await load()).summary}`);
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

hintBranches();
const rows: Row[] = [];
for (const name of names) {
  const benchmark = await BENCHMARKS[name]!();
  const found = await benchmark.run({ quick: values.quick });
  for (const { name: what, ...rest } of found) rows.push({ name: `${name}: ${what}`, ...rest });
  const charts = benchmark.charts?.(found) ?? [];
  if (values.charts !== undefined && charts.length > 0) await (await import('./chart.ts')).drawCharts(charts, values.charts);
}
printTable(rows);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(rows, null, 2)}\n`);

function printTable(all: readonly Row[]): void {
  const cells = all.map((row) => [row.name, `${short(row.ours)} ${row.unit}`, row.peer === null ? '' : `${row.peerName}: ${short(row.peer)} ${row.unit}`, row.ratio === null ? '' : `${row.ratio.toFixed(2)}x`, `${row.runs} runs`]);
  const widths = cells[0]?.map((_cell, column) => Math.max(...cells.map((line) => line[column]!.length))) ?? [];
  for (const line of cells) console.log(line.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd());
}

function short(value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
}
