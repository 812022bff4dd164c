/**
 * The opcode tables as flat numbers, for the decoder.
 *
 * A first table is indexed by map, mode (behind a VEX prefix instead: VEX.W), mandatory prefix and opcode. Its entry is a row id, `ENTRY_INVALID`, or `-2 - group`;
 * a group is a second table indexed by the ModRM byte.
 */
import type { Row } from './opcode-row.ts';
import { VEX_MAPS } from './opcode-row.ts';
import type { OperandSpec } from './operand.ts';
import { METHOD_IMMEDIATE, METHOD_ONE, METHOD_RELATIVE, METHOD_SIGNED_IMMEDIATE, METHOD_VVVV, METHOD_XMM_VVVV, OPERAND_SPECS, SIZE_NAMES } from './operand.ts';
import { ROWS } from './rows.ts';

export const ENTRY_INVALID = -1;

/** Row flags for the decoder. */
export const ROW_MODRM: number = 1 << 0;
export const ROW_LOCK: number = 1 << 1;
export const ROW_DEFAULT_64: number = 1 << 2;
export const ROW_FORCED_64: number = 1 << 3;
export const ROW_BYTE: number = 1 << 4;
/** The operand size is at most 4 (`z`). */
export const ROW_AT_MOST_4: number = 1 << 5;
/** The operand size is 4 or 8 (`y`). */
export const ROW_AT_LEAST_4: number = 1 << 6;
/** The operand size is that of the mode (`n`). */
export const ROW_NATIVE: number = 1 << 7;
export const ROW_IGNORES_MOD: number = 1 << 8;
/** The 66 prefix belongs to the opcode. */
export const ROW_TAKES_66: number = 1 << 9;
/** The F3 or F2 prefix belongs to the opcode. */
export const ROW_TAKES_REP: number = 1 << 10;
/** The condition is in the low nibble of the opcode. */
export const ROW_CONDITION: number = 1 << 11;

/** An operand stands in VEX.vvvv, which is all ones elsewhere. */
export const ROW_VVVV: number = 1 << 12;

const PREFIX_SLOTS: Readonly<Record<string, readonly number[]>> = { '': [0, 1, 2, 3], np: [0], nfx: [0, 1], 66: [1], f3: [2], f2: [3] };

/** Index of the first table. Prefix slot: 0 none, 1 66, 2 F3, 3 F2. `long` is VEX.W in the maps behind a VEX prefix. */
export const entryIndex = (map: number, long: number, slot: number, opcode: number): number => (((((map << 1) | long) << 2) | slot) << 8) | opcode;

const ENTRY_COUNT = 3 * VEX_MAPS * 2 * 4 * 256;
const built = buildEntries();

export const ENTRIES: Int16Array = built.entries;
export const GROUPS: Int16Array = built.groups;
export const ROW_FLAGS: Int16Array = Int16Array.from(ROWS, rowFlags);
/** Fixed condition of a row, or -1. */
export const ROW_CONDITIONS: Int8Array = Int8Array.from(ROWS, (row) => row.condition);
export const ROW_OPERAND_COUNT: Uint8Array = Uint8Array.from(ROWS, (row) => row.operands.length);
/** Operand numbers into the SPEC tables, four places a row. */
export const ROW_OPERANDS: Uint8Array = packOperands();
export const SPEC_METHOD: Uint8Array = Uint8Array.from(OPERAND_SPECS, (spec) => spec.method);
export const SPEC_SIZE: Uint16Array = Uint16Array.from(OPERAND_SPECS, (spec) => spec.size * 16);
export const SPEC_MEMORY_SIZE: Uint16Array = Uint16Array.from(OPERAND_SPECS, (spec) => spec.memorySize * 16);
export const SPEC_NUMBER: Uint8Array = Uint8Array.from(OPERAND_SPECS, (spec) => spec.number);

/** `90` with REX.B is an exchange with r8, not a NOP (SDM vol. 2, XCHG). */
export const ROW_NOP: number = ROWS.findIndex((row) => row.encoding === '90');
export const ROW_PAUSE: number = ROWS.findIndex((row) => row.encoding === 'f3 90');
export const ROW_XCHG_ACCUMULATOR: number = ROWS.findIndex((row) => row.encoding === '90+r');

interface BuiltEntries { readonly entries: Int16Array; readonly groups: Int16Array }

