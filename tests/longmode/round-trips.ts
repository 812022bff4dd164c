import { expect } from 'vitest';
import type { SteppedMonitor } from './stepped-monitor.ts';

/** Longer than one round trip with its event, and without a common factor with it. */
const STRIDE = 509;
/** Many times a round trip. */
const MOST_STEPS = 20_000;

export type EventKind = 'nmi' | 'interrupt';

/** Instructions from the event to its handler's count, for an event before each instruction of one round trip. */
export function eventAtEveryBoundary(monitor: SteppedMonitor, kind: EventKind): readonly number[] {
  const { excursionCode: { first, last } } = monitor.image;
  const latencies: number[] = [];
  for (let boundary = 0; boundary < MOST_STEPS; boundary++) {
    monitor.runTo(first);
    const counted = count(monitor, kind);
    const rounds = monitor.rounds;
    for (let i = 0; i < boundary; i++) {
      if (monitor.hostAddress === last) return latencies;
      monitor.watchedStep();
    }
    if (kind === 'nmi') monitor.raiseNmi();
    else monitor.raiseInterrupt();
    let latency = 0;
    for (; count(monitor, kind) === counted; latency++) if (latency > 2000 || !monitor.watchedStep()) throw new Error(`an event at boundary ${boundary} does not arrive: ${monitor.machine.vcpu.ripText()}`);
    latencies.push(latency);
    // To the guest's next request, and past it.
    for (let steps = 0; monitor.rounds < rounds + 2; steps++) {
      if (steps > MOST_STEPS) throw new Error(`after an event at boundary ${boundary} no round trip ends: ${monitor.machine.vcpu.ripText()}`);
      monitor.watchedStep();
    }
    expect([count(monitor, kind) - counted, monitor.held, monitor.wrong, monitor.changed], `boundary ${boundary}`).toEqual([1, 0, 0, 0]);
  }
  throw new Error(`a round trip has more than ${MOST_STEPS} instructions`);
}

/** Round trips with an event at another place of each; every one is counted once, and nothing is lost. */
export function manyRoundTrips(monitor: SteppedMonitor, kind: EventKind, events: number): number {
  monitor.runTo(monitor.image.excursionCode.first);
  const first = monitor.rounds;
  const counted = count(monitor, kind);
  for (let i = 0; i < events; i++) {
    if (kind === 'nmi') monitor.raiseNmi();
    else monitor.raiseInterrupt();
    if (!monitor.step(STRIDE)) throw new Error(`after ${i} events: ${monitor.machine.vcpu.ripText()}`);
  }
  monitor.step(STRIDE);
  expect([count(monitor, kind) - counted, monitor.held, monitor.wrong, monitor.count('faulted')]).toEqual([events, 0, 0, 0]);
  return monitor.rounds - first;
}

function count(monitor: SteppedMonitor, kind: EventKind): number {
  return monitor.count(kind === 'nmi' ? 'nmis' : 'others');
}
