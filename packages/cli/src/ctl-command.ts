import { resolve } from 'node:path';
import type { Command } from './command.ts';
import { askMachine, parseMachineName } from './control-socket.ts';
import { EXIT_FINE } from './exit-code.ts';
import { CONTROL_COMMANDS } from './machine-control.ts';
import { parseArguments } from './option-parser.ts';
import { UsageError } from './usage-error.ts';

export const ctlCommand: Command = {
  name: 'ctl',
  operands: `NAME ${CONTROL_COMMANDS.join('|')}`,
  summary: 'tell a running machine what to do',
  options: {},
  notes: [
    'NAME is what --name said when the machine was started. Its socket is NAME.sock in $XDG_RUNTIME_DIR/vm, or /tmp/vm-UID, and only its\n'
      + 'owner can use it. It takes lines of JSON, such as {"command":"snapshot","file":"/home/me/x.vms"}, and answers each with a line:\n'
      + '{"ok":true,"result":...} or {"ok":false,"error":"..."}.',
    'snapshot FILE saves the machine, which goes on. pause stops its time until resume; snapshot works in both. quit turns it off at once.',
  ],
  examples: ['vm ctl mine pause', 'vm ctl mine snapshot mine.vms', 'vm ctl mine counters'],
  run: async (args) => {
    const { operands: [name, command, ...rest] } = parseArguments({}, args);
    if (name === undefined || command === undefined) throw new UsageError('ctl needs the name of a machine and a command');
    if (!(CONTROL_COMMANDS as readonly string[]).includes(command)) throw new UsageError(`unknown command ${JSON.stringify(command)}; there are ${CONTROL_COMMANDS.join(', ')}`);
    const takesFile = command === 'snapshot';
    if (rest.length !== (takesFile ? 1 : 0) && command !== 'add' && command !== 'remove') throw new UsageError(takesFile ? 'snapshot needs one file' : `${command} takes nothing behind it`);
    const result = await askMachine(nameOf(name), { command, ...(takesFile ? { file: resolve(rest[0]!) } : {}), ...(rest[0] === undefined || takesFile ? {} : { device: rest[0] }) });
    if (result !== null) console.log(JSON.stringify(result, null, 2));
    return EXIT_FINE;
  },
};

function nameOf(given: string): string {
  try {
    return parseMachineName(given);
  } catch (error) {
    throw new UsageError(`NAME: ${(error as Error).message}`, { cause: error });
  }
}
