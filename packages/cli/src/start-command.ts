import { type Guest, bootGuest } from '@vm/pc';
import { boardOf } from './boot-board.ts';
import { runBootSession } from './boot-session.ts';
import { type KnownFile, PROMPT } from './busybox-initramfs.ts';
import { parseByteSize } from './byte-size.ts';
import type { Command } from './command.ts';
import { formatDuration, parseDuration } from './duration.ts';
import { EXIT_BROKEN, EXIT_FINE, EXIT_TIMEOUT } from './exit-code.ts';
import { defaultCacheFolder } from './cache-folder.ts';
import { GuestCache } from './guest-cache.ts';
import { fetchGuest } from './guest-fetch.ts';
import { readNamedFile } from './host-file.ts';
import type { MachineVcpu } from './machine-vcpu.ts';
import { parseArguments, value } from './option-parser.ts';
import { hasApt } from './private-apt.ts';
import { createProgress } from './progress.ts';
import { collectStatistics } from './statistics.ts';
import { processStreams } from './terminal.ts';
import { NO_TERMINAL } from './terminal-words.ts';
import { UsageError } from './usage-error.ts';

/** A guest to start. `known` is null when somebody else made it. */
interface StartedImages {
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  readonly known: KnownFile | null;
}

const GUEST = 'linux-image-cloud-amd64';
const APPEND = 'console=ttyS0 quiet';
const MiB = 2 ** 20;
const SCRIPT_TIMEOUT_MS = 600_000;
const HOW_TO = [
  'there is no guest in the cache, and no apt-get to fetch one with. Take a Linux kernel and an initial RAM file system,',
  'for example of a Debian machine: /boot/vmlinuz-* and /boot/initrd.img-*, and name them:',
  'VM_KERNEL=/path/to/vmlinuz VM_INITRD=/path/to/initrd npm start',
].join('\n');

const OPTIONS = {
  memory: value('SIZE', 'RAM; default: 512M', parseByteSize),
  timeout: value('TIME', 'without a terminal, give up after this time; default: 10m', parseDuration),
};

export const startCommand: Command = {
  name: 'start',
  operands: '',
  summary: 'boot a Debian kernel to a shell; without a terminal, run a few commands in it and turn it off',
  options: OPTIONS,
  notes: [
    `The guest is ${GUEST} with busybox, fetched once with apt-get. VM_KERNEL and VM_INITRD name another.`,
  ],
  examples: ['vm start', 'VM_KERNEL=bzImage VM_INITRD=initrd.gz vm start'],
  run: async (args) => {
    const { values, operands } = parseArguments(OPTIONS, args);
    if (operands.length > 0) throw new UsageError(`unexpected ${JSON.stringify(operands[0])}`);
    const images = await findImages();
    const memoryBytes = values.memory ?? 512 * MiB;
    if (process.stdin.isTTY && process.stdout.isTTY) {
      process.stderr.write('booting; Ctrl-A x quits, Ctrl-A h helps\n');
      return runBootSession({ ...images, append: APPEND, memoryBytes, clock: 'host', onReset: 'boot', verbose: false }, processStreams());
    }
    const begin = performance.now();
    const timeoutMs = values.timeout ?? SCRIPT_TIMEOUT_MS;
    try {
      return await runScript(images, memoryBytes, begin, timeoutMs);
    } catch (error) {
      if (performance.now() - begin < timeoutMs) throw error;
      process.stderr.write(`vm: still running after ${formatDuration(timeoutMs)}\n`);
      return EXIT_TIMEOUT;
    }
  },
};

async function findImages(): Promise<StartedImages> {
  const { VM_KERNEL: kernel, VM_INITRD: initrd } = process.env;
  if (kernel && initrd) return { kernel: readNamedFile('VM_KERNEL', kernel), initrd: readNamedFile('VM_INITRD', initrd), known: null };
  if (kernel || initrd) throw new UsageError(`VM_KERNEL and VM_INITRD go together; ${kernel ? 'VM_INITRD' : 'VM_KERNEL'} is missing`);
  const cache = new GuestCache(defaultCacheFolder());
  if (cache.find(GUEST, 'amd64') === null && !hasApt()) throw new UsageError(HOW_TO);
  const guest = await fetchGuest(cache, GUEST, createProgress(process.stderr));
  return { kernel: readNamedFile('the cache:', guest.kernel), initrd: readNamedFile('the cache:', guest.initrd), known: guest.record.known };
}

/** Types a few commands, shows what comes, and turns the guest off. */
async function runScript(images: StartedImages, memoryBytes: number, begin: number, timeoutMs: number): Promise<number> {
  const left = (): { readonly timeoutMs: number } => ({ timeoutMs: Math.max(1, timeoutMs - (performance.now() - begin)) });
  const prompt = images.known === null ? '# ' : PROMPT;
  await using guest: Guest<MachineVcpu> = await bootGuest({
    ...boardOf({ kernel: images.kernel, initrd: images.initrd, append: `${APPEND} panic=-1 ${NO_TERMINAL}`, memoryBytes, clock: 'host', onReset: 'end' }),
    // panic=-1: a guest that crashes resets itself at once, and is not waited for
    onOutput: (bytes) => process.stdout.write(bytes),
    log: (source, level, text) => void (level === 'warn' && process.stderr.write(`vm: ${source}: ${text}\n`)),
  });
  await guest.waitFor(prompt, left());
  const shellMs = performance.now() - begin;
  const run = async (command: string): Promise<string> => {
    guest.type(`${command}\n`);
    return guest.waitFor(prompt, left());
  };
  await run('uname -a');
  await run("grep -m 1 'model name' /proc/cpuinfo");
  await run('cat /proc/interrupts');
  const sum = images.known === null ? null : await run(`sha256sum ${images.known.path}`);
  guest.type('poweroff -f\n');
  await guest.poweredOff(left());
  const { mips, instructions } = collectStatistics(guest.machine, performance.now() - begin);
  process.stderr.write(`\nvm: at the shell after ${formatDuration(shellMs)}; ${Math.round(instructions / 1e6)} million instructions in all, ${mips.toFixed(1)} million a second\n`);
  if (images.known === null || sum === null || sum.includes(images.known.sha256)) return EXIT_FINE;
  process.stderr.write(`vm: the guest's checksum of ${images.known.path} is wrong; it should be ${images.known.sha256}\n`);
  return EXIT_BROKEN;
}
