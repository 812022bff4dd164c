import { type GuestMemory, type Ram, VmError } from '@vm/core';
import { copyImage, encodeCommandLine, inMiB, lowRam, placeInitrd, tooLittleRam } from './boot-images.ts';
import { type BootState, prepareEntry } from './boot-state.ts';
import { type BzImage, parseBzImage } from './bzimage.ts';
import { COMMAND_LINE, HIGH_START, ZERO_PAGE } from './memory-map.ts';
import { buildZeroPage } from './zero-page.ts';

export interface LinuxBoot {
  readonly kernel: Uint8Array; // a bzImage
  readonly initrd?: Uint8Array;
  readonly commandLine?: string;
  /** Address of the ACPI root pointer, for kernels that know where to be told; others search for it. */
  readonly rsdp?: number;
  /** Which entry to use; default 64 where the kernel has it. */
  readonly entry?: 32 | 64;
}

/** Where everything goes. */
export interface LinuxPlacement {
  readonly kernelAt: number;
  readonly initrdAt: number; // 0: none
}

const ENTRY_64 = 0x200; // from the load address

/** Loads a kernel and what belongs to it, and describes the processor at its entry. Throws VmError E_IMAGE or E_MEMORY. */
export function loadLinux(memory: GuestMemory, ranges: Ram['ranges'], boot: LinuxBoot): BootState {
  const image = parseBzImage(boot.kernel);
  const bits = boot.entry ?? (image.hasEntry64 ? 64 : 32);
  if (bits === 64 && !image.hasEntry64) throw new VmError('E_IMAGE', 'kernel: it has no 64-bit entry');
  const initrdBytes = boot.initrd?.length ?? 0;
  const { kernelAt, initrdAt } = placeLinux(image, lowRam(ranges), initrdBytes);
  copyImage(memory, kernelAt, image.kernel, 'kernel');
  if (initrdAt > 0) copyImage(memory, initrdAt, boot.initrd!, 'initrd');
  copyImage(memory, COMMAND_LINE, encodeCommandLine(boot.commandLine ?? '', image.commandLineBytes), 'command line');
  const page = buildZeroPage({ setup: image.setup, kernelAt, initrdAt, initrdBytes, rsdp: boot.rsdp ?? 0, ranges });
  copyImage(memory, ZERO_PAGE, page, 'boot parameters');
  return prepareEntry(memory, { bits, rip: kernelAt + (bits === 64 ? ENTRY_64 : 0), rsi: ZERO_PAGE });
}

/**
 * The kernel where it wants to be, because one that is loaded below moves itself there (boot.rst, pref_address); the initrd as
 * high as the kernel can reach.
 */
export function placeLinux(image: BzImage, lowRamBytes: number, initrdBytes: number): LinuxPlacement {
  const { preferredAddress, alignment } = image;
  const kernelAt = image.relocatable ? Math.ceil(Math.max(HIGH_START, preferredAddress) / alignment) * alignment : HIGH_START;
  const kernelEnd = Math.max(kernelAt, preferredAddress) + image.initBytes;
  if (kernelEnd > lowRamBytes) throw tooLittleRam(`the kernel needs RAM up to ${inMiB(kernelEnd)}`, lowRamBytes);
  return { kernelAt, initrdAt: placeInitrd(initrdBytes, kernelEnd, lowRamBytes, image.initrdLast) };
}
