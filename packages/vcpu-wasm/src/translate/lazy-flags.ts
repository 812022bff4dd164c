/**
 * The arithmetic flags of a region: what set them last and with which operands, in locals, so that a condition becomes one
 * comparison and flags that nobody reads cost nothing. The kind is known where the code is written most of the time, and in
 * the local FLAG_KIND always, for the region's exit.
 */
import type { CodeWriter } from '../wasm/code-writer.ts';
import { CONDITION_BE, CONDITION_C, CONDITION_L, CONDITION_LE, CONDITION_O, CONDITION_P, CONDITION_S, CONDITION_Z, pushCondition } from '../condition-code.ts';
import { pushStepOverflow } from '../register-file-binding.ts';
import { FLAG_A, FLAG_B, FLAG_KIND, FLAG_RESULT } from './region-locals.ts';

/** FLAG_A and FLAG_B hold FLAG_CARRY and FLAG_EXTRA of the processor block. */
export const KIND_STORED = 0;
export const KIND_ADD = 1;
export const KIND_SUBTRACT = 2;
/** CF, OF and AF clear; FLAG_A and FLAG_B mean nothing. */
export const KIND_LOGIC = 3;
const OPERATION_MASK = 3;
/** Above the operation: by how much the operands' top bit lies below bit 63. */
const SHIFT_SHIFT = 2;
/** With a carry in, comparing the operands does not give the flags. */
const CARRY_IN = 0x100;
/** Only FLAG_KIND knows. */
export const KIND_UNKNOWN = -1;

export class LazyFlags {
  /** What is known of FLAG_KIND at this place of the code. */
  kind: number = KIND_STORED;
  /** Some code of the region reads or sets flags. */
  touched = false;
  readonly #canonical: number;

