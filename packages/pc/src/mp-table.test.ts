import { expect, it } from 'vitest';
import { MP_TABLE } from './memory-map.ts';
import { buildMpTable } from './mp-table.ts';

const LENGTHS = [20, 8, 8, 8, 8];

function setup(processors: number) {
  const { pointer, table } = buildMpTable({ processors, localApic: 0xfee0_0000, ioApic: 0xfec0_0000, sciPin: 9, wireOf: (slot, pin) => 16 + ((slot + pin) & 3) }, MP_TABLE);
  const view = new DataView(table.buffer);
  const entries: Uint8Array[] = [];
  for (let at = 44; at < table.length; at += LENGTHS[table[at]!]!) entries.push(table.subarray(at, at + LENGTHS[table[at]!]!));
  return { pointer, table, view, entries };
}
const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
const text = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

it('is found by a pointer with the sum 0, and has that sum itself', () => {
  const { pointer, table, view } = setup(3);
  expect([text(pointer.subarray(0, 4)), new DataView(pointer.buffer).getUint32(4, true), pointer[8], pointer[9], sum(pointer)]).toEqual(['_MP_', MP_TABLE, 1, 4, 0]);
  expect([text(table.subarray(0, 4)), view.getUint16(4, true), table[6], sum(table), view.getUint32(36, true)]).toEqual(['PCMP', table.length, 4, 0, 0xfee0_0000]);
});

it('has as many entries as it says, sorted by their kind', () => {
  const { entries, view } = setup(3);
  expect(entries.length).toBe(view.getUint16(34, true));
  const kinds = entries.map((entry) => entry[0]!);
  expect(kinds).toEqual(kinds.toSorted((a, b) => a - b));
  expect(kinds.filter((kind) => kind === 0).length).toBe(3);
});

it('has 64 processors, the first of which boots', () => {
  const processors = setup(64).entries.filter(([kind]) => kind === 0);
  expect(processors.map((entry) => entry[1])).toEqual(Array.from({ length: 64 }, (_, id) => id));
  expect(processors.map((entry) => entry[3])).toEqual([3, ...Array.from({ length: 63 }, () => 1)]);
});

it('tells where the lines of ISA and PCI arrive at the I/O APIC', () => {
  const wires = setup(1).entries.filter(([kind]) => kind === 3);
  const isa = wires.filter((entry) => entry[4] === 1).map((entry) => [entry[5], entry[7], entry[2]]);
  expect(isa).toEqual([0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].map((line) => [line, line === 0 ? 2 : line, line === 9 ? 0xd : 0]));
  const pci = wires.filter((entry) => entry[4] === 0);
  expect(pci.length).toBe(128);
  expect(pci.find((entry) => entry[5] === ((5 << 2) | 2))![7]).toBe(16 + ((5 + 2) & 3));
});

it('tells of the 8259 pair at LINT0 and of NMI at LINT1', () => {
  expect(setup(1).entries.filter(([kind]) => kind === 4).map((entry) => [entry[1], entry[6], entry[7]])).toEqual([[3, 0xff, 0], [1, 0xff, 1]]);
});
