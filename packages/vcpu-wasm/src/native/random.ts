/** Numbers that look random and are the same for the same seed (xorshift32). */
export class Random {
  #x: number;

  constructor(seed: number) {
    this.#x = (seed * 0x9e37_79b9) >>> 0 || 1;
    for (let i = 0; i < 8; i++) this.next();
  }

  /** 32 bits. */
  next(): number {
    let x = this.#x;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#x = x;
    return x >>> 0;
  }
  /** 0 to count - 1. */
  below(count: number): number { return this.next() % count; }
  /** True once in `times`. */
  once(times: number): boolean { return this.next() % times === 0; }
  pick<T>(from: readonly T[]): T { return from[this.next() % from.length] as T; }
}
