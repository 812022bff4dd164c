import { describe, expect, it } from 'vitest';
import { orderModules } from './kernel-module.ts';

const module = (name: string, depends: string): { readonly name: string; readonly bytes: Uint8Array } => ({ name: `${name}.ko`, bytes: Buffer.from(`\x7fELF\0license=GPL\0depends=${depends}\0name=${name}\0`, 'latin1') });
const ordered = (...modules: readonly (readonly [string, string])[]): string[] => orderModules(modules.map(([name, depends]) => module(name, depends))).map(({ name }) => name);

describe('the order of kernel modules', () => {
  it('has each behind those that it depends on, whichever way dashes are written', () => {
    expect(ordered(['virtio_blk', 'virtio_ring'], ['virtio_ring', 'virtio'], ['virtio', ''])).toEqual(['virtio.ko', 'virtio_ring.ko', 'virtio_blk.ko']);
    expect(ordered(['dm-crypt', 'dm-mod'], ['dm-mod', ''])).toEqual(['dm-mod.ko', 'dm-crypt.ko']);
    expect(ordered(['a', 'virtio_rng'], ['virtio-rng', ''])).toEqual(['virtio-rng.ko', 'a.ko']);
  });

  it('takes modules that are missing, and those in a circle, as they come', () => {
    expect(ordered(['a', 'gone'])).toEqual(['a.ko']);
    expect(ordered(['b', 'a'], ['a', 'b'])).toEqual(['b.ko', 'a.ko']);
  });
});
