import { findPlugin } from '@vm/core/directory';
import { chooseAction, listActions } from './action-choice.ts';
import { parseGrant } from './capability-grant.ts';
import type { Command } from './command.ts';
import { addDevice, listPlugins, removeDevice, sealPlugin, verifyDevices } from './devices-actions.ts';
import { formatDescription, formatPlugins } from './devices-report.ts';
import { EXIT_BROKEN, EXIT_FINE } from './exit-code.ts';
import { findNearest } from './nearest-word.ts';
import { choice, flag, list, type OptionValues, parseArguments, text, value } from './option-parser.ts';
import { UsageError } from './usage-error.ts';

const OPTIONS = {
  machine: text('NAME', 'the machine of the vm.json; default: its first one'),
  name: text('NAME', 'how the device is called in the machine; default: after its plug-in'),
  version: text('RANGE', 'versions of the plug-in that may be taken, such as 1.2.0, ^1.2 or ">=1 <2"'),
  set: list('NAME=VALUE', 'a property of the device'),
  grant: value('LIST', 'capabilities that plug-ins may have without a question: all, or names with commas between', parseGrant),
  isolation: choice(['inproc', 'worker'], 'where the device runs: with the machine, or in a worker of its own, which is ended when it hangs or crashes'),
  accept: flag('take what is new or has changed, and write it to the lock file'),
  json: flag('print a document for programs'),
};
type Values = OptionValues<typeof OPTIONS>;
interface Action {
  readonly operands: readonly string[];
  readonly options: readonly (keyof typeof OPTIONS)[];
  run(operands: readonly string[], values: Values): Promise<number>;
}

const ACTIONS: Readonly<Record<string, Action>> = {
  list: {
    operands: ['FILE'],
    options: ['json'],
    run: async ([path = ''], values) => {
      const { plugins, problems } = await listPlugins(path);
      for (const problem of problems) console.error(`vm devices: ${problem.file}: ${problem.path === '' ? '/' : problem.path}: ${problem.text} (rule ${problem.rule})`);
      console.log(values.json === true ? JSON.stringify({ plugins, problems }, null, 2) : formatPlugins(plugins));
      return problems.length === 0 ? EXIT_FINE : EXIT_BROKEN;
    },
  },
  describe: {
    operands: ['FILE', 'ID'],
    options: ['version', 'json'],
    run: async ([path = '', id = ''], values) => {
      const { plugins } = await listPlugins(path);
      const ids = plugins.map(({ description }) => description.id);
      const nearest = ids.includes(id) ? null : findNearest(id, ids);
      if (nearest !== null) throw new UsageError(`${path}: there is no plug-in ${id}; did you mean ${nearest}?`);
      const plugin = findPlugin(plugins, id, values.version ?? '*');
      console.log(values.json === true ? JSON.stringify(plugin, null, 2) : formatDescription(plugin));
      return EXIT_FINE;
    },
  },
  add: {
    operands: ['FILE', 'ID'],
    options: ['machine', 'name', 'version', 'set', 'grant', 'isolation'],
    run: async ([path = '', id = ''], { machine, name, version, set = [], grant = [], isolation }) => {
      const added = await addDevice(path, { id, settings: set, granted: grant, ...(machine === undefined ? {} : { machine }), ...(name === undefined ? {} : { name }), ...(version === undefined ? {} : { version }), ...(isolation === undefined ? {} : { isolation }) });
      console.log(`${path}: ${added.machine} has ${added.name}: ${added.plugin.description.id} ${added.plugin.description.version}`);
      return EXIT_FINE;
    },
  },
  remove: {
    operands: ['FILE', 'NAME'],
    options: ['machine'],
    run: async ([path = '', name = ''], values) => {
      const machine = await removeDevice(path, name, values.machine);
      console.log(`${path}: ${machine} has no ${name} any more`);
      return EXIT_FINE;
    },
  },
  verify: {
    operands: ['FILE'],
    options: ['accept', 'grant', 'json'],
    run: async ([path = ''], values) => {
      if (values.grant !== undefined && values.accept !== true) throw new UsageError('--grant goes with --accept here');
      const findings = await verifyDevices(path, values.accept === true, values.grant ?? []);
      console.log(values.json === true ? JSON.stringify(findings, null, 2) : findings.map(({ machine, device, text: found }) => `${machine}: ${device}: ${found}`).join('\n') || `${path}: no devices`);
      return findings.every(({ fine }) => fine) ? EXIT_FINE : EXIT_BROKEN;
    },
  },
  seal: {
    operands: ['FOLDER'],
    options: [],
    run: async ([folder = '']) => {
      console.log(`${folder}: digests of ${(await sealPlugin(folder)).join(', ')}`);
      return EXIT_FINE;
    },
  },
};

export const devicesCommand: Command = {
  name: 'devices',
  operands: Object.keys(ACTIONS).join('|'),
  summary: 'device plug-ins in external directories: what there is, and what the machines of a vm.json have of it',
  options: OPTIONS,
  notes: [
    listActions('devices', ACTIONS),
    'FILE is a vm.json, whose "directories" are meant; list and describe take a directory too. A plug-in is a folder with a device.json, which\n'
      + 'says all of this about it; none of its code runs until a machine with it does.',
    'add stores the whole set of properties in the machine, and what was agreed to in the lock file beside the vm.json: the digest of the\n'
      + 'plug-in and its capabilities. They are asked for on the terminal; without one --grant has to name them. verify compares.',
    'seal is for authors: it writes the digests of the files that a device.json lists into it.',
    'exit codes: 0 done, 1 list found folders that cannot be used or verify found differences, 2 misuse or a refusal.',
  ],
  examples: [
    'vm devices list vm.json',
    'vm devices describe vm.json example.crc-unit',
    'vm devices add vm.json example.crc-unit --set base=0xd0001000 --grant mmio',
    'vm devices remove vm.json crc-unit',
    'vm devices verify vm.json --accept',
  ],
  run: async (args) => {
    const { values, operands } = parseArguments(OPTIONS, args);
    const { action, operands: rest } = chooseAction(ACTIONS, operands, values);
    return action.run(rest, values);
  },
};
