import { expect, it } from 'vitest';
import { TextWatch } from './text-watch.ts';

function feed(wanted: string, ...chunks: string[]): boolean[] {
  const watch = new TextWatch(wanted);
  return chunks.map((chunk) => watch.feed(new TextEncoder().encode(chunk)));
}

it('finds a text whole, cut in two and cut into letters', () => {
  expect(feed('login:', 'a login: b')).toEqual([true]);
  expect(feed('login:', 'log', 'in: ')).toEqual([false, true]);
  expect(feed('abc', 'a', 'b', 'c', 'd')).toEqual([false, false, true, false]);
});

it('does not find what is not there', () => {
  expect(feed('login:', 'logi', 'n', ' :', 'lolologin')).toEqual([false, false, false, false]);
});

it('counts bytes, not characters', () => {
  expect(feed('größe', 'gr', 'öße')).toEqual([false, true]);
});
