import { type GuestMemory, type Ram, VmError } from '@vm/core';
import { copyImage, encodeCommandLine, inMiB, lowRam, placeInitrd, tooLittleRam } from './boot-images.ts';
import { type BootState, prepareEntry } from './boot-state.ts';
import { checkEntry, type ElfImage, type ElfSegment, parseElf } from './elf.ts';
import { ACPI_TABLES_END, buildE820, COMMAND_LINE, COMMAND_LINE_MOST, LOW_END, PVH_START_INFO, ZERO_PAGE } from './memory-map.ts';
import { buildStartInfo } from './start-info.ts';
import { buildZeroPage } from './zero-page.ts';

export interface ElfBoot {
  readonly kernel: Uint8Array; // an ELF executable: a vmlinux, or whatever has a PVH entry
  readonly initrd?: Uint8Array;
  readonly commandLine?: string;
  readonly rsdp?: number; // address of the ACPI root pointer
  /** Default: PVH where the file has its note, else Linux's entry for a file of this many bits. */
  readonly entry?: 32 | 64 | 'pvh';
}

// Nothing in the file says how high an initrd may lie: these are the limits of Linux, for a kernel of 32 bits that of its
// directly mapped memory.
const INITRD_LAST = { 32: 0x37ff_ffff, 64: 0x7fff_ffff } as const;
const COMMAND_LINE_BYTES = 2047;
const ZERO_CHUNK_BYTES = 0x10_0000;

/** Loads an ELF kernel and what belongs to it, and describes the processor at its entry. Throws VmError E_IMAGE or E_MEMORY. */
export function loadElf(memory: GuestMemory, ranges: Ram['ranges'], boot: ElfBoot): BootState {
  const image = parseElf(boot.kernel);
  const entry = chooseElfEntry(image, boot.entry);
  const lowRamBytes = lowRam(ranges);
  const kernelEnd = Math.max(...image.segments.map(({ address, memoryBytes }) => address + memoryBytes));
  for (const segment of image.segments) checkPlace(segment, ranges, lowRamBytes);
  const initrdBytes = boot.initrd?.length ?? 0;
  const initrdAt = placeInitrd(initrdBytes, kernelEnd, lowRamBytes, INITRD_LAST[image.bits]);
  for (const segment of image.segments) loadSegment(memory, segment);
  if (initrdAt > 0) copyImage(memory, initrdAt, boot.initrd!, 'initrd');
  copyImage(memory, COMMAND_LINE, encodeCommandLine(boot.commandLine ?? '', COMMAND_LINE_BYTES), 'command line');
  const rsdp = boot.rsdp ?? 0;
  if (entry === 'pvh') {
    const info = buildStartInfo({ at: PVH_START_INFO, commandLineAt: COMMAND_LINE, initrdAt, initrdBytes, rsdp, memoryMap: buildE820(ranges) });
    copyImage(memory, PVH_START_INFO, info, 'boot parameters');
    return prepareEntry(memory, { bits: 32, rip: image.pvhEntry!, rbx: PVH_START_INFO });
  }
  copyImage(memory, ZERO_PAGE, buildZeroPage({ kernelAt: image.segments[0]!.address, initrdAt, initrdBytes, rsdp, ranges }), 'boot parameters');
  return prepareEntry(memory, { bits: entry, rip: image.entry, rsi: ZERO_PAGE });
}

/** Throws VmError E_IMAGE when the file lacks the entry that is asked for. */
export function chooseElfEntry(image: ElfImage, wanted: ElfBoot['entry']): 32 | 64 | 'pvh' {
  const entry = wanted ?? (image.pvhEntry === null ? image.bits : 'pvh');
  if (entry === 'pvh') {
    if (image.pvhEntry === null) throw new VmError('E_IMAGE', 'kernel: it has no PVH entry');
    return entry;
  }
  if (entry !== image.bits) throw new VmError('E_IMAGE', `kernel: an ELF file of ${image.bits} bits has no ${entry}-bit entry`);
  checkEntry(image.segments, image.entry, 'the entry');
  return entry;
}

/** Not where there is no RAM, and not on what the loader itself puts into memory. */
function checkPlace({ address, memoryBytes }: ElfSegment, ranges: Ram['ranges'], lowRamBytes: number): void {
  const end = address + memoryBytes;
  const place = `the segment at 0x${address.toString(16)}`;
  if (address < COMMAND_LINE + COMMAND_LINE_MOST || (end > LOW_END && address < ACPI_TABLES_END)) {
    const free = `0x${(COMMAND_LINE + COMMAND_LINE_MOST).toString(16)} to 0x${LOW_END.toString(16)}`;
    throw new VmError('E_IMAGE', `kernel: ${place} lies on boot parameters or firmware; below 0x${ACPI_TABLES_END.toString(16)} the kernel may have ${free}`);
  }
  if (ranges.some(({ gpa, bytes }) => address >= gpa && end <= gpa + bytes)) return;
  throw tooLittleRam(`the kernel needs RAM up to ${inMiB(end)}`, lowRamBytes);
}

/** With its zeros: RAM keeps what was in it when a machine is reset. */
export function loadSegment(memory: GuestMemory, { address, bytes, memoryBytes }: ElfSegment): void {
  copyImage(memory, address, bytes, 'kernel');
  const zeros = new Uint8Array(Math.min(ZERO_CHUNK_BYTES, memoryBytes - bytes.length));
  for (let at = bytes.length; at < memoryBytes; at += zeros.length) {
    copyImage(memory, address + at, zeros.subarray(0, Math.min(zeros.length, memoryBytes - at)), 'kernel');
  }
}
