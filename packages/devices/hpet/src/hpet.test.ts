import { type Bench, bench } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { hpet } from './hpet.ts';
import * as spec from './spec.ts';

const BASE = 0xfed0_0000;
const TICK = spec.NANOS_PER_TICK;
const ROUTE_20 = 20 << spec.ROUTE_SHIFT;
const create = (): Bench => bench(hpet, {});
const read = (t: Bench, offset: number): number => t.readMmio(BASE + offset);
const write = (t: Bench, offset: number, value: number): void => t.writeMmio(BASE + offset, value);
const timer = (index: number, register: number): number => spec.TIMER_BASE + index * spec.TIMER_STRIDE + register;

describe('the counter', () => {
  it('says what it is, and goes up only while it is on', () => {
    const t = create();
    expect([read(t, spec.ID), read(t, spec.PERIOD)]).toEqual([0x8086_2201, 10_000_000]);
    t.advance(1000 * TICK);
    expect(read(t, spec.COUNTER)).toBe(0);
    write(t, spec.CONFIG, 1);
    t.advance(1234 * TICK + 3);
    expect(read(t, spec.COUNTER)).toBe(1234);
    write(t, spec.CONFIG, 0);
    t.advance(1000 * TICK);
    expect([read(t, spec.COUNTER), read(t, spec.CONFIG)]).toEqual([1234, 0]);
  });

  it('has 64 bits, is set while it stands, and carries', () => {
    const t = create();
    write(t, spec.COUNTER, 0xffff_fff0);
    write(t, spec.COUNTER + 4, 0xffff_ffff);
    write(t, spec.CONFIG, 1);
    write(t, spec.COUNTER, 5); // too late
    t.advance(15 * TICK);
    expect([read(t, spec.COUNTER), read(t, spec.COUNTER + 4)]).toEqual([0xffff_ffff, 0xffff_ffff]);
    t.advance(2 * TICK);
    expect([read(t, spec.COUNTER), read(t, spec.COUNTER + 4)]).toEqual([1, 0]);
  });

  it('is nobody\'s but for its registers', () => {
    const t = create();
    for (const offset of [0x008, 0x014, 0x030, 0x110, 0x1f0, 0x3fc]) {
      write(t, offset, 0xffff_ffff);
      expect(read(t, offset), offset.toString(16)).toBe(0);
    }
  });
});

