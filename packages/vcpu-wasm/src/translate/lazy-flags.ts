/**
 * The arithmetic flags of a region: what set them last and with which operands, in locals, so that a condition becomes one
 * comparison and flags that nobody reads cost nothing. The kind is known where the code is written most of the time, and in
 * the local FLAG_KIND always, for the region's exit.
 */
import type { CodeWriter } from '../wasm/code-writer.ts';
import { CONDITION_BE, CONDITION_C, CONDITION_L, CONDITION_LE, CONDITION_O, CONDITION_P, CONDITION_S, CONDITION_Z, pushCondition } from '../condition-code.ts';
import { pushStepOverflow } from '../register-file-binding.ts';
import * as state from '../cpu-state.ts';
import { CARRY_IN, KIND_BLOCK, KIND_LOGIC, KIND_SUBTRACT, KIND_WORDS, OPERATION_MASK, SHIFT_SHIFT } from '../flag-kind.ts';
import { S } from '../locals.ts';
import { FLAG_A, FLAG_B, FLAG_KIND, FLAG_RESULT } from './region-locals.ts';

/** Only FLAG_KIND knows. */
export const KIND_UNKNOWN = -1;
/** The processor block has them, and may have them put off. FLAG_KIND is KIND_BLOCK. */
export const KIND_PENDING = -2;

export class LazyFlags {
  /** What is known of FLAG_KIND at this place of the code. KIND_BLOCK: the words are right. */
  kind: number = KIND_PENDING;
  readonly #words: number;
  readonly #toBlock: number;

  /** Functions (s, kind, result, a, b): the one answers the words of the processor block, the other stores them there. */
  constructor(words: number, toBlock: number) {
    this.#words = words;
    this.#toBlock = toBlock;
  }

  #bytes(): number { return 8 - ((this.kind & ~CARRY_IN) >> SHIFT_SHIFT) / 8; }
  #operation(): number { return this.kind < 0 ? KIND_UNKNOWN : this.kind & OPERATION_MASK; }

