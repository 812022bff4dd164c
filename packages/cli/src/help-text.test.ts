import { describe, expect, it } from 'vitest';
import { bootCommand } from './boot-command.ts';
import { execCommand } from './exec-command.ts';
import { guestCommand } from './guest-command.ts';
import { formatCommandHelp, formatProgramHelp } from './help-text.ts';
import { longmodeCommand } from './longmode-command.ts';
import { flag, parseArguments, text } from './option-parser.ts';
import { startCommand } from './start-command.ts';

const COMMANDS = [startCommand, bootCommand, guestCommand, execCommand, longmodeCommand];
const MOST_COLUMNS = 150; // of examples, which are lines to be copied

it('puts options in a column, wraps what is said of them, and gives long ones a line to themselves', () => {
  const options = { short: flag('one two'), long: text('A-VALUE-WITH-A-LONG-NAME', 'what it is for'), much: text('N', 'word '.repeat(24).trim()) };
  const help = formatCommandHelp({ name: 'do', operands: 'X', summary: 'does it', options, notes: ['Note.'], examples: ['vm do x'], run: async () => 0 });
  expect(help.split('\n')).toEqual([
    'usage: vm do X [OPTION...]', '', 'Does it.', '', 'Note.', '', 'options:',
    '  --short   one two',
    '  --long A-VALUE-WITH-A-LONG-NAME',
    '            what it is for',
    `  --much N  ${'word '.repeat(20)}word`,
    '            word word word',
    '  --help    this text', '', 'examples:', '  vm do x',
  ]);
});

describe.each(COMMANDS.map((command) => [command.name, command] as const))('the help of vm %s', (_name, command) => {
  it('names every option and fits a window', () => {
    const lines = formatCommandHelp(command).split('\n');
    for (const name of Object.keys(command.options)) expect(lines.some((line) => line.startsWith(`  --${name}`))).toBe(true);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(line.includes('vm ') || line.includes('{') ? MOST_COLUMNS : 135);
  });

  it.each(command.examples)('has an example that is one: %s', (example) => {
    const line = example.replace(/^.* \| /, '').replace(/^(\w+=\S+ )*/, '');
    const [program, name, ...args] = Array.from(line.matchAll(/"([^"]*)"|(\S+)/g), ([, quoted, plain]) => quoted ?? plain!);
    expect([program, name]).toEqual(['vm', command.name]);
    expect(parseArguments(command.options, args).help).toBe(false);
  });
});

it('shows a line a command, and first examples', () => {
  const help = formatProgramHelp(COMMANDS, '1.2.3');
  for (const { name, examples } of COMMANDS) {
    expect(help).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
    expect(help).toContain(`  ${examples[0]!}`);
  }
});
