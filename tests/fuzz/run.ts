// npm run fuzz -- NAME [--minutes N] [--seed N] [--only REGEX] [--least N] [--translator MODE]
import { parseArgs } from 'node:util';
import { TRANSLATOR_MODES, type TranslatorMode } from '@vm/vcpu-wasm';
import { FUZZERS } from './registry.ts';

/** Every batch in so many is translated as a whole: a program that runs once takes some twenty times as long that way. */
const TRANSLATED_ONE_IN = 20;
const USUAL: readonly TranslatorMode[] = Array.from({ length: TRANSLATED_ONE_IN }, (_, i) => (i === 0 ? 'eager' : 'off'));

const OPTIONS = {
  minutes: { type: 'string', default: '1' }, seed: { type: 'string' }, only: { type: 'string' }, least: { type: 'string' }, translator: { type: 'string' }, help: { type: 'boolean', short: 'h' },
} as const;

async function usage(): Promise<string> {
  const lines = [`usage: npm run fuzz -- NAME [--minutes N] [--seed N] [--only REGEX] [--least N] [--translator ${TRANSLATOR_MODES.join('|')}]`, ''];
  for (const [name, load] of Object.entries(FUZZERS)) lines.push(`  ${name.padEnd(12)} ${(await load()).summary}`);
  lines.push(
    '', '--minutes     how long; default 1', '--seed        where the random numbers begin; default another one each time, printed', '--only        instructions whose name matches',
    '--least       fail when an instruction had fewer cases; default 1000 from 60 minutes on', `--translator  one mode for all; default off, and eager on one batch in ${TRANSLATED_ONE_IN}`,
  );
  return lines.join('\n');
}
async function refuse(why: string): Promise<never> {
  console.error(`${why}\n${await usage()}`);
  process.exit(2);
}
function parse(): ReturnType<typeof parseArgs<{ allowPositionals: true; options: typeof OPTIONS }>> {
  return parseArgs({ allowPositionals: true, options: OPTIONS });
}
function numberOf(option: string, given: string): number {
  const value = given.trim() === '' ? NaN : Number(given);
  if (!(value >= 0)) throw new RangeError(`--${option}: expected a number, got ${JSON.stringify(given)}`);
  return value;
}

let parsed: ReturnType<typeof parse>;
try {
  parsed = parse();
  for (const option of ['minutes', 'seed', 'least'] as const) if (parsed.values[option] !== undefined) numberOf(option, parsed.values[option]);
  new RegExp(parsed.values.only ?? '');
} catch (error) {
  parsed = await refuse((error as Error).message.split('. ')[0]!);
}
const { values, positionals: [name, ...more] } = parsed;
if (values.help === true) {
  console.log(await usage());
  process.exit(0);
}
if (name === undefined) await refuse('which one?');
const load = FUZZERS[name!] ?? (await refuse(`nothing to fuzz is named ${JSON.stringify(name)}`));
if (more.length > 0) await refuse(`one at a time, got ${JSON.stringify(more[0])} too`);
if (numberOf('minutes', values.minutes) === 0) await refuse('--minutes: more than 0 expected');
const translators = values.translator === undefined ? USUAL : TRANSLATOR_MODES.filter((mode) => mode === values.translator);
if (translators.length === 0) await refuse(`--translator: expected ${TRANSLATOR_MODES.join(', ')}, got ${JSON.stringify(values.translator)}`);
const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
const fuzzer = await load();
const fine = await fuzzer.run({ minutes: Number(values.minutes), seed, only: new RegExp(values.only ?? ''), least: values.least === undefined ? null : Number(values.least), translators });
process.exit(fine ? 0 : 1);
