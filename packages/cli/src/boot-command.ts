import { CPU_MODEL_NAMES, DEFAULT_CPU_MODEL } from '@vm/vcpu-wasm';
import { type BoardSettings, MOST_SEED } from './boot-board.ts';
import { DEFAULT_PROMPT, runBootSession } from './boot-session.ts';
import { parseByteSize } from './byte-size.ts';
import type { Command } from './command.ts';
import { parseDuration } from './duration.ts';
import { ESCAPE_HELP } from './escape-keys.ts';
import { readNamedFile } from './host-file.ts';
import { checkInitrd } from './initrd-check.ts';
import { basisOf, findDifference, type InputLog, parseInputLog } from './input-log.ts';
import { choice, flag, type OptionValues, parseArguments, text, value } from './option-parser.ts';
import { SymbolTable } from './symbol-table.ts';
import { processStreams } from './terminal.ts';
import { UsageError } from './usage-error.ts';

const MiB = 2 ** 20;

const ENTRIES = { auto: 'auto', 32: 32, 64: 64, pvh: 'pvh' } as const;

const OPTIONS = {
  kernel: text('FILE', 'the Linux kernel, a bzImage such as /boot/vmlinuz-*, or an ELF file'),
  entry: choice(['auto', '32', '64', 'pvh'], 'how the kernel is entered: auto (default), by the 32- or 64-bit Linux entry, or by PVH'),
  initrd: text('FILE', 'the initial RAM file system'),
  append: text('TEXT', 'the command line of the kernel; default: console=ttyS0'),
  'cpu-model': choice(CPU_MODEL_NAMES, `the processor that the guest sees; default: ${DEFAULT_CPU_MODEL}`),
  memory: value('SIZE', 'RAM, for example 512M or 2G; default: 512M', parseByteSize),
  timeout: value('TIME', 'give up after this time, for example 60s or 5m', parseDuration),
  'exit-on': text('TEXT', 'end as soon as the guest has written this'),
  script: text('FILE', 'type the lines of a file, each when the prompt has come'),
  prompt: text('TEXT', `the prompt that --script waits for; default: ${JSON.stringify(DEFAULT_PROMPT)}`),
  clock: choice(['host', 'virtual'], 'where time comes from: the host (default), or the instructions that ran, the same on every run'),
  seed: value('N', "where the processor's random numbers begin, 0 to 4294967295; default: 0 with --clock virtual, else another one each time", parseSeed),
  record: text('FILE', 'with --clock virtual: write down every input with the instruction at which it came'),
  replay: text('FILE', 'with --clock virtual: the recorded inputs again, at the same instructions'),
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
  verbose: flag('print what the machine logs'),
};