  #setKind(code: CodeWriter, kind: number): void {
    this.kind = kind;
    code.const32(kind).set(FLAG_KIND);
  }
  setArithmetic(code: CodeWriter, operation: number, a: number, b: number, result: number, bytes: number, carryIn: boolean): void {
    // What nobody looks at does not have to be kept.
    if (carryIn) code.get(result).signExtend(bytes).set(FLAG_RESULT);
    else code.const(0).set(FLAG_RESULT);
    code.get(a).set(FLAG_A).get(b).set(FLAG_B);
    this.#setKind(code, operation | ((64 - bytes * 8) << SHIFT_SHIFT) | (carryIn ? CARRY_IN : 0));
  }
  setLogic(code: CodeWriter, result: number, bytes: number): void {
    code.get(result).set(FLAG_A).const(0).set(FLAG_B).const(0).set(FLAG_RESULT);
    this.#setKind(code, KIND_LOGIC | ((64 - bytes * 8) << SHIFT_SHIFT));
  }
  setStep(code: CodeWriter, delta: 1 | -1, a: number, result: number, bytes: number): void {
    this.pushCarry(code);
    code.const(63).shl().set(FLAG_A);
    code.get(FLAG_A).get(FLAG_A).const(1).shrU().or();
    pushStepOverflow(code, delta, a, result, bytes);
    code.const(62).shl().xor().set(FLAG_A);
    code.get(a).const(1).xor().const(0xff).and().set(FLAG_B);
    code.get(result).signExtend(bytes).set(FLAG_RESULT);
    this.#setKind(code, KIND_WORDS);
  }
  /** Takes CF, ZF and PF, i32 each; `carry`, `zero` and `parity` are free i32 locals. The others become 0. */
  setComparison(code: CodeWriter, carry: number, zero: number, parity: number): void {
    code.set(parity).set(zero).set(carry);
    code.get(zero).eqz32().extendU().set(FLAG_RESULT);
    // A result of 0 has even parity, one of 1 odd.
    code.get(zero).get(parity).xor32().extendU().const(8).shl().set(FLAG_B);
    code.const(0).get(carry).extendU().sub().const(62).shl().set(FLAG_A);
    this.#setKind(code, KIND_WORDS);
  }
  /** The code that `emit` writes runs or does not; what is known afterwards is what both ways agree on. */
  when(code: CodeWriter, emit: () => void): void {
    code.if();
    const before = this.kind;
    emit();
    code.end();
    if (this.kind !== before) this.kind = KIND_UNKNOWN;
  }

  /** Pushes the result, sign-extended. */
  #pushResult(code: CodeWriter): void {
    const operation = this.#operation();
    if (operation === KIND_BLOCK) code.get(S).load(state.FLAG_RESULT);
    else if (operation === KIND_WORDS || (this.kind & CARRY_IN) !== 0) code.get(FLAG_RESULT);
    else if (operation === KIND_LOGIC) code.get(FLAG_A).signExtend(this.#bytes());
    else {
      code.get(FLAG_A).get(FLAG_B);
      if (operation === KIND_SUBTRACT) code.sub(); else code.add();
      code.signExtend(this.#bytes());
    }
  }
  /** Pushes bits 63 (carry out) and 62 and below of the carry word: where operands are known, at their size. */
  #pushCarryWord(code: CodeWriter): void {
    const operation = this.#operation();
    if (operation === KIND_BLOCK) code.get(S).load(state.FLAG_CARRY);
    else if (operation === KIND_WORDS) code.get(FLAG_A);
    else if (operation === KIND_SUBTRACT) {
      code.get(FLAG_A).not().get(FLAG_B).and().get(FLAG_A).not().get(FLAG_B).or();
      this.#pushResult(code);
      code.and().or();
    } else {
      code.get(FLAG_A).get(FLAG_B).and().get(FLAG_A).get(FLAG_B).or();
      this.#pushResult(code);
      code.not().and().or();
    }
  }
  #pushExtra(code: CodeWriter): void {
    if (this.#operation() === KIND_BLOCK) code.get(S).load32(state.FLAG_EXTRA);
    else code.get(FLAG_B).wrap();
  }
  /** Before they are looked at. */
  #settle(code: CodeWriter): void {
    if (this.kind === KIND_PENDING) this.toBlock(code);
    else if (this.kind === KIND_UNKNOWN) this.toWords(code);
  }
  /** The locals become what the processor block is to hold. */
  toWords(code: CodeWriter): void {
    const operation = this.#operation();
    if (operation === KIND_WORDS) return;
    if (operation === KIND_UNKNOWN) {
      code.get(S).get(FLAG_KIND).get(FLAG_RESULT).get(FLAG_A).get(FLAG_B).call(this.#words).set(FLAG_B).set(FLAG_A).set(FLAG_RESULT);
    } else if (operation === KIND_BLOCK) {
      code.get(S).load(state.FLAG_RESULT).set(FLAG_RESULT).get(S).load(state.FLAG_CARRY).set(FLAG_A).get(S).load32U(state.FLAG_EXTRA).set(FLAG_B);
    } else if (operation === KIND_LOGIC) code.get(FLAG_A).signExtend(this.#bytes()).tee(FLAG_RESULT).const(0xff).and().set(FLAG_B).const(0).set(FLAG_A);
    else {
      const bytes = this.#bytes();
      this.#pushCarryWord(code);
      if (bytes < 8) code.const(64 - bytes * 8).shl();
      code.get(FLAG_A).get(FLAG_B).xor().const(0xff).and();
      this.#pushResult(code);
      code.set(FLAG_RESULT).set(FLAG_B).set(FLAG_A);
    }
    this.#setKind(code, KIND_WORDS);
  }
  /** The processor block has them, or will have them when somebody asks. */
  get isInBlock(): boolean { return this.kind === KIND_BLOCK || this.kind === KIND_PENDING; }
  /** At the end of the region, where FLAG_KIND knows. */
  putOff(code: CodeWriter): void {
    code.get(FLAG_KIND);
    code.if();
    code.get(S).get(FLAG_KIND).store32(state.FLAGS_PENDING).get(S).get(FLAG_RESULT).store(state.PENDING_RESULT).get(S).get(FLAG_A).store(state.PENDING_A).get(S).get(FLAG_B).store(state.PENDING_B);
    code.end();
  }
  /** From now on the words of the processor block are right. */
  toBlock(code: CodeWriter): void {
    if (this.kind === KIND_BLOCK) return;
    if (this.kind === KIND_PENDING) {
      code.get(S).load32(state.FLAGS_PENDING);
      code.ifSeldom();
    }
    code.get(S).get(FLAG_KIND).get(FLAG_RESULT).get(FLAG_A).get(FLAG_B).call(this.#toBlock);
    if (this.kind === KIND_PENDING) code.end();
    this.#setKind(code, KIND_BLOCK);
  }
  /** The processor block has been given other flags. */
  inBlock(code: CodeWriter): void { this.#setKind(code, KIND_BLOCK); }
  /** Takes OF, then CF below it (i32 0 or 1); `m` and `n` are free i32 locals. */
  setCarryOverflow(code: CodeWriter, m: number, n: number): void {
    code.set(n).set(m);
    this.toWords(code);
    code.get(m).extendU().const(63).shl().get(m).get(n).xor32().extendU().const(62).shl().or().set(FLAG_A);
  }
  /** Takes an i32 0 or 1 as CF; `free` is an i64 local. */
  setCarry(code: CodeWriter, n: number, free: number): void {
    code.set(n);
    this.toWords(code);
    // OF = bit 63 xor bit 62, so both bits change together.
    code.get(n).extendU().const(63).shl().get(FLAG_A).const64(0, -0x8000_0000).and().xor().tee(free);
    code.get(FLAG_A).xor().get(free).const(1).shrU().xor().set(FLAG_A);
  }
  /** Pushes CF as i64. */
  pushCarry(code: CodeWriter): void {
    this.#settle(code);
    const operation = this.#operation();
    if (operation === KIND_LOGIC) code.const(0);
    else if (this.#comparable()) code.get(FLAG_A).get(FLAG_B).ltU().extendU();
    else {
      this.#pushCarryWord(code);
      if (operation === KIND_BLOCK || operation === KIND_WORDS) code.const(63).shrU();
      else code.const(this.#bytes() * 8 - 1).shrU().const(1).and();
    }
  }
  /** The flags are those of a comparison of FLAG_A with FLAG_B. */
  #comparable(): boolean { return this.#operation() === KIND_SUBTRACT && (this.kind & CARRY_IN) === 0; }

  /** Pushes the condition (SDM vol. 1, appendix B) as i32 0 or 1. */
  pushCondition(code: CodeWriter, number: number): void {
    this.#settle(code);
    const operation = this.#operation();
    if (operation === KIND_BLOCK || operation === KIND_WORDS) this.#conditionOfWords(code, number >> 1);
    else if (operation === KIND_LOGIC) this.#conditionLogic(code, number >> 1);
    else if (!this.#comparable() || !this.#conditionCompared(code, number >> 1)) this.#conditionArithmetic(code, number >> 1);
    if ((number & 1) !== 0) code.eqz32();
  }
  #parity(code: CodeWriter): void {
    this.#pushResult(code);
    code.wrap().const32(0xff).and32().popcnt32().const32(1).and32().eqz32();
  }

  #conditionLogic(code: CodeWriter, pair: number): void {
    switch (pair) {
      case CONDITION_O: case CONDITION_C: code.const32(0); break;
      case CONDITION_Z: case CONDITION_BE:
        if (this.#bytes() === 4) code.get(FLAG_A).wrap().eqz32();
        else code.get(FLAG_A).zeroExtend(this.#bytes()).eqz();
        break;
      case CONDITION_S: case CONDITION_L:
        if (this.#bytes() === 4) code.get(FLAG_A).wrap().const32(0).ltS32();
        else code.get(FLAG_A).signExtend(this.#bytes()).const(0).ltS();
        break;
      case CONDITION_P: this.#parity(code); break;
      default:
        if (this.#bytes() === 4) code.get(FLAG_A).wrap().const32(0).leS32();
        else code.get(FLAG_A).signExtend(this.#bytes()).const(0).leS();
    }
  }
  /** False when a comparison does not give the condition. */
  #conditionCompared(code: CodeWriter, pair: number): boolean {
    const bytes = this.#bytes();
    const signed = (): CodeWriter => (bytes === 4 ? code.get(FLAG_A).wrap().get(FLAG_B).wrap() : code.get(FLAG_A).signExtend(bytes).get(FLAG_B).signExtend(bytes));
    switch (pair) {
      case CONDITION_C: code.get(FLAG_A).get(FLAG_B).ltU(); return true;
      case CONDITION_Z: code.get(FLAG_A).get(FLAG_B).eq(); return true;
      case CONDITION_BE: code.get(FLAG_A).get(FLAG_B).leU(); return true;
      case CONDITION_L:
        if (bytes === 4) signed().ltS32(); else signed().ltS();
        return true;
      case CONDITION_LE:
        if (bytes === 4) signed().leS32(); else signed().leS();
        return true;
      default: return false;
    }
  }
  #conditionArithmetic(code: CodeWriter, pair: number): void {
    const top = this.#bytes() * 8 - 1;
    pushCondition(code, pair, {
      carry: () => { this.#pushCarryWord(code); code.const(top).shrU().const(1).and().wrap(); },
      zero: () => {
        this.#pushResult(code);
        code.eqz();
      },
      sign: () => {
        this.#pushResult(code);
        code.const(0).ltS();
      },
      parity: () => this.#parity(code),
      overflow: () => {
        // a and b of unlike signs (subtraction) or like ones (addition), and the result of another sign than a.
        code.get(FLAG_A).get(FLAG_B).xor();
        if (this.#operation() !== KIND_SUBTRACT) code.not();
        code.get(FLAG_A);
        this.#pushResult(code);
        code.xor().and().const(top).shrU().const(1).and().wrap();
      },
    });
  }
  #conditionOfWords(code: CodeWriter, pair: number): void {
    pushCondition(code, pair, {
      carry: () => {
        this.#pushCarryWord(code);
        code.const(63).shrU().wrap();
      },
      overflow: () => {
        this.#pushCarryWord(code);
        this.#pushCarryWord(code);
        code.const(1).shl().xor().const(63).shrU().wrap();
      },
      zero: () => {
        this.#pushResult(code);
        code.eqz();
      },
      sign: () => {
        this.#pushResult(code);
        code.const(63).shrU().wrap();
        this.#pushExtra(code);
        code.const32(16).shrU32().xor32();
      },
      parity: () => {
        this.#pushResult(code);
        code.wrap();
        this.#pushExtra(code);
        code.const32(8).shrU32().xor32().const32(0xff).and32().popcnt32().const32(1).and32().eqz32();
      },
    });
  }
}
