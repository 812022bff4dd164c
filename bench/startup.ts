import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createProgress, defaultCacheFolder, fetchGuest, GuestCache, PROMPT } from '@vm/cli';
import { ourCommand, vmCommand } from './guest-commands.ts';
import { type Benchmark, median, type Row, row } from './registry.ts';
import type { StartupTimes } from './startup-probe.ts';
import { tinyProgram } from './tiny-program.ts';

const GUEST = 'linux-image-cloud-amd64';
const MEMORY_MIB = 512;
const ROUNDS = 7, QUICK_ROUNDS = 2;
const BOOTS = 3;
const MOST_MACHINE_MS = 100;
const LEAST_MIPS = 60;
const ROOT = new URL('../', import.meta.url);
const path = (relative: string): string => fileURLToPath(new URL(relative, ROOT));

/** From the package as it is published, and from the sources: there the interpreter is written at each start. */
const KINDS = {
  built: { name: 'built', conditions: [] as string[], interpreter: path('packages/vcpu-wasm/dist/interpreter-source.js') },
  sources: { name: 'from sources', conditions: ['--conditions=vm-source'], interpreter: path('packages/vcpu-wasm/src/interpreter-source.ts') },
} as const;

/** What comes before the first instruction of a guest, in processes of their own. */
export const startup: Benchmark = {
  summary: 'what the command, the module of the interpreter, a machine and the first region cost; speed without the translator',
  options: { rounds: `default: ${ROUNDS}` },
  async run({ quick, rounds: given }) {
    const rounds = given === undefined ? (quick ? QUICK_ROUNDS : ROUNDS) : Number(given);
    execFileSync('turbo', ['run', 'build', '--output-logs=errors-only'], { cwd: fileURLToPath(ROOT), stdio: ['ignore', 'ignore', 'inherit'] });
    const folder = mkdtempSync(join(tmpdir(), 'vm-bench-'));
    try {
      const program = join(folder, 'program');
      writeFileSync(program, tinyProgram());
      return [...commandRows(rounds, program, join(folder, 'compiled')), ...Object.values(KINDS).flatMap((kind) => machineRows(kind, rounds)), ...await interpreterRows(quick ? 1 : BOOTS)];
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** Whole processes, without what Node.js compiled in earlier ones and with it. */
function commandRows(rounds: number, program: string, compileCache: string): Row[] {
  const empty: [string, readonly string[]] = ['an empty program', [process.execPath, '-e', '0']];
  const commands = (['built', 'sources'] as const).flatMap((from): [string, readonly string[]][] => [
    [`vm --version, ${KINDS[from].name}`, vmCommand(from, '--version')],
    [`vm boot of a program that halts, ${KINDS[from].name}`, vmCommand(from, 'boot', '--multiboot', program, '--memory', `${MEMORY_MIB}M`)],
  ]);
  const took = new Map<string, number[]>();
  const time = (name: string, command: readonly string[], cache: string | null): void => {
    const { NODE_COMPILE_CACHE: _, NODE_DISABLE_COMPILE_CACHE: __, ...env } = process.env;
    const begin = performance.now();
    const { status, stderr } = spawnSync(command[0]!, command.slice(1), { env: { ...env, ...(cache === null ? { NODE_DISABLE_COMPILE_CACHE: '1' } : { NODE_COMPILE_CACHE: cache }) }, encoding: 'utf8' });
    const ms = performance.now() - begin;
    if (status !== 0) throw new Error(`${command.join(' ')} ended with ${status}: ${stderr}`);
    took.set(name, [...(took.get(name) ?? []), ms]);
  };
  for (const [, command] of commands) time('once before', command, compileCache);
  for (let round = 0; round < rounds; round++) {
    for (const [name, command] of [empty, ...commands]) {
      time(name, command, null);
      if (command !== empty[1]) time(`${name}, compiled before`, command, compileCache);
    }
  }
  took.delete('once before');
  const peer = { name: 'Node.js alone', value: median(took.get(empty[0])!) };
  took.delete(empty[0]);
  return [...took].map(([name, all]) => row(name, 'ms', rounds, median(all), peer));
}

function machineRows({ name, conditions, interpreter }: (typeof KINDS)[keyof typeof KINDS], rounds: number): Row[] {
  const { NODE_COMPILE_CACHE: _, ...env } = process.env;
  const runs = Array.from({ length: rounds }, () => JSON.parse(execFileSync(process.execPath, [...conditions, '--disable-warning=ExperimentalWarning', path('bench/startup-probe.ts'), interpreter], { encoding: 'utf8', env })) as StartupTimes);
  const middle = (of: (run: StartupTimes) => number): number => median(runs.map(of));
  const first = (what: 'machine' | 'program' | 'region') => middle((run) => run[what][0]!);
  const further = (what: 'machine' | 'program' | 'region') => ({ name: 'further ones', value: middle((run) => median(run[what].slice(1))) });
  return [
    row(`${name}, loading the packages`, 'ms', rounds, middle(({ load }) => load)),
    row(`${name}, the modules of the interpreter`, 'ms', rounds, middle((run) => run.interpreter)),
    row(`${name}, their size`, 'KiB', rounds, middle(({ interpreterBytes }) => interpreterBytes / 1024)),
    row(`${name}, V8 takes them`, 'ms', rounds, middle(({ compile }) => compile)),
    { ...row(`${name}, the first machine, 512 MiB, powered up`, 'ms', rounds, first('machine')), ...(name === 'built' ? { target: { most: MOST_MACHINE_MS } } : {}) },
    { ...row(`${name}, a further machine`, 'ms', rounds, further('machine').value), target: { most: MOST_MACHINE_MS } },
    row(`${name}, a program of 400 instructions in it, all translated`, 'ms', rounds, first('program'), further('program')),
    row(`${name}, its first region, written and compiled`, 'ms', rounds, first('region'), further('region')),
  ];
}

/** The boot of a kernel, with nothing translated. */
async function interpreterRows(boots: number): Promise<Row[]> {
  const { kernel, initrd } = await fetchGuest(new GuestCache(defaultCacheFolder()), GUEST, createProgress(process.stderr));
  const speeds: number[] = [];
  for (let i = 0; i < boots; i++) {
    const files = { kernel, initrd, append: 'console=ttyS0 quiet cryptomgr.notests', memoryMiB: MEMORY_MIB };
    const [program, ...args] = ourCommand(files, ['--translator', 'off', '--exit-on', PROMPT, '--stats=json'], 'built');
    const { stderr } = spawnSync(program!, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    speeds.push((JSON.parse(stderr.slice(stderr.indexOf('{"elapsed'))) as { readonly mips: number }).mips);
  }
  return [{ ...row('the interpreter, while a kernel boots', 'MIPS', boots, median(speeds)), target: { least: LEAST_MIPS } }];
}
