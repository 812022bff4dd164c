import { type PairedRatio, pairedRatio } from './pairs.ts';
import type { PeerName, SideName } from './cpu-peers.ts';

/** Programs whose ratios are put together: single rows are good to a half or so, their mean carries a verdict. */
export interface Group {
  readonly name: string;
  readonly programs: readonly string[];
  /** Time as a part of QEMU's that is aimed at. */
  readonly target: number | null;
}
export const GROUPS: readonly Group[] = [
  { name: 'integer', programs: ['intmix', 'dhry', 'sieve', 'i64', 'branchy'], target: 0.6 },
  { name: 'floating point and SIMD', programs: ['fpu'], target: 0.5 },
  { name: 'system', programs: ['syscall', 'pfault', 'forkx', 'pingpong'], target: 1 },
  { name: 'memory', programs: ['membw', 'chase'], target: null },
  { name: 'changing code', programs: ['smc'], target: null },
  { name: 'boot', programs: ['boot'], target: 1.2 },
];
/** Not a file of bench/programs: a boot to the shell by each side. */
export const BOOT = 'boot';
export const PROGRAMS: readonly string[] = GROUPS.flatMap(({ programs }) => programs);
/** Of everything but the boot, against v86. */
export const V86_TARGET = 0.25;
/** No row is to be reliably slower than this against QEMU. */
export const MOST_RATIO = 2;

const LEAST_ROUNDS = 3;

/** Nanoseconds a unit by row, of each program and side in one round. */
export type Round = Readonly<Record<string, Readonly<Partial<Record<SideName, Readonly<Record<string, number>>>>>>>;

export interface Comparison {
  readonly row: string;
  readonly group: string;
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
  readonly ratio: MeasuredRatio;
}
export interface GroupRatio { readonly group: Group; readonly ratio: MeasuredRatio; readonly rows: number }
export type MeasuredRatio = Pick<PairedRatio, 'ratio'> & Partial<PairedRatio>;

/** One round has no interval, and that of two is so wide that it says nothing. */
function ratioOf(ours: readonly number[], theirs: readonly number[]): MeasuredRatio {
  return ours.length >= LEAST_ROUNDS ? pairedRatio(ours, theirs) : { ratio: geometricMean(ours.map((value, i) => value / theirs[i]!)) };
}

/** Every row against one peer. */
export function compareRows(rounds: readonly Round[], peer: PeerName): Comparison[] {
  const found = new Map<string, { readonly group: string; readonly ours: number[]; readonly theirs: number[] }>();
  for (const round of rounds) {
    for (const [program, sides] of Object.entries(round)) {
      const [own, other] = [sides.vm, sides[peer]];
      if (own === undefined || other === undefined) continue;
      const group = GROUPS.find(({ programs }) => programs.includes(program))?.name ?? program;
      for (const [row, nanos] of Object.entries(own)) {
        if (!(nanos > 0 && other[row]! > 0)) continue; // by the host's clock two lines may come at once
        const known = found.get(row) ?? { group, ours: [], theirs: [] };
        found.set(row, known);
        known.ours.push(nanos);
        known.theirs.push(other[row]!);
      }
    }
  }
  return [...found].map(([row, { group, ours, theirs }]) => ({ row, group, ours, theirs, ratio: ratioOf(ours, theirs) }));
}

/** Geometric means of the rows of each group, the interval over rounds. */
export function compareGroups(comparisons: readonly Comparison[]): GroupRatio[] {
  const whole: Group = { name: 'all programs', programs: [], target: null };
  return [...GROUPS, whole].flatMap((group) => {
    const rows = comparisons.filter((one) => one.group === group.name || (group === whole && one.group !== BOOT));
    const rounds = rows[0]?.ours.length ?? 0;
    if (rounds === 0) return [];
    const mean = (of: (one: Comparison) => readonly number[]): number[] => Array.from({ length: rounds }, (_, i) => geometricMean(rows.map((one) => of(one)[i]!)));
    return [{ group, rows: rows.length, ratio: ratioOf(mean(({ ours }) => ours), mean(({ theirs }) => theirs)) }];
  });
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}
