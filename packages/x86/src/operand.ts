/**
 * Operand notation of the opcode tables: the letters of SDM vol. 2, appendix A.2, read once into numbers.
 *
 * A token is an addressing method (`E`, `G`, `V`, ...) followed by a size (`b`, `v`, `dq`, ...), or a fixed register, or `1`.
 * `Rv/Mw` says that the register form and the memory form have different sizes. Ours: `Z` is the register in the low three
 * opcode bits, `Ibs` a byte sign-extended to the operand size, size `n` the native 4 or 8 bytes of the mode, `T` memory with a
 * vector of indices; sizes `hx`, `qx` and `ex` are a half, a quarter and an eighth of the vector length `x`, `fx` an FXSAVE area.
 */

/** What the decoder reports about an operand (`instruction.operandKind`). */
export const OPERAND_NONE = 0;
export const OPERAND_REGISTER = 1;
/** ah, ch, dh, bh as 0 to 3. */
export const OPERAND_REGISTER_HIGH_BYTE = 2;
export const OPERAND_MEMORY = 3;
export const OPERAND_IMMEDIATE = 4;
export const OPERAND_RELATIVE = 5;
export const OPERAND_FAR = 6;
export const OPERAND_SEGMENT = 7;
export const OPERAND_CONTROL = 8;
export const OPERAND_DEBUG = 9;
export const OPERAND_XMM = 10;
export const OPERAND_MMX = 11;
export const OPERAND_ST = 12;
/** The literal 1 of the shift-by-one forms; its value is in the immediate. */
export const OPERAND_CONSTANT = 13;
/** Memory at segment:rSI of a string instruction (the segment can be overridden). */
export const OPERAND_STRING_SOURCE = 14;
/** Memory at ES:rDI of a string instruction. */
export const OPERAND_STRING_DESTINATION = 15;

/** How an operand is found in the encoding (`OperandSpec.method`). */
export const METHOD_FAR = 0;
export const METHOD_CONTROL = 1;
export const METHOD_DEBUG = 2;
export const METHOD_RM = 3;
export const METHOD_REG = 4;
export const METHOD_IMMEDIATE = 5;
export const METHOD_SIGNED_IMMEDIATE = 6;
export const METHOD_RELATIVE = 7;
export const METHOD_MMX_REG = 8;
export const METHOD_MMX_RM = 9;
export const METHOD_MEMORY_OFFSET = 10;
export const METHOD_SEGMENT = 11;
export const METHOD_XMM_REG = 12;
export const METHOD_XMM_RM = 13;
export const METHOD_STRING_SOURCE = 14;
export const METHOD_STRING_DESTINATION = 15;
export const METHOD_OPCODE = 16;
export const METHOD_FIXED_REGISTER = 17;
export const METHOD_FIXED_SEGMENT = 18;
export const METHOD_FIXED_ST = 19;
export const METHOD_ST = 20;
export const METHOD_ONE = 21;
export const METHOD_FIXED_XMM = 22;
/** General register in VEX.vvvv. */
export const METHOD_VVVV = 23;
/** xmm or ymm register in VEX.vvvv. */
export const METHOD_XMM_VVVV = 24;
/** xmm or ymm register in the upper half of an immediate byte. */
export const METHOD_XMM_IMMEDIATE = 25;
/** Memory with a vector register as index (SDM vol. 2, section 2.3.12). */
export const METHOD_VECTOR_INDEX = 26;

/** One operand of a row. */
export interface OperandSpec {
  /** Its number in `OPERAND_SPECS`. */
  readonly id: number;
  /** As written in the table. */
  readonly text: string;
  readonly method: number;
  /** The size of a register or an immediate, as an index into `SIZE_NAMES`. */
  readonly size: number;
  /** The size when the operand lies in memory. */
  readonly memorySize: number;
  /** Register number of a fixed operand. */
  readonly number: number;
  /** True when the operand is chosen by the ModRM byte. */
  readonly usesModrm: boolean;
  /** True when a register form of the ModRM byte is invalid (`M`). */
  readonly memoryOnly: boolean;
  /** True when a memory form of the ModRM byte is invalid (`R`, `N`, `U`). */
  readonly registerOnly: boolean;
}

/** Size letters; the index is the code used in `SIZE_BYTES`. */
export const SIZE_NAMES: readonly string[] = [
  '', 'b', 'w', 'd', 'q', 't', 'dq', 'qq', 'ps', 'pd', 'ss', 'sd', // of fixed size
  'v', 'z', 'y', 'n', 'bs', // by operand size, REX.W, mode
  'p', 'a', 's', 'yy', 'e', 'f', 'fx', // far pointer, bound pair, pseudo-descriptor, register pair, x87 environment, x87 state, FXSAVE area
  'x', 'hx', 'qx', 'ex', // by VEX.L
];

type SizeRule = (v: number, long: boolean, vexLength: number) => number;
const fixedSize = (bytes: number): SizeRule => () => bytes;
const vectorSize = (bytes: number): SizeRule => (_v, _long, vexLength) => bytes << vexLength;

