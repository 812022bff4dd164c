// node --conditions=vm-source examples/exit-replay/src/main.ts [trace.gz]
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { CompoundOptions } from '@vm/trap-compound';
import { replay } from './replay.ts';
import { parseTrace } from './trace.ts';

const file = process.argv[2] ?? new URL('../boot.trace.gz', import.meta.url);
const trace = parseTrace(gunzipSync(readFileSync(file)).toString('latin1'));

const ROWS: readonly (readonly [name: string, options: CompoundOptions])[] = [
  ['off', { policy: 'off' }],
  ['fixed, window 16, gap 4', { policy: 'fixed', window: 16, gap: 4 }],
  ['fixed, window 64, gap 16', { policy: 'fixed', window: 64, gap: 16 }],
  ['fixed, window 256, gap 32', { policy: 'fixed', window: 256, gap: 32 }],
  ['fixed, window 1024, gap 128', { policy: 'fixed', window: 1024, gap: 128 }],
  ['fixed, window 4096, gap 1024', { policy: 'fixed', window: 4096, gap: 1024 }],
  ['fixed, window 64, each', { policy: 'fixed', window: 64, gap: 16, handoff: 'each' }],
  ['adaptive', { policy: 'adaptive' }],
];
const line = (cells: readonly (string | number)[]): string => cells.map((cell, i) => (i === 0 ? String(cell).padEnd(30) : String(cell).padStart(12))).join('');
console.log(`${trace.length} exits`);
console.log(line(['', 'exits', 'spared', 'blocks', 'between', 'accesses', 'hand-overs']));
for (const [name, options] of ROWS) {
  const { exits, spared, blocks, between, accesses, handoffs } = replay(trace, options);
  console.log(line([name, exits, spared, blocks, between, accesses, handoffs]));
}