describe('a timer', () => {
  it('raises its line at the match and not before, once', () => {
    const t = create();
    write(t, timer(0, spec.TIMER_CONFIG), spec.ENABLE | ROUTE_20);
    write(t, timer(0, spec.TIMER_COMPARATOR), 500);
    write(t, timer(0, spec.TIMER_COMPARATOR + 4), 0);
    write(t, spec.CONFIG, 1);
    t.advance(500 * TICK - 1);
    expect(t.rises(20)).toBe(0);
    t.advance(1);
    expect([t.rises(20), t.line(20), read(t, spec.STATUS)]).toEqual([1, false, 0]);
    t.advance(1e9);
    expect(t.rises(20)).toBe(1);
  });

  it('with 32 bits matches each time the counter comes round', () => {
    const t = create();
    write(t, timer(1, spec.TIMER_CONFIG), spec.ENABLE | spec.MODE_32 | ROUTE_20);
    write(t, timer(1, spec.TIMER_COMPARATOR), 100);
    write(t, spec.CONFIG, 1);
    t.advance(100 * TICK + 2 ** 32 * TICK - 1);
    expect(t.rises(20)).toBe(1);
    t.advance(1);
    expect(t.rises(20)).toBe(2);
  });

  it('as a level is high until its bit is cleared', () => {
    const t = create();
    write(t, timer(2, spec.TIMER_CONFIG), spec.ENABLE | spec.LEVEL | spec.MODE_32 | (21 << spec.ROUTE_SHIFT));
    write(t, timer(2, spec.TIMER_COMPARATOR), 10);
    write(t, spec.CONFIG, 1);
    t.advance(10 * TICK);
    expect([t.line(21), read(t, spec.STATUS)]).toEqual([true, 4]);
    write(t, spec.STATUS, 3);
    expect(t.line(21)).toBe(true);
    write(t, spec.STATUS, 4);
    expect([t.line(21), read(t, spec.STATUS)]).toEqual([false, 0]);
  });

  it('repeats without drift, from a first match that was set and a period that came after it', () => {
    const t = create();
    write(t, spec.CONFIG, 1);
    write(t, timer(0, spec.TIMER_CONFIG), spec.ENABLE | spec.PERIODIC | spec.SET_VALUE | spec.MODE_32 | ROUTE_20);
    write(t, timer(0, spec.TIMER_COMPARATOR), 5_000);
    write(t, timer(0, spec.TIMER_COMPARATOR), 100_000);
    t.advance(5_000 * TICK);
    expect([t.rises(20), read(t, timer(0, spec.TIMER_COMPARATOR))]).toEqual([1, 105_000]);
    t.advance(1_000 * 100_000 * TICK);
    expect([t.rises(20), read(t, timer(0, spec.TIMER_COMPARATOR))]).toEqual([1_001, 105_000 + 1_000 * 100_000]);
  });

  it('with a period of one tick leaves the guest time', () => {
    const t = create();
    write(t, spec.CONFIG, 1);
    write(t, timer(0, spec.TIMER_CONFIG), spec.ENABLE | spec.PERIODIC | spec.SET_VALUE | spec.MODE_32 | ROUTE_20);
    write(t, timer(0, spec.TIMER_COMPARATOR), 1);
    t.advance(1e6);
    expect(t.rises(20)).toBeGreaterThan(50);
    expect(t.rises(20)).toBeLessThanOrEqual(101);
  });

  it('takes no route that it has not, and says which it has', () => {
    const t = create();
    expect(read(t, timer(0, spec.TIMER_ROUTES))).toBe(0x00f0_0000);
    write(t, timer(0, spec.TIMER_CONFIG), ROUTE_20 | 0xffff_0000);
    expect(read(t, timer(0, spec.TIMER_CONFIG))).toBe(ROUTE_20 | spec.PERIODIC_CAPABLE | spec.SIZE_64);
    write(t, timer(0, spec.TIMER_CONFIG), 5 << spec.ROUTE_SHIFT);
    expect(read(t, timer(0, spec.TIMER_CONFIG))).toBe(ROUTE_20 | spec.PERIODIC_CAPABLE | spec.SIZE_64);
  });

  it('that is off keeps its bit and no line; everything falls when the counter stops', () => {
    const t = create();
    write(t, timer(0, spec.TIMER_CONFIG), spec.LEVEL | spec.MODE_32 | ROUTE_20);
    write(t, timer(0, spec.TIMER_COMPARATOR), 10);
    write(t, spec.CONFIG, 1);
    t.advance(20 * TICK);
    expect([t.line(20), read(t, spec.STATUS)]).toEqual([false, 1]);
    write(t, timer(0, spec.TIMER_CONFIG), spec.ENABLE | spec.LEVEL | spec.MODE_32 | ROUTE_20);
    expect(t.line(20)).toBe(true);
    write(t, spec.CONFIG, 0);
    expect(t.line(20)).toBe(false);
  });
});

describe('saved', () => {
  const busy = (): Bench => {
    const t = create();
    write(t, spec.CONFIG, 1);
    write(t, timer(0, spec.TIMER_CONFIG), spec.ENABLE | spec.PERIODIC | spec.SET_VALUE | spec.MODE_32 | ROUTE_20);
    write(t, timer(0, spec.TIMER_COMPARATOR), 5_000);
    write(t, timer(2, spec.TIMER_CONFIG), spec.ENABLE | spec.LEVEL | spec.MODE_32 | (21 << spec.ROUTE_SHIFT));
    write(t, timer(2, spec.TIMER_COMPARATOR), 7_000);
    return t;
  };

  it('it goes on where it was, at whatever moment, its lines too', () => {
    for (const at of [0, 1, 49_999, 50_000, 50_001, 70_000, 123_456]) {
      const t = busy();
      t.advance(at);
      const other = t.restore(t.save());
      expect(other.save(), `${at}`).toEqual(t.save());
      const before = [t.rises(20), t.line(21)];
      expect(other.line(21)).toBe(before[1]);
      t.advance(500_000);
      other.advance(500_000);
      expect([other.rises(20), other.line(21), other.save()], `${at}`).toEqual([t.rises(20) - (before[0] as number), t.line(21), t.save()]);
    }
  });

  it('a state that it did not write is refused', () => {
    const t = busy();
    const good = t.save() as Readonly<Record<string, unknown>>;
    const timers = good['timers'] as readonly object[];
    const bad: unknown[] = [null, {}, { ...good, low: -1 }, { ...good, high: 2 ** 32 }, { ...good, since: 1e99 }, { ...good, since: NaN }, { ...good, enabled: 1 }, { ...good, timers: [] }, { ...good, timers: [...timers.slice(1), { ...timers[0], low: 'x' }] }, { ...good, timers: [...timers.slice(1), { ...timers[0], due: NaN }] }];
    for (const state of bad) expect(() => t.device.load!(state as never, 1), JSON.stringify(state)).toThrow(TypeError);
  });
});
