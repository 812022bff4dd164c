import { readFileSync } from 'node:fs';
import { VmError } from '@vm/core';
import { bootCommand } from './boot-command.ts';
import type { Command } from './command.ts';
import { ctlCommand } from './ctl-command.ts';
import { devicesCommand } from './devices-command.ts';
import { diskCommand } from './disk-command.ts';
import { execCommand } from './exec-command.ts';
import { EXIT_BROKEN, EXIT_FINE, EXIT_USAGE } from './exit-code.ts';
import { guestCommand } from './guest-command.ts';
import { formatCommandHelp, formatProgramHelp } from './help-text.ts';
import { longmodeCommand } from './longmode-command.ts';
import { findNearest } from './nearest-word.ts';
import { runCommand } from './run-command.ts';
import { startCommand } from './start-command.ts';
import { snapshotCommand } from './snapshot-command.ts';
import { UsageError } from './usage-error.ts';

const COMMANDS: readonly Command[] = [startCommand, bootCommand, runCommand, devicesCommand, guestCommand, diskCommand, snapshotCommand, ctlCommand, execCommand, longmodeCommand];

/** The `vm` command. Prints what there is to print and returns the exit code. */
export async function runCli(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') return printHelp(name === undefined ? undefined : rest[0]);
  if (name === '--version' || name === '-V') {
    console.log(readVersion());
    return EXIT_FINE;
  }
  const command = COMMANDS.find((one) => one.name === name);
  if (command === undefined) return refuse('vm', unknownCommand(name));
  const end = rest.indexOf('--');
  if ((end < 0 ? rest : rest.slice(0, end)).some((arg) => arg === '--help' || arg === '-h')) return printHelp(name);
  try {
    return await command.run(rest);
  } catch (error) {
    return report(`vm ${name}`, error);
  }
}

function printHelp(name: string | undefined): number {
  const command = COMMANDS.find((one) => one.name === name);
  if (name !== undefined && command === undefined) return refuse('vm', unknownCommand(name));
  console.log(command === undefined ? formatProgramHelp(COMMANDS, readVersion()) : formatCommandHelp(command));
  return EXIT_FINE;
}

function unknownCommand(name: string): string {
  const nearest = findNearest(name, [...COMMANDS.map((command) => command.name), 'help']);
  const kind = name.startsWith('-') ? 'option' : 'command';
  return `unknown ${kind} ${name}; ${nearest === null ? 'vm --help lists the commands' : `did you mean ${nearest}?`}`;
}

function refuse(who: string, text: string): number {
  console.error(`${who}: ${text}`);
  return EXIT_USAGE;
}

/** One line for what the user can mend, a stack for what only we can. */
function report(who: string, error: unknown): number {
  const errors: readonly unknown[] = error instanceof AggregateError ? error.errors : [error];
  if (errors.every((one) => one instanceof UsageError || VmError.is(one))) {
    for (const one of errors) refuse(who, (one as Error).message);
    return errors.every((one) => one instanceof UsageError || (VmError.is(one) && one.code !== 'E_GUEST' && one.code !== 'E_DEVICE')) ? EXIT_USAGE : EXIT_BROKEN;
  }
  console.error(`${who}: this is a fault of vm itself: ${error instanceof Error ? error.stack : String(error)}`);
  return EXIT_BROKEN;
}

function readVersion(): string {
  return (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { readonly version: string }).version;
}
