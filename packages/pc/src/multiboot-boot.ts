import type { GuestMemory, Ram } from '@vm/core';
import { copyImage, inMiB, lowRam, tooLittleRam } from './boot-images.ts';
import { type BootState, prepareEntry } from './boot-state.ts';
import { checkEntry, type ElfSegment, isElf, parseElf } from './elf.ts';
import { loadSegment } from './elf-boot.ts';
import { buildE820, HIGH_START, MULTIBOOT_GDT, MULTIBOOT_INFO, MULTIBOOT_INFO_MOST, MULTIBOOT_MODULES_END, PAGE_BYTES } from './memory-map.ts';
import { notMultiboot, parseMultibootHeader } from './multiboot-header.ts';
import { buildMultibootInfo, type LoadedModule } from './multiboot-info.ts';
import { loadTestFirmware } from './test-firmware.ts';

export interface MultibootModule {
  readonly bytes: Uint8Array;
  readonly text?: string; // its command line
}

export interface MultibootBoot {
  readonly image: Uint8Array; // an ELF executable of 32 or 64 bits, or a file whose header says where it goes
  /** Its first word is the name of the program. */
  readonly commandLine?: string;
  readonly modules?: readonly MultibootModule[];
}

interface MultibootImage {
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
  readonly modulesOnPages: boolean;
}

const ENTRY_EAX = 0x2bad_b002;
const ADDRESS_LIMIT = 2 ** 32;

/** Throws VmError E_IMAGE when the file is no image of version 1, wherever it is to run. */
export function parseMultiboot(file: Uint8Array): MultibootImage {
  const { modulesOnPages, place } = parseMultibootHeader(file);
  if (place !== null) {
    const { fileOffset, loadAddress, loadEnd, zerosEnd, entry } = place;
    const bytes = file.subarray(fileOffset, fileOffset + loadEnd - loadAddress);
    return { entry, segments: [{ address: loadAddress, bytes, memoryBytes: zerosEnd - loadAddress }], modulesOnPages };
  }
  if (!isElf(file)) throw notMultiboot('it is no ELF file, and its header does not say where it goes');
  const { entry, segments } = parseElf(file);
  checkEntry(segments, entry, 'the entry');
  if (entry >= ADDRESS_LIMIT) throw notMultiboot(`the entry at 0x${entry.toString(16)} cannot be reached by 32-bit code`);
  return { entry, segments, modulesOnPages };
}

/**
 * Loads an image of version 1 with its modules, and a little firmware for programs that go back to real mode. Throws VmError
 * E_IMAGE or E_MEMORY.
 */
export function loadMultiboot(memory: GuestMemory, ranges: Ram['ranges'], boot: MultibootBoot): BootState {
  const image = parseMultiboot(boot.image);
  const low = lowRam(ranges);
  for (const segment of image.segments) checkPlace(segment, ranges, low);
  const end = Math.max(...image.segments.map(({ address, memoryBytes }) => address + memoryBytes));
  const { modules, infoBytes } = placeModules(boot, ranges, end, low);
  const start = loadTestFirmware(memory, {
    entry: image.entry, eax: ENTRY_EAX, ebx: MULTIBOOT_INFO,
    // Below 1 MiB are programs that go back to real mode, where ticks of the timer find the firmware's handler.
    timerTicks: end <= HIGH_START,
  });
  for (const segment of image.segments) loadSegment(memory, segment);
  modules.forEach(({ start: at }, i) => copyImage(memory, at, boot.modules![i]!.bytes, `module ${i + 1}`));
  copyImage(memory, MULTIBOOT_INFO, infoBytes, 'multiboot information');
  return { ...prepareEntry(memory, { bits: 32, rip: start, gdtAt: MULTIBOOT_GDT }), rsp: MULTIBOOT_GDT };
}

/** Small modules go into low memory, which programs leave alone; others behind the image, from 1 MiB on. */
function placeModules(boot: MultibootBoot, ranges: Ram['ranges'], imageEnd: number, low: number): { readonly modules: readonly LoadedModule[]; readonly infoBytes: Uint8Array } {
  const given = boot.modules ?? [];
  const build = (modules: readonly LoadedModule[]): Uint8Array => buildMultibootInfo({
    at: MULTIBOOT_INFO, most: MULTIBOOT_INFO_MOST, commandLine: boot.commandLine ?? '', modules, memoryMap: buildE820(ranges), upperBytes: Math.max(0, low - HIGH_START),
  });
  const texts = given.map(({ text = '' }) => ({ start: 0, end: 0, text }));
  let small = roundUp(MULTIBOOT_INFO + build(texts).length);
  let large = roundUp(Math.max(imageEnd, HIGH_START));
  const modules = given.map(({ bytes, text = '' }, i): LoadedModule => {
    const isSmall = small + bytes.length <= MULTIBOOT_MODULES_END;
    const start = isSmall ? small : large;
    const end = start + bytes.length;
    if (isSmall) small = roundUp(end);
    else large = roundUp(end);
    if (!isSmall && end > low) throw tooLittleRam(`module ${i + 1} reaches up to ${inMiB(end)}`, low);
    return { start, end, text };
  });
  return { modules, infoBytes: build(modules) };
}

function checkPlace({ address, memoryBytes }: ElfSegment, ranges: Ram['ranges'], low: number): void {
  const end = address + memoryBytes;
  if (address < HIGH_START && end > MULTIBOOT_INFO) {
    throw notMultiboot(`the segment at 0x${address.toString(16)} to 0x${end.toString(16)} lies on boot information or firmware, which are at 0x${MULTIBOOT_INFO.toString(16)} to 0x${HIGH_START.toString(16)}`);
  }
  if (ranges.some(({ gpa, bytes }) => address >= gpa && end <= gpa + bytes)) return;
  throw tooLittleRam(`the image needs RAM up to ${inMiB(end)}`, low);
}

function roundUp(address: number): number {
  return Math.ceil(address / PAGE_BYTES) * PAGE_BYTES;
}
