import { expect, it } from 'vitest';
import { findNearest } from './nearest-word.ts';

const OPTIONS = ['kernel', 'initrd', 'append', 'memory', 'timeout', 'exit-on', 'stats'];

it.each([['kernal', 'kernel'], ['intird', 'initrd'], ['mem', 'memory'], ['time-out', 'timeout'], ['exit', 'exit-on'], ['stat', 'stats'], ['apend', 'append']])('takes %s for %s', (word, meant) => {
  expect(findNearest(word, OPTIONS)).toBe(meant);
});

it.each(['x', 'disk', 'network', 'smp'])('has no idea what %s may mean', (word) => {
  expect(findNearest(word, OPTIONS)).toBeNull();
});
