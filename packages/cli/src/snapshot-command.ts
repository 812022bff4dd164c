import { bootCommand } from './boot-command.ts';
import type { Command } from './command.ts';
import { ctlCommand } from './ctl-command.ts';
import { EXIT_FINE } from './exit-code.ts';
import { formatKeyOrigin, type KeyOrigin, parseKeyOrigin } from './disk-descriptor.ts';
import { parseArguments, value } from './option-parser.ts';
import { openSnapshotFile } from './snapshot-file.ts';
import { readOrigin } from './snapshot-origin.ts';
import { UsageError } from './usage-error.ts';

const OPTIONS = {
  key: value('KEY', 'save, inspect: encrypts the file, or opens it; as for vm disk. load: --restore-key', parseKeyOrigin),
};

export const snapshotCommand: Command = {
  name: 'snapshot',
  operands: 'save NAME FILE | load FILE | inspect FILE',
  summary: 'save a running machine, go on with a saved one, or show what is in it',
  options: OPTIONS,
  notes: [
    'save is vm ctl NAME snapshot FILE: the machine goes on, and the file has all of it or is what it was before. load is vm boot --restore\n'
      + 'FILE and takes the options of vm boot. The disks stay where they are: a machine is restored only while they are as it left them,\n'
      + 'so quit it after the snapshot, or save it while it is paused and copy them.',
    'The file has the guest\'s memory and so its secrets; only its owner can read it. With --key KEY it is encrypted with LUKS2, and any change of\n'
      + 'it is noticed; without a key, load and inspect ask the terminal for its passphrase. The machine has to find the KEY by itself.',
  ],
  examples: ['vm snapshot save mine mine.vms', 'vm snapshot load mine.vms', 'vm snapshot inspect mine.vms'],
  run: async (args) => {
    const [verb, ...rest] = args;
    if (verb === 'load') {
      const [file, ...options] = rest;
      if (file === undefined) throw new UsageError('load needs a file');
      return bootCommand.run(['--restore', file, ...options]);
    }
    const { values: { key }, operands } = parseArguments(OPTIONS, rest);
    if (verb === 'save') {
      if (operands.length !== 2) throw new UsageError('save needs the name of a machine and a file');
      return ctlCommand.run([operands[0]!, 'snapshot', operands[1]!, ...(key === undefined ? [] : ['--key', formatKeyOrigin(key)])]);
    }
    if (verb !== 'inspect') throw new UsageError(`expected save, load or inspect, got ${verb === undefined ? 'nothing' : JSON.stringify(verb)}`);
    if (operands.length !== 1) throw new UsageError('inspect needs a file');
    console.log(JSON.stringify(await inspect(operands[0]!, key), null, 2));
    return EXIT_FINE;
  },
};

async function inspect(path: string, key: KeyOrigin | undefined): Promise<unknown> {
  const { bytes, encrypted, saved: { head, devices, pages } } = await openSnapshotFile(path, key);
  const { about, ...machine } = head;
  let origin: unknown = about;
  try {
    origin = readOrigin(about);
  } catch {
    // somebody else's, shown as it is
  }
  return {
    file: { bytes: bytes.length, encrypted },
    machine,
    origin,
    devices: devices.map(({ name, id, version }) => ({ name, id, version })),
    memory: { pages: pages.reduce((sum, one) => sum + one.pages, 0), packedBytes: pages.reduce((sum, one) => sum + one.packed.length, 0) },
  };
}
