import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { type CpioEntry, writeCpio } from '@vm/cli';

/** One line of a program: what it did in how much of the guest's time. */
export interface ProgramResult {
  readonly name: string;
  readonly units: number;
  readonly nanos: number;
  readonly check: string;
}
/** The lines in what a program wrote. */
export function resultsIn(output: string): ProgramResult[] {
  return [...output.matchAll(/^BENCH (\w+) work=(\d+) ns=(\d+) check=(\w+)\r?$/gm)].map(([, name, units, nanos, check]) => ({ name: name!, units: Number(units), nanos: Number(nanos), check: check! }));
}

/** What programs of 32 bits are compiled for: with SSE2, as is usual now. */
const OPTIONS = { 32: ['-m32', '-march=pentium4', '-mfpmath=sse'], 64: [] } as const;

/** The guest's archive with programs of bench/programs behind it, compiled by the host; the kernel unpacks one after the other. */
export function initrdWith(initrd: Uint8Array, names: readonly string[], folder: string, bits: 32 | 64 = 64): Uint8Array {
  const entries: CpioEntry[] = [{ kind: 'folder', path: 'programs' }];
  for (const name of names) {
    const path = join(folder, name);
    const { status, stderr, error } = spawnSync('gcc', ['-O2', ...OPTIONS[bits], '-static', '-s', '-o', path, fileURLToPath(new URL(`programs/${name}.c`, import.meta.url)), '-lm'], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`gcc does not compile ${name}.c: ${error?.message ?? stderr}`);
    entries.push({ kind: 'file', path: `programs/${name}`, bytes: readFileSync(path), mode: 0o755 });
  }
  return gzipSync(Buffer.concat([gunzipSync(initrd), writeCpio(entries)]), { level: 1 });
}
