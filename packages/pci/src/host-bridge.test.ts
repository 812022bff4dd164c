import { bench } from '@vm/testkit';
import { expect, it } from 'vitest';
import { hostBridge } from './host-bridge.ts';
import { PciBus } from './pci-bus.ts';

const ADDRESS = 0xcf8, RESET = 0xcf9, DATA = 0xcfc;

function setup() {
  const events: string[] = [];
  const t = bench(hostBridge, { bus: new PciBus(), reset: () => events.push('reset') });
  const config = (address: number, size: 1 | 2 | 4, offset = 0): number => {
    t.out(ADDRESS, address, 4);
    return t.in(DATA + offset, size);
  };
  return { t, events, config };
}

it('is found by a guest that probes for configuration mechanism 1', () => {
  const { t } = setup();
  t.out(0xcfb, 0x01);
  t.out(ADDRESS, 0x8000_0000, 4);
  expect(t.in(ADDRESS, 4)).toBe(0x8000_0000);
});

it('shows a host bridge and nothing else', () => {
  const { config } = setup();
  expect([config(0x8000_0000, 4), config(0x8000_0000, 2, 2), config(0x8000_0008, 4), config(0x8000_0008, 1, 3)]).toEqual([0x0d57_8086, 0x0d57, 0x0600_0000, 0x06]);
  expect([config(0x8000_000c, 1, 2), config(0x8000_003c, 4), config(0x8000_00fc, 4)]).toEqual([0, 0, 0]); // one function, no interrupt pin
  const others = [0x8000_0100, 0x8000_0800, 0x8000_f800, 0x8001_0000, 0x80ff_ff00, 0x0000_0000];
  expect(others.map((address) => config(address, 4))).toEqual(Array(6).fill(0xffff_ffff));
});

it('does not take the address of a function for a reset', () => {
  const { t, events, config } = setup();
  config(0x8000_0600, 4);
  t.out(ADDRESS, 0x0600, 2);
  expect([events, t.in(RESET), t.in(ADDRESS, 4)]).toEqual([[], 0, 0x8000_0600]);
});

it('resets when the reset bit rises', () => {
  const { t, events } = setup();
  t.out(RESET, 0x02);
  expect(events).toEqual([]);
  t.out(RESET, 0x06);
  t.out(RESET, 0x06);
  expect([events, t.in(RESET)]).toEqual([['reset'], 0x06]);
});

it('comes back from its saved state', () => {
  const { t } = setup();
  t.out(ADDRESS, 0x8000_0008, 4);
  t.out(RESET, 0x02);
  const u = t.restore(t.save());
  expect([u.in(DATA, 4), u.in(RESET)]).toEqual([0x0600_0000, 0x02]);
  expect(() => t.restore({ address: '' })).toThrow(TypeError);
  expect(() => t.restore(null)).toThrow(TypeError);
});
