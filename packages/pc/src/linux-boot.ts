import { type GuestMemory, type Ram, VmError } from '@vm/core';
import { type BootState, prepareEntry } from './boot-state.ts';
import { type BzImage, parseBzImage, SETUP_HEADER } from './bzimage.ts';
import { buildE820, COMMAND_LINE, COMMAND_LINE_MOST, HIGH_START, PAGE_BYTES, ZERO_PAGE } from './memory-map.ts';

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

// Fields of the zero page outside the setup header (Documentation/arch/x86/zero-page.rst).
const ZERO_PAGE_RSDP = 0x070;
const ZERO_PAGE_E820_COUNT = 0x1e8;
const ZERO_PAGE_E820 = 0x2d0;
const HEADER_LOADER_TYPE = 0x210;
const HEADER_CODE32_START = 0x214;
const HEADER_INITRD = 0x218;
const HEADER_COMMAND_LINE = 0x228;
const LOADER_UNREGISTERED = 0xff;
const ENTRY_64 = 0x200; // from the load address

/** Loads a kernel and what belongs to it, and describes the processor at its entry. Throws VmError E_IMAGE or E_MEMORY. */
export function loadLinux(memory: GuestMemory, ranges: Ram['ranges'], boot: LinuxBoot): BootState {
  const image = parseBzImage(boot.kernel);
  const bits = boot.entry ?? (image.hasEntry64 ? 64 : 32);
  if (bits === 64 && !image.hasEntry64) throw new VmError('E_IMAGE', 'kernel: it has no 64-bit entry');
  const low = ranges.find((range) => range.gpa === 0);
  const placement = placeLinux(image, low?.bytes ?? 0, boot.initrd?.length ?? 0);
  copy(memory, placement.kernelAt, image.kernel, 'kernel');
  if (placement.initrdAt > 0) copy(memory, placement.initrdAt, boot.initrd!, 'initrd');
  copy(memory, COMMAND_LINE, encodeCommandLine(boot.commandLine ?? '', image.commandLineBytes), 'command line');
  copy(memory, ZERO_PAGE, buildZeroPage(image, placement, ranges, boot), 'boot parameters');
  return prepareEntry(memory, { bits, rip: placement.kernelAt + (bits === 64 ? ENTRY_64 : 0), rsi: ZERO_PAGE });
}

/** The kernel where it wants to be, or low; the initrd as high as the kernel can reach, page aligned. */
export function placeLinux(image: BzImage, lowRamBytes: number, initrdBytes: number): LinuxPlacement {
  let kernelAt = HIGH_START;
  if (image.relocatable) {
    const lowest = Math.ceil(HIGH_START / image.alignment) * image.alignment;
    const wanted = image.preferredAddress;
    kernelAt = wanted >= HIGH_START && wanted % image.alignment === 0 && wanted + image.initBytes <= lowRamBytes ? wanted : lowest;
  }
  const kernelEnd = Math.max(kernelAt, image.relocatable ? 0 : image.preferredAddress) + image.initBytes;
  if (kernelEnd > lowRamBytes) throw tooLittle(`the kernel needs RAM up to ${inMiB(kernelEnd)}`, lowRamBytes);
  if (initrdBytes === 0) return { kernelAt, initrdAt: 0 };
  const top = Math.min(lowRamBytes, image.initrdLast + 1);
  const initrdAt = Math.floor((top - initrdBytes) / PAGE_BYTES) * PAGE_BYTES;
  if (initrdAt < kernelEnd) throw tooLittle(`the kernel ends at ${inMiB(kernelEnd)} and the initrd has ${inMiB(initrdBytes)}`, lowRamBytes);
  return { kernelAt, initrdAt };
}

function buildZeroPage(image: BzImage, placement: LinuxPlacement, ranges: Ram['ranges'], boot: LinuxBoot): Uint8Array {
  const page = new Uint8Array(PAGE_BYTES);
  const view = new DataView(page.buffer);
  page.set(image.setup, SETUP_HEADER);
  view.setUint8(HEADER_LOADER_TYPE, LOADER_UNREGISTERED);
  view.setUint32(HEADER_CODE32_START, placement.kernelAt, true);
  view.setUint32(HEADER_INITRD, placement.initrdAt, true);
  view.setUint32(HEADER_INITRD + 4, placement.initrdAt === 0 ? 0 : boot.initrd!.length, true);
  view.setUint32(HEADER_COMMAND_LINE, COMMAND_LINE, true);
  view.setUint32(ZERO_PAGE_RSDP, boot.rsdp ?? 0, true);
  const entries = buildE820(ranges);
  view.setUint8(ZERO_PAGE_E820_COUNT, entries.length);
  entries.forEach(({ base, bytes, type }, i) => {
    const at = ZERO_PAGE_E820 + i * 20;
    view.setBigUint64(at, BigInt(base), true);
    view.setBigUint64(at + 8, BigInt(bytes), true);
    view.setUint32(at + 16, type, true);
  });
  return page;
}

function encodeCommandLine(text: string, most: number): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  const limit = Math.min(most, COMMAND_LINE_MOST - 1);
  if (bytes.length > limit) throw new VmError('E_IMAGE', `command line: the kernel takes ${limit} bytes, got ${bytes.length}`);
  if (bytes.includes(0)) throw new VmError('E_IMAGE', 'command line: it has a zero byte inside');
  const terminated = new Uint8Array(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}

function copy(memory: GuestMemory, gpa: number, bytes: Uint8Array, what: string): void {
  if (!memory.copyIn(gpa, bytes)) throw new VmError('E_MEMORY', `${what}: there is no RAM for ${bytes.length} bytes at 0x${gpa.toString(16)}`);
}

function tooLittle(why: string, lowRamBytes: number): VmError {
  return new VmError('E_MEMORY', `too little RAM: ${why}, below 4 GiB there are ${inMiB(lowRamBytes)}`);
}

function inMiB(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
