import type { Ram } from '@vm/core/engine';

/** Guest RAM as words that several threads use at a time. Everything here is sequentially consistent, as the protocols over it need. */
export class GuestWords {
  readonly #ram: Pick<Ram, 'memory' | 'offsetOf' | 'written'>;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;

  constructor(ram: Pick<Ram, 'memory' | 'offsetOf' | 'written'>) {
    this.#ram = ram;
    this.#words = new Int32Array(ram.memory.buffer);
    this.#bytes = new Uint8Array(ram.memory.buffer);
  }

  /** Place of `bytes` at a guest-physical address, -1 where they are not RAM or not aligned to words. */
  locate(gpa: number, bytes: number): number {
    if ((gpa & 3) !== 0 || bytes <= 0) return -1;
    const at = this.#ram.offsetOf(gpa);
    return at >= 0 && this.#ram.offsetOf(gpa + bytes - 1) === at + bytes - 1 ? at : -1;
  }

  load(at: number): number {
    return Atomics.load(this.#words, at >>> 2) >>> 0;
  }

  store(at: number, value: number): void {
    Atomics.store(this.#words, at >>> 2, value | 0);
    this.#ram.written(at, 4);
  }

  /** Sets bits and returns what the word was. */
  or(at: number, bits: number): number {
    const before = Atomics.or(this.#words, at >>> 2, bits | 0) >>> 0;
    this.#ram.written(at, 4);
    return before;
  }

  /** Keeps these bits only, and returns what the word was. */
  and(at: number, bits: number): number {
    const before = Atomics.and(this.#words, at >>> 2, bits | 0) >>> 0;
    this.#ram.written(at, 4);
    return before;
  }

  /** A copy of bytes whose order among themselves does not matter. */
  read(at: number, bytes: number): Uint8Array {
    return this.#bytes.slice(at, at + bytes);
  }

  write(at: number, from: Uint8Array): void {
    this.#bytes.set(from, at);
    this.#ram.written(at, from.length);
  }

  fill(at: number, bytes: number, value: number): void {
    this.#bytes.fill(value, at, at + bytes);
    this.#ram.written(at, bytes);
  }
}
