/** Operands as they are written for the assembler. */

/** A register: general, segment, control, debug, MMX, XMM, YMM or x87. */
export interface RegisterOperand {
  readonly kind: 'gpr' | 'high-byte' | 'segment' | 'control' | 'debug' | 'mmx' | 'xmm' | 'ymm' | 'st';
  readonly number: number;
  readonly bytes: number;
}

/** Where a memory operand lies. */
export interface Address {
  /** Register number; without base and index the displacement is the address. */
  readonly base?: number;
  /** Of a gather, the number of a vector register. */
  readonly index?: number;
  readonly scale?: 1 | 2 | 4 | 8;
  readonly displacement?: number | bigint;
  /** A label instead of base and index: RIP-relative in 64-bit code, absolute in the others. */
  readonly label?: string;
  /** Segment number of an override. */
  readonly segment?: number;
  /** Bytes of the address registers; default: those of the mode. */
  readonly addressBytes?: 2 | 4 | 8;
}

export interface MemoryOperand extends Address {
  readonly kind: 'memory';
  /** Bytes accessed; 0 leaves them to the instruction. */
  readonly bytes: number;
}

export interface FarOperand {
  readonly kind: 'far';
  readonly selector: number;
  readonly offset: number | string;
}

/** The address of a label (`origin` and its offset) as an immediate. */
export interface AddressOfOperand {
  readonly kind: 'address-of';
  readonly label: string;
}

/** A number is an immediate, a string is the label that a branch goes to. */
export type Operand = RegisterOperand | MemoryOperand | FarOperand | AddressOfOperand | number | bigint | string;

const register = (kind: RegisterOperand['kind'], number: number, bytes: number): RegisterOperand => ({ kind, number, bytes });

/** General registers by number (`r64(RAX)`); numbers 4 to 7 of `r8` are spl, bpl, sil and dil. */
export const r8 = (number: number): RegisterOperand => register('gpr', number, 1);
export const r16 = (number: number): RegisterOperand => register('gpr', number, 2);
export const r32 = (number: number): RegisterOperand => register('gpr', number, 4);
export const r64 = (number: number): RegisterOperand => register('gpr', number, 8);
/** ah, ch, dh, bh by the number of their word register. */
export const highByte = (number: number): RegisterOperand => register('high-byte', number, 1);
export const segment = (number: number): RegisterOperand => register('segment', number, 2);
export const control = (number: number): RegisterOperand => register('control', number, 0);
export const debug = (number: number): RegisterOperand => register('debug', number, 0);
export const mmx = (number: number): RegisterOperand => register('mmx', number, 0);
export const xmm = (number: number): RegisterOperand => register('xmm', number, 0);
export const ymm = (number: number): RegisterOperand => register('ymm', number, 0);
export const st = (number: number): RegisterOperand => register('st', number, 0);

/** Memory of `bytes` bytes at an address. */
export const mem = (bytes: number, address: Address): MemoryOperand => ({ kind: 'memory', bytes, ...address });
export const far = (selector: number, offset: number | string): FarOperand => ({ kind: 'far', selector, offset });
export const addressOf = (label: string): AddressOfOperand => ({ kind: 'address-of', label });
