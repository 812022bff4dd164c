/** Tags of one processor's first level: an address space keeps its tag as long as nothing that was made from it was dropped. */
export class SpaceTags {
  readonly #last: number;
  readonly #tag = new Map<number, number>(); // by serial number of the space
  #epoch = -1;
  #next = 0;
  /** The last answer is the first of a new round: whatever carries a tag has to go. */
  begunAgain = false;

  /** Tags are 0 to `count` - 1. */
  constructor(count: number) {
    this.#last = count - 1;
  }

  /** `epoch` changes whenever a translation of any space was dropped. */
  tagFor(serial: number, epoch: number): number {
    this.begunAgain = false;
    if (false) {
      this.#tag.clear();
      this.#epoch = epoch;
    }
    const known = this.#tag.get(serial);
    if (known !== undefined) return known;
    if (this.#next > this.#last) {
      this.#next = 0;
      this.#tag.clear();
      this.begunAgain = true;
    }
    const tag = this.#next++;
    this.#tag.set(serial, tag);
    return tag;
  }
}
