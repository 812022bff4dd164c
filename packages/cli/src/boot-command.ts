import { CPU_MODEL_NAMES, DEFAULT_CPU_MODEL } from '@vm/vcpu-wasm';
import { runBootSession } from './boot-session.ts';
import { parseByteSize } from './byte-size.ts';
import type { Command } from './command.ts';
import { parseDuration } from './duration.ts';
import { ESCAPE_HELP } from './escape-keys.ts';
import { readNamedFile } from './host-file.ts';
import { choice, flag, parseArguments, text, value } from './option-parser.ts';
import { processStreams } from './terminal.ts';
import { UsageError } from './usage-error.ts';

const MiB = 2 ** 20;
const DEFAULT_PROMPT = '# ';

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
  stats: {
    hint: 'json',
    optional: true,
    summary: 'print statistics at the end',
    parse: (given: string): 'text' | 'json' => {
      if (given !== '' && given !== 'json') throw new RangeError(`expected nothing or json, got ${JSON.stringify(given)}`);
      return given === 'json' ? 'json' : 'text';
    },
  },
  'no-reboot': flag('end when the guest resets the machine'),
  verbose: flag('print what the machine logs'),
};

export const bootCommand: Command = {
  name: 'boot',
  operands: '--kernel FILE',
  summary: 'boot a Linux kernel, with its serial console on the terminal',
  options: OPTIONS,
  notes: [
    'With a terminal the keys go to the guest, except:\n' + ESCAPE_HELP.map((line) => `  ${line}`).join('\n'),
    'Input that is no terminal is typed once the guest has opened its port.',
    'exit codes: 0 the guest turned itself off or --exit-on was seen, 1 the machine failed, 2 misuse or a file that cannot be used,\n'
      + '3 the guest crashed, 124 --timeout passed, 128 and more a signal. SIGTERM presses the power button; a second one ends.',
  ],
  examples: [
    'vm boot --kernel /boot/vmlinuz-6.1.0 --initrd initrd.gz --append "console=ttyS0 quiet"',
    'vm boot --kernel bzImage --timeout 60s --exit-on "login:" --stats',
    "echo 'uname -a; poweroff -f' | vm boot --kernel bzImage --initrd initrd.gz",
  ],
  run: async (args) => {
    const { values, operands } = parseArguments(OPTIONS, args);
    if (operands.length > 0) throw new UsageError(`unexpected ${JSON.stringify(operands[0])}; values follow an option, as in --kernel FILE`);
    if (values.kernel === undefined) throw new UsageError('--kernel FILE is missing');
    if (values.prompt !== undefined && values.script === undefined) throw new UsageError('--prompt goes with --script');
    const script = values.script === undefined ? null : new TextDecoder().decode(readNamedFile('--script', values.script));
    return runBootSession(
      {
        kernel: readNamedFile('--kernel', values.kernel),
        ...(values.initrd === undefined ? {} : { initrd: readNamedFile('--initrd', values.initrd) }),
        entry: ENTRIES[values.entry ?? 'auto'],
        append: values.append ?? 'console=ttyS0',
        ...(values['cpu-model'] === undefined ? {} : { cpuModel: values['cpu-model'] }),
        memoryBytes: values.memory ?? 512 * MiB,
        ...(values.timeout === undefined ? {} : { timeoutMs: values.timeout }),
        ...(values['exit-on'] === undefined ? {} : { exitOn: values['exit-on'] }),
        ...(values.stats === undefined ? {} : { statistics: values.stats }),
        ...(script === null ? {} : { script: { lines: script.split('\n').filter((line) => line.trim() !== ''), prompt: values.prompt ?? DEFAULT_PROMPT } }),
        clock: values.clock ?? 'host',
        onReset: values['no-reboot'] === true ? 'end' : 'boot',
        verbose: values.verbose === true,
      },
      processStreams(),
    );
  },
};
