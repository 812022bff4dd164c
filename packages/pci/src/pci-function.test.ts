import type { DeviceModule, Size } from '@vm/core';
import { bench } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { PciBus } from './pci-bus.ts';
import { PciFunction } from './pci-function.ts';

/** A device with a window of each kind, whose register counts stores. */
function setup() {
  const bus = new PciBus();
  const made: PciFunction[] = [];
  const slot = bus.slot(3);
  const stores: string[] = [];
  const module: DeviceModule<void, 'pio' | 'mmio' | 'lines' | 'msi'> = {
    manifest: { abi: 1, id: 'test.function', version: '0.0.0', state: 1, needs: ['pio', 'mmio', 'lines', 'msi'] },
    create: (ctx) => {
      const fn = new PciFunction(slot, ctx, {
        vendor: 0x1234, device: 0x5678, classCode: 0xff_0102, revision: 7, interruptPin: 2, msi: true, msix: { bar: 5, vectors: 3 },
        capabilities: [{ id: 9, body: [4, 0xab] }],
        bars: [
          { index: 0, space: 'ports', bytes: 32, handler: { read: (offset) => offset, write: (offset, _size, value) => stores.push(`port ${offset} ${value}`) } },
          { index: 2, space: 'memory', bytes: 8192, handler: { read: () => 0xee, write: (offset, _size, value) => stores.push(`memory ${offset} ${value}`) } },
        ],
        registers: [{ offset: 0xe0, value: 0x35, writable: 0x0f }],
      });
      made.push(fn);
      return { powerUp: () => fn.reset(), save: () => fn.save(), load: (state) => fn.load(state) };
    },
  };
  const t = bench(module, undefined);
  const at = (offset: number): number => 0x1800 | offset;
  const read = (offset: number, size: Size = 4): number => bus.readConfig(at(offset), size);
  const write = (offset: number, value: number, size: Size = 4): void => bus.writeConfig(at(offset), size, value);
  return { bus, t, stores, read, write, fn: () => made.at(-1)! };
}

