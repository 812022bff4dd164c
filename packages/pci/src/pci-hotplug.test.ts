import { bench } from '@vm/testkit';
import { expect, it } from 'vitest';
import { pciHotplug, type PciHotplugEnd } from './pci-hotplug.ts';

const ARRIVED = 0x620, ASKED = 0x624, EJECT = 0x628;

function setup() {
  const told: string[] = [];
  let end!: PciHotplugEnd;
  const t = bench(pciHotplug, { base: ARRIVED, raise: () => told.push('raise'), ejected: (slot) => told.push(`ejected ${slot}`), connect: (one) => (end = one) });
  return { t, told, end };
}

it('tells the guest once of what came and of what is to go, and hears what it let go of', () => {
  const { t, told, end } = setup();
  end.arrived(3);
  end.arrived(31);
  end.ask(5);
  expect([t.in(ARRIVED, 4), t.in(ARRIVED, 4)]).toEqual([0x8000_0008, 0]);
  expect([t.in(ASKED, 4), t.in(ASKED, 4), t.in(EJECT, 4)]).toEqual([0x20, 0, 0]);
  expect([end.isAsked(5), end.isAsked(3)]).toEqual([true, false]);
  t.out(EJECT, 0x8000_0020, 4);
  t.out(ARRIVED, 0xff, 4);
  expect(told).toEqual(['raise', 'raise', 'raise', 'ejected 5', 'ejected 31']);
  end.left(5);
  expect(end.isAsked(5)).toBe(false);
});

it('tells a guest that has not answered again when it is asked again, and forgets all when it begins anew', () => {
  const { t, end } = setup();
  end.ask(5);
  t.in(ASKED, 4);
  end.ask(5);
  end.arrived(6);
  t.reset();
  expect([t.in(ASKED, 4), t.in(ARRIVED, 4), end.isAsked(5)]).toEqual([0, 0, false]);
  end.ask(5);
  expect(t.in(ASKED, 4)).toBe(0x20);
});

it('does not tell of what has left before the guest looked', () => {
  const { t, end } = setup();
  end.arrived(4);
  end.ask(4);
  end.left(4);
  expect([t.in(ASKED, 4), t.in(ARRIVED, 4)]).toEqual([0, 0]);
});

it('goes on after a restore with what was not told, and with who was asked', () => {
  const { t, end } = setup();
  end.arrived(4);
  end.ask(5);
  t.in(ASKED, 4);
  end.ask(6);
  const u = t.restore(t.save());
  expect([u.in(ARRIVED, 4), u.in(ASKED, 4)]).toEqual([0x10, 0x60 & ~0x20]);
  for (const state of [null, {}, { arrived: 1, asking: 1, asked: '1' }]) expect(() => t.device.load!(state, 1)).toThrow(TypeError);
});
