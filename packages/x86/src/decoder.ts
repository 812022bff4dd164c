/** The instruction decoder (SDM vol. 2, chapter 2). */
import {
  ENTRIES, ENTRY_INVALID, GROUPS, ROW_AT_LEAST_4, ROW_AT_MOST_4, ROW_BYTE, ROW_CONDITION, ROW_CONDITIONS, ROW_DEFAULT_64, ROW_FLAGS,
  ROW_FORCED_64, ROW_IGNORES_MOD, ROW_LOCK, ROW_MODRM, ROW_NATIVE, ROW_NOP, ROW_OPERAND_COUNT, ROW_OPERANDS, ROW_PAUSE, ROW_TAKES_66,
  ROW_TAKES_REP, ROW_VVVV, ROW_XCHG_ACCUMULATOR, SPEC_MEMORY_SIZE, SPEC_METHOD, SPEC_NUMBER, SPEC_SIZE,
} from './decode-table.ts';
import { VEX_MAPS } from './opcode-row.ts';
import type { Instruction } from './instruction.ts';
import { BASE_NEXT_INSTRUCTION } from './instruction.ts';
import {
  METHOD_CONTROL, METHOD_DEBUG, METHOD_FAR, METHOD_FIXED_REGISTER, METHOD_FIXED_SEGMENT, METHOD_FIXED_ST, METHOD_FIXED_XMM,
  METHOD_IMMEDIATE, METHOD_MEMORY_OFFSET, METHOD_MMX_REG, METHOD_MMX_RM, METHOD_ONE, METHOD_OPCODE, METHOD_REG, METHOD_RELATIVE,
  METHOD_RM, METHOD_SEGMENT, METHOD_SIGNED_IMMEDIATE, METHOD_ST, METHOD_STRING_DESTINATION, METHOD_STRING_SOURCE, METHOD_VECTOR_INDEX,
  METHOD_VVVV, METHOD_XMM_IMMEDIATE, METHOD_XMM_REG, METHOD_XMM_RM, METHOD_XMM_VVVV, OPERAND_CONSTANT, OPERAND_CONTROL, OPERAND_DEBUG, OPERAND_FAR, OPERAND_IMMEDIATE, OPERAND_MEMORY, OPERAND_MMX,
  OPERAND_REGISTER, OPERAND_REGISTER_HIGH_BYTE, OPERAND_RELATIVE, OPERAND_SEGMENT, OPERAND_ST, OPERAND_STRING_DESTINATION,
  OPERAND_STRING_SOURCE, OPERAND_XMM, SIZE_BYTES,
} from './operand.ts';

/** The record is complete. */
export const DECODE_OK = 0;
/** The instruction goes on after the bytes given. */
export const DECODE_MORE = 1;
/** #UD; `length` says how many bytes were looked at. */
export const DECODE_INVALID = 2;
/** Over 15 bytes: #GP. */
export const DECODE_TOO_LONG = 3;

export const MAX_INSTRUCTION_BYTES = 15;

/** Width of the code being decoded: CS.D clear, CS.D set, CS.L set. */
export type CodeMode = 16 | 32 | 64;

// From a 15th prefix byte on, opcode, ModRM, SIB, displacement and immediates reach no further than this.
const REACH = 32;
const nearEnd = new Uint8Array(REACH);

const PREFIX_OPERAND_SIZE = 1;
const PREFIX_ADDRESS_SIZE = 2;
const PREFIX_LOCK = 3;
const PREFIX_REP = 4;
const PREFIX_REX = 5;
const PREFIX_NULL_SEGMENT = 6;
const PREFIX_SEGMENT = 8; // and the segment number added

/** Prefix class of a byte: index `long * 256 + byte`. */
const PREFIXES: Uint8Array = (() => {
  const classes = new Uint8Array(512);
  for (const long of [0, 256]) {
    classes[long + 0x66] = PREFIX_OPERAND_SIZE;
    classes[long + 0x67] = PREFIX_ADDRESS_SIZE;
    classes[long + 0xf0] = PREFIX_LOCK;
    classes[long + 0xf2] = PREFIX_REP;
    classes[long + 0xf3] = PREFIX_REP;
    [0x26, 0x2e, 0x36, 0x3e].forEach((byte, segment) => { classes[long + byte] = long === 0 ? PREFIX_SEGMENT + segment : PREFIX_NULL_SEGMENT; });
    classes[long + 0x64] = PREFIX_SEGMENT + 4;
    classes[long + 0x65] = PREFIX_SEGMENT + 5;
  }
  classes.fill(PREFIX_REX, 256 + 0x40, 256 + 0x50);
  return classes;
})();

