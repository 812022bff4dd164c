import { type BootSession, DEFAULT_PROMPT } from './boot-session.ts';
import { parseMachineName } from './control-socket.ts';
import { parseDuration } from './duration.ts';
import { readNamedFile } from './host-file.ts';
import { choice, flag, type Option, type OptionValues, text, value } from './option-parser.ts';
import { SymbolTable } from './symbol-table.ts';
import { UsageError } from './usage-error.ts';

export type SessionOptionTable = Readonly<
  Record<'exit-on' | 'name' | 'prompt' | 'script' | 'system-map', Option<string>>
  & Record<'keep-going' | 'no-reboot' | 'verbose', Option<true>>
  & { timeout: Option<number>; stats: Option<'text' | 'json'>; 'trace-hot': Option<number>; trace: Option<'lifecycle'> }
>;

const HOT_REGIONS = 20;

/** Options of one run of a machine, whatever the machine is. */
export const SESSION_OPTIONS: SessionOptionTable = {
  timeout: value('TIME', 'give up after this time, for example 60s or 5m', parseDuration),
  'exit-on': text('TEXT', 'end as soon as the guest has written this'),
  name: value('NAME', 'open a control socket for vm ctl NAME', parseMachineName),
  script: text('FILE', 'type the lines of a file, each when the prompt has come'),
  prompt: text('TEXT', `the prompt that --script waits for; default: ${JSON.stringify(DEFAULT_PROMPT)}`),
  'system-map': text('FILE', "the kernel's System.map (or /proc/kallsyms), for names in the report of a crash"),
  stats: {
    hint: 'json',
    optional: true,
    summary: 'print statistics at the end',
    parse: (given: string): 'text' | 'json' => {
      if (given !== '' && given !== 'json') throw new RangeError(`expected nothing or json, got ${JSON.stringify(given)}`);
      return given === 'json' ? 'json' : 'text';
    },
  },
  'keep-going': flag('do not end at an instruction in kernel mode that the processor does not have: the guest gets its exception'),
  'no-reboot': flag('end when the guest resets the machine'),
  trace: choice(['lifecycle'], 'print each phase of the machine, and how long each device took in it'),
  'trace-hot': {
    hint: 'N',
    optional: true,
    summary: `list at the end the N regions of translated code in which most instructions ran (default: ${HOT_REGIONS}); the guest is slower with it`,
    parse: (given: string): number => {
      const most = given === '' ? HOT_REGIONS : Number(given);
      if (!Number.isInteger(most) || most < 1) throw new RangeError(`expected a number of regions, got ${JSON.stringify(given)}`);
      return most;
    },
  },
  verbose: flag('print what the machine logs'),
};

export const SESSION_EXIT_CODES: string = 'exit codes: 0 the guest turned itself off or --exit-on was seen, 1 the machine failed, 2 misuse or a file that cannot be used,\n'
  + '3 the guest crashed, 124 --timeout passed, 128 and more a signal. SIGTERM presses the power button, which the guest has\n'
  + 'to answer: those of vm guest fetch turn themselves off. A second SIGTERM ends at once.';

type SessionSettings = Pick<BootSession, 'timeoutMs' | 'exitOn' | 'script' | 'statistics' | 'symbols' | 'keepGoing' | 'name' | 'trace' | 'traceHot' | 'verbose'>;

/** Reads the files that the options name. Throws UsageError. */
export function sessionOf(values: OptionValues<SessionOptionTable>): SessionSettings {
  const { timeout, script, prompt, stats, 'exit-on': exitOn, 'system-map': systemMap } = values;
  if (prompt !== undefined && script === undefined) throw new UsageError('--prompt goes with --script');
  for (const name of ['exit-on', 'prompt'] as const) if (values[name] === '') throw new UsageError(`--${name}: expected a text, got an empty one`);
  const read = (option: string, path: string): string => new TextDecoder().decode(readNamedFile(option, path));
  return {
    ...(timeout === undefined ? {} : { timeoutMs: timeout }),
    ...(exitOn === undefined ? {} : { exitOn }),
    ...(values.name === undefined ? {} : { name: values.name }),
    ...(stats === undefined ? {} : { statistics: stats }),
    ...(script === undefined ? {} : { script: { lines: read('--script', script).split('\n').filter((line) => line.trim() !== ''), prompt: prompt ?? DEFAULT_PROMPT } }),
    ...(systemMap === undefined ? {} : { symbols: SymbolTable.parse(read('--system-map', systemMap), systemMap) }),
    keepGoing: values['keep-going'] === true,
    ...(values.trace === undefined ? {} : { trace: values.trace }),
    ...(values['trace-hot'] === undefined ? {} : { traceHot: values['trace-hot'] }),
    verbose: values.verbose === true,
  };
}
