import type { Plain } from '@vm/core';

/** Numbers that look random and are the same in every run: xoshiro128** 1.1 of Blackman and Vigna, its state spread from a seed by SplitMix32. */
export class SeededRandom {
  readonly #state: Uint32Array = new Uint32Array(4);

  constructor(seed: number) {
    let mixed = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      mixed = (mixed + 0x9e37_79b9) >>> 0;
      let value = Math.imul(mixed ^ (mixed >>> 16), 0x21f0_aaad);
      value = Math.imul(value ^ (value >>> 15), 0x735a_2d97);
      this.#state[i] = value ^ (value >>> 15);
    }
  }

  fill(into: Uint8Array): void {
    for (let i = 0; i < into.length; i += 4) {
      const word = this.#next();
      for (let j = i; j < Math.min(i + 4, into.length); j++) into[j] = word >>> (8 * (j - i));
    }
  }

  save(): Plain {
    return [...this.#state];
  }

  /** Throws TypeError. All zeros would stay zeros. */
  load(state: Plain): void {
    const words = state as readonly Plain[];
    if (!Array.isArray(state) || words.length !== 4 || !words.every((word) => Number.isInteger(word) && (word as number) >= 0 && (word as number) < 2 ** 32) || words.every((word) => word === 0)) {
      throw new TypeError('generator expected four 32-bit numbers that are not all 0');
    }
    this.#state.set(words as readonly number[]);
  }

  #next(): number {
    const state = this.#state;
    const five = Math.imul(state[1]!, 5);
    const result = Math.imul((five << 7) | (five >>> 25), 9) >>> 0;
    const shifted = state[1]! << 9;
    state[2]! ^= state[0]!;
    state[3]! ^= state[1]!;
    state[1]! ^= state[2]!;
    state[0]! ^= state[3]!;
    state[2]! ^= shifted;
    state[3] = (state[3]! << 11) | (state[3]! >>> 21);
    return result;
  }
}
