/** Form and emitter of each of the interpreter's cases, found again from an instruction that uses it. */
import { createInstruction, decode, DECODE_OK } from '@vm/x86';
import type { CodePage } from '../code-page.ts';
import { isInPlace } from './apart-effects.ts';
import type { InstructionEmitter } from '../emitter.ts';
import { EMITTERS } from '../emitters.ts';
import { formOf } from '../form.ts';
import type { Form } from '../form.ts';
import { FIRST_INSTRUCTION_HANDLER } from '../handler-number.ts';
import * as uop from '../uop.ts';

export interface KnownHandler {
  readonly form: Form;
  readonly emitter: InstructionEmitter;
  /** Its place among the interpreter's functions; -1 for an instruction that a region holds itself. */
  readonly apart: number;
}

const LONGEST_INSTRUCTION = 15;
const nameOf = (key: string): string => key.slice(0, key.indexOf('.'));

export class HandlerForms {
  readonly #keys: readonly string[];
  readonly #long: boolean;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #known: (KnownHandler | undefined)[] = [];
  readonly #firstApart: number;
  readonly #instruction = createInstruction();
  readonly #code = new Uint8Array(LONGEST_INSTRUCTION);

  constructor(keys: readonly string[], long: boolean, buffer: ArrayBufferLike) {
    this.#keys = keys;
    this.#long = long;
    this.#bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    const first = keys.findIndex((key) => EMITTERS[nameOf(key)]?.apart === true);
    this.#firstApart = first < 0 ? keys.length : first;
  }

  /** What `handler` is, which the instruction of the uop at `at` of `page` has. */
  of(handler: number, at: number, page: CodePage): KnownHandler {
    return this.#known[handler] ?? this.#find(handler, at, page);
  }
  #find(handler: number, at: number, page: CodePage): KnownHandler {
    const index = handler - FIRST_INSTRUCTION_HANDLER;
    const key = this.#keys[index];
    if (key === undefined) throw new RangeError(`no case ${handler} in the interpreter`);
    const length = this.#view.getUint8(at + uop.UOP_LENGTH);
    const from = page.offset + this.#view.getUint16(at + uop.UOP_NEXT, true) - length;
    this.#code.set(this.#bytes.subarray(from, from + length));
    if (decode(page.mode as 16 | 32 | 64, this.#code, 0, length, this.#instruction) !== DECODE_OK) throw new TypeError(`${key}: the page does not hold what was decoded`);
    const decoded = formOf(this.#instruction, this.#long);
    // The key in the list may name another instruction with the same encoding, or a variant of the form.
    const name = nameOf(key);
    const emitter = EMITTERS[name];
    if (emitter === undefined) throw new TypeError(`${key}: no emitter`);
    const known: KnownHandler = { form: { ...decoded, key, name }, emitter, apart: index >= this.#firstApart && !isInPlace(name) ? index - this.#firstApart : -1 };
    this.#known[handler] = known;
    return known;
  }
}
