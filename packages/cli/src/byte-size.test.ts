import { expect, it } from 'vitest';
import { formatByteSize, parseByteSize } from './byte-size.ts';

it.each([['512M', 2 ** 29], ['1g', 2 ** 30], ['65536', 65_536], ['3GiB', 3 * 2 ** 30], ['1.5G', 1.5 * 2 ** 30], ['64kb', 65_536]])('reads %s', (text, bytes) => {
  expect(parseByteSize(text)).toBe(bytes);
});

it.each(['', '0', '-1M', '12 M', '1T', 'M', '0.3', '0x10'])('refuses %j', (text) => {
  expect(() => parseByteSize(text)).toThrow(RangeError);
});

it.each([[12, '12 bytes'], [1500, '1.5 KiB'], [14_186_432, '13.5 MiB'], [2 ** 29, '512 MiB']])('writes %d', (bytes, text) => {
  expect(formatByteSize(bytes)).toBe(text);
});
