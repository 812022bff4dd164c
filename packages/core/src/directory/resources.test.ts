import { describe, expect, it } from 'vitest';
import type { DeviceDescription } from './description.ts';
import { chooseProperties } from './properties.ts';
import { claimsOf, findConflicts, findImpossible, formatConflict } from './resources.ts';

const UART = {
  id: 'example.uart',
  properties: { base: { type: 'integer', text: 'first port', min: 0, max: 0xffff, default: 0x3f8 }, pin: { type: 'integer', text: 'pin', min: 0, max: 15, default: 4 }, loud: { type: 'boolean', text: 'is it?' } },
  resources: { ports: [{ name: 'registers', base: { property: 'base' }, bytes: 8 }], lines: [{ pin: { property: 'pin' }, shared: true }] },
} as unknown as DeviceDescription;
const claims = (device: string, properties: Readonly<Record<string, unknown>>): ReturnType<typeof claimsOf> => claimsOf(device, UART, chooseProperties(UART, { loud: true, ...properties }).values);

describe('chooseProperties', () => {
  it('completes what was chosen with defaults', () => {
    expect(chooseProperties(UART, { base: 0x2f8, loud: false })).toEqual({ values: { base: 0x2f8, pin: 4, loud: false }, problems: [] });
  });

  it('refuses unknown properties, wrong values and missing ones, by name', () => {
    const { problems } = chooseProperties(UART, { base: '0x3f8', pin: 16, colour: 'red' });
    expect(problems.map(({ path, rule }) => [path, rule])).toEqual([['/colour', 'property'], ['/base', 'range'], ['/pin', 'range'], ['/loud', 'required']]);
    expect(problems[2]!.text).toBe('expected 0 to 15, got 16');
    expect(chooseProperties(UART, { loud: true, toString: 1 }).problems).toMatchObject([{ path: '/toString', rule: 'property' }]);
  });
});

describe('findConflicts', () => {
  it('names both devices and the range they share', () => {
    const found = findConflicts([...claims('com1', {}), ...claims('com2', { base: 0x3fc, pin: 3 })]);
    expect(found.map(formatConflict)).toEqual(['com2 and com1 both take ports 0x3fc to 0x3ff']);
  });

  it('pins may be shared by those who all share them', () => {
    expect(findConflicts([...claims('com1', {}), ...claims('com2', { base: 0x2f8 })])).toEqual([]);
    const board = { device: 'rtc', kind: 'line', name: 'line', base: 4, bytes: 1 } as const;
    expect(findConflicts([board, ...claims('com1', {})]).map(formatConflict)).toEqual(['com1 and rtc both take pin 4']);
  });

  it('ports and memory with the same numbers do not exclude each other', () => {
    expect(findConflicts([{ device: 'a', kind: 'ports', name: 'x', base: 0, bytes: 8 }, { device: 'b', kind: 'memory', name: 'x', base: 0, bytes: 8 }])).toEqual([]);
  });

  it('finds ranges that no machine has', () => {
    expect(findImpossible(claims('com1', { base: 0xfff9 }))).toMatchObject({ base: 0xfff9 });
    expect(findImpossible(claims('com1', { base: 0xfff8 }))).toBe(null);
  });
});
