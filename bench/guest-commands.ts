import { fileURLToPath } from 'node:url';

/** What both programs are given. */
export interface GuestFiles {
  readonly kernel: string;
  readonly initrd: string;
  readonly append: string;
  readonly memoryMiB: number;
}

export const QEMU = 'qemu-system-x86_64';
/** `vm` as it is published; `turbo run build` makes it. */
const BUILT_VM = [process.execPath, fileURLToPath(new URL('../packages/cli/dist/main.js', import.meta.url))];
const VM = [process.execPath, '--conditions=vm-source', '--disable-warning=ExperimentalWarning', fileURLToPath(new URL('../packages/cli/src/main.ts', import.meta.url))];

/** `vm` with any arguments. */
export function vmCommand(from: 'built' | 'sources', ...args: readonly string[]): readonly string[] {
  return [...(from === 'built' ? BUILT_VM : VM), ...args];
}
export function ourCommand({ kernel, initrd, append, memoryMiB }: GuestFiles, more: readonly string[], from: 'built' | 'sources' = 'sources'): readonly string[] {
  return vmCommand(from, 'boot', '--kernel', kernel, '--initrd', initrd, '--append', append, '--memory', `${memoryMiB}M`, ...more);
}

/** v86 in a Node.js of its own. */
export function v86Command(files: GuestFiles): readonly string[] { return scriptCommand('v86-guest.ts', files); }

/** Bochs, with a script between its serial port and the standard input and output. */
export function bochsCommand(files: GuestFiles): readonly string[] { return scriptCommand('bochs-guest.ts', files); }

function scriptCommand(script: string, { kernel, initrd, append, memoryMiB }: GuestFiles): readonly string[] {
  return [process.execPath, '--conditions=vm-source', '--disable-warning=ExperimentalWarning', fileURLToPath(new URL(script, import.meta.url)), kernel, initrd, String(memoryMiB), append];
}

/** No network card, because its boot ROM waits for a key. */
export function qemuCommand({ kernel, initrd, append, memoryMiB }: GuestFiles, cpu: string): readonly string[] {
  return [
    QEMU, '-accel', 'tcg,thread=single', '-M', 'pc', '-nographic', '-no-reboot', '-cpu', cpu, '-nic', 'none', '-m', String(memoryMiB),
    '-kernel', kernel, '-initrd', initrd, '-append', append,
  ];
}
