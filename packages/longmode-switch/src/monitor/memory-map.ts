/** Physical memory of a machine that runs the monitor: 16 MiB. */
export const SWITCH_PAGE = 0x9_0000;
export const IMAGE = 0x20_0000;
export const IMAGE_END = 0x28_0000;
/** What a guest in protected mode has, at the same linear address; its file is loaded at the beginning. */
export const FLAT_MEMORY = 0x40_0000;
export const FLAT_MEMORY_END = 0x80_0000;
/** What a guest in real mode has from address 0, 1 MiB and 64 KiB. */
export const LOW_MEMORY = 0x80_0000;
export const LOW_MEMORY_BYTES = 0x11_0000;
/** In real mode without virtual-8086 mode it has what is there: from 0 to the pages of the switch. It is loaded, and begins, here. */
export const REAL_ENTRY = 0x7c00;
export const REAL_MOST: number = SWITCH_PAGE - REAL_ENTRY;
/** A disk for the BIOS of a guest that needs no memory in protected mode: it lies there. */
export const DISK: number = FLAT_MEMORY;
export const DISK_MOST: number = FLAT_MEMORY_END - FLAT_MEMORY;
/** Linear addresses of the 64-bit side: of physical address 0, and of its programs. */
export const HOST_BASE = 0x7f80_0000_0000n;
export const PROGRAMS = 0x4000_0000;
export const PROGRAM_PAGES = 2;
/** Where PCs have it. */
export const IO_APIC = 0xfec0_0000;
