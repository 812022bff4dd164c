import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createProgress, defaultCacheFolder, fetchGuest, GuestCache } from '@vm/cli';
import { findOracle } from '@vm/testkit/oracle';
import { SHADOW_MODES, type ShadowMode } from '@vm/vcpu-wasm';
import { type GuestFiles, QEMU, qemuCommand } from './guest-commands.ts';
import { initrdWith, type ProgramResult, resultsIn } from './guest-programs.ts';
import { GuestSession } from './guest-session.ts';
import type { MmuResult, Watched } from './mmu-guest.ts';
import { MmuSession } from './mmu-session.ts';
import { pairedRatio } from './pairs.ts';
import { type Benchmark, median, row, type Row } from './registry.ts';
import { modelCharts, modelRows } from './shadow-model.ts';

const GUEST = 'linux-image-cloud-amd64';
const MEMORY_MIB = 512;
/** Without process-context identifiers the kernel loses every translation at a switch; with them it asks for fewer. */
const KERNELS = [{ name: 'without PCID', append: 'nopcid' }, { name: 'with PCID', append: '' }] as const;
const QEMU_CPU = 'qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf_lm,+rdrand,+aes,+pclmulqdq';
const PROGRAMS = ['pingpong', 'forkx', 'pfault', 'chase'] as const;
const QUICK_PROGRAMS = ['pingpong'] as const;
const SCALE = 0.1, QUICK_SCALE = 0.02;
const ROUNDS = 3;
/** What is run before anything counts, while code is met for the first time: V8 compiles it better in the background. */
const WARM_SCALE = 0.3;
/** Rings of the program `pingpong`: each unit of work is a switch of address spaces. */
const RING = /^ring/;

/** Programs whose cost under `cached` is compared with that under `flush` in pairs of runs, some in each of several pairs of guests: one that is unlucky stays so. */
const PAIRED = ['forkx', 'pfault'] as const;
const PAIRED_GUESTS = 6, PAIRS = 3, PAIR_SCALE = 0.02;

/** What one run of a row cost. */
interface Run extends Cost {
  readonly nanos: number;
}
type Cost = Pick<MmuResult, 'cpuMicros' | 'instructions' | 'counts'>;
type Runs = Map<string, Run[]>;
const NO_COST: Cost = { cpuMicros: 0, instructions: 0, counts: { walks: 0, fills: 0, intercepts: 0 } };

