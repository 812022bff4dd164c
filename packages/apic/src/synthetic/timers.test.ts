import { createVirtualClock } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { modelPartition, SIMP, TIME_PAGE } from './model-partition.ts';
import * as spec from './spec.ts';

const SOURCE = 4, BY_MESSAGE = SOURCE << 16, DIRECT = spec.STIMER_DIRECT | (0x61 << 4);
const { STIMER_ENABLE: ENABLE, STIMER_PERIODIC: PERIODIC, STIMER_AUTO_ENABLE: AUTO } = spec;
const UNIT = 100; // nanoseconds

function setup() {
  const t = modelPartition(createVirtualClock());
  const one = t.processors[0]!;
  one.enableSources();
  one.set(spec.MSR_SINT0 + SOURCE, 0x51 | spec.SINT_AUTO_EOI);
  const config = (index = 0): number => one.get(spec.MSR_STIMER0 + index * 2)![0];
  const setConfig = (value: number, index = 0): boolean => one.set(spec.MSR_STIMER0 + index * 2, value);
  const setCount = (low: number, high = 0, index = 0): boolean => one.set(spec.MSR_STIMER0 + index * 2 + 1, low, high);
  const count = (index = 0) => one.get(spec.MSR_STIMER0 + index * 2 + 1);
  /** Moves to a reference time, and says what has come. */
  const at = (units: number): number[] => {
    t.clock.advance(units * UNIT - t.clock.now());
    return one.drain();
  };
  return { ...t, ...one, config, setConfig, setCount, count, at };
}

describe('the registers of a timer', () => {
  /** Configuration written, then count; and whether the timer is enabled then, and counts. */
  it.each([
    ['neither', 0, 0, false, false],
    ['no count', DIRECT | ENABLE, 0, false, false],
    ['not enabled', DIRECT, 1000, false, false],
    ['enabled', DIRECT | ENABLE, 1000, true, true],
    ['enabled by its count', DIRECT | AUTO, 1000, true, true],
    ['not enabled by the count 0', DIRECT | AUTO, 0, false, false],
    ['by messages', BY_MESSAGE | ENABLE, 1000, true, true],
    ['by messages, by its count', BY_MESSAGE | AUTO, 1000, true, true],
    ['by messages of source 0', ENABLE, 1000, false, false],
    ['by messages of source 0, by its count', AUTO, 1000, false, false],
    ['direct with an illegal vector', spec.STIMER_DIRECT | (15 << 4) | ENABLE, 1000, false, false],
    ['direct with an illegal vector, by its count', spec.STIMER_DIRECT | (15 << 4) | AUTO, 1000, false, false],
  ] as const)('%s: configuration, then count (IRQ-122, IRQ-123)', (_name, value, units, enabled, comes) => {
    const { setConfig, setCount, config, count, at } = setup();
    expect([setConfig(value), setCount(units)]).toEqual([true, true]);
    expect([(config() & ENABLE) !== 0, config() & ~ENABLE, count()]).toEqual([enabled, value & ~ENABLE, [units, 0]]);
    expect([at(999), at(1000).length]).toEqual([[], comes ? 1 : 0]);
    expect(config() & ENABLE).toBe(0);
  });

  it.each([['enabled', DIRECT | ENABLE, 1000, true], ['not enabled', DIRECT, 1000, false], ['enabled by a count that is there', DIRECT | AUTO, 1000, false], ['enabled without a count', DIRECT | ENABLE, 0, true]] as const)('%s: count, then configuration (IRQ-122)', (_name, value, units, enabled) => {
    const { setConfig, setCount, config, at } = setup();
    setCount(units);
    setConfig(value);
    expect([(config() & ENABLE) !== 0, at(5000)]).toEqual([enabled, enabled && units > 0 ? [0x61] : []]);
    expect((config() & ENABLE) !== 0).toBe(enabled && units === 0); // waits for its count
  });

  it('enabled without a count begin with the one that comes (IRQ-122)', () => {
    const { setConfig, setCount, config, at } = setup();
    setConfig(DIRECT | ENABLE | AUTO);
    expect(config()).toBe(DIRECT | ENABLE | AUTO);
    setCount(500);
    expect(at(500)).toEqual([0x61]);
    setCount(900); // enables it again
    expect([at(899), at(900)]).toEqual([[], [0x61]]);
    setCount(2000);
    setCount(0);
    expect([config() & ENABLE, at(3000)]).toEqual([0, []]);
  });

  it('refuse reserved bits, of 64 (IRQ-122)', () => {
    const { setConfig, setCount, set, count } = setup();
    for (const bit of [13, 14, 15, 20, 31]) expect(setConfig((1 << bit) >>> 0)).toBe(false);
    expect(set(spec.MSR_STIMER0, DIRECT, 1)).toBe(false);
    setCount(0xffff_ffff, 0xffff_fff0);
    expect(count()).toEqual([0xffff_ffff, 0xffff_fff0]);
  });

  it('that are off by their source come on by another (IRQ-123)', () => {
    const { setConfig, setCount, config, at } = setup();
    setCount(1000);
    setConfig(ENABLE);
    expect(config() & ENABLE).toBe(0);
    setConfig(BY_MESSAGE | ENABLE);
    expect([config() & ENABLE, at(1000)]).toEqual([ENABLE, [0x51]]);
  });
});

