import { expect, it } from 'vitest';
import { buffer, eisaId, integer, name, packageOf, scope } from './aml.ts';

it('takes the shortest form of an integer', () => {
  expect([0, 1, 2, 0x100, 0x1_0000].map(integer)).toEqual([[0], [1], [10, 2], [11, 0, 1], [12, 0, 0, 1, 0]]);
  expect(() => integer(2 ** 32)).toThrow(RangeError);
});

it('counts the length bytes of a package themselves', () => {
  expect(buffer(Array(60).fill(0)).slice(0, 2)).toEqual([0x11, 0x3f]); // the last one-byte length
  expect(buffer(Array(61).fill(0)).slice(0, 3)).toEqual([0x11, 0x41, 0x04]);
  expect(buffer(Array(5000).fill(0)).slice(0, 4)).toEqual([0x11, 0x8e, 0x38, 0x01]);
});

it('fills names with underscores and joins paths', () => {
  expect(name('A', integer(0))).toEqual([0x08, 0x41, 0x5f, 0x5f, 0x5f, 0]);
  expect(scope('\\_SB.COM1').slice(2, 4)).toEqual([0x5c, 0x2e]);
  expect(scope('\\A.B.C').slice(2, 5)).toEqual([0x5c, 0x2f, 3]);
  expect(() => name('toolong', integer(0))).toThrow(RangeError);
});

it('compresses identifiers', () => {
  expect(eisaId('PNP0501')).toEqual([0x0c, 0x41, 0xd0, 0x05, 0x01]);
  expect(() => eisaId('ACPI0003')).toThrow(RangeError);
});

it('nests packages', () => {
  expect(packageOf(integer(5), packageOf())).toEqual([0x12, 0x07, 2, 0x0a, 5, 0x12, 2, 0]);
});
