import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { memoryDisk } from '@vm/block';
import { createProgress, defaultCacheFolder, fetchGuest, GuestCache, PROMPT } from '@vm/cli';
import { bootGuest, type Enlightenment, type EoiPolicy, testDevices } from '@vm/pc';
import { findOracle } from '@vm/testkit/oracle';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';
import { compileBare } from '../tests/bare-compile.ts';
import { QEMU } from './guest-commands.ts';
import { type Benchmark, median, type Row, row } from './registry.ts';

const MIB = 1 << 20;
const GUEST = 'linux-image-cloud-amd64';
const COMMAND_MS = 600_000;
const PROGRAM = ['start.S', 'processors.S', 'rates.c'];

/** What tests/bare/rates.c is asked for, and on which machine. */
interface Setup {
  readonly eoi: 'explicit' | 'x2apic' | 'auto' | 'lazy' | 'selective'; // by its first letter, of which `x` is another way to be explicit
  readonly processors?: number;
}
const MACHINES: Readonly<Record<Setup['eoi'], { readonly enlighten: Enlightenment; readonly eoi: EoiPolicy }>> = {
  explicit: { enlighten: 'none', eoi: 'explicit' }, x2apic: { enlighten: 'none', eoi: 'explicit' }, auto: { enlighten: 'hyperv-full', eoi: 'auto' },
  lazy: { enlighten: 'hyperv-full', eoi: 'lazy' }, selective: { enlighten: 'none', eoi: 'selective' },
};
const ENDS = ['memory', 'model', 'synthetic', 'selective'].map((name) => `device.local-apic.ends.${name}`);

/** One of its lines. */
interface Stretch {
  readonly name: string;
  readonly done: number;
  readonly spared: number;
  readonly seconds: number;
}

