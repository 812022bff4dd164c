import type { BootPhase } from './boot-phases.ts';
import { formatDuration } from './duration.ts';

/** The part of a machine that is looked at. */
export interface CountedMachine {
  readonly counters: { read(): Readonly<Record<string, number>> };
  readonly vcpu: { readonly missing?: ReadonlyMap<string, number> };
}
export interface Statistics {
  readonly elapsedMs: number; // of real time, since power-up
  readonly busyMs: number; // of it, with the machine at work and not waiting
  readonly instructions: number;
  readonly mips: number; // while at work
  readonly phases: readonly BootPhase[];
  readonly counters: Readonly<Record<string, number>>;
  /** What the guest asked for and the processor has not: instructions and model-specific registers, with how often. */
  readonly missing: Readonly<Record<string, number>>;
}

export function collectStatistics(machine: CountedMachine, elapsedMs: number, phases: readonly BootPhase[] = []): Statistics {
  const counters = machine.counters.read();
  const instructions = counters['cpu.instructions'] ?? 0;
  const busyMs = (counters['loop.busyNanos'] ?? 0) / 1e6;
  const mips = busyMs > 0 ? instructions / busyMs / 1000 : 0;
  return { elapsedMs, busyMs, instructions, mips, phases, counters, missing: Object.fromEntries(machine.vcpu.missing ?? []) };
}

const OWN_LINES = new Set(['cpu.instructions', 'loop.busyNanos']);

/** For people. Counters of one part of the machine stand on one line; those that are 0 are left out. */
export function formatStatistics(statistics: Statistics): string {
  const { elapsedMs, busyMs, instructions, mips, phases, counters, missing } = statistics;
  const lines: [string, string][] = [
    ['time', `${formatDuration(elapsedMs)}, at work ${formatDuration(busyMs)}`],
    ['instructions', `${count(instructions)} (${mips.toFixed(1)} million a second)`],
    ...phases.map((phase): [string, string] => ['phase', `${phase.name}: ${formatDuration(phase.ms)}, ${count(phase.instructions)} instructions, ${formatDuration(phase.machineMs)} for the guest`]),
  ];
  const parts = new Map<string, string[]>();
  for (const [name, value] of Object.entries(counters)) {
    if (OWN_LINES.has(name) || value === 0) continue;
    const [part, what] = splitName(name);
    const shown = name === 'clock.nanos' ? `${(value / 1e9).toFixed(3)} s` : `${count(value)} ${what}`;
    parts.set(part, [...(parts.get(part) ?? []), shown.trim()]);
  }
  for (const [part, shown] of parts) lines.push([part, shown.join(', ')]);
  for (const [what, times] of Object.entries(missing)) lines.push(['missing', `${what}: ${count(times)} times`]);
  const width = Math.max(...lines.map(([name]) => name.length)) + 2;
  return lines.map(([name, value]) => name.padEnd(width) + value).join('\n');
}

/** `cpu.halts` is of the part cpu; `device.com1.registers.reads` is of the device com1. */
function splitName(name: string): readonly [part: string, what: string] {
  const [first = '', ...rest] = name.split('.');
  if (first !== 'device') return [first, rest.join(' ')];
  return [rest[0] ?? '', rest.slice(1).join(' ')];
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en');
}
