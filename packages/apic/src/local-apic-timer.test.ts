import { createVirtualClock } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { DEADLINE, enabledProcessors, EOI, LVTT, modelProcessors, TDCR, TMCCT, TMICT } from './model-processors.ts';

const ONE_SHOT = 0x40, PERIODIC = 0x2_0040, DEADLINES = 0x4_0041, MASKED = 0x1_0000;
/** A timer that counts nanoseconds. */
function setup(mode: number = ONE_SHOT, tscHz?: number) {
  const t = enabledProcessors(createVirtualClock(), 1, tscHz === undefined ? {} : { tscHz });
  t.w(TDCR, 0xb);
  t.w(LVTT, mode);
  /** The vector that has come, -1 for none; it is ended. */
  const came = (): number => {
    const vector = t.apic.acknowledge();
    if (vector >= 0) t.w(EOI, 0);
    return vector;
  };
  return { ...t, came };
}

describe('counts', () => {
  it.each([[0x0, 2], [0x1, 4], [0x2, 8], [0x3, 16], [0x8, 32], [0x9, 64], [0xa, 128], [0xb, 1]])('are divided by the code %i (IRQ-39)', (code, divisor) => {
    const { clock, r, w, came } = setup();
    w(TDCR, 0xffff_fff4 | code); // the other bits are not there
    expect(r(TDCR)).toBe(code);
    w(TMICT, 1000);
    clock.advance(500 * divisor);
    expect(r(TMCCT)).toBe(500);
    clock.advance(500 * divisor - 1);
    expect(came()).toBe(-1);
    clock.advance(1);
    expect(came()).toBe(0x40);
  });

  it('run out once, and stay at 0 (IRQ-40)', () => {
    const { clock, r, w, came } = setup();
    w(TMICT, 1000);
    clock.advance(1000);
    expect([came(), r(TMCCT), r(TMICT)]).toEqual([0x40, 0, 1000]);
    clock.advance(100_000);
    expect([came(), r(TMCCT)]).toEqual([-1, 0]);
    w(TMICT, 1000);
    w(TMICT, 0);
    clock.advance(1000);
    expect(came()).toBe(-1);
  });

  it('repeat ten thousand times without drift (IRQ-41)', () => {
    const { clock, w, came, r } = setup(PERIODIC);
    w(TMICT, 100_003);
    for (let tick = 1; tick <= 10_000; tick++) {
      clock.advance(tick * 100_003 - 1 - clock.now());
      expect(came()).toBe(-1);
      clock.advance(1);
      expect(came()).toBe(0x40);
    }
    expect(r(TMCCT)).toBe(100_003);
  });

  it('go on when the mode changes between the two that count (IRQ-42)', () => {
    const { clock, r, w, came } = setup();
    w(TMICT, 60_000);
    clock.advance(20_000);
    w(LVTT, PERIODIC);
    expect(r(TMCCT)).toBe(40_000);
    clock.advance(40_000);
    expect([came(), r(TMCCT)]).toEqual([0x40, 60_000]);
    clock.advance(10_000);
    w(LVTT, ONE_SHOT);
    expect(r(TMCCT)).toBe(50_000);
    clock.advance(50_000);
    expect([came(), r(TMCCT)]).toEqual([0x40, 0]);
  });

  it('that have run out do not begin again by the periodic mode (IRQ-43)', () => {
    const { clock, r, w, came } = setup();
    w(TMICT, 1000);
    clock.advance(1000);
    came();
    w(LVTT, PERIODIC);
    clock.advance(100_000);
    expect([came(), r(TMCCT), r(TMICT)]).toEqual([-1, 0, 1000]);
  });

  it('keep what is left of them when the divider changes (IRQ-44)', () => {
    const { clock, r, w, came } = setup();
    w(TMICT, 1000);
    clock.advance(300);
    w(TDCR, 0x0);
    expect(r(TMCCT)).toBe(700);
    clock.advance(2 * 699);
    expect([came(), r(TMCCT)]).toEqual([-1, 1]);
    clock.advance(2);
    expect(came()).toBe(0x40);
  });

  it('run out unheard while masked, and go on (IRQ-45)', () => {
    const { clock, w, came, r } = setup(PERIODIC | MASKED);
    w(TMICT, 100_000);
    clock.advance(250_000);
    w(LVTT, PERIODIC);
    expect([came(), r(TMCCT)]).toEqual([-1, 50_000]);
    clock.advance(50_000);
    expect(came()).toBe(0x40);
  });

  it('of a few nanoseconds keep a floor of 50 microseconds', () => {
    const { clock, w, apic, came } = setup(PERIODIC);
    w(TMICT, 1);
    clock.advance(1_000_001);
    expect(apic.ends.delivered).toBe(0);
    expect([came(), came()]).toEqual([0x40, -1]);
  });
});

