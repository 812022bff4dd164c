/**
 * Expressions of functions that are written at build time: a value knows how to push itself, and its methods give the
 * expressions that use it. Nothing is computed here and nothing is shared: an expression that is used twice is computed
 * twice, so what is needed again is first kept in a local (`FunctionBuilder.let`).
 */
import type { CodeWriter, ValueType } from '../wasm/code-writer.ts';
import { F64, I32, I64 } from '../wasm/code-writer.ts';

/** A number stands for a constant of the other operand's type. */
export type Operand = Value | number;

/** Opcodes for i32 and for i64. */
type Opcodes = readonly [number, number];

export class Value {
  readonly type: ValueType;
  readonly push: (code: CodeWriter) => void;
  /** Number of the local that it is, or -1. */
  readonly local: number;

  constructor(type: ValueType, push: (code: CodeWriter) => void, local = -1) {
    this.type = type;
    this.push = push;
    this.local = local;
  }

  #like(operand: Operand): Value {
    if (typeof operand !== 'number') {
      if (operand.type === this.type) return operand;
      // Shift counts may be i32 everywhere.
      if (operand.type === I32 && this.type === I64) return operand.extendU();
      throw new TypeError(`an operand of type ${operand.type} for one of type ${this.type}`);
    }
    return constant(this.type, operand);
  }
  #two(opcodes: Opcodes, operand: Operand, result: ValueType = this.type): Value {
    const other = this.#like(operand);
    return new Value(result, (code) => {
      this.push(code);
      other.push(code);
      code.plain(opcodes[this.type === I64 ? 1 : 0]);
    });
  }
  #one(opcodes: Opcodes, result: ValueType = this.type): Value {
    return new Value(result, (code) => {
      this.push(code);
      code.plain(opcodes[this.type === I64 ? 1 : 0]);
    });
  }

  add(other: Operand): Value { return this.#two([0x6a, 0x7c], other); }
  sub(other: Operand): Value { return this.#two([0x6b, 0x7d], other); }
  mul(other: Operand): Value { return this.#two([0x6c, 0x7e], other); }
  divU(other: Operand): Value { return this.#two([0x6e, 0x80], other); }
  remU(other: Operand): Value { return this.#two([0x70, 0x82], other); }
  and(other: Operand): Value { return this.#two([0x71, 0x83], other); }
  or(other: Operand): Value { return this.#two([0x72, 0x84], other); }
  xor(other: Operand): Value { return this.#two([0x73, 0x85], other); }
  shl(count: Operand): Value { return this.#two([0x74, 0x86], count); }
  shrS(count: Operand): Value { return this.#two([0x75, 0x87], count); }
  shrU(count: Operand): Value { return this.#two([0x76, 0x88], count); }
  not(): Value { return this.xor(-1); }
  negate(): Value { return constant(this.type, 0).sub(this); }
  clz(): Value { return this.#one([0x67, 0x79]); }

  eq(other: Operand): Value { return this.#two([0x46, 0x51], other, I32); }
  ne(other: Operand): Value { return this.#two([0x47, 0x52], other, I32); }
  ltS(other: Operand): Value { return this.#two([0x48, 0x53], other, I32); }
  ltU(other: Operand): Value { return this.#two([0x49, 0x54], other, I32); }
  gtS(other: Operand): Value { return this.#two([0x4a, 0x55], other, I32); }
  gtU(other: Operand): Value { return this.#two([0x4b, 0x56], other, I32); }
  leS(other: Operand): Value { return this.#two([0x4c, 0x57], other, I32); }
  leU(other: Operand): Value { return this.#two([0x4d, 0x58], other, I32); }
  geS(other: Operand): Value { return this.#two([0x4e, 0x59], other, I32); }
  geU(other: Operand): Value { return this.#two([0x4f, 0x5a], other, I32); }
  isZero(): Value { return this.#one([0x45, 0x50], I32); }
  isNotZero(): Value { return this.ne(0); }
  /** The top bit, as i32 0 or 1. */
  topBit(): Value { return this.ltS(0); }

  wrap(): Value { return this.#one([0xa7, 0xa7], I32); }
  extendU(): Value { return this.#one([0xad, 0xad], I64); }
  extendS(): Value { return this.#one([0xac, 0xac], I64); }

  // As f64, for first guesses that integers correct.
  /** A signed i64 as f64. */
  toDouble(): Value { return this.#one([0xb7, 0xb9], F64); }
  addDouble(other: Value): Value { return this.#twoDoubles(0xa0, other); }
  divideDouble(other: Value): Value { return this.#twoDoubles(0xa3, other); }
  squareRootDouble(): Value { return this.#one([0x9f, 0x9f], F64); }
  /** An f64 below 2^63 without its fraction, as i64. */
  truncate(): Value { return this.#one([0xb0, 0xb0], I64); }
  #twoDoubles(opcode: number, other: Value): Value {
    return new Value(F64, (code) => { this.push(code); other.push(code); code.plain(opcode); });
  }

  /** `yes` when this is not 0, else `no`. Both are computed. */
  select(yes: Value, no: Operand): Value {
    const other = typeof no === 'number' ? constant(yes.type, no) : no;
    return new Value(yes.type, (code) => {
      yes.push(code);
      other.push(code);
      this.push(code);
      code.select();
    });
  }

  // As an address.
  #read(type: ValueType, access: (code: CodeWriter) => void): Value {
    return new Value(type, (code) => { this.push(code); access(code); });
  }
  load(offset: number): Value { return this.#read(I64, (code) => code.load(offset)); }
  load32(offset: number): Value { return this.#read(I32, (code) => code.load32(offset)); }
  load16(offset: number): Value { return this.#read(I32, (code) => code.load16U32(offset)); }
  load8(offset: number): Value { return this.#read(I32, (code) => code.load8U32(offset)); }
}

export function constant(type: ValueType, value: number): Value {
  if (value !== (value | 0)) throw new RangeError(`a constant of 32 signed bits expected, got ${value}`);
  return new Value(type, (code) => { if (type === I64) code.const(value); else code.const32(value); });
}
/** An i32 constant. */
export const i32 = (value: number): Value => constant(I32, value | 0);
/** An i64 constant of any value. */
export function i64(value: bigint): Value {
  const low = Number(BigInt.asIntN(32, value));
  const high = Number(BigInt.asIntN(32, value >> 32n));
  return new Value(I64, (code) => { code.const64(low, high); });
}
