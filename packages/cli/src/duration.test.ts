import { expect, it } from 'vitest';
import { formatDuration, parseDuration } from './duration.ts';

it.each([['90', 90_000], ['90s', 90_000], ['1.5m', 90_000], ['2min', 120_000], ['500ms', 500], ['1h', 3_600_000]])('reads %s', (text, milliseconds) => {
  expect(parseDuration(text)).toBe(milliseconds);
});

it.each(['', '0', '-5', '5 s', '1d', 'soon', '1e3', '999h'])('refuses %j', (text) => {
  expect(() => parseDuration(text)).toThrow(RangeError);
});

it.each([[850, '850 ms'], [12_345, '12.3 s'], [200_000, '3 min 20 s']])('writes %d', (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text);
});
