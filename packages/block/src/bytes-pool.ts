const SIZES = [65_536, 1_048_576];
const MOST_FREE = 32; // of each size

/** Buffers that are used again: new ones cost more than what is done with them, because the host has to clear their pages. */
export class BytesPool {
  readonly #free: Uint8Array[][] = SIZES.map(() => []);
  readonly #whole = new WeakMap<Uint8Array, Uint8Array>();

  /** Whatever was in it before is in it. */
  take(bytes: number): Uint8Array {
    const size = SIZES.findIndex((one) => bytes <= one);
    if (size < 0 || bytes < 4096) return new Uint8Array(bytes);
    const whole = this.#free[size]!.pop() ?? new Uint8Array(SIZES[size]!);
    const part = whole.subarray(0, bytes);
    this.#whole.set(part, whole);
    return part;
  }

  /** Only once, and when nobody looks at it any more. */
  give(part: Uint8Array): void {
    const whole = this.#whole.get(part);
    if (whole === undefined) return;
    this.#whole.delete(part);
    const free = this.#free[SIZES.indexOf(whole.length)]!;
    if (free.length < MOST_FREE) free.push(whole);
  }
}
