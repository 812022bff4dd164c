import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createProgress, defaultCacheFolder, fetchGuest, GuestCache } from '@vm/cli';
import { findOracle } from '@vm/testkit/oracle';
import type { Chart } from './chart.ts';
import { type GuestFiles, ourCommand, QEMU, qemuCommand } from './guest-commands.ts';
import { initrdWith, resultsIn } from './guest-programs.ts';
import { GuestSession } from './guest-session.ts';
import { type Benchmark, median, type Row, row } from './registry.ts';

const GUEST = 'linux-image-cloud-amd64';
const APPEND = 'console=ttyS0 quiet cryptomgr.notests vm.term=dumb';
const MEMORY_MIB = 512;
const QEMU_CPU = 'qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf_lm,+rdrand,+aes,+pclmulqdq';
const ROUNDS = 3;
const SCALE = 1, QUICK_SCALE = 0.02;
/** What is made larger, and through which sizes. */
const SERIES = {
  ram: { sizes: [128, 256, 512, 1024, 2048, 3072], quick: [128, 1024] },
  processes: { sizes: [2, 8, 32, 128, 512], quick: [2, 128] },
  code: { sizes: [1, 4, 16, 64], quick: [1, 16] },
} as const;
type Series = keyof typeof SERIES;
const isSeries = (name: string): name is Series => name in SERIES;

/** One run at one size. */
interface Run {
  /** A boot to the shell, of `ram`; else nanoseconds a unit of the program. */
  readonly time: number;
  /** Of the host, in MiB, that the program with the guest has; and what the guest itself uses. */
  readonly hostMiB: number;
  readonly mostHostMiB: number;
  readonly guestMiB: number;
}
type Side = 'vm' | 'QEMU TCG';
/** By series and size. */
type Runs = Map<string, { readonly series: Series; readonly size: number; readonly sides: Map<Side, Run[]> }>;

let last: Runs = new Map();

