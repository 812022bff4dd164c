/** Exception vectors and error codes (SDM vol. 3, sections 6.3.1, 6.13 and 6.15). */
export const VECTOR_DE = 0;
export const VECTOR_DB = 1;
export const VECTOR_NMI = 2;
export const VECTOR_BP = 3;
export const VECTOR_OF = 4;
export const VECTOR_BR = 5;
export const VECTOR_UD = 6;
export const VECTOR_NM = 7;
export const VECTOR_DF = 8;
export const VECTOR_TS = 10;
export const VECTOR_NP = 11;
export const VECTOR_SS = 12;
export const VECTOR_GP = 13;
export const VECTOR_PF = 14;
export const VECTOR_MF = 16;
export const VECTOR_AC = 17;
export const VECTOR_MC = 18;
export const VECTOR_XM = 19;
export const VECTOR_VE = 20;
export const VECTOR_CP = 21;

/** Bit n is set when vector n pushes an error code (SDM vol. 3, table 6-1). */
export const VECTORS_WITH_ERROR_CODE: number =
  (1 << VECTOR_DF) | (1 << VECTOR_TS) | (1 << VECTOR_NP) | (1 << VECTOR_SS) | (1 << VECTOR_GP) | (1 << VECTOR_PF) | (1 << VECTOR_AC) |
  (1 << VECTOR_CP);

/** Bit n is set when vector n is contributory for the double-fault rules (SDM vol. 3, table 6-4). */
export const VECTORS_CONTRIBUTORY: number =
  (1 << VECTOR_DE) | (1 << VECTOR_TS) | (1 << VECTOR_NP) | (1 << VECTOR_SS) | (1 << VECTOR_GP);

/** Page-fault error code (SDM vol. 3, section 4.7). */
export const PAGE_FAULT_PRESENT: number = 1 << 0;
export const PAGE_FAULT_WRITE: number = 1 << 1;
export const PAGE_FAULT_USER: number = 1 << 2;
export const PAGE_FAULT_RESERVED: number = 1 << 3;
export const PAGE_FAULT_FETCH: number = 1 << 4;

/** Error code of a fault that names a selector (SDM vol. 3, section 6.13). */
export const SELECTOR_ERROR_EXTERNAL: number = 1 << 0;
export const SELECTOR_ERROR_IDT: number = 1 << 1;
export const SELECTOR_ERROR_LDT: number = 1 << 2;
