import { expect, it } from 'vitest';
import { countApart, countTogether } from './two-machines.ts';

it('two machines in one process count together by messages', async () => {
  expect(await countTogether()).toEqual(['1357', '2468']);
});

it('and so they do in two processes', async () => {
  expect(await countApart()).toEqual(['1357', '2468']);
});
