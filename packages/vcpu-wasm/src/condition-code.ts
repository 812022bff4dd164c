/** The sixteen conditions from the five flags that they look at (SDM vol. 1, appendix B). */
import type { CodeWriter } from './wasm/code-writer.ts';

/** Condition numbers without their lowest bit, which negates. */
export const CONDITION_O = 0, CONDITION_C = 1, CONDITION_Z = 2, CONDITION_BE = 3, CONDITION_S = 4, CONDITION_P = 5, CONDITION_L = 6, CONDITION_LE = 7;

/** Each pushes one flag as i32 0 or 1. */
export interface PushedFlags {
  readonly overflow: () => void;
  readonly carry: () => void;
  readonly zero: () => void;
  readonly sign: () => void;
  readonly parity: () => void;
}

export function pushCondition(code: CodeWriter, pair: number, { overflow, carry, zero, sign, parity }: PushedFlags): void {
  switch (pair) {
    case CONDITION_O: overflow(); break;
    case CONDITION_C: carry(); break;
    case CONDITION_Z: zero(); break;
    case CONDITION_BE: carry(); zero(); code.or32(); break;
    case CONDITION_S: sign(); break;
    case CONDITION_P: parity(); break;
    case CONDITION_L: sign(); overflow(); code.xor32(); break;
    default: zero(); sign(); overflow(); code.xor32().or32(); break;
  }
}
