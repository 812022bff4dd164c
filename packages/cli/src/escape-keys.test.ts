import { expect, it } from 'vitest';
import { EscapeKeys } from './escape-keys.ts';

function feed(...chunks: string[]): string[] {
  const events: string[] = [];
  const keys = new EscapeKeys({ type: (bytes) => events.push(new TextDecoder().decode(bytes)), command: (command) => events.push(`<${command}>`) });
  for (const chunk of chunks) keys.feed(new TextEncoder().encode(chunk));
  return events;
}

it('passes on what is typed', () => {
  expect(feed('ls\r', '', '\x03')).toEqual(['ls\r', '\x03']);
});

it('finds commands in the middle and at both ends of what is typed', () => {
  expect(feed('ab\x01scd')).toEqual(['ab', '<statistics>', 'cd']);
  expect(feed('\x01h', 'x')).toEqual(['<help>', 'x']);
  expect(feed('\x01x\x01p\x01r\x01w')).toEqual(['<quit>', '<power-button>', '<reset>', '<window-size>']);
});

it('waits for the second key', () => {
  expect(feed('a\x01', 'x', 'b')).toEqual(['a', '<quit>', 'b']);
});

it('sends one Ctrl-A for two, also apart', () => {
  expect(feed('a\x01\x01b')).toEqual(['a', '\x01b']);
  expect(feed('\x01', '\x01')).toEqual(['\x01']);
  expect(feed('\x01\x01\x01\x01x')).toEqual(['\x01', '\x01x']);
  expect(feed('\x01\x01', '\x01x')).toEqual(['\x01', '<quit>']);
});

it('does nothing for other keys, and takes capitals as small letters', () => {
  expect(feed('\x01zq', '\x01X')).toEqual(['q', '<quit>']);
});
