/**
 * Paging-structure entries (SDM vol. 3, sections 4.3 to 4.5). Entries of 8 bytes are taken as two 32-bit halves.
 *
 *     63 NX | 62..59 protection key | 58..52 ignored | 51..12 frame | 11..9 ignored | 8 G | 7 PS/PAT | 6 D | 5 A | 4 PCD | 3 PWT | 2 U | 1 W | 0 P
 */
export const PTE_PRESENT: number = 1 << 0;
export const PTE_WRITABLE: number = 1 << 1;
export const PTE_USER: number = 1 << 2;
export const PTE_PWT: number = 1 << 3;
export const PTE_PCD: number = 1 << 4;
export const PTE_ACCESSED: number = 1 << 5;
export const PTE_DIRTY: number = 1 << 6;
/** In a PDE, or a PDPTE of 4-level paging: the entry maps a large page. */
export const PTE_LARGE: number = 1 << 7;
/** In an entry of the last level: the same bit selects the memory type. */
export const PTE_PAT: number = 1 << 7;
export const PTE_GLOBAL: number = 1 << 8;
/** In an entry that maps a large page. */
export const PTE_LARGE_PAT: number = 1 << 12;
/** Of the high half. */
export const PTE_NX_HIGH = 0x8000_0000;
/** Frame bits 51 to 32, of the high half. */
export const PTE_FRAME_HIGH = 0x000f_ffff;
/** Frame bits 31 to 12, of the low half. */
export const PTE_FRAME_LOW = 0xffff_f000;

/** A kind of paging: how the tables of one mode are laid out. */
export interface PageTableFormat {
  readonly levels: number;
  readonly entryBytes: 4 | 8;
  /** Index bits of each level, the root first. */
  readonly indexBits: readonly number[];
  /** Levels at which PS may make a large page, counted from 1 = the last level. */
  readonly largeAtLevels: readonly number[];
  readonly linearBits: 32 | 48 | 57;
}

/** 32-bit paging; large pages need CR4.PSE. */
export const PAGING_32: PageTableFormat = { levels: 2, entryBytes: 4, indexBits: [10, 10], largeAtLevels: [2], linearBits: 32 };
/** PAE paging: the four root entries are loaded with CR3. */
export const PAGING_PAE: PageTableFormat = { levels: 3, entryBytes: 8, indexBits: [2, 9, 9], largeAtLevels: [2], linearBits: 32 };
export const PAGING_4_LEVEL: PageTableFormat = { levels: 4, entryBytes: 8, indexBits: [9, 9, 9, 9], largeAtLevels: [2, 3], linearBits: 48 };
export const PAGING_5_LEVEL: PageTableFormat = { levels: 5, entryBytes: 8, indexBits: [9, 9, 9, 9, 9], largeAtLevels: [2, 3], linearBits: 57 };