export const growth: Benchmark = {
  summary: 'what larger guests cost: RAM from 128 MiB to 3 GiB, 2 to 512 processes, 1 to 64 MiB of code',
  options: { rows: `of ${Object.keys(SERIES).join(', ')}; default: all`, rounds: `default: ${ROUNDS}`, scale: `work of the programs; default: ${SCALE}` },
  charts: () => chartsOf(last),
  async run({ quick, rows, rounds: givenRounds, scale: givenScale }) {
    const wanted = rows === undefined ? Object.keys(SERIES) : rows.split(',');
    const unknown = wanted.find((name) => !isSeries(name));
    if (unknown !== undefined) throw new Error(`--rows: there is no ${unknown}, only ${Object.keys(SERIES).join(', ')}`);
    const rounds = givenRounds === undefined ? (quick ? 1 : ROUNDS) : Number(givenRounds);
    const scale = givenScale === undefined ? (quick ? QUICK_SCALE : SCALE) : Number(givenScale);
    const guest = await fetchGuest(new GuestCache(defaultCacheFolder()), GUEST, createProgress(process.stderr));
    const folder = mkdtempSync(join(tmpdir(), 'vm-bench-'));
    const found: Runs = new Map();
    try {
      const initrd = join(folder, 'initrd');
      writeFileSync(initrd, initrdWith(readFileSync(guest.initrd), ['growth'], folder));
      for (let round = 0; round < rounds; round++) {
        for (const series of wanted.filter(isSeries)) {
          for (const size of SERIES[series][quick ? 'quick' : 'sizes']) await runAll(found, series, size, round, { kernel: guest.kernel, initrd, append: APPEND, memoryMiB: series === 'ram' ? size : MEMORY_MIB }, scale);
        }
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    last = found;
    return [...found.values()].flatMap(({ series, size, sides }) => rowsOf(series, size, sides));
  },
};

/** Each side in a process of its own, so that what it needs is seen. */
async function runAll(found: Runs, series: Series, size: number, round: number, files: GuestFiles, scale: number): Promise<void> {
  const commands: [Side, readonly string[]][] = [['vm', ourCommand(files, [], 'sources')]];
  if (findOracle(QEMU) !== null) commands.push(['QEMU TCG', qemuCommand(files, QEMU_CPU)]);
  const key = `${series} ${size}`;
  const known = found.get(key) ?? { series, size, sides: new Map<Side, Run[]>() };
  found.set(key, known);
  const checks = new Set<string>();
  for (const [side, command] of round % 2 === 0 ? commands : commands.toReversed()) {
    const session = new GuestSession(command);
    try {
      const bootSeconds = await session.ready();
      let time = bootSeconds;
      if (series !== 'ram') {
        const { output } = await session.run(`/programs/growth ${series} ${size} ${scale}`);
        const [result] = resultsIn(output);
        if (result === undefined) throw new Error(`growth ${series} ${size}, ${side}: no result in ${JSON.stringify(output)}`);
        checks.add(result.check);
        time = result.nanos / result.units;
      }
      const { output } = await session.run('cat /proc/meminfo');
      const { now, most } = session.memoryMiB;
      known.sides.set(side, [...(known.sides.get(side) ?? []), { time, hostMiB: now, mostHostMiB: most, guestMiB: usedMiB(output) }]);
      console.error(`round ${round + 1}, ${series} ${size}, ${side}: boot ${bootSeconds.toFixed(1)} s, ${now.toFixed(0)} MiB`);
    } finally {
      session.kill();
    }
  }
  if (checks.size > 1) throw new Error(`growth ${series} ${size}: the results differ: ${[...checks].join(', ')}`);
}

/** What a guest has in use, by its /proc/meminfo. */
function usedMiB(meminfo: string): number {
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(meminfo)?.[1] ?? NaN) / 1024;
  return field('MemTotal') - field('MemFree');
}

const UNITS: Readonly<Record<Series, { readonly title: (size: number) => string; readonly unit: string; readonly what: string }>> = {
  ram: { title: (size) => `${size} MiB of RAM`, unit: 's', what: 'boot to the shell' },
  processes: { title: (size) => `${size} processes`, unit: 'ns', what: 'a token from one to the next' },
  code: { title: (size) => `${size} MiB of code`, unit: 'ns', what: 'a function of 4 KiB' },
};

function rowsOf(series: Series, size: number, sides: ReadonlyMap<Side, readonly Run[]>): Row[] {
  const { title, unit, what } = UNITS[series];
  const ours = sides.get('vm') ?? [];
  const theirs = sides.get('QEMU TCG');
  const one = (name: string, ofUnit: string, of: (run: Run) => number): Row => row(`${title(size)}, ${name}`, ofUnit, ours.length, median(ours.map(of)), ...(theirs === undefined ? [] : [{ name: 'QEMU TCG', value: median(theirs.map(of)) }]));
  return [
    one(what, unit, ({ time }) => time),
    one('memory of the host', 'MiB', ({ hostMiB }) => hostMiB),
    one('the most of it', 'MiB', ({ mostHostMiB }) => mostHostMiB),
    one('of it not used by the guest', 'MiB', ({ hostMiB, guestMiB }) => hostMiB - guestMiB),
  ];
}

function chartsOf(runs: Runs): Chart[] {
  const X: Readonly<Record<Series, string>> = { ram: 'RAM, MiB', processes: 'processes', code: 'code, MiB' };
  return (Object.keys(SERIES) as Series[]).flatMap((series) => {
    const points = (of: (run: Run) => number) => [...runs.values()].filter((one) => one.series === series).flatMap(({ size, sides }) => [...sides].map(([side, all]) => ({ series: side, x: size, y: median(all.map(of)) })));
    if (points(({ time }) => time).length === 0) return [];
    const x = { title: X[series], isLogarithmic: true };
    const { what, unit } = UNITS[series];
    return [
      { file: `growth-${series}-time.svg`, title: `${what[0]!.toUpperCase()}${what.slice(1)}`, x, y: { title: unit, isLogarithmic: series !== 'ram' }, points: points(({ time }) => time) },
      { file: `growth-${series}-memory.svg`, title: 'Memory of the host', x, y: { title: 'MiB', isLogarithmic: false }, points: points(({ hostMiB }) => hostMiB) },
    ];
  });
}
