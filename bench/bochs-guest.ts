// node bochs-guest.ts KERNEL INITRD MIB APPEND: a kernel in Bochs, with its serial port on the standard input and output.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAssembler, DS, ES, far, mem, r16, r32, RAX, RSI, segment, SS } from '@vm/x86';
import { CYLINDER_BYTES, buildBootDisk } from '../packages/longmode-switch/src/monitor/boot-disk.ts';
import { parseBzImage } from '../packages/pc/src/bzimage.ts';
import { buildZeroPage } from '../packages/pc/src/zero-page.ts';

const MIB = 2 ** 20;
/** What the disk loads lies in one piece: a start, the boot parameters, the command line, the initial RAM file system, the kernel. */
const LOADED_AT = 2 * MIB;
const PARAMETERS = LOADED_AT + 0x1000;
const COMMAND_LINE = LOADED_AT + 0x2000;
const INITRD = LOADED_AT + 0x4000;
/** Where kernels of 32 bits want to be. */
const KERNEL = 16 * MIB;
const COMMAND_LINE_POINTER = 0x228; // in the boot parameters (Documentation/arch/x86/boot.rst)
/** The BIOS keeps its ACPI tables at the end of memory. */
const BIOS_BYTES = MIB;
const CODE = 0x10, DATA = 0x18; // selectors that the 32-bit entry wants

function imageOf(kernel: Uint8Array, initrd: Uint8Array, mib: number, append: string): Uint8Array {
  const parsed = parseBzImage(kernel);
  if (INITRD + initrd.length > KERNEL) throw new RangeError(`the initial RAM file system has ${initrd.length} bytes, and there is room for ${KERNEL - INITRD}`);
  const image = new Uint8Array(KERNEL - LOADED_AT + parsed.kernel.length);
  const start = createAssembler(32, { origin: LOADED_AT });
  start.cli().lgdt(mem(0, { label: 'pointer' })).mov(r32(RAX), DATA);
  for (const register of [DS, ES, SS]) start.mov(segment(register), r16(RAX));
  start.mov(r32(RSI), PARAMETERS).size(4).jmpf(far(CODE, 'entry')).label('entry').mov(r32(RAX), KERNEL).jmp(r32(RAX));
  start.align(8).label('table').data(...new Uint8Array(16)).data(0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0).data(0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0);
  start.label('pointer').data(31, 0).dataAddress('table', 4);
  const page = buildZeroPage({ setup: parsed.setup, kernelAt: KERNEL, initrdAt: INITRD, initrdBytes: initrd.length, rsdp: 0, ranges: [{ gpa: 0, offset: 0, bytes: mib * MIB - BIOS_BYTES }] });
  new DataView(page.buffer).setUint32(COMMAND_LINE_POINTER, COMMAND_LINE, true);
  for (const [at, bytes] of [[LOADED_AT, start.bytes()], [PARAMETERS, page], [COMMAND_LINE, Buffer.from(`${append}\0`)], [INITRD, initrd], [KERNEL, parsed.kernel]] as const) image.set(bytes, at - LOADED_AT);
  return image;
}

const [kernel, initrd, mib, append] = process.argv.slice(2) as [string, string, string, string];
const folder = mkdtempSync(join(tmpdir(), 'vm-bochs-'));
const at = (name: string): string => join(folder, name);
const disk = buildBootDisk(imageOf(readFileSync(kernel), readFileSync(initrd), Number(mib), append), LOADED_AT);
writeFileSync(at('disk'), disk);
writeFileSync(at('rc'), 'c\n');
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const server = createServer((serial) => {
  serial.on('data', (bytes) => process.stdout.write(bytes));
  serial.on('error', () => undefined); // it has ended, which is told below
  process.stdin.on('data', (bytes) => serial.write(bytes));
  server.close();
});
server.listen(0, '127.0.0.1', () => {
  writeFileSync(at('bochsrc'), [
    `megs: ${mib}`, 'romimage: file=/usr/share/bochs/BIOS-bochs-latest', 'vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest',
    `ata0-master: type=disk, path=${at('disk')}, mode=flat, cylinders=${disk.length / CYLINDER_BYTES}, heads=16, spt=63`, 'boot: disk', 'display_library: term',
    `com1: enabled=1, mode=socket-client, dev=localhost:${(server.address() as AddressInfo).port}`, 'cpu: count=1, model=p4_willamette, ips=50000000, reset_on_triple_fault=0',
    `log: ${at('log')}`, 'panic: action=fatal', 'sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy', 'speaker: enabled=0', '',
  ].join('\n'));
  // Its debugger and its display want a terminal; it ends with this script, however that ends.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'script', '-qfec', `bochs -q -f ${at('bochsrc')} -rc ${at('rc')}`, '/dev/null'], { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, TERM: 'xterm' } });
  child.on('error', (error) => { throw error; });
  child.on('close', (code) => process.exit(code ?? 1));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill());
});
