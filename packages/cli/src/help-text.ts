import type { Command } from './command.ts';

const LINE = 120; // columns
const MOST_LEFT = 26; // what is longer has a line to itself

/** What `vm COMMAND --help` prints. */
export function formatCommandHelp(command: Command): string {
  const options = Object.entries({ ...command.options, help: { hint: null, summary: 'this text' } }).map(([name, option]): [string, string] => {
    const value = option.hint === null ? '' : 'optional' in option && option.optional === true ? `[=${option.hint}]` : ` ${option.hint}`;
    return [`--${name}${value}${'repeated' in option && option.repeated === true ? '...' : ''}`, option.summary];
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
  const width = Math.max(...rows.map(([left]) => left.length).filter((length) => length <= MOST_LEFT)) + 2;
  return rows.flatMap(([left, right]) => {
    const [first = '', ...more] = wrap(right, LINE - 2 - width);
    const indent = ' '.repeat(width + 2);
    const rest = more.map((line) => indent + line);
    return left.length <= MOST_LEFT ? [`  ${left.padEnd(width)}${first}`, ...rest] : [`  ${left}`, indent + first, ...rest];
  });
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
