/**
 * The form of an instruction: everything that is known when its code is emitted for the interpreter, that is without
 * the register numbers, displacements and immediates. One form is one case of the interpreter.
 */
import {
  METHOD_VECTOR_INDEX, METHOD_XMM_VVVV, OPERAND_CONSTANT, OPERAND_CONTROL, OPERAND_DEBUG, OPERAND_FAR, OPERAND_IMMEDIATE, OPERAND_MEMORY, OPERAND_MMX, OPERAND_REGISTER,
  OPERAND_REGISTER_HIGH_BYTE, OPERAND_RELATIVE, OPERAND_SEGMENT, OPERAND_ST, OPERAND_XMM, ROWS, VEX_MAPS,
} from '@vm/x86';
import type { Instruction } from '@vm/x86';

export type OperandLetter = 'R' | 'M' | 'I' | 'J' | 'F' | 'S' | 'C' | 'D' | 'X' | 'Q' | 'T';

export interface Form {
  /** What the interpreter calls the case; equal keys share one. */
  readonly key: string;
  readonly name: string;
  /** Operand size in bytes (1, 2, 4, 8). */
  readonly size: number;
  readonly operands: readonly { readonly letter: OperandLetter; readonly bytes: number }[];
  /** Address size in bytes (2, 4, 8). */
  readonly addressBytes: number;
  /** 64-bit mode, as opposed to every mode with segmentation. */
  readonly long: boolean;
  /** 0, 0xf2 or 0xf3. */
  readonly rep: number;
  /** Condition of jcc, setcc, cmovcc, fcmov; -1 otherwise. */
  readonly condition: number;
  /** Behind a VEX prefix: bits above those that a vector instruction writes become zero. */
  readonly vex: boolean;
  /** Works on 256 bits. */
  readonly wide: boolean;
  /** The operand that is the first source: 0, the destination, or 1 where VEX.vvvv names one apart. */
  readonly firstSource: 0 | 1;
  /** The memory operand is a 64-bit absolute offset in the immediate. */
  readonly absolute: boolean;
}

const STRING_OPERATIONS: ReadonlySet<string> = new Set(['movs', 'cmps', 'stos', 'lods', 'scas', 'ins', 'outs']);
/** Forms whose address size matters although they have no memory operand that says so. */
const COUNTED: ReadonlySet<string> = new Set(['loop', 'loope', 'loopne', 'jcxz', 'xlat', 'maskmovdqu', 'vmaskmovdqu', 'maskmovq', ...STRING_OPERATIONS]);
const CONDITIONAL: ReadonlySet<string> = new Set(['jcc', 'setcc', 'cmovcc', 'fcmov']);

function letterOf(kind: number): OperandLetter {
  switch (kind) {
    case OPERAND_REGISTER: case OPERAND_REGISTER_HIGH_BYTE: return 'R';
    case OPERAND_MEMORY: return 'M';
    case OPERAND_IMMEDIATE: case OPERAND_CONSTANT: return 'I';
    case OPERAND_RELATIVE: return 'J';
    case OPERAND_FAR: return 'F';
    case OPERAND_SEGMENT: return 'S';
    case OPERAND_CONTROL: return 'C';
    case OPERAND_DEBUG: return 'D';
    case OPERAND_XMM: return 'X';
    case OPERAND_MMX: return 'Q';
    case OPERAND_ST: return 'T';
    default: throw new RangeError(`operand kind ${kind} has no letter`);
  }
}

/** The memory operand is an offset that 32 bits and a sign do not hold. With 32-bit addresses there is none such. */
export function isAbsolute(i: Instruction): boolean {
  return i.isMemory !== 0 && i.base < 0 && i.addressSize === 8 && i.displacementHigh !== i.displacementLow >> 31;
}

/** The form of a decoded instruction. Not for hot paths: it builds strings. */
export function formOf(instruction: Instruction, long: boolean): Form {
  const row = ROWS[instruction.row];
  if (row === undefined) throw new RangeError(`no instruction row ${instruction.row}`);
  const name = row.name;
  const operands: { letter: OperandLetter; bytes: number }[] = [];
  let memory = COUNTED.has(name);
  if (!STRING_OPERATIONS.has(name)) {
    for (let k = 0; k < instruction.operandCount; k++) {
      const letter = letterOf(instruction.operandKind[k] as number);
      memory ||= letter === 'M';
      operands.push({ letter, bytes: instruction.operandBytes[k] as number });
    }
  }
  // MMX and SSE instructions take their sizes from their operands alone.
  const size = operands.some((operand) => operand.letter === 'X' || operand.letter === 'Q') ? 4 : instruction.operandSize;
  const addressBytes = memory ? instruction.addressSize : long ? 8 : 4;
  const absolute = long && isAbsolute(instruction);
  const rep = STRING_OPERATIONS.has(name) ? instruction.rep : 0;
  const condition = CONDITIONAL.has(name) ? instruction.condition : -1;
  const vex = row.map > VEX_MAPS;
  const gathers = row.operands.some((operand) => operand.method === METHOD_VECTOR_INDEX);
  // VEX.L is ignored by scalar instructions.
  const wide = instruction.vexLength === 1 && (gathers || name === 'vzeroall' || operands.some((operand) => operand.bytes === 32));
  const firstSource = row.operands.slice(0, 2).some((operand) => operand.method === METHOD_XMM_VVVV) && !row.operands[0]!.memoryOnly ? 1 : 0;
  let key = `${name}.${size}`;
  if (operands.length > 0) key += `/${operands.map((operand) => `${operand.letter}${operand.bytes}`).join(',')}`;
  if (memory) key += `;a${addressBytes}`;
  if (gathers && wide) key += ';wide';
  if (absolute) key += ';absolute';
  if (rep !== 0) key += rep === 0xf2 ? ';repne' : ';rep';
  if (condition >= 0) key += `;c${condition}`;
  return { key, name, size, operands, addressBytes, long, rep, condition, vex, wide, firstSource, absolute };
}
