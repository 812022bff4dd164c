import type { Ram } from '@vm/core';
import { SETUP_HEADER } from './bzimage.ts';
import { buildE820, COMMAND_LINE, PAGE_BYTES } from './memory-map.ts';

export interface ZeroPage {
  /** The setup header of a bzImage, from offset 0x1f1 on; absent: one is made, for a kernel that comes without. */
  readonly setup?: Uint8Array;
  readonly kernelAt: number;
  readonly initrdAt: number; // 0: none
  readonly initrdBytes: number;
  readonly rsdp: number; // 0: the kernel searches
  readonly ranges: Ram['ranges'];
}

// Fields outside the setup header (Documentation/arch/x86/zero-page.rst).
const RSDP = 0x070;
const E820_COUNT = 0x1e8;
const E820 = 0x2d0;
const E820_BYTES = 20;
// Fields of the setup header (Documentation/arch/x86/boot.rst).
const BOOT_FLAG = 0x1fe;
const MAGIC = 0x202;
const VERSION = 0x206;
const LOADER_TYPE = 0x210;
const LOAD_FLAGS = 0x211;
const CODE32_START = 0x214;
const INITRD = 0x218;
const COMMAND_LINE_POINTER = 0x228;
const LOADER_UNREGISTERED = 0xff;
const LOADED_HIGH = 1 << 0;

/** The boot parameters that the 32-bit and the 64-bit entry of Linux get. */
export function buildZeroPage(boot: ZeroPage): Uint8Array {
  const page = new Uint8Array(PAGE_BYTES);
  const view = new DataView(page.buffer);
  if (boot.setup !== undefined) {
    page.set(boot.setup, SETUP_HEADER);
  } else {
    view.setUint16(BOOT_FLAG, 0xaa55, true);
    view.setUint32(MAGIC, 0x5372_6448, true); // "HdrS"
    view.setUint16(VERSION, 0x020f, true);
    view.setUint8(LOAD_FLAGS, LOADED_HIGH);
  }
  view.setUint8(LOADER_TYPE, LOADER_UNREGISTERED);
  view.setUint32(CODE32_START, boot.kernelAt, true);
  view.setUint32(INITRD, boot.initrdAt, true);
  view.setUint32(INITRD + 4, boot.initrdAt === 0 ? 0 : boot.initrdBytes, true);
  view.setUint32(COMMAND_LINE_POINTER, COMMAND_LINE, true);
  view.setUint32(RSDP, boot.rsdp, true);
  const entries = buildE820(boot.ranges);
  view.setUint8(E820_COUNT, entries.length);
  entries.forEach(({ base, bytes, type }, i) => {
    const at = E820 + i * E820_BYTES;
    view.setBigUint64(at, BigInt(base), true);
    view.setBigUint64(at + 8, BigInt(bytes), true);
    view.setUint32(at + 16, type, true);
  });
  return page;
}
