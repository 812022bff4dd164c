import { formatDuration } from './duration.ts';

/** The part of a machine that is looked at. */
export interface CountedMachine {
  readonly counters: { read(): Readonly<Record<string, number>> };
  readonly vcpu: { readonly missing?: ReadonlyMap<string, number> };
}
export interface Statistics {
  readonly elapsedMs: number; // of real time, since power-up
  readonly instructions: number;
  readonly mips: number;
  readonly counters: Readonly<Record<string, number>>;
  /** What the guest asked for and the processor has not: instructions and model-specific registers, with how often. */
  readonly missing: Readonly<Record<string, number>>;
}

export function collectStatistics(machine: CountedMachine, elapsedMs: number): Statistics {
  const counters = machine.counters.read();
  const instructions = counters['cpu.instructions'] ?? 0;
  return { elapsedMs, instructions, mips: elapsedMs > 0 ? instructions / elapsedMs / 1000 : 0, counters, missing: Object.fromEntries(machine.vcpu.missing ?? []) };
}

/** For people. Counters of one part of the machine stand on one line. */
export function formatStatistics(statistics: Statistics): string {
  const { elapsedMs, instructions, mips, counters, missing } = statistics;
  const lines: [string, string][] = [
    ['time', formatDuration(elapsedMs)],
    ['instructions', `${count(instructions)} (${mips.toFixed(1)} million a second)`],
  ];
  const parts = new Map<string, string[]>();
  for (const [name, value] of Object.entries(counters)) {
    const dot = name.indexOf('.');
    const [part, what] = dot < 0 ? [name, ''] : [name.slice(0, dot), name.slice(dot + 1)];
    if (name === 'cpu.instructions') continue;
    const shown = name === 'clock.nanos' ? `${(value / 1e9).toFixed(3)} s` : `${count(value)} ${what}`;
    parts.set(part, [...(parts.get(part) ?? []), shown.trim()]);
  }
  for (const [part, shown] of parts) lines.push([part, shown.join(', ')]);
  for (const [what, times] of Object.entries(missing)) lines.push(['missing', `${what}: ${count(times)} times`]);
  const width = Math.max(...lines.map(([name]) => name.length)) + 2;
  return lines.map(([name, value]) => name.padEnd(width) + value).join('\n');
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en');
}
