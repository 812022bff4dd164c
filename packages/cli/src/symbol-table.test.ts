import { expect, it } from 'vitest';
import { SymbolTable } from './symbol-table.ts';

const MAP = [
  '0000000000000000 A fixed_percpu_data',
  'ffffffff81000000 T _text',
  'ffffffff81000040 T start_secondary',
  'ffffffff81000100 t panic',
  'ffffffff81000200 r table',
  'ffffffff82000000 D _end',
  '',
].join('\n');

it('names an address by the symbol before it', () => {
  const symbols = SymbolTable.parse(MAP, 'System.map');
  expect(symbols.nameOf(0xffff_ffff_8100_0000n)).toBe('_text');
  expect(symbols.nameOf(0xffff_ffff_8100_003fn)).toBe('_text+0x3f');
  expect(symbols.nameOf(0xffff_ffff_8100_0123n)).toBe('panic+0x23');
});

it('knows what is outside', () => {
  const symbols = SymbolTable.parse(MAP, 'System.map');
  expect(symbols.nameOf(0x1234n)).toBe(null);
  expect(symbols.nameOf(0xffff_ffff_8200_0000n)).toBe(null); // the end is no part
  expect(symbols.nameOf(0xffff_ffff_8100_0204n)).toBe(null); // no code
});

it('does not reach far behind the last function', () => {
  const symbols = SymbolTable.parse('c1000000 T last\nd0000000 T end\n', 'x');
  expect([symbols.nameOf(0xc10f_ffffn), symbols.nameOf(0xc110_0000n)]).toEqual(['last+0xfffff', null]);
});

it('finds an address by name', () => {
  const symbols = SymbolTable.parse(MAP, 'System.map');
  expect(symbols.addressOf('panic')).toBe(0xffff_ffff_8100_0100n);
  expect(symbols.addressOf('nobody')).toBe(null);
});

it('reads the list of a 32-bit kernel', () => {
  expect(SymbolTable.parse('c1000000 T _stext\nc1000010 T next\n', 'x').nameOf(0xc100_0004n)).toBe('_stext+0x4');
});

it('refuses what is no such list', () => {
  expect(() => SymbolTable.parse('hello\n', 'notes')).toThrow('--system-map notes: it has no lines such as');
});

it('says where the real list is when it gets the one that Debian installs', () => {
  const text = 'ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n';
  expect(() => SymbolTable.parse(text, 'System.map')).toThrow('the real one is in the package linux-image-<version>-dbg; /proc/kallsyms of the guest does as well');
});