const SIZE_RULES: Readonly<Record<string, SizeRule>> = {
  '': fixedSize(0), b: fixedSize(1), w: fixedSize(2), d: fixedSize(4), q: fixedSize(8), t: fixedSize(10), dq: fixedSize(16), qq: fixedSize(32),
  ps: fixedSize(16), pd: fixedSize(16), ss: fixedSize(4), sd: fixedSize(8),
  v: (v) => v,
  z: (v) => (v === 2 ? 2 : 4),
  y: (v) => (v === 8 ? 8 : 4),
  n: (_v, long) => (long ? 8 : 4),
  bs: fixedSize(1),
  p: (v) => v + 2,
  a: (v) => v * 2,
  s: (_v, long) => (long ? 10 : 6),
  yy: (v) => (v === 8 ? 16 : 8),
  e: (v) => (v === 2 ? 14 : 28),
  f: (v) => (v === 2 ? 94 : 108),
  fx: fixedSize(512),
  x: vectorSize(16),
  hx: vectorSize(8),
  qx: vectorSize(4),
  ex: vectorSize(2),
};

/** Bytes of a size: index `code * 16 + VEX.L * 8 + (long ? 4 : 0) + log2(operand size)`. An FXSAVE area (512) is given as 0. */
export const SIZE_BYTES: Uint8Array = (() => {
  const bytes = new Uint8Array(SIZE_NAMES.length * 16);
  SIZE_NAMES.forEach((name, code) => {
    for (const vexLength of [0, 1]) {
      for (const long of [false, true]) {
        for (let log2 = 0; log2 < 4; log2++) bytes[code * 16 + vexLength * 8 + (long ? 4 : 0) + log2] = SIZE_RULES[name]!(1 << log2, long, vexLength);
      }
    }
  });
  return bytes;
})();

const METHOD_LETTERS: Readonly<Record<string, number>> = {
  A: METHOD_FAR, B: METHOD_VVVV, C: METHOD_CONTROL, D: METHOD_DEBUG, E: METHOD_RM, G: METHOD_REG, H: METHOD_XMM_VVVV, I: METHOD_IMMEDIATE, J: METHOD_RELATIVE, L: METHOD_XMM_IMMEDIATE,
  M: METHOD_RM, N: METHOD_MMX_RM, O: METHOD_MEMORY_OFFSET, P: METHOD_MMX_REG, Q: METHOD_MMX_RM, R: METHOD_RM, S: METHOD_SEGMENT, T: METHOD_VECTOR_INDEX,
  U: METHOD_XMM_RM, V: METHOD_XMM_REG, W: METHOD_XMM_RM, X: METHOD_STRING_SOURCE, Y: METHOD_STRING_DESTINATION, Z: METHOD_OPCODE,
};

/** Fixed operands: method, size, register number. */
const FIXED: Readonly<Record<string, readonly [number, string, number]>> = {
  AL: [METHOD_FIXED_REGISTER, 'b', 0], CL: [METHOD_FIXED_REGISTER, 'b', 1], AX: [METHOD_FIXED_REGISTER, 'w', 0],
  DX: [METHOD_FIXED_REGISTER, 'w', 2], eAX: [METHOD_FIXED_REGISTER, 'z', 0], rAX: [METHOD_FIXED_REGISTER, 'v', 0],
  ES: [METHOD_FIXED_SEGMENT, 'w', 0], CS: [METHOD_FIXED_SEGMENT, 'w', 1], SS: [METHOD_FIXED_SEGMENT, 'w', 2],
  DS: [METHOD_FIXED_SEGMENT, 'w', 3], FS: [METHOD_FIXED_SEGMENT, 'w', 4], GS: [METHOD_FIXED_SEGMENT, 'w', 5],
  ST0: [METHOD_FIXED_ST, 't', 0], STi: [METHOD_ST, 't', 0], XMM0: [METHOD_FIXED_XMM, 'dq', 0], 1: [METHOD_ONE, 'b', 1],
};

const specs: OperandSpec[] = [];

/** Every operand that occurs in the tables, by number; complete once the tables are read. */
export const OPERAND_SPECS: readonly OperandSpec[] = specs;

/** Reads one operand token; equal tokens give the same object. */
export function parseOperand(text: string): OperandSpec {
  const known = specs.find((spec) => spec.text === text);
  if (known !== undefined) return known;
  const spec = { id: specs.length, text, ...describe(text) };
  specs.push(spec);
  return spec;
}

function describe(text: string): Omit<OperandSpec, 'id' | 'text'> {
  const fixed = FIXED[text];
  if (fixed !== undefined) {
    const size = sizeCode(fixed[1], text);
    return {
      method: fixed[0], size, memorySize: size, number: fixed[2], usesModrm: fixed[0] === METHOD_ST,
      memoryOnly: false, registerOnly: fixed[0] === METHOD_ST,
    };
  }
  const [first = '', second] = text.split('/');
  const letter = first[0] ?? '';
  const method = METHOD_LETTERS[letter];
  if (method === undefined) throw new RangeError(`opcode table: unknown operand ${text}`);
  const size = sizeCode(first.slice(1), text);
  const signed = first === 'Ibs' || (letter === 'I' && first !== 'Ib' && first !== 'Iw');
  return {
    method: signed ? METHOD_SIGNED_IMMEDIATE : method,
    size,
    memorySize: second === undefined ? size : sizeCode(second.slice(1), text),
    number: 0,
    usesModrm: 'CDEGMNPQRSTUVW'.includes(letter),
    memoryOnly: letter === 'M' || letter === 'T',
    registerOnly: second === undefined && 'NRU'.includes(letter),
  };
}

function sizeCode(name: string, text: string): number {
  const code = SIZE_NAMES.indexOf(name);
  if (code < 0) throw new RangeError(`opcode table: unknown operand size in ${text}`);
  return code;
}
