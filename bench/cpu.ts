import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createProgress, defaultCacheFolder, fetchGuest, GuestCache } from '@vm/cli';
import { findOracle } from '@vm/testkit/oracle';
import { ourCommand, QEMU, qemuCommand } from './guest-commands.ts';
import { initrdWith, type ProgramResult, resultsIn } from './guest-programs.ts';
import { type Answer, GuestSession } from './guest-session.ts';
import { type Benchmark, median, row, type Row } from './registry.ts';

const GUEST = 'linux-image-cloud-amd64';
const APPEND = 'console=ttyS0 quiet cryptomgr.notests vm.term=dumb';
const MEMORY_MIB = 512;
/** The same features and maker on both sides, so that the C library and the kernel choose the same code. */
const OUR_CPU = 'x86-64-v2';
const QEMU_CPU = 'qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf_lm,+rdrand,+aes,+pclmulqdq';
const PROGRAMS = ['intmix', 'dhry', 'sieve', 'membw', 'chase', 'fpu', 'i64', 'branchy', 'smc', 'syscall', 'pfault', 'forkx', 'pingpong'];
const QUICK_PROGRAMS = ['intmix', 'dhry', 'fpu', 'i64', 'branchy', 'syscall'];
const SCALE = 0.25;
const QUICK_SCALE = 0.02;
const ROUNDS = 3;
/** How far the guest's clock may be from the host's, as a share of the time and in seconds. */
const CLOCK_TOLERANCE = 0.05;
const CLOCK_SECONDS = 0.25;
/** Below this share of a processor the host had something else to do. */
const BUSY_SHARE = 0.9;
const NANOS = 1e9;

/** Nanoseconds a unit of each run. */
interface Timings {
  readonly ours: number[];
  readonly peer: number[];
}

