// npm run bench -- NAME [--quick] [--json FILE]
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { BENCHMARKS, type Row } from './registry.ts';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { quick: { type: 'boolean', default: false }, json: { type: 'string' } } });
const names = positionals[0] === 'all' ? Object.keys(BENCHMARKS) : positionals;
const unknown = names.filter((name) => BENCHMARKS[name] === undefined);
if (names.length === 0 || unknown.length > 0) {
  for (const name of unknown) console.error(`no benchmark is named ${name}`);
  console.error('usage: npm run bench -- NAME... [--quick] [--json FILE]\n');
  for (const [name, load] of Object.entries(BENCHMARKS)) console.error(`  ${name.padEnd(12)} ${(await load()).summary}`);
  process.exit(2);
}

const rows: Row[] = [];
for (const name of names) {
  const benchmark = await BENCHMARKS[name]!();
  for (const { name: what, ...rest } of await benchmark.run({ quick: values.quick })) rows.push({ name: `${name}: ${what}`, ...rest });
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
