/**
 * Which form of which instruction is which case of the interpreter.
 *
 * The list is found by decoding every opcode under every prefix that changes the form, so it cannot disagree with the
 * decoder. It is made at build time and stored beside the module.
 */
import { createInstruction, decode, DECODE_OK, OPERAND_RELATIVE } from '@vm/x86';
import type { Instruction } from '@vm/x86';
import { EMITTERS } from './emitters.ts';
import { formOf } from './form.ts';
import type { Form } from './form.ts';
import type { Handler } from './interpreter-module.ts';
import { FIRST_INSTRUCTION_HANDLER, HANDLER_UNKNOWN } from './handler-number.ts';

const NEAR = ';near';

/** Every form that the decoder can produce and an emitter exists for, in a fixed order. */
export function enumerateHandlers(long: boolean): Handler[] {
  const found = new Map<string, Handler>();
  const instruction = createInstruction();
  const prefixes: number[][] = [];
  const sizes = long ? [[], [0x66]] : [[], [0x66]];
  for (const mandatory of [[], [0xf3], [0xf2]]) {
    for (const size of sizes) for (const address of [[], [0x67]]) for (const rex of long ? [[], [0x48]] : [[]]) prefixes.push([...address, ...size, ...mandatory, ...rex]);
  }
  const maps = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];
  const bytes = new Uint8Array(32);
  const note = (): void => {
    const form = formOf(instruction, long);
    const emitter = EMITTERS[form.name];
    if (emitter === undefined) return;
    if (!found.has(form.key)) found.set(form.key, { form, emitter });
    if (form.operands.some((operand) => operand.letter === 'J') && !found.has(form.key + NEAR)) {
      found.set(form.key + NEAR, { form: { ...form, key: form.key + NEAR }, emitter });
    }
  };
  // ModRM bytes: each reg field in memory form, and all register forms (groups use whole bytes).
  const modrms: number[] = [];
  for (let reg = 0; reg < 8; reg++) modrms.push(reg << 3);
  for (let value = 0xc0; value < 0x100; value++) modrms.push(value);
  for (const prefix of prefixes) {
    for (const map of maps) {
      for (let opcode = 0; opcode < 256; opcode++) {
        for (const modrm of modrms) {
          bytes.fill(0);
          let at = 0;
          for (const byte of prefix) bytes[at++] = byte;
          for (const byte of map) bytes[at++] = byte;
          bytes[at++] = opcode;
          bytes[at] = modrm;
          if (decode(long ? 64 : 32, bytes, 0, 15, instruction) !== DECODE_OK) continue;
          if (instruction.length < at) continue; // a prefix or an escape, seen elsewhere
          note();
          if (long && instruction.isMemory !== 0 && instruction.modrm < 0) {
            bytes[at + 7] = 0x11; // moffs64 above 4 GiB
            if (decode(64, bytes, 0, 15, instruction) === DECODE_OK) note();
          }
          if (instruction.modrm < 0) break; // the byte after the opcode does not matter
        }
      }
    }
  }
  return [...found.values()].sort((a, b) => (a.form.key < b.form.key ? -1 : 1));
}

/** From instruction to case number. */
export class HandlerTable {
  readonly #byKey: ReadonlyMap<string, number>;
  readonly #long: boolean;
  readonly #known = new Map<number, number>();

  constructor(keys: readonly string[], long: boolean) {
    this.#byKey = new Map(keys.map((key, i) => [key, FIRST_INSTRUCTION_HANDLER + i]));
    this.#long = long;
  }

  /** The case for `instruction`; `near` asks for the variant whose target lies in the same page. */
  find(instruction: Instruction, near: boolean): number {
    // Everything that formOf looks at, packed; the row settles the operand kinds but for register or memory.
    const absolute = instruction.isMemory !== 0 && instruction.base < 0 && instruction.displacementHigh !== instruction.displacementLow >> 31 ? 1 : 0;
    const packed = ((((((instruction.row * 16 + instruction.operandSize) * 16 + instruction.addressSize) * 2 + instruction.isMemory) * 4
      + (instruction.rep & 3)) * 32 + (instruction.condition & 31)) * 2 + absolute) * 2 + (near ? 1 : 0);
    const known = this.#known.get(packed);
    if (known !== undefined) return known;
    const form: Form = formOf(instruction, this.#long);
    const found = this.#byKey.get(near ? form.key + NEAR : form.key) ?? HANDLER_UNKNOWN;
    this.#known.set(packed, found);
    return found;
  }
  static isDirectBranch(instruction: Instruction): boolean {
    return instruction.operandCount > 0 && instruction.operandKind[0] === OPERAND_RELATIVE;
  }
}
