/** Bits of CR0, CR4, EFER, DR6 and DR7 (SDM vol. 3, sections 2.5, 2.2.1 and 17.2). Values are unsigned. */
export const CR0_PE: number = 1 << 0;
export const CR0_MP: number = 1 << 1;
export const CR0_EM: number = 1 << 2;
export const CR0_TS: number = 1 << 3;
export const CR0_ET: number = 1 << 4;
export const CR0_NE: number = 1 << 5;
export const CR0_WP: number = 1 << 16;
export const CR0_AM: number = 1 << 18;
export const CR0_NW: number = 1 << 29;
export const CR0_CD: number = 1 << 30;
export const CR0_PG = 0x8000_0000;

/** CR3 of 64-bit and 32-bit paging: write-through and cache-disable of the root table. */
export const CR3_PWT: number = 1 << 3;
export const CR3_PCD: number = 1 << 4;
/** Process-context identifier, with CR4.PCIDE. */
export const CR3_PCID_MASK = 0xfff;
/** Bit 63 of the value moved to CR3, as a bit of its high half: keep the translations of this PCID. */
export const CR3_NO_FLUSH_HIGH = 0x8000_0000;

export const CR4_VME: number = 1 << 0;
export const CR4_PVI: number = 1 << 1;
export const CR4_TSD: number = 1 << 2;
export const CR4_DE: number = 1 << 3;
export const CR4_PSE: number = 1 << 4;
export const CR4_PAE: number = 1 << 5;
export const CR4_MCE: number = 1 << 6;
export const CR4_PGE: number = 1 << 7;
export const CR4_PCE: number = 1 << 8;
export const CR4_OSFXSR: number = 1 << 9;
export const CR4_OSXMMEXCPT: number = 1 << 10;
export const CR4_UMIP: number = 1 << 11;
export const CR4_LA57: number = 1 << 12;
export const CR4_VMXE: number = 1 << 13;
export const CR4_SMXE: number = 1 << 14;
export const CR4_FSGSBASE: number = 1 << 16;
export const CR4_PCIDE: number = 1 << 17;
export const CR4_OSXSAVE: number = 1 << 18;
export const CR4_SMEP: number = 1 << 20;
export const CR4_SMAP: number = 1 << 21;
export const CR4_PKE: number = 1 << 22;
export const CR4_CET: number = 1 << 23;

export const EFER_SCE: number = 1 << 0;
export const EFER_LME: number = 1 << 8;
export const EFER_LMA: number = 1 << 10;
export const EFER_NXE: number = 1 << 11;
/** AMD APM vol. 2, section 3.1.7. */
export const EFER_SVME: number = 1 << 12;
export const EFER_FFXSR: number = 1 << 14;

/** Value of DR6 and DR7 after reset, and the bits of DR6 that name a cause. */
export const DR6_RESET = 0xffff_0ff0;
export const DR7_RESET = 0x400;
export const DR6_BD: number = 1 << 13;
export const DR6_BS: number = 1 << 14;
export const DR6_BT: number = 1 << 15;
export const DR7_GD: number = 1 << 13;
