import type { Clock } from './abi.ts';
import type { Counters } from './counters.ts';
import type { InterruptFabric, Vcpu } from './engine.ts';
import type { FaultFence } from './fault-fence.ts';
import type { Bus } from './io-bus.ts';
import type { RunLoop } from './run-loop.ts';

/** What of a machine counts. */
export interface CountedParts {
  readonly vcpu: Vcpu;
  readonly clock: Clock;
  readonly loop: RunLoop;
  readonly pio: Bus;
  readonly mmio: Bus;
  readonly fabric: InterruptFabric;
  readonly fences: ReadonlyMap<string, FaultFence>;
}

export function countMachine(counters: Counters, { vcpu, clock, loop, pio, mmio, fabric, fences }: CountedParts): void {
  counters.gauge('cpu.instructions', () => vcpu.retired);
  counters.gauge('cpu.halts', () => loop.halts);
  counters.gauge('loop.slices', () => loop.slices);
  counters.gauge('loop.busyNanos', () => loop.busy);
  counters.gauge('clock.nanos', () => clock.now());
  counters.gauge('clock.fires', () => loop.clock.fires);
  for (const [space, bus] of [['pio', pio], ['mmio', mmio]] as const) {
    counters.gauge(`${space}.reads`, () => bus.reads);
    counters.gauge(`${space}.writes`, () => bus.writes);
    counters.gauge(`${space}.open`, () => bus.open);
    counters.family('device', () => bus.counts());
  }
  counters.family('device', () => fabric.counts?.() ?? []);
  counters.family('device', () => Array.from(fences).filter(([, fence]) => fence.tripped).map(([name]) => [`${name}.faults`, 1]));
  counters.family('cpu', () => vcpu.counts?.() ?? []);
}
