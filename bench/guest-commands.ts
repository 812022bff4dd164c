import { fileURLToPath } from 'node:url';

/** What both programs are given. */
export interface GuestFiles {
  readonly kernel: string;
  readonly initrd: string;
  readonly append: string;
  readonly memoryMiB: number;
}

export const QEMU = 'qemu-system-x86_64';
const VM = [process.execPath, '--conditions=vm-source', '--disable-warning=ExperimentalWarning', fileURLToPath(new URL('../packages/cli/src/main.ts', import.meta.url))];

export function ourCommand({ kernel, initrd, append, memoryMiB }: GuestFiles, more: readonly string[]): readonly string[] {
  return [...VM, 'boot', '--kernel', kernel, '--initrd', initrd, '--append', append, '--memory', `${memoryMiB}M`, ...more];
}

/** No network card, because its boot ROM waits for a key. */
export function qemuCommand({ kernel, initrd, append, memoryMiB }: GuestFiles, cpu: string): readonly string[] {
  return [
    QEMU, '-accel', 'tcg,thread=single', '-M', 'pc', '-nographic', '-no-reboot', '-cpu', cpu, '-nic', 'none', '-m', String(memoryMiB),
    '-kernel', kernel, '-initrd', initrd, '-append', append,
  ];
}
