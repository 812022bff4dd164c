import { expect, it } from 'vitest';
import { bench } from '@vm/testkit';
import { debugcon } from './debugcon.ts';

it.each([[undefined, 0xe9], [0x402, 0x402]])('configured with port %s takes text at %i', (port, at) => {
  const text: number[] = [];
  const t = bench(debugcon, { output: (byte) => text.push(byte), ...(port === undefined ? {} : { port }) });
  for (const char of 'Hi') t.out(at, char.charCodeAt(0));
  expect([text, t.in(at)]).toEqual([[0x48, 0x69], 0xe9]);
  t.out(at === 0xe9 ? 0x402 : 0xe9, 0x21);
  expect(text.length).toBe(2);
});
