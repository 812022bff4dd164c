import type { Clock } from './abi.ts';
import type { Counters } from './counters.ts';
import type { Engine, InterruptFabric } from './engine.ts';
import type { FaultFence } from './fault-fence.ts';
import type { Bus } from './io-bus.ts';
import type { Processors } from './processor-turns.ts';
import type { RunLoop } from './run-loop.ts';

/** What of a machine counts. */
export interface CountedParts {
  readonly engine: Engine;
  readonly processors: Processors;
  readonly clock: Clock;
  readonly loop: RunLoop;
  readonly pio: Bus;
  readonly mmio: Bus;
  readonly fabric: InterruptFabric;
  readonly fences: ReadonlyMap<string, FaultFence>;
}

export function countMachine(counters: Counters, { engine, processors, clock, loop, pio, mmio, fabric, fences }: CountedParts): void {
  counters.gauge('cpu.instructions', () => processors.runner.retired);
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
  const [first, ...others] = processors.all;
  if (others.length === 0) return counters.family('cpu', () => first?.counts?.() ?? []);
  // What all of them did, what they share, and what each did.
  counters.family('cpu', () => sumByName(processors.all.flatMap((vcpu) => Array.from(vcpu.counts?.() ?? []))));
  counters.family('cpu', () => engine.counts?.() ?? []);
  processors.all.forEach((vcpu, i) => counters.family(`cpu${i}`, () => [['instructions', vcpu.retired] as const, ...(vcpu.counts?.() ?? [])]));
}

function sumByName(counts: readonly (readonly [name: string, count: number])[]): Map<string, number> {
  const sums = new Map<string, number>();
  for (const [name, count] of counts) sums.set(name, (sums.get(name) ?? 0) + count);
  return sums;
}