/** One guest for each policy and one under QEMU's translator, each program in turn in all of them. */
export const mmu: Benchmark = {
  charts: modelCharts,
  summary: 'switches of address spaces, edits of page tables, and walks, under each policy of shadow tables',
  async run({ quick }) {
    const files = await fetchGuest(new GuestCache(defaultCacheFolder()), GUEST, createProgress(process.stderr));
    const folder = mkdtempSync(join(tmpdir(), 'vm-bench-'));
    try {
      const programs = quick ? QUICK_PROGRAMS : PROGRAMS;
      const initrd = initrdWith(readFileSync(files.initrd), programs, folder);
      writeFileSync(join(folder, 'initrd'), initrd);
      const rows: Row[] = modelRows(quick);
      for (const { name, append } of quick ? KERNELS.slice(0, 1) : KERNELS) {
        const guest = { kernel: files.kernel, initrd: join(folder, 'initrd'), append: `console=ttyS0 quiet cryptomgr.notests vm.term=dumb ${append}`.trim(), memoryMiB: MEMORY_MIB };
        rows.push(...await compare(name, programs, guest, quick), ...(quick ? [] : await pairRows(name, guest)));
      }
      return rows;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function compare(title: string, programs: readonly string[], files: GuestFiles, quick: boolean): Promise<Row[]> {
  const guests = new Map<ShadowMode, MmuSession>();
  let peer: GuestSession | null = null;
  const checks = new Map<string, string>();
  try {
    for (const shadow of SHADOW_MODES) {
      const guest = new MmuSession(shadow, files);
      guests.set(shadow, guest);
      await guest.ready();
    }
    if (findOracle(QEMU) !== null) {
      peer = new GuestSession(qemuCommand(files, QEMU_CPU));
      await peer.ready();
    }
    for (const program of quick ? [] : programs) {
      const command = `/programs/${program} ${WARM_SCALE}`;
      for (const guest of guests.values()) await guest.run(command);
      await peer?.run(command);
    }
    const ours = new Map<ShadowMode, Runs>();
    const theirs: Runs = new Map();
    for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
      for (const program of programs) {
        const command = `/programs/${program} ${quick ? QUICK_SCALE : SCALE}`;
        for (const [shadow, guest] of guests) {
          const runs = ours.get(shadow) ?? new Map<string, Run[]>();
          ours.set(shadow, runs);
          for (const { result, ...cost } of await guest.run(command)) keep(runs, checks, result, cost);
        }
        for (const result of peer === null ? [] : resultsIn((await peer.run(command)).output)) keep(theirs, checks, result, NO_COST);
        console.error(`${title}: round ${round + 1}, ${program}`);
      }
    }
    return rowsOf(title, ours, theirs);
  } finally {
    for (const guest of guests.values()) guest[Symbol.dispose]();
    peer?.kill();
  }
}

/** Each program in one guest and then in the other, the order changing from pair to pair. */
async function pairRows(title: string, files: GuestFiles): Promise<Row[]> {
  const ours: Runs = new Map(), theirs: Runs = new Map();
  for (let guests = 0; guests < PAIRED_GUESTS; guests++) {
    using cached = new MmuSession('cached', files);
    using flush = new MmuSession('flush', files);
    await Promise.all([cached, flush].map(async (guest) => {
      await guest.ready();
      for (const program of PAIRED) await guest.run(`/programs/${program} ${WARM_SCALE}`);
    }));
    for (let pair = 0; pair < PAIRS; pair++) {
      for (const program of PAIRED) {
        const turn = [[cached, ours], [flush, theirs]] as const;
        for (const [guest, runs] of (guests + pair) % 2 === 0 ? turn : turn.toReversed()) {
          for (const { result, ...cost } of await guest.run(`/programs/${program} ${PAIR_SCALE}`)) keep(runs, new Map(), result, cost);
        }
      }
    }
    console.error(`${title}: pairs in ${guests + 1} of ${PAIRED_GUESTS} pairs of guests`);
  }
  return [...ours].flatMap(([name, list]) => {
    const other = theirs.get(name) ?? [];
    return ([['guest instructions', '', ({ instructions }: Run) => instructions], ['host CPU time', 'us', ({ cpuMicros }: Run) => cpuMicros]] as const).flatMap(([what, unit, of]) => {
      const { low, high } = pairedRatio(list.map(of), other.map(of));
      return [
        row(`${title}, pairs, ${name}: ${what} a unit under cached`, unit, list.length, median(list.map(of)), { name: 'flush', value: median(other.map(of)) }),
        row(`${title}, pairs, ${name}: lower end of the ratio of ${what}, 95 % interval`, 'times', list.length, low),
        row(`${title}, pairs, ${name}: upper end of the ratio of ${what}, 95 % interval`, 'times', list.length, high),
      ];
    });
  });
}

function keep(runs: Runs, checks: Map<string, string>, { name, units, nanos, check }: ProgramResult, cost: Cost): void {
  if ((checks.get(name) ?? check) !== check) throw new Error(`${name}: ${check} was computed, and before that ${checks.get(name)}`);
  checks.set(name, check);
  runs.set(name, [...(runs.get(name) ?? []), { nanos: nanos / units, ...cost }]);
}

function rowsOf(title: string, ours: ReadonlyMap<ShadowMode, Runs>, theirs: Runs): Row[] {
  const rows: Row[] = [];
  const middle = (runs: readonly Run[] | undefined, of: (run: Run) => number): number => median((runs ?? []).map(of));
  for (const [shadow, runs] of ours) {
    const ratios: number[] = [];
    for (const [name, list] of runs) {
      const peer = theirs.get(name);
      const one = row(`${title}, ${shadow}, ${name}`, 'ns', list.length, middle(list, ({ nanos }) => nanos), ...(peer === undefined ? [] : [{ name: 'QEMU TCG', value: middle(peer, ({ nanos }) => nanos) }]));
      rows.push(one);
      if (RING.test(name) && one.ratio !== null) ratios.push(one.ratio);
    }
    if (ratios.length > 0) rows.push(row(`${title}, ${shadow}, rings, geometric mean of the ratios`, 'times', 1, Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length)));
  }
  const flush = ours.get('flush');
  for (const shadow of ['cached', 'diff'] as const) {
    for (const [name, list] of ours.get(shadow) ?? []) {
      for (const what of ['fills', 'walks', 'intercepts'] as const satisfies readonly Watched[]) {
        const peer = middle(flush?.get(name), ({ counts }) => counts[what]);
        rows.push(row(`${title}, ${shadow}, ${name}: ${what} ${RING.test(name) ? 'a switch' : 'a unit'}`, '', list.length, middle(list, ({ counts }) => counts[what]), ...(peer === 0 ? [] : [{ name: 'flush', value: peer }])));
      }
    }
  }
  return rows;
}