/** Base and index of 16-bit addressing by ModRM.rm (SDM vol. 2, table 2-1). */
const BASE_16 = Int8Array.of(3, 3, 5, 5, 6, 7, 5, 3);
const INDEX_16 = Int8Array.of(6, 7, 6, 7, -1, -1, -1, -1);

/** Mode-independent check of MOV CRn: 0, 2, 3, 4 and 8 exist. */
const CONTROL_REGISTERS = 0b1_0001_1101;

const LOG2 = Uint8Array.of(0, 0, 1, 0, 2, 0, 0, 0, 3);

/**
 * Decodes one instruction at `bytes[at]`, of which `available` bytes may be used, into `out`.
 * On anything but DECODE_OK only `out.length` means something.
 */
// HOT: no allocation, numbers only.
export function decode(mode: CodeMode, bytes: Uint8Array, at: number, available: number, out: Instruction): number {
  let limit = MAX_INSTRUCTION_BYTES;
  if (available < REACH) {
    // Close to the end of what may be read: decode from a copy followed by zeros, then see whether they were needed.
    if (available < limit) limit = available;
    for (let i = 0; i < limit; i++) nearEnd[i] = bytes[at + i]!;
    nearEnd.fill(0, limit);
    bytes = nearEnd;
    at = 0;
  }
  const long = mode === 64 ? 1 : 0;
  let p = at;

  // Prefixes. REX counts only right before the opcode.
  let rex = 0;
  let operandPrefix = 0;
  let addressPrefix = 0;
  let lock = 0;
  let rep = 0;
  let override = -1;
  let opcode = 0;
  for (;;) {
    opcode = bytes[p++]!;
    const kind = PREFIXES[(long << 8) | opcode]!;
    if (kind === 0) break;
    if (p - at >= limit) return stopped(p - at + 1, limit, DECODE_INVALID, out);
    if (kind === PREFIX_REX) {
      rex = opcode;
      continue;
    }
    rex = 0;
    if (kind === PREFIX_OPERAND_SIZE) operandPrefix = 1;
    else if (kind === PREFIX_ADDRESS_SIZE) addressPrefix = 1;
    else if (kind === PREFIX_LOCK) lock = 1;
    else if (kind === PREFIX_REP) rep = opcode;
    else if (kind >= PREFIX_SEGMENT) override = kind - PREFIX_SEGMENT;
  }

  // Opcode.
  let map = 0;
  if (opcode === 0x0f) {
    opcode = bytes[p++]!;
    map = 1;
    if (opcode === 0x38 || opcode === 0x3a) {
      map = opcode === 0x38 ? 2 : 3;
      opcode = bytes[p++]!;
    }
  }
  let slot = rep === 0 ? operandPrefix : rep === 0xf3 ? 2 : 3;
  let vexField = 0;
  let vexLength = 0;
  let column = long;
  if (map === 0 && (opcode & 0xfe) === 0xc4 && (long !== 0 || bytes[p]! >= 0xc0)) {
    // A VEX prefix (SDM vol. 2, section 2.3.5): escape bytes, mandatory prefix and REX in one. Others may not stand before it.
    if ((slot | lock | rex) !== 0) return stopped(p - at, limit, DECODE_INVALID, out);
    let last = bytes[p++]!;
    let bits = (~last >> 5) & 4;
    let wide = 0;
    map = VEX_MAPS + 1;
    if (opcode === 0xc4) {
      bits = (~last >> 5) & 7;
      map = VEX_MAPS + (last & 31);
      if ((last & 31) === 0 || (last & 31) > 3) return stopped(p - at, limit, DECODE_INVALID, out);
      last = bytes[p++]!;
      bits |= (last >> 4) & 8;
      wide = last >> 7;
    }
    // Outside 64-bit code there are eight registers and no wide general registers.
    rex = long !== 0 ? 0x40 | bits : 0;
    vexField = (~last >> 3) & 15;
    vexLength = (last >> 2) & 1;
    map += vexLength * VEX_MAPS;
    column = wide;
    slot = last & 3;
    opcode = bytes[p++]!;
  }
  let row = ENTRIES[(((((map << 1) | column) << 2) | slot) << 8) | opcode]!;
  if (row === ENTRY_INVALID) return stopped(p - at, limit, DECODE_INVALID, out);
  let modrm = bytes[p]!;
  if (row < 0) {
    row = GROUPS[((-2 - row) << 8) | modrm]!;
    if (row < 0) return stopped(p + 1 - at, limit, DECODE_INVALID, out);
  } else if ((row === ROW_NOP || row === ROW_PAUSE) && (rex & 1) !== 0) {
    row = ROW_XCHG_ACCUMULATOR;
  }
  const flags = ROW_FLAGS[row]!;

  // Sizes.
  const native = long !== 0 ? 8 : 4;
  if ((flags & ROW_TAKES_66) !== 0) operandPrefix = 0;
  let size = mode === 16 ? (operandPrefix !== 0 ? 4 : 2) : operandPrefix !== 0 ? 2 : 4;
  if (long !== 0) {
    if ((rex & 8) !== 0 || (flags & ROW_FORCED_64) !== 0) size = 8;
    else if ((flags & ROW_DEFAULT_64) !== 0 && size === 4) size = 8;
  }
  const addressSize = mode === 64 ? (addressPrefix !== 0 ? 4 : 8) : (mode === 32) === (addressPrefix === 0) ? 4 : 2;
  const sizeIndex = (vexLength << 3) | (long << 2) | LOG2[size]!;
  out.row = row;
  out.rex = rex;
  out.rep = (flags & ROW_TAKES_REP) !== 0 ? 0 : rep;
  out.lock = lock;
  out.vexLength = vexLength;
  out.addressSize = addressSize;
  out.segmentOverride = override;
  out.segment = override < 0 ? 3 : override;
  out.condition = (flags & ROW_CONDITION) !== 0 ? opcode & 15 : ROW_CONDITIONS[row]!;
  out.operandSize =
    (flags & (ROW_BYTE | ROW_AT_MOST_4 | ROW_AT_LEAST_4 | ROW_NATIVE)) === 0 ? size
    : (flags & ROW_BYTE) !== 0 ? 1
    : (flags & ROW_NATIVE) !== 0 ? native
    : (flags & ROW_AT_MOST_4) !== 0 ? (size > 4 ? 4 : size)
    : size < 4 ? 4 : size;

  // ModRM, SIB, displacement.
  let mod = 3;
  let reg = 0;
  let rm = 0;
  let isMemory = 0;
  let sibAt = p;
  if ((flags & ROW_MODRM) !== 0) {
    sibAt = ++p;
    mod = (flags & ROW_IGNORES_MOD) !== 0 ? 3 : modrm >> 6;
    reg = ((modrm >> 3) & 7) | ((rex & 4) << 1);
    rm = (modrm & 7) | ((rex & 1) << 3);
    if (mod !== 3) {
      isMemory = 1;
      p = addressSize === 2 ? decodeAddress16(bytes, p, modrm, out) : decodeAddress(bytes, p, modrm, rex, long, out);
    } else {
      clearAddress(out);
    }
  } else {
    modrm = -1;
    clearAddress(out);
  }
  out.modrm = modrm;
  out.mod = mod;
  out.reg = reg;
  out.rm = rm;

  // Operands, in the order of the row; immediates follow in the same order.
  out.immediateLow = 0;
  out.immediateHigh = 0;
  out.immediate2 = 0;
  // Four ones where no operand stands there, outside 64-bit code too.
  let valid = vexField === 0 || (flags & ROW_VVVV) !== 0;
  const vexRegister = long !== 0 ? vexField : vexField & 7;
  let immediates = 0;
  const count = ROW_OPERAND_COUNT[row]!;
  const kinds = out.operandKind;
  const numbers = out.operandNumber;
  const sizes = out.operandBytes;
  out.operandCount = count;
  for (let i = 0; i < count; i++) {
    const spec = ROW_OPERANDS[(row << 2) | i]!;
    const method = SPEC_METHOD[spec]!;
    let operandBytes = SIZE_BYTES[SPEC_SIZE[spec]! | sizeIndex]!;
    let kind = OPERAND_REGISTER;
    let number = 0;
    switch (method) {
      case METHOD_RM:
        if (isMemory !== 0) {
          kind = OPERAND_MEMORY;
          operandBytes = SIZE_BYTES[SPEC_MEMORY_SIZE[spec]! | sizeIndex]!;
        } else {
          number = rm;
        }
        break;
      case METHOD_REG:
        number = reg;
        break;
      case METHOD_VVVV:
        number = vexRegister;
        break;
      case METHOD_XMM_VVVV:
        kind = OPERAND_XMM;
        number = vexRegister;
        break;
      case METHOD_XMM_IMMEDIATE: {
        kind = OPERAND_XMM;
        const value = bytes[p++]!;
        number = long !== 0 ? value >> 4 : (value >> 4) & 7;
        break;
      }
      case METHOD_VECTOR_INDEX: {
        kind = OPERAND_MEMORY;
        // The index is a vector register, and there has to be one; all registers of a gather are different (SDM vol. 2, VPGATHERDD).
        const index = ((bytes[sibAt]! >> 3) & 7) | ((rex & 2) << 2);
        out.index = index;
        out.scale = bytes[sibAt]! >> 6;
        if ((modrm & 7) !== 4 || addressSize === 2 || index === reg || index === vexRegister || reg === vexRegister) valid = false;
        break;
      }
      case METHOD_OPCODE:
        number = (opcode & 7) | ((rex & 1) << 3);
        break;
      case METHOD_SIGNED_IMMEDIATE: {
        kind = OPERAND_IMMEDIATE;
        let value = 0;
        if (operandBytes === 1) value = (bytes[p]! << 24) >> 24;
        else if (operandBytes === 2) value = ((bytes[p]! | (bytes[p + 1]! << 8)) << 16) >> 16;
        else value = read32(bytes, p);
        out.immediateLow = value;
        out.immediateHigh = operandBytes === 8 ? read32(bytes, p + 4) : value >> 31;
        p += operandBytes;
        break;
      }
      case METHOD_IMMEDIATE: {
        kind = OPERAND_IMMEDIATE;
        const value = operandBytes === 1 ? bytes[p]! : bytes[p]! | (bytes[p + 1]! << 8);
        p += operandBytes;
        if (immediates++ === 0) out.immediateLow = value;
        else out.immediate2 = value;
        break;
      }
      case METHOD_RELATIVE: {
        kind = OPERAND_RELATIVE;
        let value = 0;
        if (operandBytes === 1) value = (bytes[p]! << 24) >> 24;
        else if (operandBytes === 2) value = ((bytes[p]! | (bytes[p + 1]! << 8)) << 16) >> 16;
        else value = read32(bytes, p);
        out.immediateLow = value;
        out.immediateHigh = value >> 31;
        p += operandBytes;
        break;
      }
      case METHOD_XMM_REG:
        kind = OPERAND_XMM;
        number = reg;
        break;
      case METHOD_XMM_RM:
        if (isMemory !== 0) kind = OPERAND_MEMORY;
        else {
          kind = OPERAND_XMM;
          number = rm;
        }
        break;
      case METHOD_MMX_REG:
        kind = OPERAND_MMX;
        number = reg & 7;
        break;
      case METHOD_MMX_RM:
        if (isMemory !== 0) kind = OPERAND_MEMORY;
        else {
          kind = OPERAND_MMX;
          number = rm & 7;
        }
        break;
      case METHOD_FIXED_REGISTER:
        number = SPEC_NUMBER[spec]!;
        break;
      case METHOD_STRING_SOURCE:
        kind = OPERAND_STRING_SOURCE;
        break;
      case METHOD_STRING_DESTINATION:
        kind = OPERAND_STRING_DESTINATION;
        break;
      case METHOD_MEMORY_OFFSET:
        kind = OPERAND_MEMORY;
        isMemory = 1;
        if (addressSize === 2) out.displacementLow = bytes[p]! | (bytes[p + 1]! << 8);
        else out.displacementLow = read32(bytes, p);
        // An offset is unsigned, and only the 8-byte one has a high half of its own.
        out.displacementHigh = addressSize === 8 ? read32(bytes, p + 4) : 0;
        p += addressSize;
        break;
      case METHOD_FAR:
        kind = OPERAND_FAR;
        if (operandBytes === 4) {
          out.immediateLow = bytes[p]! | (bytes[p + 1]! << 8);
          p += 2;
        } else {
          out.immediateLow = read32(bytes, p);
          p += 4;
        }
        out.immediate2 = bytes[p]! | (bytes[p + 1]! << 8);
        p += 2;
        break;
      case METHOD_SEGMENT:
        kind = OPERAND_SEGMENT;
        number = reg & 7;
        if (number > 5 || (number === 1 && i === 0)) valid = false; // CS is never loaded by MOV
        break;
      case METHOD_FIXED_SEGMENT:
        kind = OPERAND_SEGMENT;
        number = SPEC_NUMBER[spec]!;
        break;
      case METHOD_CONTROL:
        kind = OPERAND_CONTROL;
        number = reg;
        if (((CONTROL_REGISTERS >> number) & 1) === 0) valid = false;
        operandBytes = native;
        break;
      case METHOD_DEBUG:
        kind = OPERAND_DEBUG;
        number = reg;
        if (number > 7) valid = false;
        operandBytes = native;
        break;
      case METHOD_FIXED_ST:
        kind = OPERAND_ST;
        break;
      case METHOD_ST:
        kind = OPERAND_ST;
        number = rm & 7;
        break;
      case METHOD_ONE:
        kind = OPERAND_CONSTANT;
        out.immediateLow = 1;
        break;
      case METHOD_FIXED_XMM:
        kind = OPERAND_XMM;
        break;
      default:
        break;
    }
    if (kind === OPERAND_REGISTER && operandBytes === 1 && rex === 0 && number >= 4) {
      kind = OPERAND_REGISTER_HIGH_BYTE;
      number -= 4;
    }
    kinds[i] = kind;
    numbers[i] = number;
    sizes[i] = operandBytes;
  }
  out.isMemory = isMemory;
  if (lock !== 0 && ((flags & ROW_LOCK) === 0 || isMemory === 0)) valid = false;
  return stopped(p - at, limit, valid ? DECODE_OK : DECODE_INVALID, out);
}

