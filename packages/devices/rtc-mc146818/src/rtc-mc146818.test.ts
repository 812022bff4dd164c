import { describe, expect, it } from 'vitest';
import { bench } from '@vm/testkit';
import { rtcMc146818 } from './rtc-mc146818.ts';

const SECOND = 1e9;

function setup(time = '2031-02-28T23:59:58.250Z', memory: Readonly<Record<number, number>> = {}) {
  const t = bench(rtcMc146818, { startMs: Date.parse(time), memory });
  const r = (index: number): number => {
    t.out(0x70, index);
    return t.in(0x71);
  };
  const w = (index: number, value: number): void => {
    t.out(0x70, index);
    t.out(0x71, value);
  };
  const time7 = (): number[] => [0x32, 9, 8, 7, 6, 4, 2, 0].map(r);
  return { t, r, w, time7 };
}

describe('time', () => {
  it('is decimal with 24 hours at power-up, and carries into the next month', () => {
    const { t, time7, r } = setup();
    expect(time7()).toEqual([0x20, 0x31, 0x02, 0x28, 0x06, 0x23, 0x59, 0x58]);
    expect(r(0x0b)).toBe(0x02);
    t.advance(1.75 * SECOND);
    expect(time7()).toEqual([0x20, 0x31, 0x03, 0x01, 0x07, 0x00, 0x00, 0x00]);
  });

  it('reads binary and with 12 hours when asked', () => {
    const { t, time7, w, r } = setup();
    w(0x0b, 0x06);
    expect(time7()).toEqual([20, 31, 2, 28, 6, 23, 59, 58]);
    w(0x0b, 0x04);
    expect(r(4)).toBe(0x8b);
    t.advance(2 * SECOND);
    expect(r(4)).toBe(12);
  });

  it('is set while SET holds it, and goes on from there', () => {
    const { t, time7, w } = setup();
    w(0x0b, 0x82);
    t.advance(5 * SECOND);
    for (const [index, value] of [[0, 0x30], [2, 0x45], [4, 0x12], [7, 0x31], [8, 0x12], [9, 0x99], [0x32, 0x19]] as const) w(index, value);
    expect(time7().slice(0, 4)).toEqual([0x19, 0x99, 0x12, 0x31]);
    w(0x0b, 0x02);
    t.advance(SECOND);
    expect(time7()).toEqual([0x19, 0x99, 0x12, 0x31, 0x06, 0x12, 0x45, 0x31]);
  });

  it('makes its first update half a second after the divider is released', () => {
    const { t, r, w } = setup();
    w(0x0a, 0x70);
    w(0x00, 0x10);
    t.advance(3 * SECOND);
    expect(r(0)).toBe(0x10);
    w(0x0a, 0x26);
    t.advance(0.5 * SECOND - 1);
    expect(r(0)).toBe(0x10);
    t.advance(1);
    expect(r(0)).toBe(0x11);
  });

  it('shows an update 2.2 milliseconds before it', () => {
    const { t, r } = setup('2031-01-01T00:00:00Z');
    t.advance(SECOND - 2_228_001);
    expect(r(0x0a)).toBe(0x26);
    t.advance(1);
    expect(r(0x0a)).toBe(0xa6);
    t.advance(2_228_000);
    expect([r(0x0a), r(0)]).toEqual([0x26, 1]);
  });
});

