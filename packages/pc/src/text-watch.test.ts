import { expect, it } from 'vitest';
import { TextWatch } from './text-watch.ts';

/** How many bytes had come each time the text was complete. */
function ends(wanted: string, stream: string): number[] {
  const watch = new TextWatch(wanted);
  return Array.from(new TextEncoder().encode(stream)).flatMap((byte, i) => (watch.feed(byte) ? [i + 1] : []));
}

it('finds a text at its last byte', () => {
  expect(ends('login:', 'a login: b')).toEqual([8]);
  expect(ends('x', 'axbx')).toEqual([2, 4]);
});

it('finds a text that begins inside of a false start of itself', () => {
  expect(ends('aab', 'aaab')).toEqual([4]);
  expect(ends('ababac', 'abababac')).toEqual([8]);
  expect(ends('lolo', 'lololo')).toEqual([4, 6]);
});

it('agrees with indexOf on all texts of two letters', () => {
  const words = Array.from({ length: 126 }, (_, i) => (i + 2).toString(2).slice(1).replaceAll('0', 'a').replaceAll('1', 'b'));
  const stream = words.join('');
  for (const word of words) {
    const expected = [];
    for (let at = stream.indexOf(word); at >= 0; at = stream.indexOf(word, at + 1)) expected.push(at + word.length);
    expect(ends(word, stream)).toEqual(expected);
  }
});

it('does not find what is not there', () => {
  expect(ends('login:', 'login :lolologin')).toEqual([]);
});

it('counts bytes, not characters', () => {
  expect(ends('größe', 'größe')).toEqual([7]);
});

it('refuses an empty text', () => {
  expect(() => new TextWatch('')).toThrow('expected a text to look for');
});
