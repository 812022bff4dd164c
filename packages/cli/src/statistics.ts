import type { BootPhase } from './boot-phases.ts';
import { formatDuration } from './duration.ts';

/** The part of a machine that is looked at. */
export interface CountedMachine {
  readonly counters: { read(): Readonly<Record<string, number>> };
  readonly vcpus: readonly { readonly missing?: ReadonlyMap<string, number> }[];
}
/** What translating did for the guest. */
export interface TranslationRates {
  /** Of all instructions, those that ran translated; 0 to 1. */
  readonly share: number;
  readonly instructionsPerEntry: number;
  /**
   * Of the accesses to memory of translated code, those that the TLB answered; 0 to 1, and never more than it was: instructions that
   * were left to the interpreter for another reason, such as a device, are counted as misses.
   */
  readonly tlbHitRate: number;
}
export interface Statistics {
  readonly elapsedMs: number; // of real time, since power-up
  readonly busyMs: number; // of it, with the machine at work and not waiting
  readonly instructions: number;
  readonly mips: number; // while at work
  readonly phases: readonly BootPhase[];
  readonly counters: Readonly<Record<string, number>>;
  /** Null when nothing was translated. */
  readonly translation: TranslationRates | null;
  /** What the guest asked for and the processor has not: instructions and model-specific registers, with how often. */
  readonly missing: Readonly<Record<string, number>>;
}

export function collectStatistics(machine: CountedMachine, elapsedMs: number, phases: readonly BootPhase[] = []): Statistics {
  const counters = machine.counters.read();
  const instructions = counters['cpu.instructions'] ?? 0;
  const busyMs = (counters['loop.busyNanos'] ?? 0) / 1e6;
  const mips = busyMs > 0 ? instructions / busyMs / 1000 : 0;
  return { elapsedMs, busyMs, instructions, mips, phases, counters, translation: translationRates(counters, instructions), missing: missingOf(machine) };
}

function missingOf({ vcpus }: CountedMachine): Readonly<Record<string, number>> {
  const all: Record<string, number> = {};
  for (const { missing } of vcpus) for (const [what, times] of missing ?? []) all[what] = (all[what] ?? 0) + times;
  return all;
}

function translationRates(counters: Readonly<Record<string, number>>, instructions: number): TranslationRates | null {
  const { 'cpu.translator.executed': executed = 0, 'cpu.translator.entries': entries = 0, 'cpu.translator.accesses': accesses = 0, 'cpu.translator.exits.instruction': left = 0 } = counters;
  if (entries === 0 || instructions === 0) return null;
  return { share: executed / instructions, instructionsPerEntry: executed / entries, tlbHitRate: accesses === 0 ? 1 : Math.max(0, 1 - left / accesses) };
}

const OWN_LINES = new Set(['cpu.instructions', 'loop.busyNanos']);

/** For people. Counters of one part of the machine stand on one line; those that are 0 are left out. */
export function formatStatistics(statistics: Statistics): string {
  const { elapsedMs, busyMs, instructions, mips, phases, counters, translation, missing } = statistics;
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
  if (translation !== null) {
    const { share, instructionsPerEntry, tlbHitRate } = translation;
    lines.push(['translated', `${(share * 100).toFixed(1)} % of the instructions, ${instructionsPerEntry.toFixed(0)} an entry; the TLB answered ${(tlbHitRate * 100).toFixed(3)} % of their accesses to memory`]);
  }
  for (const [what, times] of Object.entries(missing)) lines.push(['missing', `${what}: ${count(times)} times`]);
  const width = Math.max(...lines.map(([name]) => name.length)) + 2;
  return lines.map(([name, value]) => name.padEnd(width) + value).join('\n');
}

/** `cpu.halts` is of the part cpu; `device.com1.registers.reads` is of the device com1; the translator is a part of its own. */
function splitName(name: string): readonly [part: string, what: string] {
  const [first = '', ...rest] = name.split('.');
  if (rest[0] === 'translator') return [rest[0], rest.slice(1).join(' ')];
  if (first !== 'device') return [first, rest.join(' ')];
  return [rest[0] ?? '', rest.slice(1).join(' ')];
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en');
}
