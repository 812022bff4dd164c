/** One instruction from a row of the tables and its operands: the decoder's work the other way round. */
import type { MemoryOperand, Operand, RegisterOperand } from './assembler-operand.ts';
import { ROW_AT_LEAST_4, ROW_AT_MOST_4, ROW_BYTE, ROW_FLAGS, ROW_NATIVE } from './decode-table.ts';
import type { CodeMode } from './decoder.ts';
import { VEX_MAPS } from './opcode-row.ts';
import type { Row } from './opcode-row.ts';
import type { OperandSpec } from './operand.ts';
import {
  METHOD_CONTROL, METHOD_DEBUG, METHOD_FAR, METHOD_FIXED_REGISTER, METHOD_FIXED_SEGMENT, METHOD_FIXED_ST, METHOD_FIXED_XMM,
  METHOD_IMMEDIATE, METHOD_MEMORY_OFFSET, METHOD_MMX_REG, METHOD_MMX_RM, METHOD_ONE, METHOD_OPCODE, METHOD_REG, METHOD_RELATIVE,
  METHOD_RM, METHOD_SEGMENT, METHOD_SIGNED_IMMEDIATE, METHOD_ST, METHOD_STRING_DESTINATION, METHOD_STRING_SOURCE, METHOD_VECTOR_INDEX,
  METHOD_VVVV, METHOD_XMM_IMMEDIATE, METHOD_XMM_REG, METHOD_XMM_RM, METHOD_XMM_VVVV, SIZE_BYTES,
} from './operand.ts';

/** A place in the bytes that a label decides. */
export interface Patch {
  readonly at: number;
  readonly bytes: number;
  readonly label: string;
  /** Relative to the end of the instruction, or an address. */
  readonly relative: boolean;
  readonly addend: number;
}

export interface Encoding {
  readonly bytes: readonly number[];
  readonly patches: readonly Patch[];
}

/** What the instruction is written with besides its operands. */
export interface Prefixes {
  readonly lock: boolean;
  /** 0, 0xf2 or 0xf3. */
  readonly rep: number;
  /** Operand size asked for, or 0. */
  readonly size: number;
  /** Condition number for jcc, setcc and cmovcc, or -1. */
  readonly condition: number;
  /** Address size of implicit string operands, or 0 for that of the mode. */
  readonly addressBytes: number;
}

interface Fields {
  reg: number;
  rm: number;
  opcode: number;
  memory: MemoryOperand | null;
  readonly immediates: { readonly bytes: number; readonly value: bigint; readonly label: string | null; readonly relative: boolean }[];
  /** A REX byte is needed for spl to dil, or must not be there for ah to bh. */
  needsRex: boolean;
  refusesRex: boolean;
  /** Bits W, R, X, B. */
  rex: number;
  /** The register in VEX.vvvv. */
  vvvv: number;
  readonly vexLength: number;
}

/** The shortest encoding of the row for these operands, or null when it does not take them. */
export function encode(row: Row, mode: CodeMode, operands: readonly Operand[], prefixes: Prefixes): Encoding | null {
  if (mode === 64 ? !row.long : !row.legacy) return null;
  const flags = ROW_FLAGS[row.id]!;
  const isMandatory66 = row.prefix === '66';
  let best: Encoding | null = null;
  for (const size of operandSizes(row, mode, isMandatory66)) {
    if (prefixes.size !== 0 && effectiveSize(flags, size, mode) !== prefixes.size) continue;
    // Shorter, but it would cut the instruction pointer to 16 bits.
    if (prefixes.size === 0 && size * 8 !== mode && isRelative(row)) continue;
    for (const vexLength of row.vexLength < 0 && row.map > VEX_MAPS ? [0, 1] : [Math.max(row.vexLength, 0)]) {
      const encoding = encodeSized(row, mode, operands, prefixes, size, vexLength);
      if (encoding !== null && (best === null || encoding.bytes.length < best.bytes.length)) best = encoding;
    }
  }
  return best;
}

/** Whether the row's operands lie at rSI and rDI. */
export const isString = (row: Row): boolean =>
  row.operands.some((spec) => spec.method === METHOD_STRING_SOURCE || spec.method === METHOD_STRING_DESTINATION);

const isRelative = (row: Row): boolean => row.operands[0]?.method === METHOD_RELATIVE;

/** Operand sizes that prefixes can give the row, the cheapest first. */
function operandSizes(row: Row, mode: CodeMode, isMandatory66: boolean): readonly number[] {
  if (row.map > VEX_MAPS) return mode === 64 && row.vexWide < 0 ? [4, 8] : [4];
  if (mode !== 64) return isMandatory66 ? [mode / 8] : mode === 16 ? [2, 4] : [4, 2];
  if (row.forced64) return [8];
  if (row.default64) return [8, 2];
  return isMandatory66 ? [4, 8] : [4, 2, 8];
}

