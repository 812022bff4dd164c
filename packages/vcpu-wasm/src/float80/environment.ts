/** Control, status and tag words and the images that FNSTENV and FNSAVE store (SDM vol. 1, sections 8.1.3 to 8.1.10, figures 8-9 to 8-12). */
import { I32 } from '../wasm/code-writer.ts';
import * as state from '../cpu-state.ts';
import { BUSY, ES, exponentOf, float80, isZero, MAXIMUM_EXPONENT } from './format.ts';
import type { BuiltFunction, FunctionBuilder, FunctionLibrary } from './function-builder.ts';
import { i32, i64 } from './value.ts';
import type { Value } from './value.ts';

type ImageFunction = BuiltFunction<readonly [typeof I32, typeof I32, typeof I32], readonly []>;

export interface Environment {
  /** (s): FNINIT. */
  readonly initialise: BuiltFunction<readonly [typeof I32], readonly []>;
  /** (s, control word). */
  readonly setControl: BuiltFunction<readonly [typeof I32, typeof I32], readonly []>;
  /** (s): masks every exception. */
  readonly maskAll: BuiltFunction<readonly [typeof I32], readonly []>;
  /** (s, real-address or virtual-8086 format, with registers): between the state and X87_IMAGE. By operand size. */
  readonly save: Readonly<Record<2 | 4, ImageFunction>>;
  readonly restore: Readonly<Record<2 | 4, ImageFunction>>;
}

const CONTROL_MASK = 0x1f3f;
const CONTROL_FIXED = 0x40;
const CONTROL_AFTER_INIT = 0x37f;
const EXCEPTION_MASKS = 0x3f;
const OPCODE_MASK = 0x7ff;