describe('interrupts', () => {
  it('come at the periodic rate, once each time register C was read', () => {
    const { t, r, w } = setup('2031-01-01T00:00:00Z');
    w(0x0b, 0x42);
    t.advance(976_562);
    expect(t.line(8)).toBe(false);
    t.advance(1);
    expect(t.line(8)).toBe(true);
    expect(r(0x0c)).toBe(0xc0);
    expect([r(0x0c), t.line(8)]).toEqual([0, false]);
    for (let i = 0; i < 1024; i++) {
      t.advance(SECOND / 1024);
      r(0x0c);
    }
    expect(t.rises(8)).toBe(1025);
  });

  it('come with every update', () => {
    const { t, r, w } = setup();
    w(0x0b, 0x12);
    t.advance(0.75 * SECOND - 1);
    expect(t.line(8)).toBe(false);
    t.advance(1);
    expect(r(0x0c) & 0x90).toBe(0x90);
    t.advance(SECOND);
    expect(t.rises(8)).toBe(2);
  });

  it('come at the alarm time only', () => {
    const { t, r, w } = setup('2031-01-01T10:20:30Z');
    w(1, 0x05);
    w(3, 0x22);
    w(5, 0x10);
    w(0x0b, 0x22);
    r(0x0c);
    t.advance(95 * SECOND - 1);
    expect(t.line(8)).toBe(false);
    t.advance(1);
    expect([t.line(8), r(0x0c) & 0xa0]).toEqual([true, 0xa0]);
    t.advance(86_399 * SECOND);
    expect(t.line(8)).toBe(false);
    t.advance(SECOND);
    expect(t.line(8)).toBe(true);
  });

  it('come every minute when minutes and hours do not matter', () => {
    const { t, r, w } = setup('2031-01-01T10:20:30Z');
    w(1, 0x10);
    w(3, 0xc0);
    w(5, 0xff);
    w(0x0b, 0x22);
    for (let i = 0; i < 600; i++) {
      t.advance(SECOND);
      r(0x0c);
    }
    expect(t.rises(8)).toBe(10);
  });

  it('set their flags even while disabled', () => {
    const { t, r } = setup();
    t.advance(1.5 * SECOND);
    expect(r(0x0c)).toBe(0x50);
    expect(r(0x0c)).toBe(0);
    expect(t.rises(8)).toBe(0);
  });

  it('never come for an impossible alarm', () => {
    const { t, w } = setup();
    w(1, 0x75);
    w(0x0b, 0x22);
    t.advance(200_000 * SECOND);
    expect(t.rises(8)).toBe(0);
  });
});

it('keeps its memory, and the index port keeps the NMI bit apart', () => {
  const { t, r, w } = setup('2031-01-01T00:00:00Z', { 0x15: 0x80, 0x16: 0x02 });
  expect([r(0x95), r(0x16), r(0x0d)]).toEqual([0x80, 0x02, 0x80]);
  w(0x7f, 0x5a);
  w(0x0d, 0);
  t.reset();
  expect([r(0x7f), r(0x0d), r(0x16)]).toEqual([0x5a, 0x80, 0x02]);
});

it('comes back from its saved state', () => {
  const { t, w } = setup();
  w(0x0b, 0x12);
  w(0x40, 0x77);
  t.advance(0.8 * SECOND);
  const saved = t.save();
  const u = t.restore(saved);
  expect(u.line(8)).toBe(true);
  expect(u.save()).toEqual(saved);
  u.out(0x70, 0x0c);
  expect(u.in(0x71) & 0x90).toBe(0x90);
  u.advance(0.95 * SECOND);
  u.out(0x70, 0x00);
  expect([u.line(8), u.in(0x71)]).toEqual([true, 0x00]);
});

it.each([null, {}, { bytes: new Uint8Array(4) }, { index: 0, a: 0, b: 0, flags: 0, second: 1e300, secondNs: 0, collectedNs: 0, bytes: new Uint8Array(128) }])('refuses the saved state %j', (state) => {
  expect(() => setup().t.restore(state as never)).toThrow();
});

it('is put forward by the whole seconds that have passed on the host while it was saved, and goes on in its phase', () => {
  let host = 5000;
  const t = bench(rtcMc146818, { startMs: Date.UTC(2025, 0, 1, 12, 0, 0), wallClock: () => host });
  const seconds = (one: ReturnType<typeof bench>): number => {
    one.out(0x70, 0x00);
    return one.in(0x71);
  };
  t.advance(0.4 * SECOND);
  const saved = t.save();
  host += 7900;
  const u = t.restore(saved);
  expect(seconds(u)).toBe(0x07);
  u.advance(0.7 * SECOND);
  expect(seconds(u)).toBe(0x08);
  host -= 60_000; // a host whose clock was set back does not set the guest's back
  expect(seconds(t.restore(saved))).toBe(0x00);
  expect(() => t.restore({ ...(saved as object), wallMs: 'noon' } as never)).toThrow(TypeError);
});
