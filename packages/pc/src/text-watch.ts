/** Finds a text in a stream of bytes, at the very byte that completes it (Knuth, Morris and Pratt 1977). */
export class TextWatch {
  #matched = 0; // bytes of the text that the stream ends in
  readonly #wanted: Uint8Array;
  readonly #fallback: Uint32Array; // by bytes matched: the longest shorter match that is left when the next byte is another

  /** Throws RangeError when the text is empty. */
  constructor(wanted: string) {
    if (wanted === '') throw new RangeError('expected a text to look for, got an empty one');
    this.#wanted = new TextEncoder().encode(wanted);
    this.#fallback = new Uint32Array(this.#wanted.length + 1);
    for (let i = 1; i < this.#wanted.length; i++) {
      this.#matched = this.#extend(this.#wanted[i]!);
      this.#fallback[i + 1] = this.#matched;
    }
    this.#matched = 0;
  }

  /** True when this byte is the last one of the text. HOT. */
  feed(byte: number): boolean {
    this.#matched = this.#extend(byte);
    if (this.#matched < this.#wanted.length) return false;
    this.#matched = this.#fallback[this.#matched]!;
    return true;
  }

  #extend(byte: number): number {
    let matched = this.#matched;
    while (matched > 0 && this.#wanted[matched] !== byte) matched = this.#fallback[matched]!;
    return this.#wanted[matched] === byte ? matched + 1 : 0;
  }
}
