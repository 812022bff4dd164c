/**
 * The grammar of an opcode table row:
 *
 *     [vex] [np|nfx|66|f3|f2] opcode bytes [modrm byte] [/n] [mod3|mem]  name  [operands]  [flags]
 *
 * `np` asks for no 66, F3 or F2 prefix, `nfx` for no F3 or F2 (66 gives the operand size); a row without a prefix column takes them all. `vex`
 * rows have a VEX prefix that stands for the escape bytes and the prefix; `l0` and `l1` ask for a value of VEX.L, `w0` and `w1` of VEX.W;
 * `avx2` says that the row came with AVX, but with 256 bits only with AVX2. `50+r` covers eight opcodes with a register in the low bits, `70+cc` sixteen with a condition. A name is the mnemonic of the manual; `_seg`, `_cr`, `_dr` are added where
 * one mnemonic stands for operations of different kinds.
 */
import type { OperandSpec } from './operand.ts';
import { parseOperand } from './operand.ts';

export type RowPrefix = '' | 'np' | 'nfx' | '66' | 'f3' | 'f2';
export type RowMod = 'any' | 'register' | 'memory';

/** A row of the tables: one instruction form. */
export interface Row {
  readonly id: number;
  /** The operation, which emitters are keyed by. */
  readonly name: string;
  readonly operands: readonly OperandSpec[];
  /** The columns left of the name. */
  readonly encoding: string;
  /** 0 one byte, 1 `0f`, 2 `0f 38`, 3 `0f 3a`; behind a VEX prefix 4 more. */
  readonly map: number;
  /** First opcode of the row. */
  readonly opcode: number;
  /** 1, 8 (`+r`) or 16 (`+cc`). */
  readonly opcodeCount: number;
  readonly prefix: RowPrefix;
  /** ModRM.reg that the row asks for, or -1. */
  readonly extension: number;
  /** A whole ModRM byte that the row asks for, or -1. */
  readonly fixedModrm: number;
  readonly mod: RowMod;
  readonly usesModrm: boolean;
  /** Condition number 0 to 15 fixed by the row (`cc=`), or -1. */
  readonly condition: number;
  /** LOCK is allowed when the destination is in memory. */
  readonly lock: boolean;
  /** The operand size is 64 by default in long mode. */
  readonly default64: boolean;
  /** The operand size is always 64 in long mode. */
  readonly forced64: boolean;
  /** The row exists in 16- and 32-bit code. */
  readonly legacy: boolean;
  /** The row exists in 64-bit code. */
  readonly long: boolean;
  /** VEX.L that the row asks for, or -1. */
  readonly vexLength: number;
  /** VEX.W that the row asks for, or -1. */
  readonly vexWide: number;
  /** With VEX.L = 1 the row needs AVX2, else AVX. */
  readonly avx2: boolean;
  /** ModRM.mod is ignored and taken as 3 (moves to and from control and debug registers). */
  readonly ignoresMod: boolean;
}

/** Where the maps behind a VEX prefix begin; in the decoder's tables those with VEX.L = 1 follow those with 0. */
export const VEX_MAPS = 4;

const PREFIXES: readonly string[] = ['np', 'nfx', '66', 'f3', 'f2'];
const FLAGS: readonly string[] = ['lock', 'd64', 'f64', 'i64', 'o64', 'reg', 'l0', 'l1', 'w0', 'w1', 'avx2'];
const isFlag = (token: string): boolean => FLAGS.includes(token) || token.startsWith('cc=');

/** Reads the rows of one table; ids count from `firstId`. Empty lines and lines beginning with `#` are left out. */
export function parseRows(text: string, firstId: number): readonly Row[] {
  const lines = text.split('\n').map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
  return lines.map((line, index) => parseRow(line, firstId + index));
}

function parseRow(line: string, id: number): Row {
  const tokens = line.split(/\s+/);
  let at = 0;
  let prefix: RowPrefix = '';
  const vex = tokens[0] === 'vex';
  if (vex) at++;
  if (PREFIXES.includes(tokens[at]!)) prefix = tokens[at++] as RowPrefix;
  const bytes: string[] = [];
  while (/^[0-9a-f]{2}(\+r|\+cc)?$/.test(tokens[at] ?? '')) bytes.push(tokens[at++]!);
  const map = bytes[0] !== '0f' ? 0 : bytes[1] === '38' ? 2 : bytes[1] === '3a' ? 3 : 1;
  const opcodeAt = map < 2 ? map : 2;
  const opcodeText = bytes[opcodeAt] ?? '';
  let extension = -1;
  if (/^\/[0-7]$/.test(tokens[at]!)) extension = Number(tokens[at++]![1]);
  let mod: RowMod = 'any';
  if (tokens[at] === 'mod3') { mod = 'register'; at++; }
  else if (tokens[at] === 'mem') { mod = 'memory'; at++; }
  const encoding = tokens.slice(0, at).join(' ');
  const name = tokens[at++];
  if (name === undefined || opcodeText === '') throw new SyntaxError(`opcode table: cannot read "${line}"`);
  const operandText = at < tokens.length && !isFlag(tokens[at]!) ? tokens[at++]! : '';
  const operands = operandText === '' ? [] : operandText.split(',').map(parseOperand);
  const flags = tokens.slice(at);
  const unknown = flags.find((flag) => !isFlag(flag));
  if (unknown !== undefined) throw new SyntaxError(`opcode table: unknown flag ${unknown} in "${line}"`);
  if (mod === 'any' && operands.some((operand) => operand.memoryOnly)) mod = 'memory';
  if (mod === 'any' && !flags.includes('reg') && operands.some((operand) => operand.registerOnly)) mod = 'register';
  const fixedModrm = bytes.length > opcodeAt + 1 ? Number.parseInt(bytes[opcodeAt + 1]!, 16) : -1;
  const condition = flags.find((flag) => flag.startsWith('cc='));
  return {
    id, name, operands, encoding, map: vex ? map + VEX_MAPS : map, prefix, extension, fixedModrm, mod,
    opcode: Number.parseInt(opcodeText.slice(0, 2), 16),
    opcodeCount: opcodeText.endsWith('+cc') ? 16 : opcodeText.endsWith('+r') ? 8 : 1,
    usesModrm: extension >= 0 || fixedModrm >= 0 || mod !== 'any' || operands.some((operand) => operand.usesModrm),
    condition: condition === undefined ? -1 : Number(condition.slice(3)),
    lock: flags.includes('lock'),
    default64: flags.includes('d64'),
    forced64: flags.includes('f64'),
    legacy: !flags.includes('o64'),
    long: !flags.includes('i64'),
    vexLength: flags.includes('l0') ? 0 : flags.includes('l1') ? 1 : -1,
    vexWide: flags.includes('w0') ? 0 : flags.includes('w1') ? 1 : -1,
    avx2: flags.includes('avx2'),
    ignoresMod: flags.includes('reg'),
  };
}
