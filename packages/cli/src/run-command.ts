import { readPluginFiles } from '@vm/core/directory';
import { runBootSession } from './boot-session.ts';
import type { Command } from './command.ts';
import { readLock } from './device-lock.ts';
import { withEngine } from './engine-choice.ts';
import { EXIT_FINE } from './exit-code.ts';
import { LaterDevices, NO_CHANGES, type PlugInChanges } from './later-devices.ts';
import { checkConflicts, checkLocked, loadDevices, planDevices, scanFor } from './machine-devices.ts';
import { withMachineDisks } from './machine-disks.ts';
import { type MachineSettings, machineOf, readManifest } from './machine-manifest.ts';
import { partsOf, readMachine } from './manifest-board.ts';
import { parseKeyOrigin } from './disk-descriptor.ts';
import { flag, parseArguments, text, value } from './option-parser.ts';
import { readRestored } from './restored-machine.ts';
import { SESSION_EXIT_CODES, SESSION_OPTIONS, sessionOf } from './session-options.ts';
import { PAGE_CODEC } from './snapshot-file.ts';
import { processStreams } from './terminal.ts';
import { UsageError } from './usage-error.ts';

const OPTIONS = {
  check: flag('look at everything that can be looked at, run nothing, and say what is wrong'),
  restore: text('FILE', 'go on with a saved machine, which had the settings and devices of this one'),
  'restore-key': value('KEY', 'with --restore: opens an encrypted one; as for vm disk; default: the terminal is asked', parseKeyOrigin),
  fork: flag('with --restore: another machine than the saved one, with random numbers and an identity of its own'),
  ...SESSION_OPTIONS,
};

export const runCommand: Command = {
  name: 'run',
  operands: 'FILE [MACHINE]',
  summary: 'run a machine of a vm.json: engine, RAM, what is booted, disks and devices from external directories',
  options: OPTIONS,
  notes: [
    'The first machine of the file is meant where none is named. A small one:\n'
      + '  { "abi": 1, "directories": ["devices"],\n'
      + '    "machines": { "main": { "ram": "512M", "boot": { "kernel": "vmlinuz", "initrd": "initrd.gz" } } } }\n'
      + 'The schema vm.schema.json of @vm/cli has all members, with what they mean.',
    'Devices are added with vm devices add. Those that have changed since, or need more than was agreed to, are refused until\n'
      + 'vm devices verify FILE --accept. Two devices that want the same ports, memory or pins are named before any is made.',
    SESSION_EXIT_CODES,
  ],
  examples: ['vm run vm.json', 'vm run vm.json server --restore server.saved', 'vm run vm.json server --timeout 60s --exit-on "login:"', 'vm run vm.json --check'],
  run: async (args) => {
    const { values, operands: [path, machine, ...more] } = parseArguments(OPTIONS, args);
    if (path === undefined) throw new UsageError('run needs a file such as vm.json');
    if (more.length > 0) throw new UsageError(`run takes a file and a machine, got ${JSON.stringify(more[0])} too`);
    if (values.fork === true && values.restore === undefined) throw new UsageError('--fork goes with --restore');
    const session = sessionOf(values);
    const file = await readManifest(path);
    const { name, settings: written } = machineOf(file, machine);
    const restored = values.restore === undefined ? null : await readRestored(values.restore, values['restore-key']);
    const changes = restored?.origin.plugIns ?? NO_CHANGES;
    const settings = changed(written, changes);
    const lock = readLock(file);
    const planned = planDevices(file, name, settings, await scanFor(file), lock);
    checkLocked(file, planned, lock);
    checkConflicts(file, name, planned, partsOf(file, settings));
    const { board, disks: described, bare } = await readMachine(file, name, settings);
    const disks = restored?.origin.plugIns === undefined ? described : restored.origin.disks;
    if (values.check === true) {
      for (const { plugin } of planned) await readPluginFiles(plugin);
      console.log(`${path}: ${name} can run${planned.length === 0 ? '' : `, with ${planned.map((one) => one.name).join(', ')}`}`);
      return EXIT_FINE;
    }
    const devices = await loadDevices(planned);
    const lacks = restored?.origin.cpuWithout;
    const chosen = withEngine({ ...board, ...(lacks === undefined ? {} : { cpuWithout: lacks }), ...(restored === null ? {} : { restore: { bytes: restored.bytes } }) }, settings.engine?.id, session.traceHot);
    const { memoryBytes, cpus = 1, apic, enlighten, eoi, clock, cpuModel = null, cpuWithout, hpet = false, console: terminal = 'serial' } = chosen;
    const rng = restored?.origin.plugIns === undefined ? board.rng === true : restored.origin.rng;
    const plugIns = new LaterDevices(file, name, partsOf(file, settings), planned, changes);
    const origin = { memoryBytes, cpus, ...(apic === undefined ? {} : { apic }), ...(enlighten === undefined ? {} : { enlighten }), ...(eoi === undefined ? {} : { eoi }), clock, cpuModel, ...(cpuWithout === undefined ? {} : { cpuWithout }), disks, rng, hpet, console: terminal, multiboot: bare !== undefined };
    const blocks = planned.flatMap((one) => one.blocks);
    return withMachineDisks([...disks, ...blocks.map(({ disk }) => disk)], (opened) => runBootSession(
      {
        ...chosen,
        ...session,
        rng,
        origin,
        plugIns,
        pciSlots: changes.slots,
        ...(restored === null ? {} : { restore: { bytes: restored.bytes, codec: PAGE_CODEC, fork: values.fork === true } }),
        ...(restored === null || values.fork === true ? {} : { instance: restored.origin.instance }),
        ...(devices.length === 0 ? {} : { devices }),
        ...(disks.length === 0 ? {} : { disks: opened.slice(0, disks.length) }),
        blocks: Object.fromEntries(blocks.map(({ name: block }, i) => [block, opened[disks.length + i]!.disk])),
        ...(values['no-reboot'] === true ? { onReset: 'end' } : {}),
        ...(bare === undefined ? {} : { bare }),
      },
      processStreams(),
    ));
  },
};

/** With the devices that came and without those that went before it was saved. */
function changed(settings: MachineSettings, { added, removed }: PlugInChanges): MachineSettings {
  return { ...settings, devices: [...(settings.devices ?? []).filter(({ name }) => !removed.includes(name)), ...added] };
}
