import { spawn } from 'node:child_process';
import { createProgress, defaultCacheFolder, fetchGuest, GuestCache, PROMPT } from '@vm/cli';
import { findOracle } from '@vm/testkit/oracle';
import { ourCommand, QEMU, qemuCommand } from './guest-commands.ts';
import { type Benchmark, median, row } from './registry.ts';

interface Boot {
  readonly seconds: number; // from the start of the program to the shell's prompt
  readonly errors: string;
}

const GUEST = 'linux-image-cloud-amd64';
const APPEND = 'console=ttyS0 quiet';
const MEMORY_MIB = 512;
const ROUNDS = 5;
const MOST_SECONDS = 600;

/** A stock Debian kernel with busybox, from nothing to its shell; QEMU's translator boots the same two files, turn by turn. */
export const boot: Benchmark = {
  summary: `${GUEST} to its shell`,
  async run({ quick }) {
    const rounds = quick ? 1 : ROUNDS;
    const guest = await fetchGuest(new GuestCache(defaultCacheFolder()), GUEST, createProgress(process.stderr));
    const files = { kernel: guest.kernel, initrd: guest.initrd, append: APPEND, memoryMiB: MEMORY_MIB };
    const ours: number[] = [];
    const theirs: number[] = [];
    const millions: number[] = [];
    const mips: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const own = await timeBoot(ourCommand(files, ['--exit-on', PROMPT, '--stats=json']));
      const statistics = JSON.parse(own.errors.slice(own.errors.indexOf('{'))) as { readonly instructions: number; readonly mips: number };
      ours.push(own.seconds);
      millions.push(statistics.instructions / 1e6);
      mips.push(statistics.mips);
      if (findOracle(QEMU) !== null) theirs.push((await timeBoot(qemuCommand(files, 'qemu64'))).seconds);
    }
    return [
      row('time to the shell', 's', rounds, median(ours), ...(theirs.length === 0 ? [] : [{ name: 'QEMU TCG', value: median(theirs) }])),
      row('instructions to the shell', 'million', rounds, median(millions)),
      row('speed', 'MIPS', rounds, median(mips)),
    ];
  },
};

function timeBoot([program, ...args]: readonly string[]): Promise<Boot> {
  return new Promise((resolve, reject) => {
    const begin = performance.now();
    const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    let seconds = NaN;
    const timer = setTimeout(() => child.kill('SIGKILL'), MOST_SECONDS * 1000);
    child.stdout.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString('latin1')).slice(-10_000);
      if (!Number.isNaN(seconds) || !output.includes(PROMPT)) return;
      seconds = (performance.now() - begin) / 1000;
      if (program === QEMU) child.kill();
    });
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    child.on('error', reject);
    child.on('close', () => {
      clearTimeout(timer);
      if (Number.isNaN(seconds)) reject(new Error(`${program} did not reach the shell: ${errors.slice(-500)}${output.slice(-500)}`));
      else resolve({ seconds, errors });
    });
  });
}
