/** LMS-02, LMS-04, LMS-08, LMS-09, LMS-12 on the engine, with events before every instruction of a round trip. */
import { planSwitch } from '@vm/longmode-switch';
import { describe, expect, it } from 'vitest';
import { HOST_WORD, LEGACY_WORD, runnableSetup, runOrder } from './order-run.ts';
import { eventAtEveryBoundary, manyRoundTrips } from './round-trips.ts';
import { SteppedMonitor } from './stepped-monitor.ts';

const EVENTS = 800;

describe.each(['32-bit', 'pae'] as const)('a round trip with %s tables', (paging) => {
  it('leaves every register of the 64-bit side as it was, hidden parts too', () => {
    const monitor = new SteppedMonitor({ paging });
    monitor.runTo(monitor.image.excursionCode.first);
    const before = monitor.host();
    monitor.runTo(monitor.image.excursionCode.last);
    expect(monitor.host()).toBe(before);
    expect([monitor.vector, monitor.kept, monitor.changed]).toEqual([0x30, 1, 0]);
  });

  it.each(['nmi', 'interrupt'] as const)('delivers an event (%s) once, whatever instruction it comes before, and changes nothing', (kind) => {
    const monitor = new SteppedMonitor({ paging });
    const latencies = eventAtEveryBoundary(monitor, kind);
    expect(monitor.kept).toBeGreaterThan(latencies.length);
    expect(latencies.length).toBeGreaterThan(150);
    // An NMI is noted at once; an interrupt waits for one switch at most: the way here, and the way back.
    expect(Math.max(...latencies)).toBeLessThan(2 * latencies.length);
  });
});

it.each(['nmi', 'interrupt'] as const)('goes on for hundreds of round trips with an event (%s) in each', (kind) => {
  const rounds = manyRoundTrips(new SteppedMonitor({ order: 'manual' }), kind, EVENTS);
  expect(rounds).toBeGreaterThan(EVENTS / 2);
});

describe.each(['32-bit', 'pae'] as const)('an address that both sides map as global to different memory, %s', (format) => {
  it.each([['to-legacy', LEGACY_WORD], ['to-long', HOST_WORD]] as const)('is the memory of the side that runs, %s', (direction, word) => {
    const setup = runnableSetup(format);
    const names = planSwitch(setup, direction, { all: true }).steps.map(({ name }) => name);
    expect(runOrder(setup, direction, names)?.at(-1)).toBe(word);
  });
});
