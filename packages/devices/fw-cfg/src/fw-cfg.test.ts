import { bench } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { fwCfg } from './fw-cfg.ts';

const MEMORY = Uint8Array.of(0, 0, 0, 8, 0, 0, 0, 0);

function make() {
  const t = bench(fwCfg, { items: { 3: MEMORY, 5: Uint8Array.of(1, 0) }, files: { 'etc/one': Uint8Array.of(1, 2, 3), 'etc/two': Uint8Array.of(9) } });
  const read = (selector: number, bytes: number): number[] => {
    t.out(0x510, selector, 2);
    return Array.from({ length: bytes }, () => t.in(0x511));
  };
  return { t, read };
}

describe('fw-cfg', () => {
  it('has its signature, its features and the items it was given', () => {
    const { read } = make();
    expect([String.fromCharCode(...read(0, 4)), read(1, 4), read(3, 8), read(5, 2)]).toEqual(['QEMU', [1, 0, 0, 0], [...MEMORY], [1, 0]]);
  });

  it('reads as zeros where there is no item, and behind one', () => {
    const { read } = make();
    expect([read(0x11, 8), read(5, 4), read(0xffff, 2)]).toEqual([Array(8).fill(0), [1, 0, 0, 0], [0, 0]]);
  });

  it('lists files in its directory, in big-endian order', () => {
    const { read } = make();
    const bytes = read(0x19, 4 + 2 * 64);
    const entry = (i: number) => bytes.slice(4 + i * 64, 4 + (i + 1) * 64);
    const name = (i: number) => String.fromCharCode(...entry(i).slice(8).filter((byte) => byte !== 0));
    expect([bytes.slice(0, 4), entry(0).slice(0, 8), name(0), entry(1).slice(0, 8), name(1)]).toEqual([[0, 0, 0, 2], [0, 0, 0, 3, 0, 0x20, 0, 0], 'etc/one', [0, 0, 0, 1, 0, 0x21, 0, 0], 'etc/two']);
    expect([read(0x20, 3), read(0x21, 1)]).toEqual([[1, 2, 3], [9]]);
  });

  it('goes on where it was after a restore, and begins anew after a reset', () => {
    const { t, read } = make();
    read(0x20, 1);
    expect([t.restore(t.save()).in(0x511), t.in(0x511)]).toEqual([2, 2]);
    t.out(0x511, 0xff); // data cannot be written
    expect(t.in(0x511)).toBe(3);
    t.reset();
    expect(t.in(0x511)).toBe(0x51);
    for (const bad of [null, 'x', { selector: 1 }]) expect(() => t.restore(bad)).toThrow(TypeError);
    expect(t.restore({ selector: 0x20, offset: 1e30 }).in(0x511)).toBe(0);
  });

  it('refuses names that do not fit the directory', () => {
    for (const name of ['', 'x'.repeat(56), 'é']) expect(() => bench(fwCfg, { files: { [name]: MEMORY } })).toThrow(RangeError);
  });
});
