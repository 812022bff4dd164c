/** The encodings that a host's processor can be asked about. */
import { readFileSync } from 'node:fs';
import { ROW_FEATURES, WIDE_ROW_FEATURES } from '@vm/x86';
import type { CpuFeature } from '@vm/x86';
import { listEncodings } from './encoding-list.ts';
import type { Encoding } from './encoding-list.ts';
import type { NativeRun } from './native-program.ts';

/** Names that Linux has for features, where they are not ours. */
const LINUX_NAMES: Readonly<Record<string, string>> = { sse3: 'pni', lzcnt: 'abm', 'sse4.1': 'sse4_1', 'sse4.2': 'sse4_2', lahf: 'lahf_lm', clfsh: 'clflush', 'long-mode': 'lm' };
const BASES = /^(?:rd|wr)[fg]sbase$/;
const POINTERS: ReadonlySet<string> = new Set(['fnstenv', 'fnsave']);

/** Whether the host's processor has a feature. */
export function hostHas(feature: CpuFeature | null): boolean {
  flags ??= new Set((/^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '').trim().split(/\s+/));
  return feature === null || flags.has(LINUX_NAMES[feature] ?? feature);
}
let flags: ReadonlySet<string> | null = null;

export function encodingsFor({ lowPages, hasBases, keepsPointers }: NativeRun): Encoding[] {
  return ([64, 32] as const).flatMap(listEncodings).filter(({ row, form, vex }) =>
    hostHas((vex?.length === 1 ? WIDE_ROW_FEATURES : ROW_FEATURES)[row.id] ?? null) && (lowPages || form.addressBytes !== 2) && (hasBases || !BASES.test(row.name)) && (keepsPointers || !POINTERS.has(row.name)));
}
