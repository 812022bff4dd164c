/** A decoded instruction: one mutable record that the caller makes once and `decode` fills again and again. */
export interface Instruction {
  /** Index into `ROWS`. */
  row: number;
  /** Bytes, 1 to 15. */
  length: number;
  /** Bytes of the operation: 1 for byte instructions, else 2, 4 or 8. */
  operandSize: number;
  /** Bytes of an address: 2, 4 or 8. */
  addressSize: number;
  /** 0xf3, 0xf2, or 0 when there is none or it belongs to the opcode. */
  rep: number;
  lock: number;
  /** The REX byte, or 0. */
  rex: number;
  /** VEX.L: 0 or 1; 0 without a VEX prefix. */
  vexLength: number;
  /** Segment of the memory operand (or of the string source) after override and defaults. */
  segment: number;
  /** Segment number of an override that has effect in this mode, or -1. */
  segmentOverride: number;
  /** Condition number 0 to 15 of jcc, setcc, cmovcc and fcmov, else -1. */
  condition: number;
  /** The ModRM byte, or -1. */
  modrm: number;
  mod: number;
  /** ModRM.reg with REX.R. */
  reg: number;
  /** ModRM.rm with REX.B, of the register form. */
  rm: number;
  isMemory: number;
  /** -1 none, 0 to 15, 16 = address of the next instruction (RIP-relative). */
  base: number;
  /** -1 none, 0 to 15. */
  index: number;
  /** log2 of the scale factor. */
  scale: number;
  /** Signed 32-bit halves of the sign-extended displacement (moffs64 uses both). */
  displacementLow: number;
  displacementHigh: number;
  /** Signed 32-bit halves of the first immediate, sign- or zero-extended as the instruction defines. */
  immediateLow: number;
  immediateHigh: number;
  /** The second immediate: nesting level of ENTER, selector of a far pointer. */
  immediate2: number;
  operandCount: number;
  readonly operandKind: Uint8Array;
  readonly operandNumber: Uint8Array;
  /** Size of each operand in bytes; 0 where the instruction defines none (LEA, FXSAVE, XSAVE). */
  readonly operandBytes: Uint8Array;
}

/** `Instruction.base` of a RIP-relative operand. */
export const BASE_NEXT_INSTRUCTION = 16;

/** A blank record for `decode`. */
export function createInstruction(): Instruction {
  return {
    row: 0, length: 0, operandSize: 0, addressSize: 0, rep: 0, lock: 0, rex: 0, vexLength: 0, segment: 0, segmentOverride: -1, condition: -1,
    modrm: -1, mod: 0, reg: 0, rm: 0, isMemory: 0, base: -1, index: -1, scale: 0, displacementLow: 0, displacementHigh: 0,
    immediateLow: 0, immediateHigh: 0, immediate2: 0, operandCount: 0,
    operandKind: new Uint8Array(4), operandNumber: new Uint8Array(4), operandBytes: new Uint8Array(4),
  };
}
