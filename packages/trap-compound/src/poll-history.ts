const FIRST_TRY = 4; // reads in a row that gave the same
const LATEST_TRY = 1 << 20;
const MOST_OTHERS = 3; // registers that the loop may read beside

/**
 * Finds programs that read the same again and again. That alone does not make a loop that can be waited out: whether a turn of it
 * leaves everything as it was is for the engine to try, and a loop that did not gets its next try after twice as many reads.
 */
export class PollHistory {
  #key = -1;
  #value = 0;
  #same = 0;
  #others = 0;
  #tryAt = FIRST_TRY;
  /** Turns of loops were left out so many times, and the instructions of all of them. */
  waits = 0;
  instructions = 0;
  /** Tries that found something else than a loop. */
  missed = 0;

  /** The instruction at `key` has read `value`. True: a turn of the loop is worth trying. HOT. */
  read(key: number, value: number): boolean {
    if (key === this.#key) {
      this.#others = 0;
      if (value === this.#value) return ++this.#same >= this.#tryAt;
      this.#begin(key, value);
      return false;
    }
    if (++this.#others <= MOST_OTHERS) return this.#same >= this.#tryAt;
    this.#begin(key, value);
    return false;
  }
  /** A device was told something: no loop that only asks. HOT. */
  write(): void { this.#same = 0; }

  /** A turn left everything as it was; `instructions` of such turns were left out. */
  found(instructions: number): void {
    this.waits++;
    this.instructions += instructions;
    this.#tryAt = FIRST_TRY;
  }
  miss(): void {
    this.missed++;
    this.#same = 0;
    this.#tryAt = Math.min(LATEST_TRY, this.#tryAt * 2);
  }

  #begin(key: number, value: number): void {
    if (key !== this.#key) this.#tryAt = FIRST_TRY;
    this.#key = key;
    this.#value = value;
    this.#same = 0;
    this.#others = 0;
  }
}
