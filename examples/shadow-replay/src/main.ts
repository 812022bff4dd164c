// node --conditions=vm-source examples/shadow-replay/src/main.ts [trace.gz]
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { replay, type ReplayOptions } from './replay.ts';
import { parseTrace } from './trace.ts';

const file = process.argv[2] ?? new URL('../shell.trace.gz', import.meta.url);
const events = parseTrace(gunzipSync(readFileSync(file)).toString('latin1'));

const ROWS: readonly (readonly [name: string, options: ReplayOptions])[] = [
  ['flush', { policy: 'flush' }],
  ['cached, threshold 16', { policy: 'cached', threshold: 16 }],
  ['cached, threshold 64', { policy: 'cached', threshold: 64 }],
  ['cached, threshold 256', { policy: 'cached', threshold: 256 }],
  ['cached, adaptive', { policy: 'cached' }],
  ['cached, searches', { policy: 'cached', discovery: 'search' }],
  ['diff, threshold 64', { policy: 'diff', discovery: 'threshold', threshold: 64 }],
  ['diff, adaptive', { policy: 'diff', discovery: 'threshold' }],
  ['diff', { policy: 'diff' }],
];
const COLUMNS = ['TLB hits', 'shadow hits', 'walks', 'fills', 'a switch', 'purged', 'dropped', 'intercepts', 'of everything', 'KiB', 'ms'];

const line = (cells: readonly (string | number)[]): string => cells.map((cell, i) => (i === 0 ? String(cell).padEnd(22) : String(cell).padStart(Math.max(8, (COLUMNS[i - 1] ?? '').length + 1)))).join('');
for (const [index, [name, options]] of ROWS.entries()) {
  const { accesses, stores, switches, counts: c, firstLevelHits, milliseconds } = replay(events, options);
  if (index === 0) {
    console.log(`${accesses} accesses that missed, ${stores} entries changed, ${switches} switches`);
    console.log(line(['', ...COLUMNS]));
  }
  const all = (c['thresholdPurges'] ?? 0) + (c['pressurePurges'] ?? 0) + (c['wholePurges'] ?? 0);
  console.log(line([
    name, firstLevelHits, c['hits'] ?? 0, c['guestWalks'] ?? 0, c['fills'] ?? 0, ((c['fills'] ?? 0) / switches).toFixed(1), c['purgedTables'] ?? 0, c['dropped'] ?? 0, c['intercepts'] ?? 0, all,
    Math.round((c['bytes'] ?? 0) / 1024), milliseconds.toFixed(0),
  ]));
}
