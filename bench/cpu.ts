import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CachedGuest, createProgress, defaultCacheFolder, fetchGuest, GuestCache } from '@vm/cli';
import { BOOT, type Comparison, compareGroups, compareRows, MOST_RATIO, PROGRAMS, type Round, V86_TARGET } from './cpu-groups.ts';
import { type Bits, PEER_NAMES, type PeerName, type SideName, SIDES } from './cpu-peers.ts';
import { cpuCharts, cpuMarkdown, type SetResults } from './cpu-report.ts';
import { type Contest, runRound } from './cpu-rounds.ts';
import { initrdWith } from './guest-programs.ts';
import { GuestSession } from './guest-session.ts';
import { type Benchmark, type BenchOptions, median, type Row } from './registry.ts';
import { RoundCache } from './round-cache.ts';
import { translatorProfile } from './translator-profile.ts';

/** v86 has no 64 bits and starts no kernel with PAE as quickly. */
const GUESTS = { 64: 'linux-image-cloud-amd64', 32: 'linux-image-686' } as const;
const APPEND = 'console=ttyS0 quiet cryptomgr.notests vm.term=dumb';
const MEMORY_MIB = 512;
const QUICK_PROGRAMS = ['intmix', 'dhry', 'fpu', 'i64', 'branchy', 'syscall'];
const SCALE = 0.25, QUICK_SCALE = 0.02;
const ROUNDS = 5, QUICK_ROUNDS = 1;
/** Bochs takes twenty times as long as QEMU: it gets less work, once, and so do we beside it. */
const BOCHS_SCALE = 0.02;
const BOCHS_ROUNDS = 1;

interface Settings {
  readonly bits: readonly Bits[];
  readonly peers: readonly PeerName[];
  readonly programs: readonly string[];
  readonly scale: number;
  readonly rounds: number;
}
interface GuestSet {
  readonly title: string;
  readonly bits: Bits;
  readonly sides: readonly SideName[];
  readonly programs: readonly string[];
  readonly scale: number;
  readonly rounds: number;
}

/** What the last run found, for charts. */
let results: readonly SetResults[] = [];

/** Programs of bench/programs in guests under `vm` and under other emulators, each program in turn in all of them. */
export const cpu: Benchmark = {
  summary: 'compiled programs in a guest, against QEMU TCG, v86 and Bochs',
  options: {
    bits: 'of the guests: 32, 64 or both, which is the default',
    peers: `of ${PEER_NAMES.join(', ')}; default: those that are installed`,
    programs: `of ${PROGRAMS.join(', ')}; default: all`,
    scale: `work, as a part of what the programs do by themselves; default: ${SCALE}`,
    rounds: `default: ${ROUNDS}`,
    resume: 'go on with a run that was broken off, after its last finished round',
  },
  charts: () => cpuCharts(results),
  tables: () => cpuMarkdown(results),
  async run(options) {
    const settings = settingsOf(options);
    const sets = setsOf(settings, options.quick);
    const cache = new RoundCache<Round>('cpu', { scale: String(settings.scale), programs: settings.programs.join(), peers: settings.peers.join() }, options.resume === true);
    if (settings.programs.includes(BOOT)) execFileSync('turbo', ['run', 'build', '--output-logs=errors-only'], { cwd: fileURLToPath(new URL('..', import.meta.url)), stdio: ['ignore', 'ignore', 'inherit'] });
    const found: SetResults[] = [];
    const rows: Row[] = [];
    for (const set of sets) {
      const boots = await runBoots(set, cache);
      const { rounds: programs, profile } = await runPrograms(set, cache);
      const rounds = Array.from({ length: set.rounds }, (_, i) => ({ ...programs[i], ...boots[i] }));
      for (const peer of set.sides) {
        if (peer === 'vm') continue;
        const comparisons = compareRows(rounds, peer);
        const groups = compareGroups(comparisons);
        found.push({ title: set.title, peer, rounds: rounds.length, comparisons, groups });
        rows.push(...rowsOf(found.at(-1)!));
      }
      rows.push(...profile);
    }
    results = found;
    return rows;
  },
};

function settingsOf({ quick, bits, peers, programs, scale, rounds }: BenchOptions): Settings {
  const some = <T extends string>(option: string, given: string | undefined, all: readonly T[], usual: readonly T[]): readonly T[] => {
    if (given === undefined) return usual;
    const names = given.split(',').filter((name) => name !== '') as T[];
    const wrong = names.find((name) => !all.includes(name));
    if (wrong !== undefined) throw new Error(`--${option}: there is no ${wrong}, only ${all.join(', ')}`);
    return names;
  };
  const number = (option: string, given: string | undefined, usual: number): number => {
    const value = given === undefined ? usual : Number(given);
    if (!(value > 0)) throw new Error(`--${option}: expected a number above 0, got ${given}`);
    return value;
  };
  const wanted = some('peers', peers, PEER_NAMES, quick ? ['qemu', 'v86'] : PEER_NAMES);
  return {
    bits: some('bits', bits, ['64', '32'], ['64', '32']).map((text) => Number(text) as Bits),
    peers: wanted.filter((name) => {
      const missing = SIDES[name].missing();
      if (missing !== null) console.error(`${SIDES[name].title} is left out: ${missing}`);
      return missing === null;
    }),
    programs: some('programs', programs, PROGRAMS, quick ? QUICK_PROGRAMS : PROGRAMS),
    scale: number('scale', scale, quick ? QUICK_SCALE : SCALE),
    rounds: number('rounds', rounds, quick ? QUICK_ROUNDS : ROUNDS),
  };
}

