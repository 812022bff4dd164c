import type { Machine } from '@vm/core';
import { type ExitReason, type TracedRegion, tracedRegions } from '@vm/vcpu-wasm';
import { findShift } from './kernel-shift.ts';
import { isSoftware, type MachineVcpu, presentOf } from './machine-vcpu.ts';
import type { SymbolTable } from './symbol-table.ts';

export interface HotRegionsContext {
  /** How many are told. */
  readonly most: number;
  /** Instructions that the guest has executed, translated or not. */
  readonly instructions: number;
  /** What the guest calls an address; null where nobody knows. */
  readonly nameOf: (address: bigint) => string | null;
}

const LEAST_SHARE = 0.01; // of the exits of a region, to be told
const HEAD = ['share', 'executed', 'entries', 'each', 'guest', 'bytes', 'written', 'where, and why it was left'];

/** Of a machine that was made to trace them. */
export function hotRegionsOf({ vcpu: machineVcpu, retired }: Pick<Machine<MachineVcpu>, 'vcpu' | 'retired'>, most: number, symbols: SymbolTable | null): string {
  const vcpu = presentOf(machineVcpu);
  if (!isSoftware(vcpu)) return 'hot regions: none, because the software engine does not run the guest';
  const shift = symbols === null ? 0n : findShift(vcpu, symbols);
  return formatHotRegions(tracedRegions(vcpu), { most, instructions: retired, nameOf: (address) => symbols?.nameOf(address - shift) ?? null });
}

/** The regions in which most of a guest's instructions ran: a table, and below each one why it was left. */
export function formatHotRegions(regions: readonly TracedRegion[], { most, instructions, nameOf }: HotRegionsContext): string {
  const executed = regions.reduce((sum, region) => sum + region.executed, 0);
  if (executed === 0) return 'hot regions: none, because no code was translated';
  const shown = regions.slice(0, most).filter((region) => region.executed > 0);
  const together = shown.reduce((sum, region) => sum + region.executed, 0);
  const cells = shown.map((region) => [
    percent(region.executed / instructions), count(region.executed), count(region.entries), (region.executed / Math.max(1, region.entries)).toFixed(1),
    count(region.instructions), count(region.bytes), count(region.written), `${placeOf(region, nameOf)}: ${exitsOf(region)}`,
  ]);
  const widths = HEAD.map((title, column) => (column === HEAD.length - 1 ? 0 : Math.max(title.length, ...cells.map((line) => line[column]!.length))));
  const line = (one: readonly string[]): string => `  ${one.map((cell, column) => cell.padStart(widths[column]!)).join('  ')}`;
  return [
    `hot regions: ${shown.length} of ${count(regions.length)}, in which ${percent(together / instructions)} of ${count(instructions)} instructions ran; ${percent(executed / instructions)} ran in all of them`,
    line(HEAD), ...cells.map(line),
    '  share of all instructions; instructions executed in it; entries, instructions at each; of the guest in it; bytes of WebAssembly; times written',
  ].join('\n');
}

function placeOf({ address, mode, pageOffset }: TracedRegion, nameOf: HotRegionsContext['nameOf']): string {
  return nameOf(address) ?? `0x${address.toString(16)} (${mode}-bit, page ${(pageOffset >>> 12).toString(16)})`;
}

function exitsOf({ exits, entries }: TracedRegion): string {
  const reasons = (Object.entries(exits) as [ExitReason, number][]).filter(([, times]) => times >= entries * LEAST_SHARE && times > 0).toSorted(([, a], [, b]) => b - a);
  return reasons.map(([reason, times]) => `${reason} ${percent(times / entries)}`).join(', ');
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

function count(value: number): string {
  return Math.round(value).toLocaleString('en');
}
