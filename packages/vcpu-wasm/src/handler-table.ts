/** Which form of which instruction is which case of the interpreter. */
import { OPERAND_RELATIVE } from '@vm/x86';
import type { Instruction } from '@vm/x86';
import { rowsOf } from './cpu-model.ts';
import type { CpuModel } from './cpu-model.ts';
import { formOf, isAbsolute } from './form.ts';
import { FIRST_INSTRUCTION_HANDLER, HANDLER_UNKNOWN } from './handler-number.ts';

/** Ends the key of a direct branch whose target lies in the same page. */
export const NEAR = ';near';

/** What an encoding is to processors that do not know the instruction that took it over: the F3 prefix means nothing there. */
const BEFORE: Readonly<Record<string, string>> = { tzcnt: 'bsf', lzcnt: 'bsr' };

/**
 * Everything that formOf looks at as one number; the row settles the operand kinds but for register or memory, and the operand
 * size settles their sizes but for the source of CRC32.
 */
export function packForm(i: Instruction, near: boolean): number {
  const flags = i.vexLength * 8 + (isAbsolute(i) ? 4 : 0) | (i.operandBytes[1] === 2 ? 2 : 0) | (near ? 1 : 0);
  return (((((i.row * 16 + i.operandSize) * 16 + i.addressSize) * 2 + i.isMemory) * 4 + (i.rep & 3)) * 32 + (i.condition & 31)) * 16 + flags;
}

/** From instruction to case number. */
export class HandlerTable {
  readonly #byKey: ReadonlyMap<string, number>;
  readonly #long: boolean;
  readonly #model: CpuModel;
  /** By VEX.L. */
  readonly #rows: readonly [Uint8Array, Uint8Array];
  readonly #known = new Map<number, number>();

  /** Form keys in the order of the cases. */
  readonly keys: readonly string[];

  constructor(keys: readonly string[], long: boolean, model: CpuModel) {
    this.keys = keys;
    this.#model = model;
    this.#rows = [rowsOf(model, 0), rowsOf(model, 1)];
    this.#byKey = new Map(keys.map((key, i) => [key, FIRST_INSTRUCTION_HANDLER + i]));
    this.#long = long;
  }

  /** The case for `instruction`; `near` asks for the variant whose target lies in the same page. */
  find(instruction: Instruction, near: boolean): number {
    const packed = packForm(instruction, near);
    const known = this.#known.get(packed);
    if (known !== undefined) return known;
    const found = this.#byKey.get(this.#keyOf(instruction, near)) ?? HANDLER_UNKNOWN;
    this.#known.set(packed, found);
    return found;
  }
  /** The key of the case, which is no key when the model does not have the instruction. */
  #keyOf(instruction: Instruction, near: boolean): string {
    const { key, name } = formOf(instruction, this.#long);
    if (this.#has(instruction, name)) return near ? key + NEAR : key;
    const before = BEFORE[name];
    return before === undefined ? '' : before + key.slice(name.length);
  }
  #has(instruction: Instruction, name: string): boolean {
    const { features } = this.#model;
    if (this.#rows[instruction.vexLength === 0 ? 0 : 1][instruction.row] !== 1) return false;
    if (name === 'cmpxchg8b') return instruction.operandSize !== 8 || features.has('cx16');
    if (name === 'lahf' || name === 'sahf') return !this.#long || features.has('lahf');
    return true;
  }
  static isDirectBranch(instruction: Instruction): boolean {
    return instruction.operandCount > 0 && instruction.operandKind[0] === OPERAND_RELATIVE;
  }
}
