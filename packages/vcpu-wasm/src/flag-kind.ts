/**
 * What set the arithmetic flags last, where that is put off: a number that says the operation and its size, and its operands.
 * The flags of the processor block follow from them when somebody asks.
 */
import * as state from './cpu-state.ts';
import type { CodeWriter } from './wasm/code-writer.ts';

/** The processor block has them, as words or, while regions run, put off in the same way. */
export const KIND_BLOCK = 0;
/** Three values are what FLAG_RESULT, FLAG_CARRY and FLAG_EXTRA of the processor block are to be. */
export const KIND_WORDS = 1;
/** Two operands; the result follows from them. */
export const KIND_ADD = 2;
export const KIND_SUBTRACT = 3;
/** The first value is the result. CF, OF and AF clear. */
export const KIND_LOGIC = 4;
export const OPERATION_MASK = 7;
/** Above the operation: by how much the operands' top bit lies below bit 63. */
export const SHIFT_SHIFT = 3;
export const SHIFT_MASK = 0x3f;
/** With a carry in, the result does not follow from the operands: it is the third value. */
export const CARRY_IN = 0x200;

/** Body of the function (s, kind, result, a, b) -> (result, carry, extra), as the processor block has them. `settle` is the last function below. */
export function writeFlagWords(code: CodeWriter, settle: number): void {
  const KIND = 1, RESULT = 2, A = 3, B = 4, OPERATION = 5, SHIFT = 6;
  code.reset();
  code.get(KIND).const32(OPERATION_MASK).and32().tee(OPERATION).eqz32();
  code.if();
  code.get(0).call(settle).get(0).load(state.FLAG_RESULT).get(0).load(state.FLAG_CARRY).get(0).load32U(state.FLAG_EXTRA).return();
  code.end();
  code.get(OPERATION).const32(KIND_WORDS).eq32();
  code.if();
  code.get(RESULT).get(A).get(B).return();
  code.end();
  code.get(KIND).const32(SHIFT_SHIFT).shrU32().const32(SHIFT_MASK).and32().extendU().set(SHIFT);
  code.get(OPERATION).const32(KIND_LOGIC).eq32();
  code.if();
  code.get(A).get(SHIFT).shl().get(SHIFT).shrS().const(0).get(A).const(0xff).and().return();
  code.end();
  code.get(OPERATION).const32(KIND_SUBTRACT).eq32();
  code.if();
  code.get(KIND).const32(CARRY_IN).and32().eqz32();
  code.if();
  code.get(A).get(B).sub().get(SHIFT).shl().get(SHIFT).shrS().set(RESULT);
  code.end();
  code.get(RESULT);
  code.get(A).not().get(B).and().get(A).not().get(B).or().get(RESULT).and().or().get(SHIFT).shl();
  code.get(A).get(B).xor().const(0xff).and().return();
  code.end();
  code.get(KIND).const32(CARRY_IN).and32().eqz32();
  code.if();
  code.get(A).get(B).add().get(SHIFT).shl().get(SHIFT).shrS().set(RESULT);
  code.end();
  code.get(RESULT);
  code.get(A).get(B).and().get(A).get(B).or().get(RESULT).not().and().or().get(SHIFT).shl();
  code.get(A).get(B).xor().const(0xff).and();
}

/** Body of the function (s, kind, result, a, b): the words of the processor block are the flags then. `words` is the function above. */
export function writeFlagsToBlock(code: CodeWriter, words: number): void {
  const KIND = 1, RESULT = 2, A = 3, B = 4;
  code.reset();
  code.get(0).get(KIND).get(RESULT).get(A).get(B).call(words).set(B).set(A).set(RESULT);
  code.get(0).get(RESULT).store(state.FLAG_RESULT).get(0).get(A).store(state.FLAG_CARRY).get(0).get(B).store32From64(state.FLAG_EXTRA);
  code.get(0).const32(0).store32(state.FLAGS_PENDING);
}
/** Body of the function (s): the words of the processor block are what they have been put off to be. `toBlock` is the function above. */
export function writeSettleFlags(code: CodeWriter, toBlock: number): void {
  code.reset();
  code.get(0).load32(state.FLAGS_PENDING);
  code.ifSeldom();
  code.get(0).get(0).load32(state.FLAGS_PENDING).get(0).load(state.PENDING_RESULT).get(0).load(state.PENDING_A).get(0).load(state.PENDING_B).call(toBlock);
  code.end();
}