it('comes at once when its time is past (IRQ-124)', () => {
  for (const [value, vector] of [[DIRECT, 0x61], [BY_MESSAGE, 0x51]] as const) {
    const { setConfig, setCount, config, at, drain, take } = setup();
    at(5000);
    setCount(4000);
    setConfig(value | ENABLE);
    expect([drain(), config() & ENABLE]).toEqual([[vector], 0]);
    take(SOURCE);
    setConfig(value | AUTO);
    setCount(5000); // just now
    expect(drain()).toEqual([vector]);
  }
});

it('says in its message which it is, when it was due and when it came (IRQ-124)', () => {
  const { setConfig, setCount, at, take, words, set } = setup();
  setCount(1000, 0, 3);
  words.store(SIMP + SOURCE * spec.SLOT_BYTES, 7); // somebody else's message
  setConfig(BY_MESSAGE | ENABLE, 3);
  at(1500);
  take(SOURCE);
  at(2500);
  set(spec.MSR_EOM, 0);
  const { message, more } = take(SOURCE)!;
  expect([message.type, [...new Uint32Array(message.payload.buffer)], more]).toEqual([spec.MESSAGE_TIMER, [3, 0, 1000, 0, 2500, 0], false]);
});

it('skips periods that nobody saw, and keeps its phase (IRQ-125)', () => {
  const { setConfig, setCount, at, clock, set, drain, take } = setup();
  setCount(1000);
  setConfig(DIRECT | PERIODIC | ENABLE);
  const times: number[] = [];
  for (let units = 100; units <= 10_000; units += 100) if (at(units).length > 0) times.push(units);
  expect(times).toEqual([1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10_000]);
  setConfig(0);
  setConfig(BY_MESSAGE | PERIODIC | ENABLE, 0);
  clock.advance(5_500 * UNIT); // the slot is full after the first
  expect(drain()).toEqual([0x51]);
  expect(take(SOURCE)).toMatchObject({ more: true });
  set(spec.MSR_EOM, 0);
  const late = take(SOURCE)!;
  expect([new DataView(late.message.payload.buffer, 8, 16).getUint32(0, true), drain()]).toEqual([12_000, [0x51]]);
  expect([at(15_999), at(16_000)]).toEqual([[], [0x51]]);
});

it('takes back a message that waits for its slot when it is configured anew (IRQ-127)', () => {
  for (const stop of [(t: ReturnType<typeof setup>) => t.setConfig(0), (t: ReturnType<typeof setup>) => t.setCount(0)]) {
    const t = setup();
    const slot = SIMP + SOURCE * spec.SLOT_BYTES;
    t.words.store(slot, 7);
    t.setCount(1000);
    t.setConfig(BY_MESSAGE | ENABLE);
    expect([t.at(2000), t.config() & ENABLE, t.words.load(slot + 4) >>> 8]).toEqual([[], ENABLE, 1]);
    stop(t);
    t.words.store(slot, 0);
    t.set(spec.MSR_EOM, 0);
    expect([t.words.load(slot), t.drain()]).toEqual([0, []]);
  }
});

