export { decode, DECODE_INVALID, DECODE_MORE, DECODE_OK, DECODE_TOO_LONG, MAX_INSTRUCTION_BYTES } from './decoder.ts';
export type { CodeMode } from './decoder.ts';
export { BASE_NEXT_INSTRUCTION, createInstruction } from './instruction.ts';
export type { Instruction } from './instruction.ts';
export type { OperandSpec } from './operand.ts';
export {
  OPERAND_CONSTANT, OPERAND_CONTROL, OPERAND_DEBUG, OPERAND_FAR, OPERAND_IMMEDIATE, OPERAND_MEMORY, OPERAND_MMX, OPERAND_NONE,
  OPERAND_REGISTER, OPERAND_REGISTER_HIGH_BYTE, OPERAND_RELATIVE, OPERAND_SEGMENT, OPERAND_ST, OPERAND_STRING_DESTINATION,
  OPERAND_STRING_SOURCE, OPERAND_XMM,
} from './operand.ts';
export type { Row, RowMod, RowPrefix } from './opcode-row.ts';
export { ROWS } from './rows.ts';