function effectiveSize(flags: number, size: number, mode: CodeMode): number {
  if ((flags & ROW_BYTE) !== 0) return 1;
  if ((flags & ROW_NATIVE) !== 0) return mode === 64 ? 8 : 4;
  if ((flags & ROW_AT_MOST_4) !== 0) return Math.min(size, 4);
  return (flags & ROW_AT_LEAST_4) !== 0 ? Math.max(size, 4) : size;
}

function encodeSized(row: Row, mode: CodeMode, operands: readonly Operand[], prefixes: Prefixes, size: number, vexLength: number): Encoding | null {
  const fields: Fields = {
    reg: Math.max(row.extension, 0), rm: 0, opcode: row.opcode, memory: null, immediates: [], needsRex: false, refusesRex: false, rex: 0, vvvv: 0,
    vexLength,
  };
  if (row.opcodeCount === 16) fields.opcode += prefixes.condition;
  let next = 0;
  // String instructions are written without operands: each has only one choice.
  const specs = isString(row) ? [] : row.operands;
  for (const spec of specs) {
    const isOptional = spec.text === 'ST0' || spec.text === 'XMM0';
    const operand = operands[next];
    if (operand !== undefined && takes(spec, operand, mode, size, fields)) next++;
    else if (!isOptional) return null;
  }
  if (next !== operands.length) return null;
  if (fields.memory !== null && row.mod === 'register') return null;
  if (size === 8 && !row.forced64 && !row.default64) fields.rex |= 8;
  return assemble(row, mode, prefixes, size, fields);
}

/** Notes the operand in `fields` if the row's operand can be it. */
function takes(spec: OperandSpec, operand: Operand, mode: CodeMode, size: number, fields: Fields): boolean {
  const sizeIndex = fields.vexLength * 8 + (mode === 64 ? 4 : 0) + Math.log2(size);
  const bytes = SIZE_BYTES[spec.size * 16 + sizeIndex]!;
  const memoryBytes = SIZE_BYTES[spec.memorySize * 16 + sizeIndex]!;
  if (typeof operand === 'number' || typeof operand === 'bigint') return takesImmediate(spec, BigInt(operand), bytes, size, fields);
  if (typeof operand === 'string') {
    if (spec.method !== METHOD_RELATIVE) return false;
    fields.immediates.push({ bytes, value: 0n, label: operand, relative: true });
    return true;
  }
  switch (operand.kind) {
    case 'memory': return takesMemory(spec, operand, memoryBytes, fields);
    case 'far':
      if (spec.method !== METHOD_FAR) return false;
      fields.immediates.push(
        typeof operand.offset === 'string' ? { bytes: bytes - 2, value: 0n, label: operand.offset, relative: false }
        : { bytes: bytes - 2, value: BigInt(operand.offset), label: null, relative: false },
        { bytes: 2, value: BigInt(operand.selector), label: null, relative: false },
      );
      return true;
    case 'address-of':
      if (spec.method !== METHOD_SIGNED_IMMEDIATE || bytes < 2) return false;
      fields.immediates.push({ bytes, value: 0n, label: operand.label, relative: false });
      return true;
    default: return takesRegister(spec, operand, mode, bytes, fields);
  }
}

function takesImmediate(spec: OperandSpec, value: bigint, bytes: number, size: number, fields: Fields): boolean {
  if (spec.method === METHOD_ONE) return value === 1n;
  const isSigned = spec.method === METHOD_SIGNED_IMMEDIATE;
  if (!isSigned && spec.method !== METHOD_IMMEDIATE && spec.method !== METHOD_RELATIVE) return false;
  const fits = (bits: number, from: bigint): boolean => from >= -(1n << BigInt(bits - 1)) && from < 1n << BigInt(bits);
  // A value of the operation's size, as the sign-extended bytes give it.
  const target = isSigned ? size : bytes;
  if (!fits(target * 8, value)) return false;
  if (isSigned && bytes < size) {
    const extended = BigInt.asIntN(size * 8, value);
    if (BigInt.asIntN(bytes * 8, extended) !== extended) return false;
  }
  if (spec.method === METHOD_RELATIVE && BigInt.asIntN(bytes * 8, value) !== value) return false;
  fields.immediates.push({ bytes, value, label: null, relative: false });
  return true;
}

function takesMemory(spec: OperandSpec, operand: MemoryOperand, memoryBytes: number, fields: Fields): boolean {
  if (operand.bytes !== 0 && memoryBytes !== 0 && operand.bytes !== memoryBytes) return false;
  if (spec.method === METHOD_MEMORY_OFFSET) {
    if (operand.base !== undefined || operand.index !== undefined || operand.label !== undefined) return false;
  } else if (spec.registerOnly || (spec.method !== METHOD_RM && spec.method !== METHOD_XMM_RM && spec.method !== METHOD_MMX_RM && spec.method !== METHOD_VECTOR_INDEX)) {
    return false;
  }
  fields.memory = operand;
  return true;
}

