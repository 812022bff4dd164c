// npm run fuzz -- NAME [--minutes N] [--seed N] [--only REGEX] [--least N] [--translator MODE]
import { parseArgs } from 'node:util';
import { TRANSLATOR_MODES } from '@vm/vcpu-wasm';
import { FUZZERS } from './registry.ts';

const { values, positionals: [name, ...more] } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: 'string', default: '1' }, seed: { type: 'string' }, only: { type: 'string' }, least: { type: 'string' }, translator: { type: 'string' } },
});
const load = name === undefined ? undefined : FUZZERS[name];
const minutes = Number(values.minutes);
const translators = values.translator === undefined ? (['off', 'eager'] as const) : TRANSLATOR_MODES.filter((mode) => mode === values.translator);
if (load === undefined || more.length > 0 || !(minutes > 0) || translators.length === 0) {
  console.error('usage: npm run fuzz -- NAME [--minutes N] [--seed N] [--only REGEX] [--least N] [--translator off|on|eager]\n');
  for (const [one, what] of Object.entries(FUZZERS)) console.error(`  ${one.padEnd(12)} ${(await what()).summary}`);
  process.exit(2);
}
const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
const fuzzer = await load();
const fine = await fuzzer.run({ minutes, seed, only: new RegExp(values.only ?? ''), least: values.least === undefined ? null : Number(values.least), translators });
process.exit(fine ? 0 : 1);
