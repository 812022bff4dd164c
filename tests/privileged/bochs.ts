/** Runs a flat image in Bochs, whose debugger and terminal want a terminal each: a boot sector brings the image to 1 MiB. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SECTOR = 512;
/** One read of the BIOS. */
const SECTORS = 100;
const DISK_BYTES = 2 * 16 * 63 * SECTOR;

const BOOT_SECTOR = String.raw`
.code16
.globl _start
_start: cli
xor %ax, %ax
mov %ax, %ds
mov %ax, %ss
mov $0x7c00, %sp
mov $0x80, %dl
mov $packet, %si
mov $0x42, %ah
int $0x13
in $0x92, %al
or $2, %al
out %al, $0x92
lgdt table
mov %cr0, %eax
or $1, %al
mov %eax, %cr0
ljmp $8, $protected
.code32
protected: mov $16, %eax
mov %eax, %ds
mov %eax, %es
mov %eax, %ss
mov %eax, %fs
mov %eax, %gs
mov $0x10000, %esi
mov $0x100000, %edi
mov $${(SECTORS * SECTOR) / 4}, %ecx
cld
rep movsl
mov $0x100000, %ecx
jmp *%ecx
.align 8
descriptors: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
table: .word 23
.long descriptors
packet: .byte 16, 0
.word ${SECTORS}, 0, 0x1000
.quad 1
.org 510
.word 0xaa55
`;

/** What the program writes to port 0xe9, from `first` on. */
export function runBareInBochs(bochs: string, compiler: string, image: string, first: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'vm-bochs-'));
  const at = (name: string): string => join(folder, name);
  writeFileSync(at('boot.S'), BOOT_SECTOR);
  execFileSync(compiler, ['-m32', '-nostdlib', '-static', '-no-pie', '-Wl,-Ttext=0x7c00,--oformat=binary,-e,_start,--build-id=none', '-o', at('boot'), at('boot.S')]);
  const code = readFileSync(image);
  if (code.length > SECTORS * SECTOR) throw new RangeError(`${image}: ${code.length} bytes, and the boot sector loads ${SECTORS * SECTOR}`);
  const disk = new Uint8Array(DISK_BYTES);
  disk.set(readFileSync(at('boot')).subarray(0, SECTOR));
  disk.set(code, SECTOR);
  writeFileSync(at('disk'), disk);
  writeFileSync(at('rc'), 'c\n');
  writeFileSync(at('bochsrc'), [
    'megs: 64', 'romimage: file=/usr/share/bochs/BIOS-bochs-latest', 'vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest', `ata0-master: type=disk, path=${at('disk')}, mode=flat, cylinders=2, heads=16, spt=63`,
    'boot: disk', 'display_library: term', 'port_e9_hack: enabled=1', 'cpu: count=1, model=broadwell_ult, ips=100000000, reset_on_triple_fault=0', `log: ${at('log')}`, 'panic: action=fatal',
    'sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy', 'speaker: enabled=0', '',
  ].join('\n'));
  const command = `${bochs} -q -f ${at('bochsrc')} -rc ${at('rc')} 2>${at('errors')}`;
  return new Promise((resolve, reject) => {
    // It always ends with an error: the panic of a triple fault.
    const child = execFile('script', ['-qfec', command, '/dev/null'], { maxBuffer: 64 * 2 ** 20, timeout: 120_000, env: { ...process.env, TERM: 'xterm' } }, (error, stdout) => {
      const log = (): string => readFileSync(at('errors'), 'utf8').slice(-1000);
      const text = plain(stdout);
      const from = text.indexOf(first);
      const end = text.indexOf('\nEND\n', from);
      if (from >= 0 && end >= 0) resolve(text.slice(from, end + 5));
      else reject(new Error(`${bochs}: the program did not come to its end: ${log()}`, { cause: error }));
      rmSync(folder, { recursive: true });
    });
    child.stdin?.end();
  });
}

/** Without what a terminal makes of it. */
function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex -- that is what a terminal is told with
  return text.replaceAll('\r', '').replaceAll(/\u001b\[[0-9;?]*[A-Za-z]|\u001b[()][A-Z0-9]|\u000f/g, '');
}