  /** `canonical` is the function (kind, result, a, b) -> (carry, extra). */
  constructor(canonical: number) { this.#canonical = canonical; }

  #bytes(): number { return 8 - ((this.kind & ~CARRY_IN) >> SHIFT_SHIFT) / 8; }

  #setKind(code: CodeWriter, kind: number): void {
    this.kind = kind;
    this.touched = true;
    code.const32(kind & ~CARRY_IN).set(FLAG_KIND);
  }
  setArithmetic(code: CodeWriter, operation: number, a: number, b: number, result: number, bytes: number, carryIn: boolean): void {
    code.get(result).signExtend(bytes).set(FLAG_RESULT).get(a).set(FLAG_A).get(b).set(FLAG_B);
    this.#setKind(code, operation | ((64 - bytes * 8) << SHIFT_SHIFT) | (carryIn ? CARRY_IN : 0));
  }
  setLogic(code: CodeWriter, result: number, bytes: number): void {
    code.get(result).signExtend(bytes).set(FLAG_RESULT);
    this.#setKind(code, KIND_LOGIC);
  }
  setStep(code: CodeWriter, delta: 1 | -1, a: number, result: number, bytes: number): void {
    this.pushCarry(code);
    code.const(63).shl().set(FLAG_A);
    code.get(FLAG_A).get(FLAG_A).const(1).shrU().or();
    pushStepOverflow(code, delta, a, result, bytes);
    code.const(62).shl().xor().set(FLAG_A);
    code.get(a).const(1).xor().const(0xff).and().set(FLAG_B);
    code.get(result).signExtend(bytes).set(FLAG_RESULT);
    this.#setKind(code, KIND_STORED);
  }
  /** Takes CF, ZF and PF, i32 each; `carry`, `zero` and `parity` are free i32 locals. The others become 0. */
  setComparison(code: CodeWriter, carry: number, zero: number, parity: number): void {
    code.set(parity).set(zero).set(carry);
    code.get(zero).eqz32().extendU().set(FLAG_RESULT);
    // A result of 0 has even parity, one of 1 odd.
    code.get(zero).get(parity).xor32().extendU().const(8).shl().set(FLAG_B);
    code.const(0).get(carry).extendU().sub().const(62).shl().set(FLAG_A);
    this.#setKind(code, KIND_STORED);
  }
  /** The locals have been loaded from the processor block. */
  loaded(code: CodeWriter): void { this.#setKind(code, KIND_STORED); }
  /** The code that `emit` writes runs or does not; what is known afterwards is what both ways agree on. */
  when(code: CodeWriter, emit: () => void): void {
    code.if();
    const before = this.kind;
    emit();
    code.end();
    if (this.kind !== before) this.kind = KIND_UNKNOWN;
  }

  /** Pushes bits 63 (carry out) and 62 and below of the carry word, from operands. */
  #pushCarryWord(code: CodeWriter): void {
    if ((this.kind & OPERATION_MASK) === KIND_SUBTRACT) {
      code.get(FLAG_A).not().get(FLAG_B).and().get(FLAG_A).not().get(FLAG_B).or().get(FLAG_RESULT).and().or();
    } else code.get(FLAG_A).get(FLAG_B).and().get(FLAG_A).get(FLAG_B).or().get(FLAG_RESULT).not().and().or();
  }
  /** FLAG_A and FLAG_B become what the processor block holds. */
  store(code: CodeWriter): void {
    this.touched = true;
    if (this.kind === KIND_STORED) return;
    if (this.kind === KIND_UNKNOWN) {
      code.get(FLAG_KIND);
      code.ifSeldom();
      code.get(FLAG_KIND).get(FLAG_RESULT).get(FLAG_A).get(FLAG_B).call(this.#canonical).set(FLAG_B).set(FLAG_A);
      code.const32(KIND_STORED).set(FLAG_KIND);
      code.end();
      this.kind = KIND_STORED;
      return;
    }
    if (this.kind === KIND_LOGIC) code.const(0).set(FLAG_A).get(FLAG_RESULT).const(0xff).and().set(FLAG_B);
    else {
      const bytes = this.#bytes();
      this.#pushCarryWord(code);
      if (bytes < 8) code.const(64 - bytes * 8).shl();
      code.get(FLAG_A).get(FLAG_B).xor().const(0xff).and().set(FLAG_B).set(FLAG_A);
    }
    this.#setKind(code, KIND_STORED);
  }
  /** Takes OF, then CF below it (i32 0 or 1); `m` and `n` are free i32 locals. */
  setCarryOverflow(code: CodeWriter, m: number, n: number): void {
    code.set(n).set(m);
    this.store(code);
    code.get(m).extendU().const(63).shl().get(m).get(n).xor32().extendU().const(62).shl().or().set(FLAG_A);
  }
  /** Takes an i32 0 or 1 as CF; `free` is an i64 local. */
  setCarry(code: CodeWriter, n: number, free: number): void {
    code.set(n);
    this.store(code);
    // OF = bit 63 xor bit 62, so both bits change together.
    code.get(n).extendU().const(63).shl().get(FLAG_A).const64(0, -0x8000_0000).and().xor().tee(free);
    code.get(FLAG_A).xor().get(free).const(1).shrU().xor().set(FLAG_A);
  }
  /** Pushes CF as i64. */
  pushCarry(code: CodeWriter): void {
    if (this.kind === KIND_UNKNOWN) this.store(code);
    this.touched = true;
    if (this.kind === KIND_STORED) code.get(FLAG_A).const(63).shrU();
    else if (this.kind === KIND_LOGIC) code.const(0);
    else if (this.#comparable()) code.get(FLAG_A).get(FLAG_B).ltU().extendU();
    else {
      this.#pushCarryWord(code);
      code.const(this.#bytes() * 8 - 1).shrU().const(1).and();
    }
  }
  /** The flags are those of a comparison of FLAG_A with FLAG_B. */
  #comparable(): boolean { return this.kind > 0 && (this.kind & CARRY_IN) === 0 && (this.kind & OPERATION_MASK) === KIND_SUBTRACT; }

  /** Pushes the condition (SDM vol. 1, appendix B) as i32 0 or 1. */
  pushCondition(code: CodeWriter, number: number): void {
    if (this.kind === KIND_UNKNOWN) this.store(code);
    this.touched = true;
    if (this.kind === KIND_STORED) this.#conditionStored(code, number >> 1);
    else if (this.kind === KIND_LOGIC) this.#conditionLogic(code, number >> 1);
    else if (!this.#comparable() || !this.#conditionCompared(code, number >> 1)) this.#conditionArithmetic(code, number >> 1);
    if ((number & 1) !== 0) code.eqz32();
  }
  #parity(code: CodeWriter): void { code.get(FLAG_RESULT).wrap().const32(0xff).and32().popcnt32().const32(1).and32().eqz32(); }

  #conditionLogic(code: CodeWriter, pair: number): void {
    switch (pair) {
      case CONDITION_O: case CONDITION_C: code.const32(0); break;
      case CONDITION_Z: case CONDITION_BE: code.get(FLAG_RESULT).eqz(); break;
      case CONDITION_S: case CONDITION_L: code.get(FLAG_RESULT).const(0).ltS(); break;
      case CONDITION_P: this.#parity(code); break;
      default: code.get(FLAG_RESULT).const(0).leS(); break;
    }
  }
  /** False when a comparison does not give the condition. */
  #conditionCompared(code: CodeWriter, pair: number): boolean {
    const bytes = this.#bytes();
    const signed = (): CodeWriter => code.get(FLAG_A).signExtend(bytes).get(FLAG_B).signExtend(bytes);
    switch (pair) {
      case CONDITION_C: code.get(FLAG_A).get(FLAG_B).ltU(); return true;
      case CONDITION_Z: code.get(FLAG_A).get(FLAG_B).eq(); return true;
      case CONDITION_BE: code.get(FLAG_A).get(FLAG_B).leU(); return true;
      case CONDITION_L: signed().ltS(); return true;
      case CONDITION_LE: signed().leS(); return true;
      default: return false;
    }
  }
  #conditionArithmetic(code: CodeWriter, pair: number): void {
    const top = this.#bytes() * 8 - 1;
    pushCondition(code, pair, {
      carry: () => { this.#pushCarryWord(code); code.const(top).shrU().const(1).and().wrap(); },
      zero: () => { code.get(FLAG_RESULT).eqz(); },
      sign: () => { code.get(FLAG_RESULT).const(0).ltS(); },
      parity: () => this.#parity(code),
      overflow: () => {
        // a and b of unlike signs (subtraction) or like ones (addition), and the result of another sign than a.
        code.get(FLAG_A).get(FLAG_B).xor();
        if ((this.kind & OPERATION_MASK) !== KIND_SUBTRACT) code.not();
        code.get(FLAG_A).get(FLAG_RESULT).xor().and().const(top).shrU().const(1).and().wrap();
      },
    });
  }
  #conditionStored(code: CodeWriter, pair: number): void {
    pushCondition(code, pair, {
      carry: () => { code.get(FLAG_A).const(63).shrU().wrap(); },
      overflow: () => { code.get(FLAG_A).get(FLAG_A).const(1).shl().xor().const(63).shrU().wrap(); },
      zero: () => { code.get(FLAG_RESULT).eqz(); },
      sign: () => { code.get(FLAG_RESULT).const(63).shrU().wrap().get(FLAG_B).wrap().const32(16).shrU32().xor32(); },
      parity: () => { code.get(FLAG_RESULT).wrap().get(FLAG_B).wrap().const32(8).shrU32().xor32().const32(0xff).and32().popcnt32().const32(1).and32().eqz32(); },
    });
  }
}

/** Body of the function (kind, result, a, b) -> (carry, extra) for flags of which only FLAG_KIND says what set them; kind is not KIND_STORED. */
export function writeCanonical(code: CodeWriter): void {
  const KIND = 0, RESULT = 1, LEFT = 2, RIGHT = 3;
  code.get(KIND).const32(OPERATION_MASK).and32().const32(KIND_LOGIC).eq32();
  code.if();
  code.const(0).get(RESULT).const(0xff).and().return();
  code.end();
  code.get(KIND).const32(OPERATION_MASK).and32().const32(KIND_SUBTRACT).eq32();
  code.if();
  code.get(LEFT).not().get(RIGHT).and().get(LEFT).not().get(RIGHT).or().get(RESULT).and().or();
  code.get(KIND).const32(SHIFT_SHIFT).shrU32().extendU().shl();
  code.get(LEFT).get(RIGHT).xor().const(0xff).and().return();
  code.end();
  code.get(LEFT).get(RIGHT).and().get(LEFT).get(RIGHT).or().get(RESULT).not().and().or();
  code.get(KIND).const32(SHIFT_SHIFT).shrU32().extendU().shl();
  code.get(LEFT).get(RIGHT).xor().const(0xff).and();
}
