import { PROMPT } from '@vm/cli';
import { bootGuest, type KernelEntry } from '@vm/pc';
import { DEFAULT_CPU_MODEL, wasmEngine } from '@vm/vcpu-wasm';
import type { CpuModelName } from '@vm/vcpu-wasm';
import { expect, it } from 'vitest';
import { type GuestImage, itWithGuest } from './guest-image.ts';
import { missingUnpacker, unpackKernel } from './kernel-payload.ts';

export type KernelName = 'linux-image-cloud-amd64' | 'linux-image-amd64' | 'linux-image-686' | 'linux-image-686-pae';

/** One boot: a kernel, how it is loaded, and the machine it finds. */
export interface Cell {
  readonly kernel: KernelName;
  readonly file: 'bzImage' | 'vmlinux';
  readonly entry?: KernelEntry; // default: auto
  readonly memoryMiB: number;
  readonly interrupts: 'APIC' | 'PIC';
  /** The kernel tests its ciphers at its start, which is a good test of the processor and takes minutes; default false. */
  readonly cipherTests?: boolean;
  /** Default: the engine's. */
  readonly cpuModel?: CpuModelName;
  readonly processors?: number; // default: 1
}

const MiB = 2 ** 20;
const SHELL_MS = 500_000; // a loaded host may be slow, and slow is not wrong
const COMMAND_MS = 60_000;
const NANOS_PER_INSTRUCTION = 10;

/** Everything that such a boot has to show: a quiet start, the right machine, arithmetic, and a guest that turns itself off. */
export function itBoots(cell: Cell): void {
  const { kernel, file, entry = 'auto', memoryMiB, interrupts, cipherTests = false, cpuModel = DEFAULT_CPU_MODEL, processors = 1 } = cell;
  const title = `${kernel}, ${file}, entry ${entry}, ${memoryMiB} MiB, ${interrupts}${cipherTests ? ', with cipher tests' : ''}${cpuModel === DEFAULT_CPU_MODEL ? '' : `, ${cpuModel}`}${processors === 1 ? '' : `, ${processors} processors`}`;
  const lacking = file === 'vmlinux' ? missingUnpacker() : null;
  if (lacking !== null) {
    const full = `${title} [needs ${lacking}]`;
    if (process.env['VM_REQUIRE_ORACLES'] === '1') it(full, () => Promise.reject(new Error(`${lacking} is not installed, see tools/oracles.txt`)));
    else it.skip(full, () => undefined);
    return;
  }
  itWithGuest(kernel, title, async (image) => bootAndAsk({ ...cell, entry, cipherTests, cpuModel, processors }, image));
}

/** The command line of a cell. */
export function commandLineOf({ interrupts, cipherTests }: Pick<Cell, 'interrupts' | 'cipherTests'>): string {
  return ['console=ttyS0 quiet', ...(interrupts === 'PIC' ? ['noapic nolapic'] : []), ...(cipherTests === true ? [] : ['cryptomgr.notests'])].join(' ');
}

async function bootAndAsk(cell: Required<Cell>, image: GuestImage): Promise<void> {
  await using guest = await bootGuest({
    engine: wasmEngine({ cpuModel: cell.cpuModel }),
    ramBytes: cell.memoryMiB * MiB,
    processors: cell.processors,
    kernel: cell.file === 'vmlinux' ? unpackKernel(image.kernelBytes) : image.kernelBytes,
    entry: cell.entry,
    initrd: image.initrdBytes,
    commandLine: commandLineOf(cell),
    startMs: Date.UTC(2026, 4, 17, 12),
    clock: { kind: 'virtual', nanosPerInstruction: NANOS_PER_INSTRUCTION },
  });
  const ask = async (command: string): Promise<string> => {
    guest.type(`${command}\n`);
    return guest.waitFor(PROMPT, { timeoutMs: COMMAND_MS });
  };
  // A quiet boot is quiet: whatever a kernel still says then is a complaint about the machine.
  expect(await guest.waitFor(PROMPT, { timeoutMs: SHELL_MS })).not.toMatch(/^\[ *\d+\.\d+\]/m);

  const release = image.record.packages[0]!.name.replace('linux-image-', '');
  const machine = cell.kernel.includes('686') ? 'i686' : 'x86_64';
  expect(await ask('uname -a')).toMatch(new RegExp(`Linux vm ${release.replaceAll('.', '\\.')} .* ${machine} GNU/Linux`));
  expect(await ask('echo $((6 * 7)) and $(printf %x 48879)')).toContain('42 and beef');
  expect(await ask(`sha256sum ${image.record.known.path}`)).toContain(image.record.known.sha256);
  expect(await ask('seq 1 200 | awk "{ s += 1 / \\$1 } END { printf \\"%.6f\\n\\", s }"')).toContain('5.878031');
  expect(await ask('cat /proc/interrupts')).toMatch(cell.interrupts === 'PIC' ? / 4: +[1-9]\d* +XT-PIC +ttyS0/ : / 4:(?: +\d+)* +[1-9]\d*(?: +\d+)* +IO-APIC +4-edge +ttyS0/);
  // The kernel keeps some for itself, and a machine of 3 GiB is where memory below 4 GiB ends.
  const total = Number(/MemTotal: +(\d+) kB/.exec(await ask('grep MemTotal /proc/meminfo'))?.[1]) / 1024;
  expect(total).toBeGreaterThan(cell.memoryMiB * 0.5);
  expect(total).toBeLessThan(cell.memoryMiB);

  expect(await ask('nproc')).toMatch(new RegExp(`^${cell.processors}\r?$`, 'm'));
  if (cell.processors > 1) await askProcessors(ask, cell.processors);
  guest.type('poweroff -f\n');
  await guest.poweredOff({ timeoutMs: COMMAND_MS });
}

/** All work at once and each alone, one goes and comes back. */
async function askProcessors(ask: (command: string) => Promise<string>, processors: number): Promise<void> {
  const list = `0-${processors - 1}`;
  expect(await ask('cat /sys/devices/system/cpu/online')).toContain(list);
  expect(await ask('grep -c "cpu cores.*: ' + processors + '" /proc/cpuinfo')).toMatch(new RegExp(`^${processors}\r?$`, 'm'));
  expect(await ask('for i in 1 2 3 4 5 6; do (seq 1 300 | tr 1 2 | sha256sum > /tmp/o.$i) & done; wait; cat /tmp/o.* | sort | uniq -c')).toContain(' 6 a669218ba5392d6693de9d1fbb17e05594696c3719939f5655d902b706b86603');
  for (let cpu = 0; cpu < processors; cpu++) expect(await ask(`taskset -c ${cpu} grep Cpus_allowed_list /proc/self/status`)).toMatch(new RegExp(`:\\s+${cpu}\r?$`, 'm'));
  expect(await ask('echo 0 > /sys/devices/system/cpu/cpu1/online; echo online $(cat /sys/devices/system/cpu/online)')).toContain(processors === 2 ? 'online 0\r' : 'online 0,2');
  expect(await ask('echo 1 > /sys/devices/system/cpu/cpu1/online; echo online $(cat /sys/devices/system/cpu/online)')).toContain(`online ${list}`);
  const timers = /LOC:((?: +\d+)+)/.exec(await ask('cat /proc/interrupts'))![1]!.trim().split(/ +/).map(Number);
  expect(timers.length).toBe(processors);
  for (const ticks of timers) expect(ticks).toBeGreaterThan(10);
  expect(await ask('dmesg | grep -c -i -E "unstable|stall|lockup|call trace"')).toMatch(/^0\r?$/m);
}
