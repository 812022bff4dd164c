import { QUEUE_BYTES } from './spec.ts';

/** What a keyboard or mouse has still to send. */
export class ByteQueue {
  #head = 0;
  #count = 0;
  readonly #bytes: Uint8Array = new Uint8Array(QUEUE_BYTES);

  get count(): number {
    return this.#count;
  }

  clear(): void {
    this.#count = 0;
  }

  /** A full queue drops the byte. */
  put(byte: number): void {
    if (this.#count === QUEUE_BYTES) return;
    this.#bytes[(this.#head + this.#count++) % QUEUE_BYTES] = byte;
  }

  /** Only while `count` is not 0. */
  take(): number {
    const byte = this.#bytes[this.#head]!;
    this.#head = (this.#head + 1) % QUEUE_BYTES;
    this.#count--;
    return byte;
  }

  save(): Uint8Array {
    return Uint8Array.from({ length: this.#count }, (_, i) => this.#bytes[(this.#head + i) % QUEUE_BYTES]!);
  }

  load(bytes: Uint8Array): void {
    this.#head = 0;
    this.#count = Math.min(bytes.length, QUEUE_BYTES);
    this.#bytes.set(bytes.subarray(0, this.#count));
  }
}