/** Ends of interrupts and messages and what they cost, beside the same program on QEMU; a stock Linux under load. */
export const interrupts: Benchmark = {
  summary: 'ends of interrupts and messages, interrupts a second and round trips between processors, beside QEMU; a Linux under load',
  async run({ quick }) {
    const folder = mkdtempSync(join(tmpdir(), 'vm-interrupts-'));
    try {
      const path = join(folder, 'rates');
      const complaint = compileBare(path, 32, PROGRAM);
      if (complaint !== '') throw new Error(complaint);
      return [...(await policies(path, quick)), ...(await roundTrips(path, quick)), ...(await linux(quick))];
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

async function policies(path: string, quick: boolean): Promise<Row[]> {
  const runs = quick ? 1 : 9;
  const rounds = quick ? 20_000 : 200_000;
  const names = ['explicit', 'x2apic', 'auto', 'lazy', 'selective'] as const;
  const times = new Map<string, number[]>(names.map((name) => [name, []]));
  const counts: Row[] = [];
  const theirs: number[] = [];
  for (let run = 0; run < runs; run++) {
    for (const eoi of names) {
      const { stretches, counters } = await runOurs(path, { eoi }, rounds);
      const [first, ...bursts] = stretches as [Stretch, ...Stretch[]];
      times.get(eoi)!.push((first.seconds * 1e9) / first.done);
      if (run > 0) continue;
      const ends = ENDS.reduce((sum, name) => sum + (counters[name] ?? 0), 0);
      // Bursts of messages end themselves too.
      counts.push(row(`exits for ends, ${eoi}`, 'an interrupt', 1, ends / first.done, { name: 'explicit', value: 1 }));
      for (const { name, done, spared } of bursts) {
        const most = Number(name.slice('burst'.length));
        counts.push(row(`ends of messages, bursts of ${most}`, 'a message', 1, spared / done, { name: 'without the mark', value: 1 }));
      }
    }
    if (findOracle(QEMU) !== null) {
      const [first] = await runQemu(path, { eoi: 'explicit' }, rounds, 'single');
      theirs.push((first!.seconds * 1e9) / first!.done);
    }
  }
  const explicit = median(times.get('explicit')!);
  return [
    ...counts,
    ...names.map((name) => row(`an interrupt of its own, from one to the next, ${name}`, 'ns', runs, median(times.get(name)!), ...(name === 'explicit' ? (theirs.length === 0 ? [] : [{ name: 'QEMU TCG', value: median(theirs) }]) : [{ name: 'explicit', value: explicit }]))),
    ...names.map((name) => row(`interrupts a second, ${name}`, 'thousand', runs, 1e6 / median(times.get(name)!), ...(name === 'explicit' && theirs.length > 0 ? [{ name: 'QEMU TCG', value: 1e6 / median(theirs) }] : []))),
  ];
}

async function roundTrips(path: string, quick: boolean): Promise<Row[]> {
  const runs = quick ? 1 : 9;
  const rounds = quick ? 2000 : 50_000;
  const setup: Setup = { eoi: 'explicit', processors: 2 };
  const times = { ours: [] as number[], single: [] as number[], multi: [] as number[] };
  const timeOf = ([stretch]: readonly Stretch[]): number => (stretch!.seconds * 1e6) / stretch!.done;
  for (let run = 0; run < runs; run++) {
    times.ours.push(timeOf((await runOurs(path, setup, rounds)).stretches));
    if (findOracle(QEMU) === null) continue;
    for (const threads of ['single', 'multi'] as const) times[threads].push(timeOf(await runQemu(path, setup, rounds, threads)));
  }
  const peers = (['single', 'multi'] as const).filter((threads) => times[threads].length > 0);
  const name = 'a round trip between two processors';
  if (peers.length === 0) return [row(name, 'us', runs, median(times.ours))];
  return peers.map((threads) => row(`${name}, ${threads === 'single' ? 'both on one thread' : 'each of theirs on a thread'}`, 'us', runs, median(times.ours), { name: 'QEMU TCG', value: median(times[threads]) }));
}

/** Times are of the host, from one line of the program to the next. */
class Lines {
  readonly stretches: Stretch[] = [];
  #text = '';
  #began = 0;

  take(chunk: string): void {
    this.#text += chunk;
    for (let end = this.#text.indexOf('\n'); end >= 0; end = this.#text.indexOf('\n')) {
      const line = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 1);
      if (line.includes('BEGIN')) this.#began = performance.now();
      const [, name, done, spared] = /END (\S+) done=(\d+) spared=(\d+)/.exec(line) ?? [];
      if (name !== undefined) this.stretches.push({ name, done: Number(done), spared: Number(spared), seconds: (performance.now() - this.#began) / 1000 });
    }
  }
}

function environment({ eoi, processors = 1 }: Setup, rounds: number): string {
  return `NR_CPUS=${processors}\nEOI=${eoi}\nROUNDS=${rounds}\n`;
}

async function runOurs(path: string, setup: Setup, rounds: number): Promise<{ readonly stretches: readonly Stretch[]; readonly counters: Readonly<Record<string, number>> }> {
  const { processors = 1, eoi } = setup;
  const lines = new Lines();
  const decoder = new TextDecoder('latin1');
  let finish: (code: number) => void = () => {};
  const ended = new Promise<number>((resolve) => (finish = resolve));
  await using guest = await bootGuest<WasmVcpu>({
    engine: wasmEngine(eoi === 'selective' ? { cpuFeatures: ['extapic'] } : {}), ramBytes: 64 * MIB, processors, kernel: readFileSync(path), entry: 'multiboot', onReset: 'end', ...MACHINES[eoi],
    modules: [{ bytes: new TextEncoder().encode(environment(setup, rounds)), text: 'env' }], onOutput: (bytes) => lines.take(decoder.decode(bytes)),
    devices: [testDevices({ exit: (code) => finish(code), shutdown: () => {}, echoBytes: true })],
  });
  void guest.ended().then(() => finish(-1));
  const code = await ended;
  if (code !== 0 || lines.stretches.length === 0) throw new Error(`rates, ${eoi}: it ended with ${code}: ${guest.output}`);
  return { stretches: lines.stretches, counters: guest.machine.counters.read() };
}

async function runQemu(path: string, setup: Setup, rounds: number, threads: 'single' | 'multi'): Promise<readonly Stretch[]> {
  const env = `${path}.env`;
  writeFileSync(env, environment(setup, rounds));
  const lines = new Lines();
  const options = ['-m', '64', '-smp', String(setup.processors ?? 1), '-display', 'none', '-serial', 'stdio', '-no-reboot', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4'];
  const child = spawn(QEMU, ['-accel', `tcg,thread=${threads}`, ...options, '-kernel', path, '-initrd', env], { stdio: ['ignore', 'pipe', 'ignore'] });
  child.stdout.on('data', (chunk: Buffer) => lines.take(chunk.toString('latin1')));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code !== 1 || lines.stretches.length === 0) throw new Error(`rates on QEMU ended with ${code}`);
  return lines.stretches;
}

/** A stock Linux that reads its disk while timers tick. Under the virtual clock: the same counts every time. */
async function linux(quick: boolean): Promise<Row[]> {
  const files = await fetchGuest(new GuestCache(defaultCacheFolder()), GUEST, createProgress(process.stderr));
  const [kernel, initrd] = [readFileSync(files.kernel), readFileSync(files.initrd)];
  const blocks = quick ? 200 : 10_000;
  const rows: Row[] = [];
  for (const enlighten of ['kvm', 'hyperv'] as const) {
    const share = async (eoi: EoiPolicy): Promise<{ readonly exits: number; readonly interrupts: number }> => {
      await using guest = await bootGuest({
        engine: wasmEngine(), ramBytes: 256 * MIB, kernel, initrd, enlighten, eoi, disks: [{ name: 'load', disk: memoryDisk(16 * MIB) }],
        commandLine: 'console=ttyS0 quiet cryptomgr.notests', clock: { kind: 'virtual', nanosPerInstruction: 10 },
      });
      await guest.waitFor(PROMPT, { timeoutMs: COMMAND_MS });
      const count = (): { readonly delivered: number; readonly exits: number } => {
        const counters = guest.machine.counters.read();
        return { delivered: counters['device.local-apic.interrupts']!, exits: ENDS.reduce((sum, name) => sum + counters[name]!, 0) };
      };
      const before = count();
      guest.type(`sleep 1 & while kill -0 $!; do usleep 1000; done 2>/dev/null & dd if=/dev/vda of=/dev/null bs=4k count=${blocks} iflag=direct; wait\n`);
      await guest.waitFor(PROMPT, { timeoutMs: COMMAND_MS });
      const after = count();
      const interrupts = after.delivered - before.delivered;
      return { exits: (after.exits - before.exits) / interrupts, interrupts };
    };
    const [lazy, explicit] = [await share('lazy'), await share('explicit')];
    rows.push(row(`exits for ends in Linux under timers and its disk, ${enlighten}, of ${lazy.interrupts} interrupts`, 'an interrupt', 1, lazy.exits, { name: 'explicit', value: explicit.exits }));
  }
  return rows;
}
