import { type GuestMemory, type Ram, VmError } from '@vm/core';
import type { BootState } from './boot-state.ts';
import { parseBzImage } from './bzimage.ts';
import { isElf, parseElf } from './elf.ts';
import { chooseElfEntry, loadElf } from './elf-boot.ts';
import { loadLinux } from './linux-boot.ts';
import { loadMultiboot, type MultibootModule, parseMultiboot } from './multiboot-boot.ts';

/**
 * How a kernel is entered: `auto` takes the 64-bit entry of a bzImage that has one, and the PVH entry of an ELF file that has
 * one; 32 and 64 are those of the Linux boot protocol; `multiboot` is version 1 of that protocol.
 */
export type KernelEntry = 'auto' | 32 | 64 | 'pvh' | 'multiboot';

export interface KernelBoot {
  readonly kernel: Uint8Array; // a bzImage, an ELF file or a multiboot image
  readonly initrd?: Uint8Array;
  readonly commandLine?: string;
  readonly rsdp?: number; // address of the ACPI root pointer
  readonly entry?: KernelEntry; // default: auto
  readonly modules?: readonly MultibootModule[]; // multiboot only
}

/** Throws VmError E_IMAGE when `kernel` cannot be booted by `entry` in any machine. */
export function checkKernel(kernel: Uint8Array, entry: KernelEntry = 'auto'): void {
  if (entry === 'multiboot') {
    parseMultiboot(kernel);
    return;
  }
  if (isElf(kernel)) {
    chooseElfEntry(parseElf(kernel), entry === 'auto' ? undefined : entry);
    return;
  }
  const { hasEntry64 } = parseBzImage(kernel);
  if (entry === 64 && !hasEntry64) throw new VmError('E_IMAGE', 'kernel: it has no 64-bit entry');
  if (entry === 'pvh') throw noPvh();
}

/** Loads a kernel of any kind, and describes the processor at its entry. Throws VmError E_IMAGE or E_MEMORY. */
export function loadKernel(memory: GuestMemory, ranges: Ram['ranges'], boot: KernelBoot): BootState {
  const { entry = 'auto', modules, ...rest } = boot;
  if (entry === 'multiboot') {
    if (boot.initrd !== undefined) throw new VmError('E_IMAGE', 'multiboot: an initrd is given to it as a module');
    return loadMultiboot(memory, ranges, { image: boot.kernel, commandLine: boot.commandLine ?? '', ...(modules === undefined ? {} : { modules }) });
  }
  if (modules !== undefined && modules.length > 0) throw new VmError('E_IMAGE', 'kernel: modules are for multiboot images');
  if (isElf(boot.kernel)) return loadElf(memory, ranges, entry === 'auto' ? rest : { ...rest, entry });
  if (entry === 'pvh') throw noPvh();
  return loadLinux(memory, ranges, entry === 'auto' ? rest : { ...rest, entry });
}

function noPvh(): VmError {
  return new VmError('E_IMAGE', 'kernel: a bzImage has no PVH entry; the vmlinux inside it may have one');
}
