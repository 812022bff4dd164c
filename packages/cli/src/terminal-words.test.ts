import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import type { TerminalStreams } from './terminal.ts';
import { sizeCommand, terminalWords } from './terminal-words.ts';

function streams(input: object, output: object): TerminalStreams {
  return { input: Object.assign(new PassThrough(), input), output: Object.assign(new PassThrough(), output), errors: new PassThrough() };
}

it('tells of a terminal and its size', () => {
  const terminal = streams({ isTTY: true }, { isTTY: true, rows: 40, columns: 132 });
  expect(terminalWords(terminal, { TERM: 'xterm-256color' })).toBe('vm.term=xterm-256color vm.rows=40 vm.cols=132');
});

it('leaves out what is not known, and what would be more than a word', () => {
  expect(terminalWords(streams({ isTTY: true }, { isTTY: true, rows: 0, columns: 0 }), {})).toBe('');
  expect(terminalWords(streams({ isTTY: true }, { isTTY: true }), { TERM: 'x init=/bad' })).toBe('');
});

it('tells of no terminal when either end is none', () => {
  expect(terminalWords(streams({}, { isTTY: true, rows: 40, columns: 132 }), { TERM: 'xterm' })).toBe('vm.term=dumb');
  expect(terminalWords(streams({ isTTY: true }, {}), { TERM: 'xterm' })).toBe('vm.term=dumb');
});

it('types the size as a command, where it is known', () => {
  expect(sizeCommand(streams({}, { rows: 40, columns: 132 }).output)).toBe('stty rows 40 cols 132\r');
  expect(sizeCommand(streams({}, { rows: 0, columns: 0 }).output)).toBe('');
  expect(sizeCommand(streams({}, {}).output)).toBe('');
});
