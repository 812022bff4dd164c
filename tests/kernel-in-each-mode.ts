import { PROMPT } from '@vm/cli';
import { bootGuest } from '@vm/pc';
import { TRANSLATOR_MODES, wasmEngine } from '@vm/vcpu-wasm';
import type { TranslatorMode } from '@vm/vcpu-wasm';
import { expect } from 'vitest';
import { type GuestImage, itWithGuest } from './guest-image.ts';
import { commandLineOf, type KernelName } from './kernel-matrix.ts';

const MiB = 2 ** 20;
const SHELL_MS = 500_000;
const COMMAND_MS = 120_000;
const NANOS_PER_INSTRUCTION = 10;

/** What a boot with a few commands was: every byte, and the instructions up to each prompt and to the end. */
interface Session { readonly output: string; readonly instructions: readonly number[] }

/** The same boot under the virtual clock with the translator in each of the modes. */
export function itBootsTheSame(kernel: KernelName, modes: readonly TranslatorMode[] = TRANSLATOR_MODES): void {
  itWithGuest(kernel, `${kernel} boots the same with the translator ${modes.join(', ')}`, async (image) => {
    const [first, ...others] = modes as readonly [TranslatorMode, ...TranslatorMode[]];
    const expected = await boot(first, image);
    expect(expected.output).toContain('5.878031');
    for (const mode of others) expect({ mode, ...(await boot(mode, image)) }).toEqual({ mode, ...expected });
  });
}

async function boot(translator: TranslatorMode, image: GuestImage): Promise<Session> {
  await using guest = await bootGuest({
    engine: wasmEngine({ translator }), ramBytes: 256 * MiB, kernel: image.kernelBytes, initrd: image.initrdBytes,
    commandLine: commandLineOf({ interrupts: 'APIC' }), startMs: Date.UTC(2026, 4, 17, 12), clock: { kind: 'virtual', nanosPerInstruction: NANOS_PER_INSTRUCTION },
  });
  const instructions: number[] = [];
  let output = await guest.waitFor(PROMPT, { timeoutMs: SHELL_MS });
  for (const command of ['uname -a', 'seq 1 200 | awk "{ s += 1 / \\$1 } END { printf \\"%.6f\\n\\", s }"', 'cat /proc/uptime /proc/interrupts', `sha256sum ${image.record.known.path}`]) {
    instructions.push(guest.machine.vcpu.retired);
    guest.type(`${command}\n`);
    output += await guest.waitFor(PROMPT, { timeoutMs: COMMAND_MS });
  }
  guest.type('poweroff -f\n');
  await guest.poweredOff({ timeoutMs: COMMAND_MS });
  return { output, instructions: [...instructions, guest.machine.vcpu.retired] };
}
