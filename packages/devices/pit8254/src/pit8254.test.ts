import { describe, expect, it } from 'vitest';
import { bench } from '@vm/testkit';
import { PIT_HZ, pit8254 } from './pit8254.ts';

function setup() {
  const t = bench(pit8254, {});
  /** Moves to the start of the n-th tick from machine time 0. */
  const toTick = (tick: number): void => t.advance(Math.ceil((tick * 1e9) / PIT_HZ) + 1 - t.now());
  const program = (counter: number, mode: number, count: number, bcd = 0): void => {
    t.out(0x43, (counter << 6) | 0x30 | (mode << 1) | bcd);
    t.out(0x40 + counter, count & 0xff);
    t.out(0x40 + counter, count >>> 8);
  };
  const count = (counter: number): number => t.in(0x40 + counter) | (t.in(0x40 + counter) << 8);
  const status = (counter: number): number => {
    t.out(0x43, 0xe0 | (2 << counter));
    return t.in(0x40 + counter);
  };
  return { t, toTick, program, count, status };
}

describe('counter 0', () => {
  it('interrupts once in mode 0, when the count is used up', () => {
    const { t, toTick, program } = setup();
    program(0, 0, 1000);
    expect(t.line(0)).toBe(false);
    toTick(1000);
    expect(t.line(0)).toBe(false);
    toTick(1001);
    expect(t.line(0)).toBe(true);
    toTick(100_000);
    expect(t.rises(0)).toBe(1);
  });

  it('interrupts once a period in mode 2, for a second of machine time', () => {
    const { t, program } = setup();
    program(0, 2, 11932);
    const before = t.rises(0);
    t.advance(1e9);
    expect(t.rises(0) - before).toBe(99); // 1193182 / 11932 = 99.998
    t.advance(20_000);
    expect(t.rises(0) - before).toBe(100);
  });

  it('makes a square wave in mode 3, longer when it is high', () => {
    const { t, toTick, program } = setup();
    program(0, 3, 5);
    const levels = [];
    for (let tick = 1; tick <= 11; tick++) {
      toTick(tick);
      levels.push(t.line(0) ? 1 : 0);
    }
    expect(levels).toEqual([1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1]);
  });

  it('interrupts once in mode 4 and again for each new count', () => {
    const { t, toTick, program } = setup();
    program(0, 4, 100);
    const before = t.rises(0);
    toTick(101);
    expect(t.rises(0)).toBe(before);
    toTick(102);
    expect(t.rises(0)).toBe(before + 1);
    t.out(0x40, 50);
    t.out(0x40, 0);
    toTick(100_000);
    expect(t.rises(0)).toBe(before + 2);
  });

  it('takes a count of zero as 65536', () => {
    const { t, toTick, program } = setup();
    program(0, 0, 0);
    toTick(65536);
    expect(t.line(0)).toBe(false);
    toTick(65537);
    expect(t.line(0)).toBe(true);
  });

  it('loads a new count in mode 2 at the end of the period', () => {
    const { toTick, program, count, t } = setup();
    program(0, 2, 1000);
    toTick(501);
    t.out(0x40, 0xd0);
    t.out(0x40, 0x07); // 2000
    expect(count(0)).toBe(500);
    toTick(1001);
    expect(count(0)).toBe(2000);
    toTick(1501);
    expect(count(0)).toBe(1500);
  });
});