const REGISTER_KINDS: Readonly<Record<RegisterOperand['kind'], readonly number[]>> = {
  gpr: [METHOD_RM, METHOD_REG, METHOD_VVVV, METHOD_OPCODE, METHOD_FIXED_REGISTER],
  'high-byte': [METHOD_RM, METHOD_REG, METHOD_OPCODE],
  segment: [METHOD_SEGMENT, METHOD_FIXED_SEGMENT],
  control: [METHOD_CONTROL],
  debug: [METHOD_DEBUG],
  mmx: [METHOD_MMX_REG, METHOD_MMX_RM],
  xmm: [METHOD_XMM_REG, METHOD_XMM_RM, METHOD_FIXED_XMM, METHOD_XMM_VVVV, METHOD_XMM_IMMEDIATE],
  ymm: [METHOD_XMM_REG, METHOD_XMM_RM, METHOD_XMM_VVVV, METHOD_XMM_IMMEDIATE],
  st: [METHOD_ST, METHOD_FIXED_ST],
};

function takesRegister(spec: OperandSpec, operand: RegisterOperand, mode: CodeMode, bytes: number, fields: Fields): boolean {
  if (spec.memoryOnly || !REGISTER_KINDS[operand.kind].includes(spec.method)) return false;
  if (operand.kind === 'gpr' && operand.bytes !== bytes) return false;
  if (operand.kind === 'high-byte' && bytes !== 1) return false;
  if ((operand.kind === 'ymm' && bytes !== 32) || (operand.kind === 'xmm' && bytes === 32)) return false;
  if (operand.number > 7 && mode !== 64) return false;
  let { number } = operand;
  if (operand.kind === 'high-byte') {
    fields.refusesRex = true;
    number += 4;
  } else if (operand.kind === 'gpr' && operand.bytes === 1 && number >= 4 && number < 8) {
    if (mode !== 64) return false;
    fields.needsRex = true;
  }
  switch (spec.method) {
    case METHOD_FIXED_REGISTER: case METHOD_FIXED_SEGMENT: case METHOD_FIXED_ST: case METHOD_FIXED_XMM:
      return number === spec.number;
    case METHOD_RM: case METHOD_XMM_RM: case METHOD_MMX_RM: case METHOD_ST:
      fields.rm = number & 7;
      fields.rex |= number >> 3;
      return true;
    case METHOD_VVVV: case METHOD_XMM_VVVV:
      fields.vvvv = number;
      return true;
    case METHOD_XMM_IMMEDIATE:
      fields.immediates.push({ bytes: 1, value: BigInt(number << 4), label: null, relative: false });
      return true;
    case METHOD_OPCODE:
      fields.opcode += number & 7;
      fields.rex |= number >> 3;
      return true;
    default:
      fields.reg = number & 7;
      fields.rex |= (number >> 3) << 2;
      return true;
  }
}

function assemble(row: Row, mode: CodeMode, prefixes: Prefixes, size: number, fields: Fields): Encoding | null {
  const { memory } = fields;
  const bytes: number[] = [];
  const patches: Patch[] = [];
  const nativeAddress = mode / 8;
  const addressBytes = memory?.addressBytes ?? (prefixes.addressBytes === 0 ? nativeAddress : prefixes.addressBytes);
  if (prefixes.lock) bytes.push(0xf0);
  if (prefixes.rep !== 0) bytes.push(prefixes.rep);
  if (memory?.segment !== undefined) bytes.push([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65][memory.segment]!);
  if (addressBytes !== nativeAddress) bytes.push(0x67);
  const defaultSize = mode === 16 ? 2 : 4;
  const vex = row.map > VEX_MAPS;
  if (!vex && (row.prefix === '66' || (size !== 8 && !(row.forced64 && mode === 64) && size !== defaultSize))) bytes.push(0x66);
  if (vex && mode !== 64 && fields.vvvv > 7) return null;
  if (!vex && (row.prefix === 'f2' || row.prefix === 'f3')) bytes.push(Number.parseInt(row.prefix, 16));
  const address = memory === null || isOffset(row) ? null : encodeAddress(memory, mode, addressBytes, fields.reg, hasVectorIndex(row));
  if (memory !== null && !isOffset(row) && address === null) return null;
  const rex = fields.rex | (address?.rex ?? 0);
  if (rex !== 0 || fields.needsRex) {
    if (mode !== 64 || fields.refusesRex) return null;
    if (!vex) bytes.push(0x40 | rex);
  }
  if (vex) bytes.push(0xc4, ((~rex & 7) << 5) | (row.map - VEX_MAPS), (Math.max(row.vexWide, (rex >> 3) & 1) << 7) | ((~fields.vvvv & 15) << 3) | (fields.vexLength << 2) | VEX_PREFIXES.indexOf(row.prefix));
  else if (row.map > 0) bytes.push(0x0f);
  if (!vex && row.map > 1) bytes.push(row.map === 2 ? 0x38 : 0x3a);
  bytes.push(fields.opcode);
  if (row.usesModrm) {
    if (row.fixedModrm >= 0) bytes.push(row.fixedModrm);
    else if (address === null) bytes.push(0xc0 | (fields.reg << 3) | fields.rm);
    else {
      if (memory!.label !== undefined) {
        const relative = mode === 64;
        patches.push({ at: bytes.length + 1, bytes: addressBytes === 2 ? 2 : 4, label: memory!.label, relative, addend: Number(memory!.displacement ?? 0) });
      }
      bytes.push(...address.bytes);
    }
  } else if (memory !== null) {
    pushValue(bytes, BigInt(memory.displacement ?? 0), addressBytes);
  }
  for (const { bytes: count, value, label, relative } of fields.immediates) {
    if (label !== null) patches.push({ at: bytes.length, bytes: count, label, relative, addend: 0 });
    pushValue(bytes, value, count);
  }
  return bytes.length > 15 ? null : { bytes, patches };
}

