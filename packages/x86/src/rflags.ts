/** Bits of RFLAGS (SDM vol. 1, section 3.4.3). */
export const FLAG_CF: number = 1 << 0;
/** Bit 1 always reads as one. */
export const FLAG_ALWAYS_ONE: number = 1 << 1;
export const FLAG_PF: number = 1 << 2;
export const FLAG_AF: number = 1 << 4;
export const FLAG_ZF: number = 1 << 6;
export const FLAG_SF: number = 1 << 7;
export const FLAG_TF: number = 1 << 8;
export const FLAG_IF: number = 1 << 9;
export const FLAG_DF: number = 1 << 10;
export const FLAG_OF: number = 1 << 11;
/** Two bits. */
export const FLAG_IOPL: number = 3 << 12;
export const FLAG_IOPL_SHIFT = 12;
export const FLAG_NT: number = 1 << 14;
export const FLAG_RF: number = 1 << 16;
export const FLAG_VM: number = 1 << 17;
export const FLAG_AC: number = 1 << 18;
export const FLAG_VIF: number = 1 << 19;
export const FLAG_VIP: number = 1 << 20;
export const FLAG_ID: number = 1 << 21;

/** The six flags that arithmetic writes. */
export const FLAGS_ARITHMETIC: number = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF;