/** Programs of bench/programs, in one guest under `vm` and in one under QEMU's translator, each program in turn in both. */
export const cpu: Benchmark = {
  summary: 'compiled programs in a guest',
  async run({ quick }) {
    const guest = await fetchGuest(new GuestCache(defaultCacheFolder()), GUEST, createProgress(process.stderr));
    const folder = mkdtempSync(join(tmpdir(), 'vm-bench-'));
    const sessions: GuestSession[] = [];
    try {
      const names = quick ? QUICK_PROGRAMS : PROGRAMS;
      const initrd = join(folder, 'initrd');
      writeFileSync(initrd, initrdWith(readFileSync(guest.initrd), names, folder));
      const files = { kernel: guest.kernel, initrd, append: APPEND, memoryMiB: MEMORY_MIB };
      const ours = new GuestSession(ourCommand(files, ['--translator', 'on', '--cpu-model', OUR_CPU, '--stats=json']));
      sessions.push(ours);
      await ours.ready();
      const peer = findOracle(QEMU) === null ? null : new GuestSession(qemuCommand(files, QEMU_CPU));
      if (peer !== null) sessions.push(peer);
      await peer?.ready();
      const rounds = quick ? 1 : ROUNDS;
      const timings = await measure(names, rounds, quick ? QUICK_SCALE : SCALE, ours, peer);
      await peer?.powerOff();
      await ours.powerOff();
      return [...rowsOf(timings, rounds), ...profile(ours.errors)];
    } finally {
      for (const session of sessions) session.kill();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function measure(names: readonly string[], rounds: number, scale: number, ours: GuestSession, peer: GuestSession | null): Promise<ReadonlyMap<string, Timings>> {
  const timings = new Map<string, Timings>();
  const checks = new Map<string, string>();
  for (let round = 0; round < rounds; round++) {
    for (const program of names) {
      const took: string[] = [];
      for (const [session, side] of [[ours, 'ours'], [peer, 'peer']] as const) {
        if (session === null) continue;
        const begin = performance.now();
        for (const { name, units, nanos, check } of await runProgram(session, side, program, scale)) {
          const expected = checks.get(name) ?? check;
          if (check !== expected) throw new Error(`${name}: ${side} computed ${check}, and before that ${expected} was computed`);
          checks.set(name, check);
          const known = timings.get(name) ?? { ours: [], peer: [] };
          timings.set(name, known);
          known[side].push(nanos / units);
        }
        took.push(`${side} ${((performance.now() - begin) / 1000).toFixed(1)} s`);
      }
      console.error(`round ${round + 1} of ${rounds}, ${program}: ${took.join(', ')}`);
    }
  }
  return timings;
}

async function runProgram(session: GuestSession, side: string, program: string, scale: number): Promise<readonly ProgramResult[]> {
  const answer = await session.run(`cat /proc/uptime; /programs/${program} ${scale}; cat /proc/uptime`);
  const results = resultsIn(answer.output);
  if (results.length === 0) throw new Error(`${program}, ${side}: no results in ${JSON.stringify(answer.output)}`);
  checkClock(program, side, answer, results);
  return results;
}

/** The times are the guest's, so its clock has to go like the host's. */
function checkClock(program: string, side: string, { output, arrivedAt, seconds, cpuSeconds }: Answer, results: readonly ProgramResult[]): void {
  const uptimes = [...output.matchAll(/^(\d+\.\d+) \d+\.\d+\r?$/gm)].map((match) => ({ guest: Number(match[1]), host: arrivedAt(match.index) }));
  const [first, last] = [uptimes[0], uptimes.at(-1)];
  if (first === undefined || last === undefined || first === last) throw new Error(`${program}, ${side}: no times in ${JSON.stringify(output)}`);
  const guest = last.guest - first.guest;
  const host = last.host - first.host;
  const measured = results.reduce((sum, { nanos }) => sum + nanos, 0) / NANOS;
  if (!(Math.abs(guest - host) <= host * CLOCK_TOLERANCE + CLOCK_SECONDS) || measured > guest + CLOCK_SECONDS) {
    throw new Error(`${program}, ${side}: ${host.toFixed(2)} s of the host were ${guest.toFixed(2)} s of the guest, of which it measured ${measured.toFixed(2)} s`);
  }
  if (cpuSeconds < seconds * BUSY_SHARE - CLOCK_SECONDS) console.error(`${program}, ${side}: only ${cpuSeconds.toFixed(2)} s of a processor in ${seconds.toFixed(2)} s; the host is busy`);
}

function rowsOf(timings: ReadonlyMap<string, Timings>, rounds: number): Row[] {
  const rows = [...timings].map(([name, { ours, peer }]) => row(name, 'ns', rounds, median(ours), ...(peer.length === 0 ? [] : [{ name: 'QEMU TCG', value: median(peer) }])));
  const ratios = rows.flatMap(({ ratio }) => (ratio === null ? [] : [ratio]));
  if (ratios.length > 0) rows.push(row('geometric mean of the ratios', 'times', rounds, Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length)));
  return rows;
}

/** What the translator did from power-on to power-off. */
function profile(errors: string): Row[] {
  const { instructions, counters } = JSON.parse(errors.slice(errors.indexOf('{"elapsed'))) as { readonly instructions: number; readonly counters: Readonly<Record<string, number>> };
  const count = (name: string): number => counters[`cpu.translator.${name}`] ?? NaN;
  return [
    row('instructions, all in all', 'million', 1, instructions / 1e6),
    row('of them translated', '%', 1, (count('executed') / instructions) * 100),
    row('instructions an entry into translated code', '', 1, count('executed') / count('entries')),
    ...['branch', 'address', 'instruction', 'budget', 'change'].map((reason) => row(`exits, ${reason}`, '% of entries', 1, (count(`exits.${reason}`) / count('entries')) * 100)),
    row('accesses of translated code that the TLB answered', '%', 1, (1 - count('exits.instruction') / count('accesses')) * 100),
    row('regions', '', 1, count('regions')),
    row('time to write regions', 'us an instruction', 1, count('microseconds') / count('instructions')),
    row('WebAssembly', 'bytes an instruction', 1, count('bytes') / count('instructions')),
  ];
}
