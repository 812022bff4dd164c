// node v86-guest.ts KERNEL INITRD MIB APPEND: a kernel in v86, with its serial port on the standard input and output.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { V86 } from 'v86';

const SEABIOS = '/usr/share/seabios';
const MIB = 2 ** 20;

const [kernel, initrd, mib, append] = process.argv.slice(2) as [string, string, string, string];
const image = (path: string): { buffer: ArrayBuffer } => {
  const bytes = readFileSync(path);
  return { buffer: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer };
};
const machine = new V86({
  wasm_path: join(dirname(createRequire(import.meta.url).resolve('v86')), 'v86.wasm'),
  bios: image(join(SEABIOS, 'bios.bin')), vga_bios: image(join(SEABIOS, 'vgabios-stdvga.bin')), bzimage: image(kernel), initrd: image(initrd), cmdline: append,
  memory_size: Number(mib) * MIB, vga_memory_size: 8 * MIB, autostart: true, disable_keyboard: true, disable_mouse: true, disable_speaker: true,
});

let waiting: number[] = [];
machine.add_listener('serial0-output-byte', (byte) => {
  if (waiting.length === 0) {
    // What comes in one turn of the emulator goes out at once.
    setImmediate(() => {
      process.stdout.write(Uint8Array.from(waiting));
      waiting = [];
    });
  }
  waiting.push(byte);
});
process.stdin.on('data', (chunk: Buffer) => machine.serial0_send(chunk.toString('latin1')));
