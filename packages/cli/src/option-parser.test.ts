import { describe, expect, it } from 'vitest';
import { parseByteSize } from './byte-size.ts';
import { choice, flag, list, parseArguments, text, value } from './option-parser.ts';

const TABLE = {
  kernel: text('FILE', 'the kernel'),
  append: text('TEXT', 'the command line'),
  memory: value('SIZE', 'RAM', parseByteSize),
  clock: choice(['host', 'virtual'], 'the clock'),
  stats: { hint: 'json', optional: true, summary: 'statistics', parse: (given: string) => given },
  quiet: flag('no messages'),
  module: list('FILE', 'a module'),
};

it('takes values behind a space and behind an equals sign, and operands between them', () => {
  const { values, operands } = parseArguments(TABLE, ['one', '--kernel', 'bzImage', '--append=console=ttyS0 quiet', '--memory', '64M', 'two', '--quiet', '--', '--three']);
  expect(values).toEqual({ kernel: 'bzImage', append: 'console=ttyS0 quiet', memory: 2 ** 26, quiet: true });
  expect(operands).toEqual(['one', 'two', '--three']);
});

it('lets an optional value be left out', () => {
  expect(parseArguments(TABLE, ['--stats', '--quiet']).values).toEqual({ stats: '', quiet: true });
  expect(parseArguments(TABLE, ['--stats=json']).values).toEqual({ stats: 'json' });
});

it('takes a value that begins with one dash, and with two behind an equals sign', () => {
  expect(parseArguments(TABLE, ['--append', '-x']).values).toEqual({ append: '-x' });
  expect(parseArguments(TABLE, ['--append=--x']).values).toEqual({ append: '--x' });
});

it('gathers the values of an option that may be given more than once', () => {
  expect(parseArguments(TABLE, ['--module', 'a b', '--module=c', '--module', 'a b']).values).toEqual({ module: ['a b', 'c', 'a b'] });
});

it('puts help before everything', () => {
  expect(parseArguments(TABLE, ['--nonsense', '-h']).help).toBe(true);
  expect(parseArguments(TABLE, ['--', '--help'])).toMatchObject({ help: false, operands: ['--help'] });
});

describe('in one line, refuses', () => {
  it.each([
    [['--kernal', 'x'], 'unknown option --kernal; did you mean --kernel?'],
    [['--kernal=x'], 'unknown option --kernal; did you mean --kernel?'],
    [['-kernel', 'x'], 'unknown option -kernel; did you mean --kernel?'],
    [['--smp', '2'], 'unknown option --smp'],
    [['--toString'], 'unknown option --toString'],
    [['--kernel'], '--kernel needs a value: --kernel FILE'],
    [['--kernel', '--quiet'], '--kernel needs a value: --kernel FILE (if --quiet is meant to be it, write --kernel=--quiet)'],
    [['--quiet=yes'], '--quiet takes no value, got "yes"'],
    [['--quiet', '--quiet'], '--quiet is given twice'],
    [['--memory', 'lots'], '--memory: expected a size such as 512M or 2G, got "lots"'],
    [['--clock', 'sun'], '--clock: expected host or virtual, got "sun"'],
  ])('%j', (args, message) => {
    expect(() => parseArguments(TABLE, args)).toThrow(expect.objectContaining({ name: 'UsageError', message }));
  });
});
