import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Row } from './registry.ts';

/** Rows as a table of a document. */
export function tableOf(rows: readonly Row[]): string {
  const lines = rows.map(({ name, unit, ours, peer, peerName, ratio, interval, target, runs }) => [
    name, `${short(ours)} ${unit}`.trim(), peer === null ? '' : `${short(peer)} ${unit} (${peerName})`,
    ratio === null ? '' : `${ratio.toFixed(2)}${interval === undefined ? '' : ` (${interval[0].toFixed(2)} to ${interval[1].toFixed(2)})`}`,
    target === undefined ? '' : target.most === undefined ? `at least ${target.least}` : `at most ${target.most}`, String(runs),
  ]);
  return [['what', 'here', 'there', 'ratio', 'target', 'runs'], ['---', '---:', '---:', '---:', '---:', '---:'], ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** Puts the tables of a benchmark between the marks that a document has for it; a file that is not there yet gets them alone. */
export function writeTables(file: string, name: string, tables: string): void {
  const [from, to] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
  if (!existsSync(file)) return writeFileSync(file, `${from}\n${tables}\n${to}\n`);
  const text = readFileSync(file, 'utf8');
  const [begin, end] = [text.indexOf(from), text.indexOf(to)];
  if (begin < 0 || end < begin) throw new Error(`--markdown: ${file} has no place for the tables of ${name}, which is between ${from} and ${to}`);
  writeFileSync(file, `${text.slice(0, begin)}${from}\n${tables}\n${text.slice(end)}`);
}

export function short(value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
}
