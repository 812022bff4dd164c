import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What a program without an operating system writes to COM1 of QEMU's PC, its processors in turn on one thread as ours. */
export async function runInQemu(qemu: string, kernel: string, processors: number, environment: string, options: readonly string[] = []): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'vm-qemu-'));
  try {
    const env = join(folder, 'env');
    writeFileSync(env, environment);
    const child = spawn(qemu, [
      '-accel', 'tcg,thread=single', '-m', '64', '-smp', String(processors), '-display', 'none', '-serial', 'stdio', '-no-reboot', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4', '-kernel', kernel, '-initrd', env, ...options,
    ], { stdio: ['ignore', 'pipe', 'ignore'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
    await new Promise((resolve) => child.on('close', resolve));
    return output.replaceAll('\r', '');
  } finally {
    rmSync(folder, { recursive: true });
  }
}
