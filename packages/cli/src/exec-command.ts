import { runFlat } from '@vm/vcpu-wasm/flat';
import type { FlatRequest } from '@vm/vcpu-wasm/flat';
import type { Command } from './command.ts';
import { EXIT_FINE } from './exit-code.ts';
import { formatResult, parseNumber, parseStateFile } from './flat-state-json.ts';
import { readNamedFile } from './host-file.ts';
import { choice, parseArguments, text } from './option-parser.ts';
import { UsageError } from './usage-error.ts';

const OPTIONS = {
  at: text('ADDR', 'address of the first byte and of the first instruction; default 0x10000'),
  mode: choice(['real', 'protected', 'long'], 'what the processor is in: 16-, 32- or 64-bit code; default long'),
  state: text('FILE', 'JSON with registers and memory to begin with'),
  ring: choice(['0', '3'], 'privilege level; default 0'),
  mapped: choice(['all', 'given'], 'given: what is neither code nor memory of the state raises #PF; default all, 16 MiB of RAM'),
  'stop-at': text('ADDR', 'stop before the instruction at this address'),
  budget: text('N', 'stop after this many instructions; default a million'),
};
const DEFAULT_AT = 0x1_0000;

export const execCommand: Command = {
  name: 'exec',
  operands: 'FILE',
  summary: 'run a flat binary on a processor with nothing around it, and print the final state as JSON',
  options: OPTIONS,
  notes: [
    'The run ends at the first HLT, and outside of real mode at the first exception, whose vector is "exception". All registers are 0 to\n'
      + 'begin with, but RFLAGS is 0x202 and floating point is as after FINIT.',
    'The state file has registers by the names of the output and, under "memory", regions of RAM: {"rbx": "0xe0000000", "xmm": [["1", "2"]],\n'
      + '"memory": [{"at": "0xe0000000", "bytes": "2a00"}, {"at": 4096, "bytes": 64}]}, where bytes is hexadecimal, a list or a count of zeros.\n'
      + 'Registers may stand under "registers" too, and have their short names: eax and ax are rax. What was printed can be the next state.',
  ],
  examples: ['vm exec code.bin', 'vm exec code.bin --at 0x1000 --mode protected --state in.json', 'vm exec code.bin --ring 3 --mapped given --stop-at 0x10010'],
  run: async (args) => {
    const { values, operands: [file, ...more] } = parseArguments(OPTIONS, args);
    if (file === undefined) throw new UsageError('exec needs a file with machine code');
    if (more.length > 0) throw new UsageError(`exec takes one file, got ${JSON.stringify(more[0])} too`);
    const code = readNamedFile('FILE', file);
    if (code.length === 0) throw new UsageError(`FILE ${file}: it is empty`);
    const { registers, memory } = values.state === undefined ? { registers: {}, memory: [] } : parseStateFile(Buffer.from(readNamedFile('--state', values.state)).toString());
    const request: FlatRequest = {
      code, memory, registers,
      at: values.at === undefined ? DEFAULT_AT : parseNumber('--at', values.at),
      mode: values.mode ?? 'long',
      ring: values.ring === '3' ? 3 : 0,
      mapped: values.mapped ?? 'all',
      ...(values['stop-at'] === undefined ? {} : { stopAt: parseNumber('--stop-at', values['stop-at']) }),
      ...(values.budget === undefined ? {} : { budget: Number(parseNumber('--budget', values.budget)) }),
    };
    console.log(formatResult(run(request), memory));
    return EXIT_FINE;
  },
};

function run(request: FlatRequest): ReturnType<typeof runFlat> {
  try {
    return runFlat(request);
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}
