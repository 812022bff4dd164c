import { setTimeout } from 'node:timers/promises';
import { PROMPT } from '@vm/cli';
import { bootGuest } from '@vm/pc';
import { wasmEngine } from '@vm/vcpu-wasm';
import { expect } from 'vitest';
import { itWithGuest } from './guest-image.ts';

const MiB = 2 ** 20;
const SHELL_MS = 300_000; // a loaded host may be slow, and slow is not wrong
const COMMAND_MS = 60_000;
const SETTLING_MS = 1000;
const IDLE_MS = 4000;
/** In IDLE_MS, many times what was seen. A guest that ran all the time would retire fifty times as many, in a slice for every millisecond. */
const MOST_INSTRUCTIONS = 20e6;
const MOST_SLICES = 1000;

itWithGuest('linux-image-cloud-amd64', 'a stock Debian kernel boots to its shell, which answers, and turns the machine off', async (image) => {
  await using guest = await bootGuest({
    engine: wasmEngine(), ramBytes: 512 * MiB, kernel: image.kernelBytes, initrd: image.initrdBytes, commandLine: 'console=ttyS0 quiet', startMs: Date.UTC(2026, 4, 17, 12),
  });
  const ask = async (command: string): Promise<string> => {
    guest.type(`${command}\n`);
    return guest.waitFor(PROMPT, { timeoutMs: COMMAND_MS });
  };
  await guest.waitFor(PROMPT, { timeoutMs: SHELL_MS });

  expect(await ask('uname -srm')).toContain(`Linux ${image.record.packages[0]!.name.replace('linux-image-', '')} x86_64`);
  expect(await ask(`sha256sum ${image.record.known.path}`)).toContain(image.record.known.sha256);
  expect(await ask('echo $((6 * 7)) and $(printf %x 48879)')).toContain('42 and beef');
  expect(await ask('date -u +%Y-%m-%d')).toContain('2026-05-17');
  expect(await ask('cat /proc/interrupts')).toMatch(/ 4: +[1-9]\d* +IO-APIC +4-edge +ttyS0/);

  // Two processes and a pipe between them; floating point and signals in both.
  expect(await ask('seq 1 200 | awk "{ s += 1 / \\$1 } END { printf \\"%.6f\\n\\", s }"')).toContain('5.878031');

  // Job control: the shell gets the terminal back from a program that Ctrl-C ends.
  guest.type("sh -c 'echo pid $$; exec sleep 1000'\n");
  await guest.waitFor(/pid \d/, { timeoutMs: COMMAND_MS });
  guest.type('\x03');
  await guest.waitFor(PROMPT, { timeoutMs: COMMAND_MS });
  expect(await ask('echo status $?')).toContain('status 130');

  // A guest that waits costs the host next to nothing.
  await setTimeout(SETTLING_MS);
  const before = guest.machine.counters.read();
  await setTimeout(IDLE_MS);
  const after = guest.machine.counters.read();
  const grown = (name: string): number => after[name]! - before[name]!;
  expect(grown('cpu.instructions')).toBeLessThan(MOST_INSTRUCTIONS);
  expect(grown('loop.slices')).toBeLessThan(MOST_SLICES);

  guest.type('poweroff -f\n');
  await guest.poweredOff({ timeoutMs: COMMAND_MS });
  expect(guest.machine.counters.read()['pio.writes']).toBeGreaterThan(1000);
});
