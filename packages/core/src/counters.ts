/** One counter, for its owner to bump: `counter.value++`. */
export interface Counter {
  value: number;
}

/** All counters of a machine by dotted name. Reading is rare, so it may be slow. */
export class Counters {
  readonly #entries = new Map<string, () => number>();

  create(name: string): Counter {
    const counter: Counter = { value: 0 };
    this.gauge(name, () => counter.value);
    return counter;
  }

  /** A number that somebody else keeps. */
  gauge(name: string, read: () => number): void {
    if (this.#entries.has(name)) throw new RangeError(`counter ${name} exists already`);
    this.#entries.set(name, read);
  }

  read(): Readonly<Record<string, number>> {
    return Object.fromEntries(Array.from(this.#entries, ([name, read]) => [name, read()]));
  }
}
