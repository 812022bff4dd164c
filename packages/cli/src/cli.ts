import { readFileSync } from 'node:fs';
import { VmError } from '@vm/core';
import type { Command } from './command.ts';
import { EXIT_BROKEN, EXIT_FINE, EXIT_USAGE } from './exit-code.ts';
import { formatCommandHelp, formatProgramHelp } from './help-text.ts';
import { findNearest } from './nearest-word.ts';
import { UsageError } from './usage-error.ts';

/** In the order of the help. Each is loaded when it is asked for, because most of what one needs the others do not. */
const COMMANDS: ReadonlyMap<string, () => Promise<Command>> = new Map([
  ['start', async () => (await import('./start-command.ts')).startCommand],
  ['boot', async () => (await import('./boot-command.ts')).bootCommand],
  ['run', async () => (await import('./run-command.ts')).runCommand],
  ['devices', async () => (await import('./devices-command.ts')).devicesCommand],
  ['guest', async () => (await import('./guest-command.ts')).guestCommand],
  ['disk', async () => (await import('./disk-command.ts')).diskCommand],
  ['snapshot', async () => (await import('./snapshot-command.ts')).snapshotCommand],
  ['ctl', async () => (await import('./ctl-command.ts')).ctlCommand],
  ['exec', async () => (await import('./exec-command.ts')).execCommand],
  ['longmode', async () => (await import('./longmode-command.ts')).longmodeCommand],
]);

/** The `vm` command. Prints what there is to print and returns the exit code. */
export async function runCli(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') return printHelp(name === undefined ? undefined : rest[0]);
  if (name === '--version' || name === '-V') {
    console.log(readVersion());
    return EXIT_FINE;
  }
  const load = COMMANDS.get(name);
  if (load === undefined) return refuse('vm', unknownCommand(name));
  const end = rest.indexOf('--');
  if ((end < 0 ? rest : rest.slice(0, end)).some((arg) => arg === '--help' || arg === '-h')) return printHelp(name);
  try {
    return await (await load()).run(rest);
  } catch (error) {
    return report(`vm ${name}`, error);
  }
}

async function printHelp(name: string | undefined): Promise<number> {
  const load = name === undefined ? null : COMMANDS.get(name);
  if (load === undefined) return refuse('vm', unknownCommand(name as string));
  console.log(load === null ? formatProgramHelp(await Promise.all(Array.from(COMMANDS.values(), (one) => one())), readVersion()) : formatCommandHelp(await load()));
  return EXIT_FINE;
}

function unknownCommand(name: string): string {
  const nearest = findNearest(name, [...COMMANDS.keys(), 'help']);
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