describe('counts', () => {
  it('run down from the tick after the write', () => {
    const { toTick, program, count } = setup();
    program(0, 2, 1000);
    expect(count(0)).toBe(1000);
    toTick(1);
    expect(count(0)).toBe(1000);
    toTick(2);
    expect(count(0)).toBe(999);
    toTick(1000);
    expect(count(0)).toBe(1);
    toTick(1001);
    expect(count(0)).toBe(1000);
  });

  it('run by two in mode 3', () => {
    const { toTick, program, count } = setup();
    program(0, 3, 1000);
    toTick(101);
    expect(count(0)).toBe(800);
    toTick(601);
    expect(count(0)).toBe(800);
  });

  it('go on below zero in mode 0', () => {
    const { toTick, program, count } = setup();
    program(0, 0, 10);
    toTick(15);
    expect(count(0)).toBe(0xfffc);
  });

  it('stand still between latch and read', () => {
    const { t, toTick, program, count } = setup();
    program(0, 2, 1000);
    toTick(101);
    t.out(0x43, 0x00);
    toTick(201);
    t.out(0x43, 0x00); // a second latch changes nothing
    expect(count(0)).toBe(900);
    expect(count(0)).toBe(800);
  });

  it('are decimal when asked', () => {
    const { toTick, program, count } = setup();
    program(0, 2, 0x1000, 1);
    toTick(2);
    expect(count(0)).toBe(0x0999);
  });

  it('are read by one byte as the control word says', () => {
    const { t, toTick } = setup();
    t.out(0x43, 0x14); // counter 0, low byte, mode 2
    t.out(0x40, 0x80);
    toTick(1);
    expect([t.in(0x40), t.in(0x40)]).toEqual([0x80, 0x80]);
    t.out(0x43, 0x24); // high byte
    t.out(0x40, 0x80);
    expect([t.in(0x40), t.in(0x40)]).toEqual([0x80, 0x80]);
  });
});

it('reads back status and count of several counters at once', () => {
  const { t, toTick, program, count, status } = setup();
  program(0, 2, 1000);
  program(2, 0, 500);
  expect(status(0)).toBe(0xf4); // output high, count not loaded yet
  t.out(0x61, 0x01);
  toTick(101);
  t.out(0x43, 0xca); // count and status of 0 and 2
  expect(t.in(0x40)).toBe(0xb4);
  expect(count(0)).toBe(900);
  expect(t.in(0x42)).toBe(0x30);
  expect(count(2)).toBe(400);
});

describe('port 0x61', () => {
  it('gates counter 2 and shows its output, as Linux calibrates the TSC', () => {
    const { t, toTick } = setup();
    t.out(0x61, (t.in(0x61) & ~0x02) | 0x01);
    t.out(0x43, 0xb0);
    t.out(0x42, 0xe8);
    t.out(0x42, 0x03); // 1000
    expect(t.in(0x61) & 0x21).toBe(0x01);
    toTick(1000);
    expect(t.in(0x61) & 0x20).toBe(0);
    toTick(1001);
    expect(t.in(0x61) & 0x20).toBe(0x20);
  });

  it('stops counter 2 while the gate is low', () => {
    const { t, toTick, program, count } = setup();
    t.out(0x61, 0x01);
    program(2, 0, 1000);
    toTick(101);
    t.out(0x61, 0x00);
    toTick(501);
    expect(count(2)).toBe(900);
    t.out(0x61, 0x01);
    toTick(601);
    expect(count(2)).toBe(800);
  });

  it('toggles the refresh bit', () => {
    const { t, toTick } = setup();
    const seen = new Set<number>();
    for (let tick = 0; tick < 72; tick++) {
      toTick(tick);
      seen.add(t.in(0x61) & 0x10);
    }
    expect([...seen]).toEqual([0, 0x10]);
  });
});

it('comes back from its saved state and keeps its phase', () => {
  const { t, toTick, program } = setup();
  program(0, 2, 1000);
  program(2, 3, 0);
  t.out(0x43, 0x40);
  toTick(301);
  const saved = t.save();
  const u = t.restore(saved);
  expect(u.save()).toEqual(saved);
  const before = u.rises(0);
  u.advance(Math.ceil(699e9 / PIT_HZ) - 10);
  expect(u.rises(0)).toBe(before);
  u.advance(1000);
  expect(u.rises(0)).toBe(before + 1);
});

it.each([null, {}, { portB: 0, counters: [] }, { portB: 0, counters: [{}, {}, {}] }])('refuses the saved state %j', (state) => {
  expect(() => setup().t.restore(state as never)).toThrow(TypeError);
});
