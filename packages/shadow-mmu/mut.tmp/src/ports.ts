/** What the package needs from its surroundings. Nothing here may call back into it. */

/** Guest memory, as far as page tables lie in it. Addresses are guest-physical, below 2^44. */
export interface TableMemory {
  /** All RAM lies below this frame. */
  readonly frames: number;
  /** What is read from tables elsewhere is used once and not cached. */
  isRam(frame: number): boolean;
  /** An aligned little-endian word; outside RAM whatever the machine answers there. */
  read32(address: number): number;
  /**
   * Sets `bits` in an aligned word that was `expected`, in one step as seen by all processors; false, and nothing is done,
   * when it has changed. This store is not to be announced with `noteGuestWrite`.
   */
  setBits(address: number, expected: number, bits: number): boolean;
  /** From now on stores to this frame that no processor translated are to be announced, or need not be any more. */
  watch?(frame: number, watched: boolean): void;
}

/** The translation look-aside buffer of one processor, which is filled from the shadow tables. */
export interface FirstLevel {
  /** What is filled from now on, and answers from now on, carries this tag. */
  useTag(tag: number): void;
  /** The page of this address, or all of it when it is a piece of a large page, under the present tag. */
  dropPage(low: number, high: number): void;
  /** Everything under every tag. */
  dropAll(): void;
  /**
   * Takes away, under every tag, the right to write to these frames. When it returns, no store through such a right is on its
   * way any more.
   */
  revokeWrites(frames: Uint32Array, count: number): void;
}

/** For a processor without translations of its own. */
export const noFirstLevel: FirstLevel = { useTag: () => undefined, dropPage: () => undefined, dropAll: () => undefined, revokeWrites: () => undefined };
