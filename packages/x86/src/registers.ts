/** Register numbers as instructions encode them (SDM vol. 2, table 3-1; vol. 1, section 3.4). */
export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSP = 4;
export const RBP = 5;
export const RSI = 6;
export const RDI = 7;
export const R8 = 8;
export const R9 = 9;
export const R10 = 10;
export const R11 = 11;
export const R12 = 12;
export const R13 = 13;
export const R14 = 14;
export const R15 = 15;

export const ES = 0;
export const CS = 1;
export const SS = 2;
export const DS = 3;
export const FS = 4;
export const GS = 5;

/** Condition numbers of jcc, setcc and cmovcc (SDM vol. 1, appendix B); an odd one negates the one before. */
export const CONDITION_O = 0;
export const CONDITION_NO = 1;
export const CONDITION_B = 2;
export const CONDITION_AE = 3;
export const CONDITION_E = 4;
export const CONDITION_NE = 5;
export const CONDITION_BE = 6;
export const CONDITION_A = 7;
export const CONDITION_S = 8;
export const CONDITION_NS = 9;
export const CONDITION_P = 10;
export const CONDITION_NP = 11;
export const CONDITION_L = 12;
export const CONDITION_GE = 13;
export const CONDITION_LE = 14;
export const CONDITION_G = 15;