export const bootCommand: Command = {
  name: 'boot',
  operands: '--kernel FILE',
  summary: 'boot a Linux kernel, with its serial console on the terminal',
  options: OPTIONS,
  notes: [
    'Where there is no kernel at hand, vm guest fetch linux-image-cloud-amd64 gets one, with an initial RAM file system,\n'
      + 'and prints the paths of both.',
    'With a terminal the keys go to the guest, except:\n' + ESCAPE_HELP.map((line) => `  ${line}`).join('\n'),
    'Input that is no terminal is typed once the guest has opened its port; with --clock virtual it is read to its end first.',
    'The kernel\'s command line also gets vm.term=TERM, vm.rows=N and vm.cols=N of the terminal, or vm.term=dumb without one: kernels\n'
      + 'ignore that, and the init of vm guest fetch sets its terminal up by it.',
    'exit codes: 0 the guest turned itself off or --exit-on was seen, 1 the machine failed, 2 misuse or a file that cannot be used,\n'
      + '3 the guest crashed, 124 --timeout passed, 128 and more a signal. SIGTERM presses the power button, which the guest has\n'
      + 'to answer: those of vm guest fetch turn themselves off. A second SIGTERM ends at once.',
  ],
  examples: [
    'vm boot --kernel /boot/vmlinuz-6.1.0 --initrd initrd.gz --append "console=ttyS0 quiet"',
    'vm boot --kernel bzImage --timeout 60s --exit-on "login:" --stats',
    "echo 'uname -a; poweroff -f' | vm boot --kernel bzImage --initrd initrd.gz",
    'vm boot --kernel bzImage --initrd initrd.gz --clock virtual --record session.txt',
    'vm boot --kernel bzImage --initrd initrd.gz --clock virtual --replay session.txt',
  ],
  run: async (args) => {
    const { values, operands } = parseArguments(OPTIONS, args);
    if (operands.length > 0) throw new UsageError(`unexpected ${JSON.stringify(operands[0])}; values follow an option, as in --kernel FILE`);
    if (values.kernel === undefined) throw new UsageError('--kernel FILE is missing');
    checkCombination(values);
    const readText = (option: keyof typeof OPTIONS, path: string): string => new TextDecoder().decode(readNamedFile(`--${option}`, path));
    const script = values.script === undefined ? null : readText('script', values.script);
    const settings: BoardSettings = {
      kernel: readNamedFile('--kernel', values.kernel),
      ...(values.initrd === undefined ? {} : { initrd: readNamedFile('--initrd', values.initrd) }),
      entry: ENTRIES[values.entry ?? 'auto'],
      append: values.append ?? 'console=ttyS0',
      ...(values['cpu-model'] === undefined ? {} : { cpuModel: values['cpu-model'] }),
      memoryBytes: values.memory ?? 512 * MiB,
      clock: values.clock ?? 'host',
      ...(values.seed === undefined ? {} : { seed: values.seed }),
      onReset: values['no-reboot'] === true ? 'end' : 'boot',
    };
    const replay = values.replay === undefined ? null : parseInputLog(readText('replay', values.replay), values.replay);
    if (replay !== null) checkSameRun(settings, replay);
    if (settings.initrd !== undefined) await checkInitrd(values.initrd!, settings.initrd);
    return runBootSession(
      {
        ...settings,
        ...(values.timeout === undefined ? {} : { timeoutMs: values.timeout }),
        ...(values['exit-on'] === undefined ? {} : { exitOn: values['exit-on'] }),
        ...(values.stats === undefined ? {} : { statistics: values.stats }),
        ...(script === null ? {} : { script: { lines: script.split('\n').filter((line) => line.trim() !== ''), prompt: values.prompt ?? DEFAULT_PROMPT } }),
        ...(values.record === undefined ? {} : { record: values.record }),
        ...(replay === null ? {} : { replay }),
        ...(values['system-map'] === undefined ? {} : { symbols: SymbolTable.parse(readText('system-map', values['system-map']), values['system-map']) }),
        keepGoing: values['keep-going'] === true,
        verbose: values.verbose === true,
      },
      processStreams(),
    );
  },
};

function parseSeed(given: string): number {
  const seed = /^(0x[0-9a-f]+|\d+)$/i.test(given) ? Number(given) : Infinity;
  if (seed > MOST_SEED) throw new RangeError(`expected a number from 0 to ${MOST_SEED}, got ${JSON.stringify(given)}`);
  return seed;
}

function checkCombination(values: OptionValues<typeof OPTIONS>): void {
  if (values.prompt !== undefined && values.script === undefined) throw new UsageError('--prompt goes with --script');
  for (const name of ['exit-on', 'prompt'] as const) if (values[name] === '') throw new UsageError(`--${name}: expected a text, got an empty one`);
  for (const name of ['record', 'replay'] as const) {
    if (values[name] !== undefined && values.clock !== 'virtual') throw new UsageError(`--${name} goes with --clock virtual: under the host's clock no two runs are the same`);
  }
  if (values.replay === undefined) return;
  for (const name of ['record', 'script'] as const) if (values[name] !== undefined) throw new UsageError(`--${name} and --replay exclude each other`);
}

function checkSameRun(settings: BoardSettings, replay: InputLog): void {
  const difference = findDifference(basisOf(settings, replay.basis.typing, replay.basis.terminal), replay.basis);
  if (difference !== null) throw new UsageError(`--replay: the record was made with another ${difference}`);
}
