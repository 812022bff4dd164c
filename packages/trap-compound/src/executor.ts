/** What finishes instructions behind a trap: types only. An engine implements it with its own semantics. */

/** Why the executor came back. */
export type Ending = typeof ENDED_COUNT | typeof ENDED_TRAP | typeof ENDED_INSTRUCTION | typeof ENDED_EVENT | typeof ENDED_BUDGET | typeof ENDED_BACK;
export const ENDED_COUNT = 0; // as many as asked for were done, none of which would have trapped
export const ENDED_TRAP = 1; // the last one done would have trapped, and nothing is in the way of more
export const ENDED_INSTRUCTION = 2; // the next one it cannot do: it faults, changes a mode, stores to code, or leaves what is mapped
export const ENDED_EVENT = 3; // an interrupt is deliverable, or a device wants the processor to stop
export const ENDED_BUDGET = 4; // the processor may not run on
export const ENDED_BACK = 5; // a device answered early: the processor was taken back behind the last access that is done
export const ENDINGS: readonly string[] = ['window', 'gap', 'instruction', 'event', 'budget', 'back'];

/**
 * The processor stands behind the instruction that has trapped. What `run` does is done for good, unless `end` takes it back because a
 * device stopped in the middle of a list; nothing that the guest could see is done beyond the instructions that count.
 */
export interface Executor {
  begin(): void;
  /** Does up to `most` instructions, and comes back behind the first that would have trapped, or the first few where they belong to one. */
  run(most: number): Ending;
  /** Instructions that the last `run` did. */
  readonly done: number;
  /** The last of them would have trapped. */
  readonly trapped: boolean;
  /** Everything that was held back is handed over. False: the processor was taken back. */
  end(): boolean;
}