describe('deadlines of the time-stamp counter', () => {
  it('come when they are reached, and at once when they are past (IRQ-46)', () => {
    const { clock, set, came } = setup(DEADLINES);
    set(DEADLINE, 5000);
    clock.advance(4999);
    expect(came()).toBe(-1);
    clock.advance(1);
    expect(came()).toBe(0x41);
    set(DEADLINE, 5000);
    expect(came()).toBe(0x41);
    set(DEADLINE, 1);
    expect(came()).toBe(0x41);
    set(DEADLINE, 9000);
    set(DEADLINE, 0); // disarmed
    clock.advance(10_000);
    expect(came()).toBe(-1);
  });

  it('read 0 once they have come, and in other modes (IRQ-47)', () => {
    const { clock, set, get, w, came } = setup(ONE_SHOT);
    expect([set(DEADLINE, 5000), get(DEADLINE)]).toEqual([true, [0, 0]]);
    clock.advance(6000);
    expect(came()).toBe(-1);
    w(LVTT, DEADLINES);
    expect(get(DEADLINE)).toEqual([0, 0]);
    set(DEADLINE, 8000);
    expect(get(DEADLINE)).toEqual([8000, 0]);
    clock.advance(2000);
    expect([came(), get(DEADLINE)]).toEqual([0x41, [0, 0]]);
  });

  it('read as they were stored, however far away (IRQ-47)', () => {
    const { clock, apic, set, get, came } = setup(DEADLINES);
    for (const [low, high] of [[1, 0x20_0000], [0xffff_fffe, 0x7fff_ffff], [0xffff_ffff, 0xffff_ffff]] as const) {
      set(DEADLINE, low, high);
      clock.advance(1e9);
      expect([came(), get(DEADLINE)]).toEqual([-1, [low, high]]);
    }
    const other = modelProcessors(createVirtualClock());
    other.apic.load(structuredClone(apic.save()));
    expect(other.get(DEADLINE)).toEqual([0xffff_ffff, 0xffff_ffff]);
  });

  it('are gone when the mode changes, and so are counts (IRQ-48)', () => {
    const { clock, set, get, w, r, came } = setup(DEADLINES);
    set(DEADLINE, 5000);
    w(LVTT, ONE_SHOT);
    w(LVTT, DEADLINES);
    expect(get(DEADLINE)).toEqual([0, 0]);
    clock.advance(10_000);
    expect(came()).toBe(-1);
    w(LVTT, ONE_SHOT);
    w(TMICT, 5000);
    w(LVTT, DEADLINES);
    expect([r(TMICT), r(TMCCT)]).toEqual([0, 0]);
    w(LVTT, ONE_SHOT);
    clock.advance(10_000);
    expect(came()).toBe(-1);
  });

  it('take no notice of initial counts, and show none (IRQ-50)', () => {
    const { clock, set, w, r, came } = setup(DEADLINES);
    set(DEADLINE, 5000);
    w(TMICT, 100);
    expect([r(TMICT), r(TMCCT)]).toEqual([0, 0]);
    clock.advance(4000);
    expect(came()).toBe(-1);
    clock.advance(1000);
    expect(came()).toBe(0x41);
  });

  it('are never early with a counter of another rate, and take the vector of their moment', () => {
    const { clock, set, w, came } = setup(DEADLINES, 2.5e9);
    set(DEADLINE, 2501);
    w(LVTT, 0x4_0042);
    clock.advance(1000);
    expect(came()).toBe(-1);
    clock.advance(1);
    expect(came()).toBe(0x42);
  });

  it('are nothing in the reserved mode (SDM vol. 3, 12.5.4)', () => {
    const { clock, set, w, get, came } = setup(0x6_0041);
    set(DEADLINE, 5);
    w(TMICT, 5);
    clock.advance(100);
    expect([came(), get(DEADLINE)]).toEqual([-1, [0, 0]]);
  });
});
