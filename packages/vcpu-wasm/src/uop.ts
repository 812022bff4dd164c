/**
 * The micro-operation: one decoded guest instruction, 32 bytes in the uop arena.
 *
 * Register operands are byte offsets into the processor block, so the interpreter needs no case for ah, for an absent
 * base register or for a fixed register such as cl.
 */
export const UOP_BYTES = 32;

/** u16: case of the interpreter. */
export const UOP_HANDLER = 0;
/** u8: length of the instruction in bytes; 0 for the ones that stand for no instruction. */
export const UOP_LENGTH = 2;
/** u8: segment register number of the memory operand. */
export const UOP_SEGMENT = 3;
/** u16: offset in the code page of the next instruction (may pass 4096). */
export const UOP_NEXT = 4;
/** u16 each: register operands in the order of the instruction's operands. */
export const UOP_REGISTER_0 = 6;
export const UOP_REGISTER_1 = 8;
/** u16: base register of the memory operand, or a third register operand. */
export const UOP_BASE = 10;
export const UOP_INDEX = 12;
/** u16: where the segment base stands (ZERO in long mode unless fs or gs). */
export const UOP_SEGMENT_BASE = 14;
/** i32: displacement; in direct branches the linked target uop. */
export const UOP_DISPLACEMENT = 16;
/** i64: immediate; in direct branches the signed distance from the next instruction. */
export const UOP_IMMEDIATE = 20;
/** u8: log2 of the index scale. */
export const UOP_SCALE = 28;
/** u8: operand size in bytes. */
export const UOP_SIZE = 29;
/** u8: segment register that les, lds, lss, lfs or lgs load (they have no second immediate). */
export const UOP_TARGET_SEGMENT = 30;
/** u16: a fourth register operand (VEX); second immediate (ENTER, far selectors); of x87 instructions the 11 bits of the opcode register (SDM vol. 1, section 8.1.9). */
export const UOP_IMMEDIATE_2 = 30;