/** What VEX.pp stands for. */
const VEX_PREFIXES: readonly string[] = ['np', '66', 'f3', 'f2'];

const hasVectorIndex = (row: Row): boolean => row.operands.some((spec) => spec.method === METHOD_VECTOR_INDEX);
const isOffset = (row: Row): boolean => row.operands.some((spec) => spec.method === METHOD_MEMORY_OFFSET);

/** ModRM.rm of 16-bit addressing by base and index (SDM vol. 2, table 2-1). */
const RM_16: Readonly<Record<string, number>> = { '3,6': 0, '3,7': 1, '5,6': 2, '5,7': 3, '6,': 4, '7,': 5, '5,': 6, '3,': 7 };

interface EncodedAddress { readonly bytes: readonly number[]; readonly rex: number }

function encodeAddress(memory: MemoryOperand, mode: CodeMode, addressBytes: number, reg: number, vectorIndex: boolean): EncodedAddress | null {
  const { base, index, label } = memory;
  const displacement = BigInt(memory.displacement ?? 0);
  const bytes: number[] = [];
  const modrm = (mod: number, rm: number): void => { bytes.push((mod << 6) | (reg << 3) | rm); };
  if (addressBytes === 2) {
    if (base === undefined && index === undefined) {
      modrm(0, 6);
      pushValue(bytes, label === undefined ? displacement : 0n, 2);
      return { bytes, rex: 0 };
    }
    const rm = RM_16[`${base ?? ''},${index ?? ''}`];
    if (rm === undefined) return null;
    const mod = displacement === 0n && rm !== 6 ? 0 : isByte(displacement) ? 1 : 2;
    modrm(mod, rm);
    if (mod > 0) pushValue(bytes, displacement, mod);
    return { bytes, rex: 0 };
  }
  if (base === undefined && index === undefined) {
    // Without registers: RIP-relative for a label in 64-bit code; there an absolute address needs a SIB byte.
    modrm(0, mode === 64 && label === undefined ? 4 : 5);
    if (mode === 64 && label === undefined) bytes.push(0x25);
    pushValue(bytes, label === undefined ? displacement : 0n, 4);
    return { bytes, rex: 0 };
  }
  if ((index === 4 && !vectorIndex) || (mode !== 64 && ((base ?? 0) > 7 || (index ?? 0) > 7))) return null;
  const rex = ((base ?? 0) >> 3) | (((index ?? 0) >> 3) << 1);
  const mod = base === undefined || (displacement === 0n && (base & 7) !== 5) ? 0 : isByte(displacement) ? 1 : 2;
  if (index !== undefined || (base! & 7) === 4) {
    modrm(mod, 4);
    bytes.push((Math.log2(memory.scale ?? 1) << 6) | ((index === undefined ? 4 : index & 7) << 3) | (base === undefined ? 5 : base & 7));
  } else {
    modrm(mod, base! & 7);
  }
  if (mod > 0 || base === undefined) pushValue(bytes, displacement, mod === 1 ? 1 : 4);
  return { bytes, rex };
}

const isByte = (value: bigint): boolean => value >= -128n && value <= 127n;

function pushValue(bytes: number[], value: bigint, count: number): void {
  for (let at = 0; at < count; at++) bytes.push(Number((value >> BigInt(at * 8)) & 0xffn));
}
