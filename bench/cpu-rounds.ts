import { BOOT, type Round } from './cpu-groups.ts';
import type { SideName } from './cpu-peers.ts';
import { type ProgramResult, resultsIn } from './guest-programs.ts';
import { type Answer, GuestSession } from './guest-session.ts';

/** Guests that take turns, each in a program of its own. */
export interface Contest {
  readonly title: string;
  readonly sides: readonly SideName[];
  /** None where only boots are timed, so that nobody waits meanwhile. */
  readonly sessions: Readonly<Partial<Record<SideName, GuestSession>>>;
  /** What boots the same kernel anew. */
  readonly bootCommands: Readonly<Partial<Record<SideName, readonly string[]>>>;
  readonly programs: readonly string[];
  readonly scale: number;
  /** Guests whose clock is not the host's: of these the host's time between two lines is taken. */
  readonly timeless: readonly SideName[];
}

/** How far the guest's clock may be from the host's, as a share of the time and in seconds. */
const CLOCK_TOLERANCE = 0.05;
const CLOCK_SECONDS = 0.25;
/** Below this share of a processor the host had something else to do; above that one a guest that waits does not. */
const BUSY_SHARE = 0.9;
const IDLE_SHARE = 0.05;
const NANOS = 1e9;

/** Each program in turn in all guests; who is first changes from round to round. */
export async function runRound(contest: Contest, round: number, checks: Map<string, string>): Promise<Round> {
  const found: Record<string, Partial<Record<SideName, Record<string, number>>>> = {};
  const order = contest.sides;
  for (const program of contest.programs) {
    const sides = (found[program] = {} as Partial<Record<SideName, Record<string, number>>>);
    const took: string[] = [];
    for (let i = 0; i < order.length; i++) {
      const side = order[(i + round) % order.length]!;
      const begin = performance.now();
      const idle = idleWatch(contest, side);
      sides[side] = program === BOOT ? await timeBoot(contest, side) : await timeProgram(contest, side, program, checks);
      const seconds = (performance.now() - begin) / 1000;
      idle(program, seconds);
      took.push(`${side} ${seconds.toFixed(1)} s`);
    }
    console.error(`${contest.title}, round ${round + 1}, ${program}: ${took.join(', ')}`);
  }
  return found;
}

async function timeBoot({ bootCommands }: Contest, side: SideName): Promise<Record<string, number>> {
  const session = new GuestSession(bootCommands[side]!);
  try {
    return { [BOOT]: (await session.ready()) * NANOS };
  } finally {
    session.kill();
  }
}

async function timeProgram({ sessions, scale, timeless }: Contest, side: SideName, program: string, checks: Map<string, string>): Promise<Record<string, number>> {
  const answer = await sessions[side]!.run(`cat /proc/uptime; /programs/${program} ${scale}; cat /proc/uptime`);
  const results = resultsIn(answer.output);
  if (results.length === 0) throw new Error(`${program}, ${side}: no results in ${JSON.stringify(answer.output)}`);
  const nanos = timeless.includes(side) ? hostNanos(answer, results) : results.map((result) => result.nanos);
  if (!timeless.includes(side)) checkClock(program, side, answer, results);
  for (const { name, check } of results) {
    const expected = checks.get(name) ?? check;
    if (check !== expected) throw new Error(`${name}: ${side} computed ${check}, and before that ${expected} was computed`);
    checks.set(name, check);
  }
  return Object.fromEntries(results.map(({ name, units }, i) => [name, nanos[i]! / units]));
}

/** From line to line, so that the start of the program is in the first. */
function hostNanos({ output, arrivedAt }: Answer, results: readonly ProgramResult[]): number[] {
  const times = [arrivedAt(0), ...results.map(({ name }) => arrivedAt(output.indexOf(`BENCH ${name} `)))];
  return results.map((_result, i) => (times[i + 1]! - times[i]!) * NANOS);
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

/** Guests that are not asked anything should take nothing of the host. */
function idleWatch({ sessions }: Contest, running: SideName): (program: string, seconds: number) => void {
  const others = Object.entries(sessions).filter(([side]) => side !== running).map(([side, session]) => ({ side, session, before: session.cpuSeconds }));
  return (program, seconds) => {
    for (const { side, session, before } of others) {
      const took = session.cpuSeconds - before;
      if (took > seconds * IDLE_SHARE + CLOCK_SECONDS) console.error(`${program}, ${running}: meanwhile ${side}, which had nothing to do, took ${took.toFixed(2)} s of a processor`);
    }
  };
}
