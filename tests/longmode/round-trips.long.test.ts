import { expect, it } from 'vitest';
import { manyRoundTrips } from './round-trips.ts';
import { SteppedMonitor } from './stepped-monitor.ts';

const ROUNDS = 100_000;

for (const kind of ['nmi', 'interrupt'] as const) {
  it(`100,000 round trips with an event (${kind}) that wanders through all instructions leave nothing changed`, () => {
    const monitor = new SteppedMonitor();
    monitor.runTo(monitor.image.excursionCode.first);
    const before = monitor.host();
    let rounds = 0;
    while (rounds < ROUNDS) rounds += manyRoundTrips(monitor, kind, 10_000);
    monitor.runTo(monitor.image.excursionCode.first);
    expect(monitor.host()).toBe(before);
  });
}
