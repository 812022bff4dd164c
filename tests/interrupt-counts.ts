/** Interrupts of timers, processors and a disk, counted by a program without an operating system and by the machine. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { itWithOracle } from '@vm/testkit/oracle';
import { expect, it } from 'vitest';
import { build } from './bare-build.ts';
import { runInQemu } from './bare-qemu.ts';
import type { CountedEnd, CountedMachine } from './interrupt-counts.program.ts';
import { start } from './vm-program.ts';

export interface CountedRun {
  readonly width: 32 | 64;
  readonly processors: number;
  readonly ends: 'explicit' | 'x2apic' | 'lazy';
  readonly total: number;
  readonly seed: number;
}

const SECTORS = 16;
const SECTOR_BYTES = 512;
const SEED = process.env['VM_SEED'];
const PROGRAM = [process.execPath, '--conditions=vm-source', '--disable-warning=ExperimentalWarning', fileURLToPath(new URL('interrupt-counts.program.ts', import.meta.url))];
const ENDS = ['memory', 'model', 'synthetic', 'lazy', 'automatic'];
const FINE = 'SUMMARY: 6 tests, 0 unexpected failures';

/** Sectors that say which they are, at both ends. */
function makeContents(): Uint8Array {
  const words = new Uint16Array((SECTORS * SECTOR_BYTES) / 2);
  for (let sector = 0; sector < SECTORS; sector++) {
    words[sector * 256] = sector;
    words[sector * 256 + 255] = ~sector;
  }
  return new Uint8Array(words.buffer);
}
function environment({ processors, total, seed, ends }: CountedRun): string {
  return `NR_CPUS=${processors}\nTOTAL=${total}\nSEED=${seed}\nEOI=${ends}\n`;
}
const programOf = (width: 32 | 64): string => build('counts', width, ['start.S', 'processors.S', 'counts.c']);
async function withDisk<T>(work: (image: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'vm-counts-'));
  try {
    const image = join(folder, 'disk');
    writeFileSync(image, makeContents());
    return await work(image);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function itCounts(given: CountedRun): void {
  const run = { ...given, seed: SEED === undefined ? given.seed : Number(SEED) };
  const { width, processors, ends, total } = run;
  itWithOracle(it, 'gcc', `${total} interrupts, ends ${ends}, processors ${processors}, ${width} bits, seed ${run.seed}: none is lost, none comes twice`, async () => {
    const end = await withDisk(async (disk) => {
      const machine: CountedMachine = { kernel: programOf(width), disk, environment: environment(run), processors, enlightened: ends === 'lazy' };
      const { output, errors } = await start([...PROGRAM, JSON.stringify(machine)], '').done;
      expect(errors).toBe('');
      return JSON.parse(output) as CountedEnd;
    });
    expect([end.code, end.output]).toEqual([0, expect.stringContaining(FINE)]);
    const counts = countsIn(end.output);
    const count = (name: string): number => end.counters[`device.local-apic.${name}`]!;
    const all = counts.timers + counts.processors + counts.disk;
    expect(all).toBeGreaterThanOrEqual(total);
    expect({ delivered: count('interrupts'), ended: ENDS.reduce((sum, name) => sum + count(`ends.${name}`), 0), spurious: count('ends.spurious'), reads: end.reads }).toEqual({ delivered: all, ended: all, spurious: 0, reads: counts.disk });
    expect(count('ends.lazy')).toBe(counts.lazy);
    // Each kind is really there.
    for (const some of [counts.timers, counts.processors, counts.disk]) expect(some).toBeGreaterThan(total / 100);
    if (ends === 'lazy') expect(counts.lazy).toBeGreaterThan(total / 10);
  });
}

interface Counts { readonly timers: number; readonly processors: number; readonly disk: number; readonly lazy: number }
function countsIn(output: string): Counts {
  const number = (pattern: RegExp): number => Number(pattern.exec(output)?.[1]);
  return { timers: number(/^timers: asked \d+ came (\d+)/m), processors: number(/^processors: asked \d+ came (\d+)/m), disk: number(/^disk: asked \d+ came (\d+)/m), lazy: number(/^ends without an exit (\d+)/m) };
}

/** QEMU has these processors on one thread, as we do. */
export function itCountsOnQemu(run: CountedRun): void {
  itWithOracle(it, 'qemu-system-x86_64', `${run.total} interrupts are all there on QEMU too`, async (qemu) => {
    const output = await withDisk((image) => runInQemu(qemu, programOf(32), run.processors, environment(run), ['-drive', `file=${image},format=raw,if=ide`]));
    expect(output).toContain(FINE);
  });
}