/** Notes the length and decides between `outcome` and the two kinds of "too few bytes". */
function stopped(length: number, limit: number, outcome: number, out: Instruction): number {
  if (length <= limit) {
    out.length = length;
    return outcome;
  }
  out.length = limit;
  return limit === MAX_INSTRUCTION_BYTES ? DECODE_TOO_LONG : DECODE_MORE;
}

function clearAddress(out: Instruction): void {
  out.base = -1;
  out.index = -1;
  out.scale = 0;
  out.displacementLow = 0;
  out.displacementHigh = 0;
}

function decodeAddress16(bytes: Uint8Array, p: number, modrm: number, out: Instruction): number {
  const mod = modrm >> 6;
  const rm = modrm & 7;
  let displacement = 0;
  out.scale = 0;
  if (mod === 0 && rm === 6) {
    out.base = -1;
    out.index = -1;
    displacement = ((bytes[p]! | (bytes[p + 1]! << 8)) << 16) >> 16;
    p += 2;
  } else {
    const base = BASE_16[rm]!;
    out.base = base;
    out.index = INDEX_16[rm]!;
    if (base === 5 && out.segmentOverride < 0) out.segment = 2;
    if (mod === 1) {
      displacement = (bytes[p++]! << 24) >> 24;
    } else if (mod === 2) {
      displacement = ((bytes[p]! | (bytes[p + 1]! << 8)) << 16) >> 16;
      p += 2;
    }
  }
  out.displacementLow = displacement;
  out.displacementHigh = displacement >> 31;
  return p;
}

