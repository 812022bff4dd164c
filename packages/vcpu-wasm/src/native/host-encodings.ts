/** The encodings that a host's processor can be asked about. */
import { readFileSync } from 'node:fs';
import { ROW_FEATURES } from '@vm/x86';
import { listEncodings } from './encoding-list.ts';
import type { Encoding } from './encoding-list.ts';
import type { NativeRun } from './native-program.ts';

/** Names that Linux has for features, where they are not ours. */
const LINUX_NAMES: Readonly<Record<string, string>> = { sse3: 'pni', lzcnt: 'abm', 'sse4.1': 'sse4_1', 'sse4.2': 'sse4_2', lahf: 'lahf_lm', clfsh: 'clflush', 'long-mode': 'lm' };
const BASES = /^(?:rd|wr)[fg]sbase$/;
const POINTERS: ReadonlySet<string> = new Set(['fnstenv', 'fnsave']);

export function encodingsFor({ lowPages, hasBases, keepsPointers }: NativeRun): Encoding[] {
  const flags = new Set((/^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '').trim().split(/\s+/));
  return ([64, 32] as const).flatMap(listEncodings).filter(({ row, form }) => {
    const feature = ROW_FEATURES[row.id] ?? null;
    return (feature === null || flags.has(LINUX_NAMES[feature] ?? feature)) && (lowPages || form.addressBytes !== 2) && (hasBases || !BASES.test(row.name)) && (keepsPointers || !POINTERS.has(row.name));
  });
}
