import type { Device, DeviceContext, IoHandler, Plain, Size } from '@vm/core';
import { PciBus } from '@vm/pci';
import { describe, expect, it } from 'vitest';
import { beginDriver, packedDriver, PlainMemory, RING, splitDriver } from './small-driver.ts';
import { virtioRng, type VirtioRngConfig } from './virtio-rng.ts';

const DATA = 0x9000;

function setup(source: VirtioRngConfig['source'], packed = false, memory = new PlainMemory(0x2_0000)) {
  const bus = new PciBus();
  const handlers = new Map<string, IoHandler>();
  const ctx = {
    name: 'rng', signal: new AbortController().signal, log: () => {}, dma: memory, msi: { send: () => {} },
    mmio: { claim: (name: string, bytes: number, handler: IoHandler) => (handlers.set(name, handler), { base: -1, bytes, map: () => {}, unmap: () => {} }) },
    lines: { connect: () => ({ set: () => {} }) },
  } as unknown as DeviceContext<'mmio' | 'lines' | 'msi' | 'dma'>;
  const device: Device = virtioRng.create(ctx, { slot: bus.slot(4), source, packed });
  void device.powerUp?.('cold');
  const write = (offset: number, size: Size, value: number): void => handlers.get('bar4')!.write(offset, size, value);
  const begin = (): void => {
    bus.writeConfig(0x2004, 2, 6);
    beginDriver(write, 0x3000_0000, packed, [RING]);
  };
  const driver = (packed ? packedDriver : splitDriver)(memory, 16);
  const ask = (bytes: number): Uint8Array => {
    driver.offer([{ gpa: DATA, bytes, write: true }]);
    write(0x3000, 2, 0);
    return Uint8Array.from({ length: bytes }, (_, i) => memory.read(DATA + i, 1));
  };
  return { device, begin, ask, memory };
}

describe('virtioRng', () => {
  it.each([false, true])('fills what the driver offers from the host, packed rings: %s', (packed) => {
    let next = 0;
    const t = setup({ fill: (into) => into.forEach((_, i) => (into[i] = ++next)) }, packed);
    t.begin();
    expect([...t.ask(5)]).toEqual([1, 2, 3, 4, 5]);
    expect([...t.ask(3)]).toEqual([6, 7, 8]);
  });

  it('gives the same bytes for the same seed, other ones for another, and goes on after a restore where it was', () => {
    const bytes = (seed: number): Uint8Array => {
      const t = setup({ seed });
      t.begin();
      return t.ask(64);
    };
    expect(bytes(7)).toEqual(bytes(7));
    expect(bytes(7)).not.toEqual(bytes(8));
    expect(new Set(bytes(7)).size).toBeGreaterThan(40);
    const first = setup({ seed: 7 });
    first.begin();
    first.ask(10);
    const state = first.device.save!();
    const second = setup({ seed: 99 });
    void second.device.powerUp!('restore');
    second.device.load!(state, 1);
    expect(second.device.save!()).toEqual(state);
  });

  it('refuses a state that it did not write', () => {
    const t = setup({ seed: 1 });
    const good = t.device.save!() as Readonly<Record<string, Plain>>;
    for (const generator of [null, [1, 2, 3], [0, 0, 0, 0], [1, 2, 3, -1], [1, 2, 3, 2 ** 32], 'x']) expect(() => t.device.load!({ ...good, generator }, 1)).toThrow(TypeError);
    for (const state of [null, {}, { transport: 1 }]) expect(() => t.device.load!(state, 1)).toThrow();
  });
});
