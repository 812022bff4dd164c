import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { type CpioEntry, writeCpio } from './cpio.ts';
import { type KernelModule, orderModules } from './kernel-module.ts';

export interface BusyboxInitramfs {
  readonly bytes: Uint8Array; // gzip
  readonly known: KnownFile;
}
/** A file of the guest whose contents the host knows. */
export interface KnownFile {
  readonly path: string;
  readonly sha256: string;
}

/** What the shell of the initramfs shows when it is ready for its first command. */
export const PROMPT = 'vm:/root# ';

const KNOWN_PATH = '/root/known.bin';
const KNOWN_BYTES = 1 << 16;

/** Grows when the files below become others, so that those of older versions in caches are made anew. */
export const INITRAMFS_VERSION = 5;

// The shell gets the serial console as its controlling terminal, so that job control and Ctrl-C work in it. Without a terminal on
// the other side (vm.term=dumb) it must not ask one for the place of its cursor, as its line editor does; the editor stays off
// where the line does not echo, and then the shell itself shows what it reads. The kernel finds no console for init where its driver
// is a module; a virtio console comes a moment after the driver, which has to agree with the device on its port.
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
hostname vm
for module in /lib/modules/*.ko; do
  [ -f "$module" ] && insmod "$module"
done
drivers() {
  [ -f "/lib/modules/$1" ] && while read -r module; do insmod "/lib/modules/$1.d/$module"; done <"/lib/modules/$1"
}
if grep -q 0x1af4 /sys/bus/pci/devices/*/vendor 2>/dev/null; then drivers virtio; drivers disk; fi
if grep -q ^0x0101 /sys/bus/pci/devices/*/class 2>/dev/null; then drivers ata; drivers disk; fi
if [ -d /sys/bus/acpi/devices/VMBUS:00 ]; then drivers hyperv; fi
if grep -q 0x1043 /sys/bus/pci/devices/*/device 2>/dev/null && grep -q console=hvc /proc/cmdline; then
  for i in 1 2 3 4 5 6 7 8 9 10; do grep -q hvc /sys/class/tty/console/active && break; usleep 100000; done
  exec <>/dev/console >&0 2>&0
fi
[ -c /dev/input/event0 ] && acpid -c /etc/acpi -l /dev/null
shell=sh
for word in $(cat /proc/cmdline); do
  case "$word" in
    vm.rows=*) stty rows "\${word#*=}" ;;
    vm.cols=*) stty cols "\${word#*=}" ;;
    vm.term=*) TERM="\${word#*=}" ;;
  esac
done
if [ "$TERM" = dumb ]; then
  stty -echo
  shell='sh -v'
fi
export HOME=/root USER=root TERM=\${TERM:-linux} PATH=/bin:/sbin:/usr/bin:/usr/sbin PS1='vm:\\w# '
cd
setsid cttyhack $shell
poweroff -f
`;

// What acpid runs for the power button: /etc/acpi/PWRF/00000080.
const POWER_BUTTON = `#!/bin/sh
echo 'the power button was pressed' >/dev/console
sync
poweroff -f
`;

/**
 * An initial RAM file system with nothing but busybox (linked statically): a shell on the console, power-off at its end. With the
 * modules `button` and `evdev`, where the kernel has them as such, it also turns itself off at the power button. `drivers` are
 * loaded where their devices are found: virtio, ata, and disk with either.
 */
export function buildBusyboxInitramfs(busybox: Uint8Array, modules: readonly KernelModule[], drivers: Readonly<Record<string, readonly KernelModule[]>> = {}): BusyboxInitramfs {
  const known = knownBytes();
  const text = (path: string, contents: string, mode = 0o644): CpioEntry => ({ kind: 'file', path, bytes: new TextEncoder().encode(contents), mode });
  const folders = ['bin', 'dev', 'etc', 'etc/acpi', 'etc/acpi/PWRF', 'lib', 'lib/modules', 'proc', 'root', 'sbin', 'sys', 'tmp', 'usr', 'usr/bin', 'usr/sbin', 'var', 'var/run'];
  const archive = writeCpio([
    ...folders.map((path): CpioEntry => ({ kind: 'folder', path })),
    // The kernel opens the console for init before anything is mounted.
    { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    { kind: 'character-device', path: 'dev/null', major: 1, minor: 3, mode: 0o666 },
    { kind: 'file', path: 'bin/busybox', bytes: busybox, mode: 0o755 },
    { kind: 'link', path: 'bin/sh', target: 'busybox' },
    text('init', INIT, 0o755),
    text('etc/acpi/PWRF/00000080', POWER_BUTTON, 0o755),
    ...modules.map(({ name, bytes }): CpioEntry => ({ kind: 'file', path: `lib/modules/${name}`, bytes })),
    ...Object.entries(drivers).flatMap(([set, members]) => driverEntries(set, orderModules(members))),
    text('etc/passwd', 'root::0:0:root:/root:/bin/sh\n'),
    text('etc/group', 'root:x:0:\n'),
    { kind: 'file', path: KNOWN_PATH.slice(1), bytes: known },
  ]);
  return { bytes: gzipSync(archive, { level: 9 }), known: { path: KNOWN_PATH, sha256: createHash('sha256').update(known).digest('hex') } };
}

/** A folder of modules, and beside it a list of them in the order of loading. */
function driverEntries(set: string, modules: readonly KernelModule[]): CpioEntry[] {
  if (modules.length === 0) return [];
  return [
    { kind: 'folder', path: `lib/modules/${set}.d` },
    ...modules.map(({ name, bytes }): CpioEntry => ({ kind: 'file', path: `lib/modules/${set}.d/${name}`, bytes })),
    { kind: 'file', path: `lib/modules/${set}`, bytes: new TextEncoder().encode(modules.map(({ name }) => `${name}\n`).join('')) },
  ];
}

/** Numbers from a linear congruential generator: the same on every host, and nothing that packs well. */
function knownBytes(): Uint8Array {
  const bytes = new Uint8Array(KNOWN_BYTES);
  let state = 1;
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}
