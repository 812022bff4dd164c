/**
 * A processor that is lent to an engine which cannot execute a few instructions by itself, as a kernel's virtual machine cannot: after an
 * exit it gets the registers, does what follows, and gives them back. Whoever lends and whoever borrows know only this file.
 */
import type { Surroundings } from '@vm/core/engine';
import type { Weights } from './adaptive-policy.ts';

/** Places in `LentProcessor.words`: 32 bits each, a register of 64 bits has two, the low half first. */
export const LENT_GENERAL = 0; // 16 in encoding order
export const LENT_RIP = 32;
export const LENT_RFLAGS = 34;
export const LENT_CR3 = 35;
/** What follows changes seldom: `finish` is told when it has. */
export const LENT_CPL = 37;
export const LENT_CR0 = 38;
export const LENT_CR4 = 39;
export const LENT_EFER = 40;
/** es, cs, ss, ds, fs, gs: selector, attributes (bits 8 to 23 of the descriptor's high half in place; 0: cannot be used), limit, base. */
export const LENT_SEGMENTS = 41;
export const LENT_SEGMENT_WORDS = 5;
export const LENT_WORDS: number = LENT_SEGMENTS + 6 * LENT_SEGMENT_WORDS;

export interface LentProcessor {
  readonly words: Uint32Array;
  /** An access has trapped. True: a block is to begin behind its instruction, by `finish`. HOT. */
  trapped(key: number): boolean;
  /**
   * The instruction that trapped is done and `words` hold the registers: does what follows and leaves the registers there. Of them it
   * changes the general ones, RIP and RFLAGS. It begins no interrupt shadow, and raises nothing: what would do either stays undone.
   */
  finish(systemChanged: boolean): void;
  /** An interrupt may have become deliverable. */
  signal(): void;
  /** The block ends behind the present instruction. */
  stop(): void;
  counts(): Iterable<readonly [name: string, count: number]>;
}

export interface LentEngine {
  /** Bytes of linear memory below RAM that so many processors need, with what others have there. */
  reserveBytes(processors: number): number;
  /** `weights`: what an exit of the borrower costs. */
  createProcessor(index: number, surroundings: Surroundings, weights: Weights): LentProcessor;
  tearDown(): void;
}
