/** One counter, for its owner to bump: `counter.value++`. */
export interface Counter {
  value: number;
}

/** All counters of a machine by dotted name. Reading is rare, so it may be slow. */
export class Counters {
  readonly #entries = new Map<string, () => number>();
  readonly #families: [prefix: string, read: () => Iterable<readonly [name: string, count: number]>][] = [];

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

  /** Numbers whose names are known only when they are read. */
  family(prefix: string, read: () => Iterable<readonly [name: string, count: number]>): void {
    this.#families.push([prefix, read]);
  }

  read(): Readonly<Record<string, number>> {
    const single = Array.from(this.#entries, ([name, read]) => [name, read()] as const);
    return Object.fromEntries([...single, ...this.#families.flatMap(([prefix, read]) => Array.from(read(), ([name, count]) => [`${prefix}.${name}`, count] as const))]);
  }
}
