import { resolve } from 'node:path';
import { readJsonText } from '@vm/core/directory';
import type { Command } from './command.ts';
import { askMachine, type ControlRequest, parseMachineName } from './control-socket.ts';
import { formatKeyOrigin, type KeyOrigin, parseKeyOrigin } from './disk-descriptor.ts';
import { parseDuration } from './duration.ts';
import { EXIT_BROKEN, EXIT_FINE } from './exit-code.ts';
import { DISK_WORK } from './machine-disk-work.ts';
import { CONTROL_COMMANDS, type ControlCommand } from './machine-control.ts';
import { readNamedFile } from './host-file.ts';
import { flag, type OptionValues, parseArguments, text, value } from './option-parser.ts';
import { UsageError } from './usage-error.ts';

const OPTIONS = {
  key: value('KEY', 'with snapshot: encrypts the file; with disk: the secret; as for vm disk, but nobody is asked', parseKeyOrigin),
  'key-file': text('FILE', 'with disk: the secret, all bytes of a file; disk encrypt, decrypt and rekey'),
  'new-key-file': text('FILE', 'with disk rekey: the new secret'),
  iterations: value('N', 'with disk: rounds of pbkdf2 to make guessing dear; default: argon2id, about a second here', Number),
  force: flag('with remove: take the device away without asking the guest'),
  wait: value('TIME', 'with remove: how long the guest has to let go of it; default: 10s', (given) => (given === '0' || given === '0s' ? 0 : parseDuration(given))),
};
const DEFAULT_WAIT_MS = 10_000;

export const ctlCommand: Command = {
  name: 'ctl',
  operands: `NAME ${CONTROL_COMMANDS.join('|')}`,
  summary: 'tell a running machine what to do',
  options: OPTIONS,
  notes: [
    'NAME is what --name said when the machine was started. Its socket is NAME.sock in $XDG_RUNTIME_DIR/vm, or /tmp/vm-UID, and only its\n'
      + 'owner can use it. It takes lines of JSON, such as {"command":"snapshot","file":"/home/me/x.vms"}, and answers each with a line:\n'
      + '{"ok":true,"result":...} or {"ok":false,"error":"..."}.',
    'snapshot FILE saves the machine, which goes on. pause stops its time until resume; snapshot works in both. quit turns it off at once.',
    'add disk DISK, add rng: the device comes to the running machine, which is told of it by ACPI; DISK as for vm boot, on virtio.\n'
      + 'add FILE, of a machine of vm run: a device of its directories, as its vm.json would list it, such as\n'
      + '{"name":"second","id":"example.alarm-card"}; vm devices verify has agreed to it before. devices\n'
      + 'lists what can go, and what was asked to. remove DEVICE asks the guest to let go of it; exit code 1 when it has not in time: it\n'
      + 'stays asked, and may still. --force takes it away from a guest that does not answer, which may hang over it.',
    'engine kvm moves the machine to the host\'s KVM, engine wasm to the software engine; it stands still meanwhile. KVM has to have all\n'
      + 'of its processor, which it has for certain when the machine was started with vm boot --engine kvm or auto.',
    'disk lists the disks, and how far work on them is. disk encrypt|decrypt|rekey DISK --key-file FILE begins it: the image changes behind\n'
      + 'the guest, in at most a quarter of the time. disk stop DISK holds it; disk go DISK goes on, also when the machine was stopped or\n'
      + 'killed in between; so does vm disk encrypt without a machine.',
  ],
  examples: ['vm ctl mine pause', 'vm ctl mine snapshot mine.vms', 'vm ctl mine add disk data.img,name=data', 'vm ctl mine remove data', 'vm ctl mine counters', 'vm ctl mine disk encrypt disk0 --key-file secret.key'],
  run: async (args) => {
    const { values, operands: [name, command, ...rest] } = parseArguments(OPTIONS, args);
    if (name === undefined || command === undefined) throw new UsageError('ctl needs the name of a machine and a command');
    if (!isCommand(command)) throw new UsageError(`unknown command ${JSON.stringify(command)}; there are ${CONTROL_COMMANDS.join(', ')}`);
    for (const option of ['force', 'wait', 'key-file', 'new-key-file', 'iterations'] as const) {
      const goesWith = option === 'force' || option === 'wait' ? 'remove' : 'disk';
      if (values[option] !== undefined && command !== goesWith) throw new UsageError(`--${option} goes with ${goesWith}`);
    }
    if (values.key !== undefined && command !== 'disk' && command !== 'snapshot') throw new UsageError('--key goes with snapshot and disk');
    const result = await askMachine(nameOf(name), requestOf(command, rest, values));
    if (result !== null) console.log(JSON.stringify(result, null, 2));
    if (command !== 'remove' || (result as { readonly state?: unknown }).state === 'gone') return EXIT_FINE;
    console.error('vm: the guest has not let go of it yet; --force takes it away');
    return EXIT_BROKEN;
  },
};

