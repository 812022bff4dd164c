import type { Command } from './command.ts';

/** What `vm COMMAND --help` prints. */
export function formatCommandHelp(command: Command): string {
  const options = Object.entries({ ...command.options, help: { hint: null, summary: 'this text' } }).map(([name, option]): [string, string] => {
    const value = option.hint === null ? '' : 'optional' in option && option.optional === true ? `[=${option.hint}]` : ` ${option.hint}`;
    return [`--${name}${value}`, option.summary];
  });
  return [
    `usage: vm ${command.name}${command.operands === '' ? '' : ` ${command.operands}`}${Object.keys(command.options).length === 0 ? '' : ' [OPTION...]'}`,
    '',
    `${command.summary[0]!.toUpperCase()}${command.summary.slice(1)}.`,
    ...command.notes.flatMap((note) => ['', note]),
    '',
    'options:',
    ...formatTable(options),
    '',
    'examples:',
    ...command.examples.map((example) => `  ${example}`),
  ].join('\n');
}

/** What `vm --help` prints. */
export function formatProgramHelp(commands: readonly Command[], version: string): string {
  return [
    `vm ${version}: virtual machines built from plug-ins`,
    '',
    'usage: vm COMMAND [OPTION...]',
    '',
    'commands:',
    ...formatTable(commands.map((command): [string, string] => [`${command.name} ${command.operands}`.trim(), command.summary])),
    '',
    'Each command has its own --help. vm --version prints the version.',
    '',
    'examples:',
    '  vm start',
    ...commands.flatMap((command) => command.examples.slice(0, 1)).filter((example) => example !== 'vm start').map((example) => `  ${example}`),
  ].join('\n');
}

function formatTable(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows.map(([left, right]) => `  ${left.padEnd(width)}${right}`);
}