function decodeAddress(bytes: Uint8Array, p: number, modrm: number, rex: number, long: number, out: Instruction): number {
  const mod = modrm >> 6;
  let base = modrm & 7;
  let index = -1;
  let scale = 0;
  let wide = mod === 2;
  if (base === 4) {
    const sib = bytes[p++]!;
    index = ((sib >> 3) & 7) | ((rex & 2) << 2);
    if (index === 4) index = -1;
    else scale = sib >> 6;
    base = sib & 7;
    if (base === 5 && mod === 0) {
      base = -1;
      wide = true;
    } else {
      base |= (rex & 1) << 3;
    }
  } else if (base === 5 && mod === 0) {
    base = long !== 0 ? BASE_NEXT_INSTRUCTION : -1;
    wide = true;
  } else {
    base |= (rex & 1) << 3;
  }
  let displacement = 0;
  if (wide) {
    displacement = read32(bytes, p);
    p += 4;
  } else if (mod === 1) {
    displacement = (bytes[p++]! << 24) >> 24;
  }
  if ((base === 4 || base === 5) && out.segmentOverride < 0) out.segment = 2;
  out.base = base;
  out.index = index;
  out.scale = scale;
  out.displacementLow = displacement;
  out.displacementHigh = displacement >> 31;
  return p;
}

function read32(bytes: Uint8Array, p: number): number {
  return bytes[p]! | (bytes[p + 1]! << 8) | (bytes[p + 2]! << 16) | (bytes[p + 3]! << 24);
}