function isCommand(given: string): given is ControlCommand {
  return (CONTROL_COMMANDS as readonly string[]).includes(given);
}

/** What the command needs behind it. Throws UsageError. */
function requestOf(command: ControlCommand, rest: readonly string[], { force, wait = DEFAULT_WAIT_MS, key: origin, 'key-file': file, 'new-key-file': newKey, iterations }: OptionValues<typeof OPTIONS>): ControlRequest {
  const [first, second] = rest;
  const takes = (least: number, most: number, what: string): void => {
    if (rest.length < least || rest.length > most) throw new UsageError(`${command} ${what}`);
  };
  if (origin !== undefined && file !== undefined) throw new UsageError('--key and --key-file exclude each other');
  const key: KeyOrigin | undefined = file === undefined ? origin : { kind: 'file', path: file };
  switch (command) {
    case 'snapshot':
      takes(1, 1, 'needs one file');
      return { command, file: resolve(first!), ...(origin === undefined ? {} : { key: formatKeyOrigin(origin) }) };
    case 'add':
      takes(1, 2, 'needs a device: disk DISK, rng, or a file that describes one');
      if (first !== 'disk' && first !== 'rng') return { command, device: 'plug-in', entry: entryOf(first!, second) };
      if (first === 'disk' && second === undefined) throw new UsageError('add disk needs a disk, such as data.img or file=data.vhd,readonly');
      return { command, device: first, ...(second === undefined ? {} : { spec: second }), folder: process.cwd() };
    case 'remove':
      takes(1, 1, 'needs the name of a device; vm ctl NAME devices lists them');
      return { command, device: first, force: force === true, wait };
    case 'disk':
      takes(0, 2, `needs ${DISK_WORK.join(', ')}, and the name of a disk`);
      return { command, work: first ?? 'list', ...(second === undefined ? {} : { disk: second }), ...(key === undefined ? {} : { key: formatKeyOrigin(key) }), ...(newKey === undefined ? {} : { newKey: `file:${resolve(newKey)}` }), ...(iterations === undefined ? {} : { iterations }) };
    case 'engine':
      takes(0, 1, 'takes wasm or kvm, or nothing to ask which it is');
      return { command, ...(first === undefined ? {} : { engine: first }) };
    default:
      takes(0, 0, 'takes nothing behind it');
      return { command };
  }
}

/** A device as in the list of a vm.json, in a file of its own. */
function entryOf(path: string, more: string | undefined): unknown {
  if (more !== undefined) throw new UsageError(`add takes one file, got ${JSON.stringify(more)} too`);
  if (!path.endsWith('.json')) throw new UsageError(`add: expected disk, rng, or a file such as card.json, got ${JSON.stringify(path)}`);
  const { value, problem } = readJsonText(readNamedFile('device', path));
  if (problem !== null) throw new UsageError(`${path}: ${problem.text} (rule ${problem.rule})`);
  return value;
}

function nameOf(given: string): string {
  try {
    return parseMachineName(given);
  } catch (error) {
    throw new UsageError(`NAME: ${(error as Error).message}`, { cause: error });
  }
}