describe('a function of a device', () => {
  it('shows its header, and windows by their size', () => {
    const { read, write } = setup();
    expect([read(0), read(8), read(0x0e, 1), read(0x3d, 1), read(6, 2)]).toEqual([0x5678_1234, 0xff01_0207, 0, 2, 0x10]);
    for (const offset of [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30]) write(offset, 0xffff_ffff);
    expect([0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30].map((offset) => read(offset))).toEqual([0xffff_ffe1, 0, 0xffff_e000, 0, 0, 0xffff_f000, 0]);
    write(0, 0);
    write(0x3c, 0xffff, 2);
    expect([read(0), read(0x3c, 2)]).toEqual([0x5678_1234, 0x02ff]);
  });

  it('opens and moves its windows, and leaves one closed that would lie over another', () => {
    const { t, read, write, stores } = setup();
    write(0x10, 0xc000);
    write(0x18, 0xe000_0000);
    write(0x24, 0xe000_2000);
    expect([t.in(0xc005), t.readMmio(0xe000_0000, 1)]).toEqual([0xff, 0xff]);
    write(4, 3, 2);
    expect([t.in(0xc005), t.readMmio(0xe000_0000, 1), t.readMmio(0xe000_200c)]).toEqual([5, 0xee, 1]);
    write(0x10, 0xd000);
    expect([t.in(0xc005), t.in(0xd005)]).toEqual([0xff, 5]);
    write(0x24, 0xe000_1000);
    expect([t.readMmio(0xe000_200c), t.readMmio(0xe000_100c)]).toEqual([0xffff_ffff, 0xee]);
    write(4, 0, 2);
    t.out(0xd001, 9);
    expect([t.in(0xd005), stores, read(0xe0, 1)]).toEqual([0xff, [], 0x35]);
  });

  it('keeps bits of its own registers that cannot be written', () => {
    const { read, write } = setup();
    write(0xe0, 0xffff_ffff);
    expect(read(0xe0)).toBe(0x3f);
  });

  it('drives its line, unless the guest forbids it or wants messages', () => {
    const { t, read, write, fn } = setup();
    fn().setInterrupt(true); // slot 3, INTB: PIRQ 0
    expect([t.line(16), t.line(10), t.line(17), read(6, 2) & 8]).toEqual([true, true, false, 8]);
    write(4, 0x400, 2);
    expect([t.line(16), read(6, 2) & 8]).toEqual([false, 8]);
    write(4, 0, 2);
    expect(t.line(16)).toBe(true);
    fn().setInterrupt(false);
    expect([t.line(16), read(6, 2) & 8]).toEqual([false, 0]);
  });

  it('has capabilities in a list, and sends one message for each rise with MSI', () => {
    const { t, read, write, fn } = setup();
    const ids: number[] = [];
    for (let at = read(0x34, 1); at !== 0; at = read(at + 1, 1)) ids.push(read(at, 1));
    expect(ids).toEqual([0x09, 0x05, 0x11]);
    expect([read(0x40), read(0x42, 1)]).toEqual([0xab04_4409, 4]);
    write(0x48, 0xfee0_1003);
    write(0x50, 0x41, 2);
    write(0x46, 1, 2);
    fn().setInterrupt(true);
    expect(t.messages).toEqual([]); // no bus master
    fn().setInterrupt(false);
    write(4, 4, 2);
    fn().setInterrupt(true);
    fn().setInterrupt(true);
    expect([t.messages, t.line(16)]).toEqual([[{ address: 0xfee0_1000, data: 0x41 }], false]);
  });

  it('keeps messages of masked vectors until they are unmasked', () => {
    const { t, write, read, fn } = setup();
    write(0x24, 0xe000_0000);
    write(4, 6, 2);
    const control = 0x54 + 2;
    expect(read(control, 2)).toBe(2);
    for (const vector of [0, 1, 2]) {
      t.writeMmio(0xe000_0000 + vector * 16, 0xfee0_0000);
      t.writeMmio(0xe000_0008 + vector * 16, 0x50 + vector);
    }
    t.writeMmio(0xe000_000c, 0);
    fn().notify(0);
    expect(t.messages).toEqual([]); // not enabled
    write(control, 0x8000, 2);
    fn().notify(0);
    fn().notify(1);
    fn().notify(1);
    fn().notify(77);
    expect([t.messages.length, t.readMmio(0xe000_0800, 1)]).toEqual([1, 2]);
    t.writeMmio(0xe000_001c, 0);
    expect([t.messages.map(({ data }) => data), t.readMmio(0xe000_0800, 1)]).toEqual([[0x50, 0x51], 0]);
    write(control, 0xc000, 2);
    fn().notify(0);
    write(control, 0x8000, 2);
    expect(t.messages.map(({ data }) => data)).toEqual([0x50, 0x51, 0x50]);
  });

  it('survives every access of a guest that means no good, and its saved state is the same function', () => {
    const seed = Number(process.env['VM_SEED'] ?? 7);
    console.log(`seed ${seed}`);
    let state = seed >>> 0;
    const random = (below: number): number => ((state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32) * below | 0;
    const { bus, t, fn } = setup();
    const sizes: readonly Size[] = [1, 2, 4];
    for (let i = 0; i < 20_000; i++) {
      const size = sizes[random(3)]!;
      const offset = random(256) & ~(size - 1);
      if (random(2) === 0) bus.writeConfig(0x1800 | offset, size, random(3) === 0 ? 2 ** (8 * size) - 1 : random(2 ** 31));
      const value = bus.readConfig(0x1800 | offset, size);
      expect(value).toBeLessThan(2 ** (8 * size));
      if (random(50) === 0) fn().setInterrupt(random(2) === 0);
      if (random(50) === 0) fn().notify(random(5));
    }
    const before = Array.from({ length: 64 }, (_, i) => bus.readConfig(0x1800 | (i * 4), 4));
    const line = t.line(16);
    const u = t.restore(t.save());
    expect(Array.from({ length: 64 }, (_, i) => bus.readConfig(0x1800 | (i * 4), 4))).toEqual(before);
    expect(u.line(16)).toBe(line);
    for (const hostile of [null, {}, { config: new Uint8Array(3), intx: true }, { config: new Uint8Array(256).fill(0xff), intx: true, msix: { entries: new Uint8Array(1), pending: new Uint8Array(8) } }]) {
      expect(() => t.restore(hostile)).toThrow(TypeError);
    }
    t.reset();
    expect(bus.readConfig(0x1804, 2)).toBe(0);
  });
});

describe('a bus', () => {
  it('gives each place once, and says when a slot has several functions', () => {
    const bus = new PciBus();
    expect(() => bus.slot(0)).toThrow('pci: 00:00.0 is taken');
    expect(() => bus.slot(32)).toThrow(RangeError);
    new PciFunction(bus.slot(1), {}, { vendor: 1, device: 2, classCode: 0 });
    expect(bus.readConfig(0x080e, 1)).toBe(0);
    new PciFunction(bus.slot(1, 3), {}, { vendor: 1, device: 3, classCode: 0 });
    expect([bus.readConfig(0x080e, 1), bus.readConfig(0x080c, 4), bus.readConfig(0x0b0e, 1), bus.readConfig(0x0b00, 4), bus.readConfig(0x1_0800, 4)]).toEqual([0x80, 0x80_0000, 0, 0x3_0001, 0xffff_ffff]);
  });

  it('places windows apart from each other, each at a multiple of its size', () => {
    const { bus, read } = setup();
    bus.configure({ ports: 0xc008, portsEnd: 0x1_0000, memory: 0xe000_1000, memoryEnd: 0xe000_5000 });
    expect([read(0x10), read(0x18), read(0x24), read(0x3c, 1), read(4, 2)]).toEqual([0xc021, 0xe000_2000, 0xe000_4000, 10, 3]);
  });
});
