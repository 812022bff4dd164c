/** Decides at a trap whether to look ahead, and how far. */
export type CompoundPolicyName = 'off' | 'fixed' | 'adaptive';
export const COMPOUND_POLICIES: readonly CompoundPolicyName[] = ['off', 'fixed', 'adaptive'];

/** How accesses of a block reach a device that is not with the machine: one by one, or as one list. */
export type Handoff = 'each' | 'list';
export const HANDOFFS: readonly Handoff[] = ['each', 'list'];

export interface Limits {
  /** Instructions behind the trap that a block has at most: the patent's "determinable number". */
  readonly window: number;
  /** Instructions in a row that would not have trapped, which a block may have. */
  readonly gap: number;
}
/** What became of a block. */
export interface BlockOutcome {
  /** Instructions that would have trapped, the first among them. */
  readonly traps: number;
  /** Most instructions between two of them. */
  readonly widest: number;
  readonly instructions: number;
  /** Hand-overs that lists spared. */
  readonly sparedHandoffs: number;
}
export interface CompoundPolicy {
  /** Limits of a block behind the trap at `key` (which stands for the instruction in its mode), or null: none is tried. HOT. */
  limits(key: number): Limits | null;
  learn(key: number, outcome: BlockOutcome): void;
}

/** A block behind every trap. */
export function fixedPolicy(limits: Limits): CompoundPolicy {
  return { limits: () => limits, learn: () => undefined };
}
