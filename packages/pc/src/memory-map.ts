import type { Ram } from '@vm/core';

export const PAGE_BYTES = 4096;
export const MiB: number = 1 << 20;

// What the loaders put into low memory. All of it is free for the kernel once it has taken over.
export const GDT = 0x500;
export const BOOT_STACK = 0x7000; // grows down
export const ZERO_PAGE = 0x7000;
export const PVH_START_INFO = 0x8000;
export const PAGE_TABLES = 0x9000; // six pages: one PML4, one PDPT, four page directories
export const COMMAND_LINE = 0x2_0000;
export const COMMAND_LINE_MOST = 0x1_0000;
export const LOW_END = 0x9_fc00; // the extended BIOS data area would begin here
export const MP_POINTER: number = LOW_END; // in the last kilobyte of base memory
export const ACPI_TABLES = 0xe_0000;
export const MP_TABLE = 0xe_8000; // behind those of ACPI
export const ACPI_TABLES_END = 0x10_0000;
// Multiboot programs use all of low memory but its end.
export const MULTIBOOT_INFO = 0x9_0000;
export const MULTIBOOT_INFO_MOST = 0x8000;
export const MULTIBOOT_MODULES_END = 0x9_e000; // of small modules, behind the information
export const MULTIBOOT_GDT = 0x9_f000; // and the stack grows down from here
export const FIRMWARE = 0xf_0000;
export const FIRMWARE_BYTES = 0x1_0000;
export const HIGH_START = 0x10_0000;

export const E820_RAM = 1;
export const E820_RESERVED = 2;

export interface E820Entry {
  readonly base: number;
  readonly bytes: number;
  readonly type: number;
}

/** The memory map as a BIOS reports it (INT 15h, AX=E820h): RAM, less what a PC keeps below 1 MiB. */
export function buildE820(ranges: Ram['ranges']): readonly E820Entry[] {
  const entries: E820Entry[] = [
    { base: 0, bytes: LOW_END, type: E820_RAM },
    { base: LOW_END, bytes: 0xa_0000 - LOW_END, type: E820_RESERVED },
    { base: ACPI_TABLES, bytes: ACPI_TABLES_END - ACPI_TABLES, type: E820_RESERVED },
  ];
  for (const { gpa, bytes } of ranges) {
    const base = Math.max(gpa, HIGH_START);
    if (gpa + bytes > base) entries.push({ base, bytes: gpa + bytes - base, type: E820_RAM });
  }
  return entries;
}