function setsOf({ bits, peers, programs, scale, rounds }: Settings, quick: boolean): GuestSet[] {
  const sets: GuestSet[] = bits.map((width) => ({ title: `${width}-bit`, bits: width, sides: ['vm' as const, ...peers.filter((peer) => peer !== 'bochs' && SIDES[peer].bits.includes(width))], programs, scale, rounds }))
    .filter(({ sides }) => sides.length > 1 || peers.length === 0);
  if (!peers.includes('bochs') || !bits.includes(32)) return sets;
  return [...sets, { title: '32-bit, less work', bits: 32, sides: ['vm', 'bochs'], programs: programs.filter((name) => name !== BOOT), scale: quick ? scale : Math.min(scale, BOCHS_SCALE), rounds: BOCHS_ROUNDS }];
}

async function guestFor(bits: Bits): Promise<CachedGuest> {
  return fetchGuest(new GuestCache(defaultCacheFolder()), GUESTS[bits], createProgress(process.stderr));
}

/** Rounds of boots, as far as they are not in the cache yet. */
async function runBoots({ title, bits, sides, programs, rounds }: GuestSet, cache: RoundCache<Round>): Promise<readonly Round[]> {
  if (!programs.includes(BOOT)) return [];
  const { kernel, initrd } = await guestFor(bits);
  const bootCommands = Object.fromEntries(sides.map((side) => [side, SIDES[side].bootCommand({ kernel, initrd, append: APPEND, memoryMiB: MEMORY_MIB })]));
  const name = `${title}, boots`;
  for (let round = cache.rounds(name).length; round < rounds; round++) cache.add(name, await runRound({ title, sides, sessions: {}, bootCommands, programs: [BOOT], scale: 1, timeless: [] }, round, new Map()));
  return cache.rounds(name);
}

/** Rounds of programs, as far as they are not in the cache yet, and what the translator did meanwhile. */
async function runPrograms(set: GuestSet, cache: RoundCache<Round>): Promise<{ readonly rounds: readonly Round[]; readonly profile: readonly Row[] }> {
  const { title, bits, sides, scale } = set;
  const programs = set.programs.filter((name) => name !== BOOT);
  const finished = cache.rounds(title).length;
  if (finished >= set.rounds || programs.length === 0) return { rounds: cache.rounds(title), profile: [] };
  const guest = await guestFor(bits);
  const folder = mkdtempSync(join(tmpdir(), 'vm-bench-'));
  const sessions: Partial<Record<SideName, GuestSession>> = {};
  try {
    const initrd = join(folder, 'initrd');
    writeFileSync(initrd, initrdWith(readFileSync(guest.initrd), programs, folder, bits));
    for (const side of sides) {
      console.error(`${title}: ${SIDES[side].title} boots`);
      sessions[side] = new GuestSession(SIDES[side].command({ kernel: guest.kernel, initrd, append: APPEND, memoryMiB: MEMORY_MIB }));
      await sessions[side].ready();
    }
    const contest: Contest = { title, sides, sessions, bootCommands: {}, programs, scale, timeless: ['bochs'] };
    const checks = new Map<string, string>();
    for (let round = finished; round < set.rounds; round++) cache.add(title, await runRound(contest, round, checks));
    const { vm } = sessions;
    const { most } = vm!.memoryMiB;
    await vm!.powerOff();
    return { rounds: cache.rounds(title), profile: [...translatorProfile(title, vm!.errors), memoryRow(title, most)] };
  } finally {
    for (const session of Object.values(sessions)) session.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

function memoryRow(title: string, mostMiB: number): Row {
  return { name: `${title}, most memory of the host`, unit: 'MiB', ours: mostMiB, peer: MEMORY_MIB, peerName: "guest's RAM", ratio: mostMiB / MEMORY_MIB, runs: 1 };
}

function rowsOf({ title, peer, rounds, comparisons, groups }: SetResults): Row[] {
  const peerName = SIDES[peer].title;
  const rows: Row[] = comparisons.map(({ row, group, ours, theirs, ratio }) => {
    const [unit, divisor] = group === BOOT ? ['s', 1e9] : ['ns', 1];
    return { name: `${title}, ${row}`, unit, ours: median(ours) / divisor, peer: median(theirs) / divisor, peerName, ratio: ratio.ratio, ...intervalOf(ratio), runs: rounds };
  });
  for (const { group, ratio, rows: count } of groups) {
    const most = peer === 'qemu' ? group.target : peer === 'v86' && group.name === 'all programs' ? V86_TARGET : null;
    rows.push({ name: `${title}, ${group.name}, ${count} rows, against ${peerName}`, unit: 'times', ours: ratio.ratio, peer: null, peerName: null, ratio: null, ...intervalOf(ratio), runs: rounds, ...(most === null ? {} : { target: { most } }) });
  }
  if (peer === 'qemu' && comparisons.some(({ ratio }) => ratio.low !== undefined)) {
    const slow = slowRows(comparisons);
    rows.push({ name: `${title}, rows reliably above ${MOST_RATIO}${slow.length === 0 ? '' : `: ${slow.join(', ')}`}`, unit: '', ours: slow.length, peer: null, peerName: null, ratio: null, runs: rounds, target: { most: 0 } });
  }
  return rows;
}
/** Those whose whole interval lies above. */
function slowRows(comparisons: readonly Comparison[]): string[] {
  return comparisons.filter(({ ratio }) => (ratio.low ?? 0) > MOST_RATIO).map(({ row }) => row);
}

function intervalOf({ low, high }: Comparison['ratio']): Pick<Row, 'interval'> {
  return low === undefined || high === undefined ? {} : { interval: [low, high] };
}
