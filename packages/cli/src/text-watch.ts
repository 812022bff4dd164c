/** Finds a text in a stream of chunks, also when it is cut between them. */
export class TextWatch {
  #tail: Uint8Array = new Uint8Array(0);
  readonly #wanted: Buffer;

  constructor(wanted: string) {
    this.#wanted = Buffer.from(wanted);
  }

  /** True when the text ends in this chunk. */
  feed(chunk: Uint8Array): boolean {
    const joined = Buffer.concat([this.#tail, chunk]);
    const found = joined.includes(this.#wanted);
    this.#tail = joined.subarray(Math.max(0, joined.length - this.#wanted.length + 1));
    return found;
  }
}
