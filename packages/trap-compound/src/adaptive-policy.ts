import type { BlockOutcome, CompoundPolicy, Limits } from './policy.ts';

const RECORDS = 1024; // a power of two
const FIRST_PROBE = 16; // traps at an instruction before a block is tried there
const LATEST_PROBE = 1 << 20;
const DEMOTE_AFTER = 4; // blocks in a row that were not worth it

/** What is spared and what it costs, in units of one exit of the engine. */
export interface Weights {
  readonly handoff: number; // a device that is elsewhere is asked
  readonly block: number; // to begin and end one
  readonly trap: number; // a trapping instruction done in a block
  readonly between: number; // another one, over what it costs outside
}

/**
 * A history by instruction. An instruction that traps often is probed with a wide block; where that spared more than it cost, blocks go
 * on there with the gap that was seen; where it did not, the next probe comes after twice as many traps. Records are found by the low bits
 * of the key alone: instructions that share one are probed for each other, which costs time and nothing else.
 */
export function adaptivePolicy(probe: Limits, weights: Weights): CompoundPolicy {
  const waits = new Int32Array(RECORDS).fill(FIRST_PROBE); // traps until the next block; 1: at every one
  const pauses = new Int32Array(RECORDS).fill(FIRST_PROBE);
  const gaps = new Int32Array(RECORDS); // 0: not promoted
  const misses = new Int32Array(RECORDS);
  const chosen = { window: probe.window, gap: probe.gap };
  const worth = ({ traps, sparedHandoffs, instructions }: BlockOutcome): boolean =>
    traps - 1 + sparedHandoffs * weights.handoff > weights.block + traps * weights.trap + Math.max(0, instructions - traps) * weights.between;
  return {
    limits: (key) => {
      const at = key & (RECORDS - 1);
      if (--waits[at]! > 0) return null;
      waits[at] = 1;
      chosen.gap = gaps[at] === 0 ? probe.gap : gaps[at]!;
      return chosen;
    },
    learn: (key, outcome) => {
      const at = key & (RECORDS - 1);
      if (worth(outcome)) {
        gaps[at] = Math.max(gaps[at]!, outcome.widest + 1);
        misses[at] = 0;
        pauses[at] = FIRST_PROBE;
        return;
      }
      if (gaps[at] !== 0 && ++misses[at]! < DEMOTE_AFTER) return;
      gaps[at] = 0;
      misses[at] = 0;
      waits[at] = pauses[at]!;
      pauses[at] = Math.min(LATEST_PROBE, pauses[at]! * 2);
    },
  };
}
