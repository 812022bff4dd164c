/** Decoded instructions as text, for traces and error messages, in Intel syntax. */
import type { Instruction } from './instruction.ts';
import { BASE_NEXT_INSTRUCTION } from './instruction.ts';
import {
  METHOD_VECTOR_INDEX, OPERAND_CONSTANT, OPERAND_CONTROL, OPERAND_DEBUG, OPERAND_FAR, OPERAND_IMMEDIATE, OPERAND_MEMORY, OPERAND_MMX, OPERAND_REGISTER,
  OPERAND_REGISTER_HIGH_BYTE, OPERAND_RELATIVE, OPERAND_SEGMENT, OPERAND_ST, OPERAND_STRING_DESTINATION, OPERAND_STRING_SOURCE, OPERAND_XMM,
} from './operand.ts';
import { ROWS } from './rows.ts';

const LEGACY = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const LOW_BYTES = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'];
const HIGH_BYTES = ['ah', 'ch', 'dh', 'bh'];
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
const WIDTHS: Readonly<Record<number, string>> = {
  1: 'byte ptr ', 2: 'word ptr ', 4: 'dword ptr ', 6: 'fword ptr ', 8: 'qword ptr ', 10: 'tbyte ptr ', 16: 'xmmword ptr ', 32: 'ymmword ptr ',
};

/** The mnemonic of the manual, with the condition put in. */
export function formatName(instruction: Instruction): string {
  const name = ROWS[instruction.row]!.name.replace(/_(seg|cr|dr)$/, '');
  const condition = CONDITIONS[instruction.condition] ?? '';
  if (name === 'jcc' || name === 'setcc' || name === 'cmovcc') return name.slice(0, -2) + condition;
  return name === 'fcmov' ? name + condition.replace('np', 'nu').replace('p', 'u').replace('ae', 'nb').replace(/^a$/, 'nbe') : name;
}

/** Name and operands; branch targets are relative to the next instruction (`$+5`). */
export function formatInstruction(instruction: Instruction): string {
  const operands: string[] = [];
  for (let at = 0; at < instruction.operandCount; at++) operands.push(formatOperand(instruction, at));
  const prefix = (instruction.lock !== 0 ? 'lock ' : '') + (instruction.rep === 0 ? '' : instruction.rep === 0xf3 ? 'rep ' : 'repne ');
  return `${prefix}${formatName(instruction)}${operands.length > 0 ? ` ${operands.join(',')}` : ''}`;
}

/** One operand. */
export function formatOperand(instruction: Instruction, at: number): string {
  const number = instruction.operandNumber[at]!;
  const bytes = instruction.operandBytes[at]!;
  switch (instruction.operandKind[at]!) {
    case OPERAND_REGISTER: return formatRegister(number, bytes);
    case OPERAND_REGISTER_HIGH_BYTE: return HIGH_BYTES[number]!;
    case OPERAND_MEMORY: return formatMemory(instruction, bytes);
    case OPERAND_STRING_SOURCE: return `${WIDTHS[bytes]!}${SEGMENTS[instruction.segment]!}:[${formatRegister(6, instruction.addressSize)}]`;
    case OPERAND_STRING_DESTINATION: return `${WIDTHS[bytes]!}es:[${formatRegister(7, instruction.addressSize)}]`;
    case OPERAND_IMMEDIATE: return formatImmediate(instruction, at);
    case OPERAND_CONSTANT: return '1';
    case OPERAND_RELATIVE: return `$${formatSigned(BigInt(instruction.immediateLow)) || '+0x0'}`;
    case OPERAND_FAR: return `0x${instruction.immediate2.toString(16)}:0x${(instruction.immediateLow >>> 0).toString(16)}`;
    case OPERAND_SEGMENT: return SEGMENTS[number]!;
    case OPERAND_CONTROL: return `cr${number}`;
    case OPERAND_DEBUG: return `dr${number}`;
    case OPERAND_XMM: return `${bytes === 32 ? 'y' : 'x'}mm${number}`;
    case OPERAND_MMX: return `mm${number}`;
    case OPERAND_ST: return instruction.modrm >= 0 && ROWS[instruction.row]!.operands[at]!.text === 'ST0' ? 'st' : `st(${number})`;
    default: return '?';
  }
}

function formatRegister(number: number, bytes: number): string {
  if (number >= 8) return `r${number}${bytes === 8 ? '' : bytes === 4 ? 'd' : bytes === 2 ? 'w' : 'b'}`;
  return bytes === 1 ? LOW_BYTES[number]! : (bytes === 8 ? 'r' : bytes === 4 ? 'e' : '') + LEGACY[number]!;
}

function formatImmediate(instruction: Instruction, at: number): string {
  const isSecond = at > 0 && instruction.operandKind[at - 1] === OPERAND_IMMEDIATE;
  if (isSecond) return `0x${instruction.immediate2.toString(16)}`;
  const value = join(instruction.immediateLow, instruction.immediateHigh);
  const bytes = Math.max(instruction.operandSize, instruction.operandBytes[at]!);
  return `0x${BigInt.asUintN(bytes * 8, value).toString(16)}`;
}

function formatMemory(instruction: Instruction, bytes: number): string {
  const { base, index, scale, addressSize } = instruction;
  const parts: string[] = [];
  if (base === BASE_NEXT_INSTRUCTION) parts.push(addressSize === 8 ? 'rip' : 'eip');
  else if (base >= 0) parts.push(formatRegister(base, addressSize));
  if (index >= 0) parts.push((isVectorIndex(instruction) ? vectorIndex(instruction) : formatRegister(index, addressSize)) + (addressSize === 2 ? '' : `*${1 << scale}`));
  const displacement = join(instruction.displacementLow, instruction.displacementHigh);
  const text = parts.length === 0 ? `0x${BigInt.asUintN(addressSize * 8, displacement).toString(16)}` : parts.join('+') + formatSigned(displacement);
  return `${WIDTHS[bytes] ?? ''}${instruction.segmentOverride >= 0 ? `${SEGMENTS[instruction.segmentOverride]!}:` : ''}[${text}]`;
}

const isVectorIndex = (instruction: Instruction): boolean => ROWS[instruction.row]!.operands.some((operand) => operand.method === METHOD_VECTOR_INDEX);

/** Gathers by doublewords of quadwords have half as many indices. */
function vectorIndex(instruction: Instruction): string {
  const { name } = ROWS[instruction.row]!;
  return `${instruction.vexLength === 1 && !/gatherd(q|pd)$/.test(name) ? 'y' : 'x'}mm${instruction.index}`;
}

const join = (low: number, high: number): bigint => (BigInt(high) << 32n) | BigInt(low >>> 0);

const formatSigned = (value: bigint): string => (value === 0n ? '' : value < 0n ? `-0x${(-value).toString(16)}` : `+0x${value.toString(16)}`);