function buildEntries(): BuiltEntries {
  const cells = new Map<number, Row[]>();
  for (const row of ROWS) {
    for (let opcode = row.opcode; opcode < row.opcode + row.opcodeCount; opcode++) {
      for (const slot of PREFIX_SLOTS[row.prefix]!) {
        for (const [map, long] of placesOf(row)) {
          const index = entryIndex(map, long, slot, opcode);
          const cell = cells.get(index);
          if (cell === undefined) cells.set(index, [row]);
          else cell.push(row);
        }
      }
    }
  }
  const entries = new Int16Array(ENTRY_COUNT).fill(ENTRY_INVALID);
  const groups: Int16Array[] = [];
  const groupNumbers = new Map<string, number>();
  for (const [index, rows] of cells) {
    if (!rows.some(isModrmChosen)) {
      entries[index] = mostSpecific(rows, index);
      continue;
    }
    const group = new Int16Array(256);
    for (let modrm = 0; modrm < 256; modrm++) group[modrm] = mostSpecific(rows.filter((row) => acceptsModrm(row, modrm)), index);
    const key = group.join();
    let number = groupNumbers.get(key);
    if (number === undefined) {
      number = groups.length;
      groupNumbers.set(key, number);
      groups.push(group);
    }
    entries[index] = -2 - number;
  }
  const flat = new Int16Array(groups.length * 256);
  groups.forEach((group, number) => flat.set(group, number * 256));
  return { entries, groups: flat };
}

/** Map and mode, or map with VEX.L and VEX.W, that a row stands in. */
function placesOf(row: Row): readonly (readonly [map: number, long: number])[] {
  if (row.map < VEX_MAPS) return [0, 1].filter((long) => (long === 0 ? row.legacy : row.long)).map((long) => [row.map, long]);
  const either = (wanted: number): readonly number[] => (wanted < 0 ? [0, 1] : [wanted]);
  return either(row.vexLength).flatMap((length) => either(row.vexWide).map((wide) => [row.map + length * VEX_MAPS, wide] as const));
}

function isModrmChosen(row: Row): boolean {
  return row.extension >= 0 || row.fixedModrm >= 0 || row.mod !== 'any';
}

function acceptsModrm(row: Row, modrm: number): boolean {
  return (row.fixedModrm < 0 || row.fixedModrm === modrm) &&
    (row.extension < 0 || row.extension === ((modrm >> 3) & 7)) &&
    (row.mod === 'any' || (row.mod === 'register') === modrm >= 0xc0);
}

/** Of several rows the one that says most about its encoding wins; two that say the same are an error in the tables. */
function mostSpecific(rows: readonly Row[], index: number): number {
  let best = ENTRY_INVALID;
  let bestScore = -1;
  let clash = ENTRY_INVALID;
  for (const row of rows) {
    const score = (row.opcodeCount === 1 ? 16 : 0) + (row.prefix === '' ? 0 : 8) + (row.fixedModrm < 0 ? 0 : 4) +
      (row.extension < 0 ? 0 : 2) + (row.mod === 'any' ? 0 : 1);
    if (score > bestScore) { best = row.id; bestScore = score; clash = ENTRY_INVALID; }
    else if (score === bestScore) clash = row.id;
  }
  if (clash !== ENTRY_INVALID) {
    throw new Error(`opcode table: "${ROWS[best]!.encoding}" and "${ROWS[clash]!.encoding}" claim the same encoding (cell ${index})`);
  }
  return best;
}

function rowFlags(row: Row): number {
  const main = sizingOperand(row.operands);
  const size = main === undefined ? '' : SIZE_NAMES[main.size]!;
  return (row.usesModrm ? ROW_MODRM : 0) | (row.lock ? ROW_LOCK : 0) | (row.default64 ? ROW_DEFAULT_64 : 0) |
    (row.forced64 ? ROW_FORCED_64 : 0) | (size === 'b' ? ROW_BYTE : 0) | (size === 'z' ? ROW_AT_MOST_4 : 0) |
    (size === 'y' || size === 'yy' ? ROW_AT_LEAST_4 : 0) | (size === 'n' ? ROW_NATIVE : 0) | (row.ignoresMod ? ROW_IGNORES_MOD : 0) |
    (row.prefix === '66' ? ROW_TAKES_66 : 0) | (row.prefix === 'f3' || row.prefix === 'f2' ? ROW_TAKES_REP : 0) |
    (row.opcodeCount === 16 ? ROW_CONDITION : 0) |
    (row.operands.some((operand) => operand.method === METHOD_VVVV || operand.method === METHOD_XMM_VVVV) ? ROW_VVVV : 0);
}

/** The operand whose size is the size of the operation: the first that is neither an immediate nor a port number. */
function sizingOperand(operands: readonly OperandSpec[]): OperandSpec | undefined {
  return operands.find((operand) => operand.method !== METHOD_IMMEDIATE && operand.method !== METHOD_SIGNED_IMMEDIATE &&
    operand.method !== METHOD_ONE && operand.method !== METHOD_RELATIVE && operand.text !== 'DX');
}

function packOperands(): Uint8Array {
  const packed = new Uint8Array(ROWS.length * 4);
  ROWS.forEach((row, id) => row.operands.forEach((operand, at) => { packed[id * 4 + at] = operand.id; }));
  return packed;
}
