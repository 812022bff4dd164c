import { bench } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { ioApic, pic8259 } from './device.ts';

describe('the 8259 pair as a device', () => {
  function setup() {
    const t = bench(pic8259, { levelLines: 1 << 9 });
    for (const [port, value] of [[0x20, 0x11], [0x21, 0x20], [0x21, 4], [0x21, 1], [0xa0, 0x11], [0xa1, 0x28], [0xa1, 2], [0xa1, 1]] as const) t.out(port, value);
    return t;
  }

  it('takes lines and drives the output', () => {
    const t = setup();
    expect([t.in(0x4d0), t.in(0x4d1)]).toEqual([0, 2]);
    t.drive(4, true);
    expect(t.intr()).toBe(true);
    t.out(0x21, 0x10);
    expect(t.intr()).toBe(false);
    t.out(0x4d0, 0xff);
    expect(t.in(0x4d0)).toBe(0xf8);
  });

  it('comes back from its saved state and refuses others', () => {
    const t = setup();
    t.drive(9, true);
    const saved = t.save();
    const u = t.restore(saved);
    expect([u.intr(), u.save()]).toEqual([true, saved]);
    expect(() => t.restore(null)).toThrow(TypeError);
    expect(() => t.restore({ master: {}, slave: {} })).toThrow(/lines expected a number/);
  });
});

describe('the I/O APIC as a device', () => {
  function setup() {
    const sent: number[] = [];
    const bus = { send: (_destination: number, command: number) => sent.push(command), listen: () => {} };
    const t = bench(ioApic, { bus });
    const w = (register: number, value: number): void => {
      t.writeMmio(0xfec0_0000, register);
      t.writeMmio(0xfec0_0010, value);
    };
    return { t, sent, w };
  }

  it('hears machine pin 0 at input 2, and pin 2 nowhere', () => {
    const { t, sent, w } = setup();
    w(0x10, 0x30);
    w(0x14, 0x32);
    w(0x18, 0x34);
    t.drive(2, true);
    expect(sent).toEqual([]);
    t.drive(0, true);
    t.drive(4, true);
    expect(sent).toEqual([0x4032, 0x4034]);
  });

  it('takes its index as a byte too, and other registers as double words only (IRQ-51)', () => {
    const { t, w } = setup();
    w(0x22, 0x1_0039);
    t.writeMmio(0xfec0_0000, 0x01, 1);
    expect([t.readMmio(0xfec0_0010), t.readMmio(0xfec0_0000, 1)]).toEqual([0x17_0011, 1]);
    t.writeMmio(0xfec0_0000, 0x22, 2);
    t.writeMmio(0xfec0_0010, 0x55, 1);
    expect([t.readMmio(0xfec0_0010), t.readMmio(0xfec0_0010, 1), t.readMmio(0xfec0_0004)]).toEqual([0x1_0039, 0, 0]);
  });

  it('comes back from its saved state and refuses others', () => {
    const { t, w } = setup();
    w(0x22, 0x8039);
    t.drive(9, true);
    const saved = t.save();
    const u = t.restore(saved);
    expect(u.save()).toEqual(saved);
    u.writeMmio(0xfec0_0000, 0x22);
    expect(u.readMmio(0xfec0_0010)).toBe(0xc039);
    expect(() => t.restore({ id: 0, select: 0, low: ['x'], high: [], lines: [] })).toThrow(TypeError);
  });
});
