import { PROMPT } from '@vm/cli';
import { bootGuest } from '@vm/pc';
import { wasmEngine } from '@vm/vcpu-wasm';
import { expect } from 'vitest';
import { itWithGuest } from './guest-image.ts';
import { commandLineOf } from './kernel-matrix.ts';

const KERNEL = 'linux-image-cloud-amd64';
const MiB = 2 ** 20;
const SHELL_MS = 300_000;

export interface Reboot {
  readonly how: string;
  readonly parameter: string; // of the kernel
  readonly processors?: number; // default: 1
  readonly tripleFaults?: number; // default 0. When one way does not work, Linux takes the next, and its last is a triple fault
}

/** The guest leaves a trace in its file system, reboots, comes up without the trace, and turns itself off. */
export function itReboots({ how, parameter, processors = 1, tripleFaults = 0 }: Reboot): void {
  itWithGuest(KERNEL, `a guest that reboots ${how} boots again${processors === 1 ? '' : `, with all ${processors} processors`}`, async (image) => {
    await using guest = await bootGuest({
      engine: wasmEngine(),
      ramBytes: 128 * MiB,
      processors,
      kernel: image.kernelBytes,
      initrd: image.initrdBytes,
      commandLine: `${commandLineOf({ interrupts: 'APIC' })} ${parameter}`,
      clock: { kind: 'virtual', nanosPerInstruction: 10 },
    });
    await guest.waitFor(PROMPT, { timeoutMs: SHELL_MS });
    guest.type('touch /trace; ls /trace\n');
    expect(await guest.waitFor(PROMPT, { timeoutMs: SHELL_MS })).toMatch(/^\/trace/m);
    const before = guest.machine.retired;
    guest.type('reboot -f\n');
    await guest.waitFor(PROMPT, { timeoutMs: SHELL_MS });
    expect(guest.machine.retired - before).toBeGreaterThan(before * 0.9); // a whole boot once more
    expect(guest.machine.counters.read()['cpu.exceptions.8'] ?? 0).toBe(tripleFaults); // each begins as a double fault
    guest.type('nproc; ls /trace; cut -d . -f 1 /proc/uptime\n');
    expect(await guest.waitFor(PROMPT, { timeoutMs: SHELL_MS })).toMatch(new RegExp(`\\n${processors}\\r?\\n[^]*No such file[^]*\\n\\d\\r?\\n`));
    guest.type('poweroff -f\n');
    await guest.poweredOff({ timeoutMs: SHELL_MS });
  });
}