it('finds its slot through messages that waited there first, after the page was away (IRQ-126, IRQ-85)', () => {
  const { fabric, setConfig, setCount, at, set, take } = setup();
  for (const type of [1, 2]) fabric.partition!.post(0, SOURCE, { type, payload: new Uint8Array(0) });
  set(spec.MSR_SIMP, SIMP);
  set(spec.MSR_SIMP, SIMP | 1); // empty now, and one message waits that nobody will ask for
  setCount(1000);
  setConfig(BY_MESSAGE | ENABLE);
  at(1000);
  const first = take(SOURCE);
  expect(first).toMatchObject({ message: { type: 2 }, more: true });
  set(spec.MSR_EOM, 0);
  expect(take(SOURCE)).toMatchObject({ message: { type: spec.MESSAGE_TIMER }, more: false });
});

it('interrupts by itself in direct mode, without sources or pages (IRQ-128)', () => {
  const { set, setConfig, setCount, at, words } = setup();
  set(spec.MSR_SCONTROL, 0);
  set(spec.MSR_SIMP, 0);
  setCount(1000);
  setConfig(DIRECT | ENABLE);
  expect([at(1000), words.load(SIMP + SOURCE * spec.SLOT_BYTES)]).toEqual([[0x61], 0]);
});

describe('the reference time', () => {
  /** As guests read it from the page: the upper half of counter times scale, and an offset. */
  const byPage = (t: ReturnType<typeof setup>): bigint => {
    const view = new DataView(t.memory.buffer, TIME_PAGE);
    return ((BigInt(t.clock.now()) * view.getBigUint64(8, true)) >> 64n) + view.getBigInt64(16, true);
  };
  const byRegister = (t: ReturnType<typeof setup>): bigint => {
    const [low, high] = t.get(spec.MSR_TIME_REF_COUNT)!;
    return (BigInt(high) << 32n) | BigInt(low);
  };

  it('is the same by its register and by its page, at every moment (IRQ-129)', () => {
    const t = setup();
    t.set(spec.MSR_REFERENCE_TSC, TIME_PAGE | 1);
    for (const step of [0, 1, 98, 1, 99, 1, 1e9, 12_345, 3.6e12, 86_400e9, 365 * 86_400e9 / 12]) {
      t.clock.advance(Math.floor(step));
      expect([byPage(t), byRegister(t)]).toEqual([BigInt(Math.floor(t.clock.now() / 100)), byPage(t)]);
    }
    expect([t.set(spec.MSR_TIME_REF_COUNT, 0), t.get(spec.MSR_TSC_FREQUENCY)]).toEqual([false, [1e9, 0]]);
  });

  it('has a sequence that is neither 0 nor all ones, another one each time, and before the guest says who it is (IRQ-130)', () => {
    const t = setup();
    t.set(spec.MSR_GUEST_OS_ID, 0);
    const sequences = [1, 2, 3].map(() => {
      expect(t.set(spec.MSR_REFERENCE_TSC, TIME_PAGE | 1)).toBe(true);
      return t.words.load(TIME_PAGE);
    });
    expect([sequences.includes(0), sequences.includes(0xffff_ffff), new Set(sequences).size]).toEqual([false, false, 3]);
    expect([t.get(spec.MSR_REFERENCE_TSC), t.set(spec.MSR_REFERENCE_TSC, 0), t.get(spec.MSR_REFERENCE_TSC)]).toEqual([[TIME_PAGE | 1, 0], true, [0, 0]]);
    expect(t.set(spec.MSR_REFERENCE_TSC, 1, 0x10)).toBe(true); // no RAM there: the register serves
  });

  it('is not offered for a counter of another rate than nanoseconds, which the page cannot have', () => {
    for (const enlighten of ['kvm', 'hyperv', 'hyperv-full'] as const) expect(() => modelPartition(createVirtualClock(), { enlighten, tscHz: 2e9 })).toThrow(TypeError);
  });
});
