/** Tags of one processor's first level: an address space keeps its tag as long as nothing that was made for it was dropped. */
export class SpaceTags {
  readonly #last: number;
  // Both by serial number of the space.
  readonly #tag = new Map<number, number>();
  readonly #epoch = new Map<number, number>();
  #next = 0;
  /** The last answer is the first of a new round: whatever carries a tag has to go. */
  begunAgain = false;

  /** Tags are 0 to `count` - 1. */
  constructor(count: number) {
    this.#last = count - 1;
  }

  /** `epoch` changes whenever a translation of the space was dropped. */
  tagFor(serial: number, epoch: number): number {
    this.begunAgain = false;
    if (this.#epoch.get(serial) === epoch) return this.#tag.get(serial) as number;
    if (this.#next > this.#last) {
      this.#next = 0;
      this.#tag.clear();
      this.#epoch.clear();
      this.begunAgain = true;
    }
    const tag = this.#next++;
    this.#tag.set(serial, tag);
    this.#epoch.set(serial, epoch);
    return tag;
  }
}
