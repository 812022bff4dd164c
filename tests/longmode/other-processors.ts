/** Runs images of the monitor on processors that nobody here wrote; what they say on the first serial port. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildBootDisk, type MonitorImage } from '@vm/longmode-switch';
import { CYLINDER_BYTES } from '../../packages/longmode-switch/src/monitor/boot-disk.ts';

const PATIENCE_MS = 240_000;
const END = 'monitor: end\r\n';

/** With multiboot, or from a disk by its BIOS. */
export function runInQemu(qemu: string, { bytes, loadAddress }: MonitorImage, from: 'multiboot' | 'disk'): Promise<string> {
  return inFolder('qemu', async (folder) => {
    const file = join(folder, 'image');
    writeFileSync(file, from === 'multiboot' ? bytes : buildBootDisk(bytes, loadAddress));
    const source = from === 'multiboot' ? ['-kernel', file] : ['-drive', `file=${file},format=raw,if=ide`];
    const args = ['-display', 'none', '-no-reboot', '-accel', 'tcg', '-cpu', 'max', '-m', '32', '-serial', `file:${join(folder, 'serial')}`, '-monitor', 'none', '-device', 'isa-debug-exit,iobase=0xf4', ...source];
    return finished(qemu, args, join(folder, 'serial'));
  });
}

export function runInBochs(bochs: string, { bytes, loadAddress }: MonitorImage): Promise<string> {
  return inFolder('bochs', async (folder) => {
    const at = (name: string): string => join(folder, name);
    const disk = buildBootDisk(bytes, loadAddress);
    writeFileSync(at('disk'), disk);
    writeFileSync(at('rc'), 'c\n');
    writeFileSync(at('bochsrc'), [
      'megs: 32', 'romimage: file=/usr/share/bochs/BIOS-bochs-latest', 'vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest',
      `ata0-master: type=disk, path=${at('disk')}, mode=flat, cylinders=${disk.length / CYLINDER_BYTES}, heads=16, spt=63`, 'boot: disk', 'display_library: term',
      `com1: enabled=1, mode=file, dev=${at('serial')}`, 'cpu: count=1, model=broadwell_ult, ips=50000000, reset_on_triple_fault=0', `log: ${at('log')}`, 'panic: action=fatal',
      'sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy', 'speaker: enabled=0', '',
    ].join('\n'));
    // Its debugger and its display want a terminal; it ends itself, as the image tells it to.
    return finished('script', ['-qfec', `${bochs} -q -f ${at('bochsrc')} -rc ${at('rc')}`, '/dev/null'], at('serial'));
  });
}

function finished(program: string, args: readonly string[], serial: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, { maxBuffer: 64 << 20, timeout: PATIENCE_MS, env: { ...process.env, TERM: 'xterm' } }, (error, stdout) => {
      const text = readText(serial);
      if (text.includes(END)) resolve(text);
      else reject(new Error(`${program}: the monitor did not come to its end: ${JSON.stringify(text.slice(-500))} ${stdout.slice(-300)}`, { cause: error }));
    });
    child.stdin?.end();
  });
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

async function inFolder(name: string, work: (folder: string) => Promise<string>): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), `vm-longmode-${name}-`));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
