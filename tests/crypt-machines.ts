import { findOracle, itWithOracle } from '@vm/testkit/oracle';
import { it } from 'vitest';
import { VM } from './vm-program.ts';

/** The program that runs a guest with disks. */
export type GuestProgram = (kernel: string, initrd: string, disks: readonly string[]) => readonly string[];

const APPEND = 'console=ttyS0 quiet cryptomgr.notests vm.term=dumb';

/** The same exchange with a guest in this machine and with one in QEMU, where the host's cryptsetup and Debian's packages are. */
export function inBothMachines(exchange: (run: string, cryptsetup: string, program: GuestProgram) => Promise<void>): void {
  itWithTools(['cryptsetup', 'apt-get'], 'in this machine', ([cryptsetup]) =>
    exchange('here', cryptsetup!, (kernel, initrd, disks) => [...VM, 'boot', '--kernel', kernel, '--initrd', initrd, '--append', APPEND, '--memory', '512M', ...disks.flatMap((disk) => ['--disk', `${disk},format=raw,crypt=none`])]));

  itWithTools(['cryptsetup', 'apt-get', 'qemu-system-x86_64'], 'in QEMU', ([cryptsetup, , qemu]) =>
    exchange('qemu', cryptsetup!, (kernel, initrd, disks) => [
      qemu!, '-accel', 'tcg,thread=single', '-M', 'pc', '-nographic', '-no-reboot', '-cpu', 'Nehalem', '-nic', 'none', '-m', '512', '-kernel', kernel, '-initrd', initrd, '-append', APPEND,
      ...disks.flatMap((disk) => ['-drive', `file=${disk},format=raw,if=virtio`]),
    ]));
}

/** With all of some tools, or left out for the first that is missing. */
function itWithTools(tools: readonly string[], name: string, body: (paths: readonly string[]) => Promise<void>): void {
  const paths = tools.map((tool) => findOracle(tool));
  itWithOracle(it, tools[Math.max(0, paths.indexOf(null))]!, name, () => body(paths.map((path) => path!)));
}
