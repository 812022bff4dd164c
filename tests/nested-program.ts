// Runs inside a machine of QEMU's, whose KVM is a complete one, and tells the test outside what it saw: a line of JSON behind "@@".
import { existsSync, readFileSync } from 'node:fs';
import { bootGuest } from '@vm/pc';
import { kvmEngine, kvmLacks, probeKvm } from '@vm/vcpu-kvm';
import { recordProgram } from '../packages/testkit/src/engine-conformance.ts';
import { ENGINE_PROGRAMS } from '../packages/testkit/src/engine-programs.ts';

const say = (what: string, value: unknown): void => console.log(`@@${JSON.stringify([what, value])}`);
const MARK = 'NESTED-GUEST-IS-UP';

const probe = probeKvm();
say('probe', probe);
if (probe.usable) {
  const cpuModel = 'x86-64-v1';
  const processor = { cpuModel, cpuWithout: kvmLacks({ cpuModel }) } as const;
  say('processor', processor);
  const first = performance.now();
  for (const program of ENGINE_PROGRAMS) {
    for (const mode of program.modes) say('record', [program.name, mode, await recordProgram(kvmEngine(processor), program, mode).catch((error: unknown) => [`failed: ${String(error)}`])]);
  }
  say('records in seconds', (performance.now() - first) / 1000);
  if (existsSync('/app/kernel')) await boot(processor);
}
say('end', process.memoryUsage.rss());

/** A kernel to its shell, in a machine of ours in that machine of QEMU's. */
async function boot(processor: Parameters<typeof kvmEngine>[0]): Promise<void> {
  const begin = performance.now();
  let last = '';
  let first = true;
  const seconds = (): number => (performance.now() - begin) / 1000;
  const decoder = new TextDecoder();
  await using guest = await bootGuest({
    engine: kvmEngine(processor), ramBytes: 128 << 20, kernel: readFileSync('/app/kernel'), initrd: readFileSync('/app/initrd'), commandLine: 'console=ttyS0 quiet cryptomgr.notests', log: (source, level, text) => level === 'warn' && say('log', `${source}: ${text}`),
    onOutput: (bytes) => {
      if (first) say('first output after seconds', seconds());
      first = false;
      last = (last + decoder.decode(bytes)).slice(-2000);
    },
  });
  const progress = setInterval(() => say('alive', [seconds(), guest.machine.vcpu.ripText(), Object.fromEntries(guest.machine.vcpu.counts())]), 20_000);
  guest.type(`echo ${MARK.slice(0, 6)}''${MARK.slice(6)}; cat /proc/cpuinfo | grep -c processor; poweroff -f\n`);
  const up = guest.waitFor(MARK, { timeoutMs: 15 * 60_000 }).then(() => true, (error: unknown) => (say('no shell', String(error)), false));
  if (await up) {
    say('shell after seconds', seconds());
    say('ended', await guest.ended());
  }
  clearInterval(progress);
  say('exits', Object.fromEntries(guest.machine.vcpu.counts()));
  say('output', last);
}
