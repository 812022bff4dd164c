/** Bare-metal programs in C: compiled to flat images at 1 MiB, and run by this machine or by another. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ApicBus, createApicFabric } from '@vm/apic';
import { createMachine, device } from '@vm/core';
import { debugcon } from '@vm/device-debugcon';
import { prepareEntry } from '@vm/pc';
import { wasmEngine } from '@vm/vcpu-wasm';

const BASE = 0x10_0000;
const RAM_BYTES = 64 * 2 ** 20;
/** A program that another machine does not get on with stops for ever there. */
const PATIENCE_MS = 6000;

/** Path of the image; it is gone when the returned thing is disposed of. */
export function compileBare(compiler: string, source: string, bits: 32 | 64): { readonly image: string; [Symbol.dispose](): void } {
  const folder = mkdtempSync(join(tmpdir(), 'vm-bare-'));
  const image = join(folder, 'image');
  execFileSync(compiler, [
    `-m${bits}`, '-O1', '-Wall', '-ffreestanding', '-fno-pic', '-fno-stack-protector', '-fno-asynchronous-unwind-tables', '-fno-toplevel-reorder', '-mgeneral-regs-only', '-mno-red-zone', '-fcf-protection=none',
    ...(bits === 64 ? ['-mcmodel=large'] : []), '-nostdlib', '-static', '-no-pie', `-Wl,-Ttext=0x${BASE.toString(16)},--oformat=binary,-e,_start,--build-id=none,-z,norelro,--no-warn-rwx-segments`,
    '-o', image, fileURLToPath(new URL(source, import.meta.url)),
  ]);
  return { image, [Symbol.dispose]: () => { rmSync(folder, { recursive: true }); } };
}

/** What the program writes to port 0xe9 until it resets the machine; it is entered in 32-bit protected mode, as multiboot says. */
export async function runBare(image: string, entry: number): Promise<string> {
  const code = readFileSync(image);
  let text = '';
  await using machine = await createMachine({
    engine: wasmEngine(),
    ramBytes: RAM_BYTES,
    clock: { kind: 'virtual', nanosPerInstruction: 10 },
    interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }),
    devices: [device('debug', debugcon, { output: (byte) => (text += String.fromCharCode(byte)) })],
    load: ({ memory, vcpu }) => {
      memory.copyIn(BASE, code);
      vcpu.loadBootState(prepareEntry(memory, { bits: 32, rip: entry }));
    },
  });
  await machine.powerUp();
  await machine.stopped();
  return text;
}

/** The same by QEMU's translator, as far as it comes: whole lines, until it has said nothing for a while or has died. */
export async function runBareInQemu(qemu: string, image: string, processor: string): Promise<string> {
  const args = ['-display', 'none', '-no-reboot', '-accel', 'tcg', '-cpu', processor, '-m', String(RAM_BYTES / 2 ** 20), '-debugcon', 'stdio', '-monitor', 'none', '-serial', 'none', '-kernel', image];
  const child = spawn(qemu, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  let patience = setTimeout(() => child.kill(), PATIENCE_MS);
  child.stdout.setEncoding('latin1').on('data', (part: string) => {
    text += part;
    clearTimeout(patience);
    patience = setTimeout(() => child.kill(), PATIENCE_MS);
  });
  await once(child, 'close');
  clearTimeout(patience);
  const said = text.split('Bail out!')[0]!; // its own assertions
  return said.slice(0, said.lastIndexOf('\n'));
}
export { BASE as BARE_BASE };
