import type { Chart } from './chart.ts';
import { type Comparison, type GroupRatio, GROUPS, type MeasuredRatio, V86_TARGET } from './cpu-groups.ts';
import { type PeerName, SIDES } from './cpu-peers.ts';

/** One set of guests against one peer. */
export interface SetResults {
  readonly title: string;
  readonly peer: PeerName;
  readonly rounds: number;
  readonly comparisons: readonly Comparison[];
  readonly groups: readonly GroupRatio[];
}

const titleOf = ({ title, peer }: SetResults): string => `${title} against ${SIDES[peer].title}`;

/** Ratios of the rows and of the groups, each with its interval. */
export function cpuCharts(results: readonly SetResults[]): Chart[] {
  if (results.length === 0) return [];
  const x = { title: 'time, as a part of the other one\'s, with its interval of 95 %', isLogarithmic: true };
  const range = (series: string, label: string, { ratio, low = ratio, high = ratio }: MeasuredRatio) => ({ series, label, value: ratio, low, high });
  return [
    { kind: 'ranges', file: 'cpu-groups.svg', title: 'Groups of programs, geometric means', x, ranges: results.flatMap((set) => set.groups.map(({ group, ratio }) => range(titleOf(set), group.name, ratio))) },
    { kind: 'ranges', file: 'cpu.svg', title: 'Programs', x, ranges: results.flatMap((set) => set.comparisons.map(({ row, ratio }) => range(titleOf(set), row, ratio))) },
  ];
}

/** Tables for docs/benchmarks.md. */
export function cpuMarkdown(results: readonly SetResults[]): string {
  const head = results.map((set) => titleOf(set));
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const table = (first: string, names: readonly string[], cell: (set: SetResults, name: string) => string): string[] => [
    line([first, ...head]), line(['---', ...head.map(() => '---:')]), ...names.map((name) => line([name, ...results.map((set) => cell(set, name))])), '',
  ];
  const groups = [...GROUPS.map(({ name }) => name), 'all programs'].filter((name) => results.some((set) => set.groups.some(({ group }) => group.name === name)));
  const rows = [...new Set(results.flatMap(({ comparisons }) => comparisons.map(({ row }) => row)))];
  return [
    ...table('geometric means', groups, (set, name) => {
      const found = set.groups.find(({ group }) => group.name === name);
      const target = set.peer === 'qemu' ? found?.group.target : set.peer === 'v86' && name === 'all programs' ? V86_TARGET : null;
      return found === undefined ? '' : `${cellOf(found.ratio)}${target === null || target === undefined ? '' : `, target ${target}`}`;
    }),
    ...table('row', rows, (set, name) => {
      const found = set.comparisons.find(({ row }) => row === name);
      return found === undefined ? '' : cellOf(found.ratio);
    }).slice(0, -1),
  ].join('\n');
}

function cellOf({ ratio, low, high }: MeasuredRatio): string {
  return low === undefined || high === undefined ? ratio.toFixed(2) : `${ratio.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}