export function declareEnvironment(library: FunctionLibrary): Environment {
  /** ES and B follow from the exceptions that are set and not masked. */
  const summarise = (f: FunctionBuilder, s: Value): void => {
    const status = s.load32(state.X87_STATUS);
    const unmasked = status.and(s.load32(state.X87_CONTROL).not()).and(EXCEPTION_MASKS);
    f.store(s, state.X87_STATUS, status.and(~(ES | BUSY)).or(unmasked.isNotZero().select(i32(ES | BUSY), 0)));
  };
  const initialise = library.function([I32], [], (f, s) => {
    f.store(s, state.X87_CONTROL, i32(CONTROL_AFTER_INIT));
    f.store(s, state.X87_STATUS, i32(0));
    f.store(s, state.X87_TOP, i32(0));
    f.store(s, state.X87_EMPTY, i64(0x0101_0101_0101_0101n));
    f.store(s, state.X87_OPCODE, i32(0));
    f.store(s, state.X87_INSTRUCTION_POINTER, i64(0n));
    f.store(s, state.X87_DATA_POINTER, i64(0n));
    f.store(s, state.X87_CODE_SELECTOR, i32(0));
    f.store(s, state.X87_DATA_SELECTOR, i32(0));
  });
  const setControl = library.function([I32, I32], [], (f, s, word) => {
    f.store(s, state.X87_CONTROL, word.and(CONTROL_MASK).or(CONTROL_FIXED));
    summarise(f, s);
  });
  const maskAll = library.function([I32], [], (f, s) => {
    f.store(s, state.X87_CONTROL, s.load32(state.X87_CONTROL).or(EXCEPTION_MASKS));
    summarise(f, s);
  });

  /** Two bits of register `number`: 0 valid, 1 zero, 2 special, 3 empty. */
  const tagOf = (f: FunctionBuilder, s: Value, number: number): Value => {
    const x = float80(f.let(s.load(state.X87 + number * 16)), f.let(s.load16(state.X87 + number * 16 + 8)));
    const special = exponentOf(x).eq(MAXIMUM_EXPONENT).or(exponentOf(x).isZero()).or(x.significand.topBit().isZero());
    const content = isZero(x).select(i32(1), special.shl(1));
    return s.load8(state.X87_EMPTY + number).select(i32(3), content).shl(number * 2);
  };

  const save = (size: 2 | 4): ImageFunction => library.function([I32, I32, I32], [], (f, s, real, registers) => {
    const put = (field: number, value: Value): void => {
      const at = state.X87_IMAGE + field * size;
      if (size === 2) f.store16(s, at, value);
      else f.store(s, at, value);
    };
    /** A field of 16 bits: the half above is all ones. */
    const putWord = (field: number, value: Value): void => put(field, size === 2 ? value : value.or(-0x1_0000));
    const tags = f.let32(0);
    for (let i = 0; i < 8; i++) f.or(tags, tagOf(f, s, i));
    putWord(0, s.load32(state.X87_CONTROL));
    putWord(1, s.load32(state.X87_STATUS).or(s.load32(state.X87_TOP).shl(11)));
    putWord(2, tags);
    const instruction = s.load32(state.X87_INSTRUCTION_POINTER);
    const data = s.load32(state.X87_DATA_POINTER);
    const opcode = s.load32(state.X87_OPCODE).and(OPCODE_MASK);
    const codeSelector = s.load32(state.X87_CODE_SELECTOR).and(0xffff);
    const dataSelector = s.load32(state.X87_DATA_SELECTOR).and(0xffff);
    f.if(real, () => {
      // 20- or 32-bit linear addresses, the bits from 16 on above bit 12 of the field after.
      const code = f.let(instruction.add(codeSelector.shl(4)));
      const operand = f.let(data.add(dataSelector.shl(4)));
      putWord(3, size === 2 ? code : code.and(0xffff));
      put(4, code.shrU(16).shl(12).or(opcode));
      putWord(5, size === 2 ? operand : operand.and(0xffff));
      put(6, operand.shrU(16).shl(12));
    }, () => {
      put(3, instruction);
      put(4, size === 2 ? codeSelector : codeSelector.or(opcode.shl(16)));
      put(5, data);
      putWord(6, dataSelector);
    });
    f.if(registers, () => {
      for (let i = 0; i < 8; i++) {
        const from = f.let(s.add(s.load32(state.X87_TOP).add(i).and(7).shl(4)));
        f.store(s, state.X87_IMAGE + 7 * size + i * 10, from.load(state.X87));
        f.store16(s, state.X87_IMAGE + 7 * size + i * 10 + 8, from.load16(state.X87 + 8));
      }
    });
  });

  const restore = (size: 2 | 4): ImageFunction => library.function([I32, I32, I32], [], (f, s, real, registers) => {
    const field = (number: number): Value => (size === 2 ? s.load16(state.X87_IMAGE + number * size) : s.load32(state.X87_IMAGE + number * size));
    const status = f.let(field(1));
    f.store(s, state.X87_CONTROL, field(0).and(CONTROL_MASK).or(CONTROL_FIXED));
    f.store(s, state.X87_STATUS, status.and(0xc77f));
    f.store(s, state.X87_TOP, status.shrU(11).and(7));
    summarise(f, s);
    for (let i = 0; i < 8; i++) f.store8(s, state.X87_EMPTY + i, field(2).shrU(i * 2).and(3).eq(3));
    f.if(real, () => {
      // A linear address is all there is: it becomes an offset with selector 0.
      f.store(s, state.X87_INSTRUCTION_POINTER, field(3).and(0xffff).or(field(4).and(-0x1000).shl(4)).extendU());
      f.store(s, state.X87_DATA_POINTER, field(5).and(0xffff).or(field(6).and(-0x1000).shl(4)).extendU());
      f.store(s, state.X87_CODE_SELECTOR, i32(0));
      f.store(s, state.X87_DATA_SELECTOR, i32(0));
      f.store(s, state.X87_OPCODE, field(4).and(OPCODE_MASK));
    }, () => {
      f.store(s, state.X87_INSTRUCTION_POINTER, field(3).extendU());
      f.store(s, state.X87_DATA_POINTER, field(5).extendU());
      f.store(s, state.X87_CODE_SELECTOR, field(4).and(0xffff));
      f.store(s, state.X87_DATA_SELECTOR, field(6).and(0xffff));
      if (size === 4) f.store(s, state.X87_OPCODE, field(4).shrU(16).and(OPCODE_MASK));
    });
    f.if(registers, () => {
      for (let i = 0; i < 8; i++) {
        const to = f.let(s.add(s.load32(state.X87_TOP).add(i).and(7).shl(4)));
        f.store(to, state.X87, s.load(state.X87_IMAGE + 7 * size + i * 10));
        f.store16(to, state.X87 + 8, s.load16(state.X87_IMAGE + 7 * size + i * 10 + 8));
      }
    });
  });

  return { initialise, setControl, maskAll, save: { 2: save(2), 4: save(4) }, restore: { 2: restore(2), 4: restore(4) } };
}
