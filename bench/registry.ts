import type { Chart } from './chart.ts';
import { pairedRatio } from './pairs.ts';

/** One measurement. `peer` is what somebody else's way takes for the same work on the same host, when there is one. */
export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly ours: number;
  readonly peer: number | null;
  readonly peerName: string | null;
  readonly ratio: number | null; // ours / peer
  readonly runs: number;
  /** Ends of the ratio's 95 % interval, where runs in turn gave one. */
  readonly interval?: readonly [low: number, high: number];
  /** What the ratio is to be at most; of a row without a ratio what `ours` is to be. */
  readonly target?: Target;
}
export interface Target { readonly most?: number; readonly least?: number }

/** Options that some benchmarks have, as they were given. */
export interface BenchSettings {
  readonly bits?: string;
  readonly peers?: string;
  readonly programs?: string;
  readonly rows?: string;
  readonly scale?: string;
  readonly rounds?: string;
  readonly resume?: boolean;
}
export interface BenchOptions extends BenchSettings {
  /** Fewer and shorter runs, to see whether it works rather than how fast. */
  readonly quick: boolean;
}
export interface Benchmark {
  readonly summary: string;
  /** Which options it has beside `quick`, with what they are. */
  readonly options?: Readonly<Partial<Record<keyof BenchSettings, string>>>;
  run(options: BenchOptions): Promise<readonly Row[]>;
  /** Pictures of rows that it gave. */
  charts?(rows: readonly Row[]): readonly Chart[];
  /** Tables of the last run in place of one of its rows. */
  tables?(): string;
}

/** Every benchmark by name, loaded when it is asked for. */
export const BENCHMARKS: Readonly<Record<string, () => Promise<Benchmark>>> = {
  boot: async () => (await import('./boot.ts')).boot,
  cpu: async () => (await import('./cpu.ts')).cpu,
  devices: async () => (await import('./devices.ts')).devices,
  disk: async () => (await import('./disk.ts')).disk,
  exits: async () => (await import('./exits.ts')).exits,
  flat: async () => (await import('./flat.ts')).flat,
  growth: async () => (await import('./growth.ts')).growth,
  interrupts: async () => (await import('./interrupts.ts')).interrupts,
  io: async () => (await import('./io.ts')).io,
  kvm: async () => (await import('./kvm.ts')).kvm,
  longmode: async () => (await import('./longmode.ts')).longmode,
  mmu: async () => (await import('./mmu.ts')).mmu,
  startup: async () => (await import('./startup.ts')).startup,
  translate: async () => (await import('./translate.ts')).translate,
  v8: async () => (await import('./v8.ts')).v8,
};

export function row(name: string, unit: string, runs: number, ours: number, peer?: { readonly name: string; readonly value: number }): Row {
  return { name, unit, ours, peer: peer?.value ?? null, peerName: peer?.name ?? null, ratio: peer === undefined ? null : ours / peer.value, runs };
}

/** Medians of runs in turn, and what their pairs say about the ratio. */
export function pairedRow(name: string, unit: string, ours: readonly number[], theirs: readonly number[], peer: string): Row {
  const { ratio, low, high } = pairedRatio(ours, theirs);
  return { ...row(name, unit, ours.length, median(ours), { name: peer, value: median(theirs) }), ratio, interval: [low, high] };
}

/** The shortest of several runs: everything else that goes on in a host only adds. */
export function shortest(runs: number, measure: () => number): number {
  let best = Infinity;
  for (let i = 0; i < runs; i++) best = Math.min(best, measure());
  return best;
}

/** The middle one of several runs, for work whose length depends on the host's timing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
