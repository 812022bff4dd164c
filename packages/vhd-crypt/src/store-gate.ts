/** Lets stores of one kind run together, and those of the other alone, in the order in which they came. */
export class StoreGate {
  #running = new Set<Promise<unknown>>();
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** Nobody is alone, or waits to be: what needs no waiting can be done without asking. */
  get isOpen(): boolean {
    return !this.#closed;
  }

  /** Begins at once unless somebody is alone, or waits to be. */
  together<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#closed ? this.#last.then(work) : work();
    const settled = result.catch(() => undefined);
    this.#running.add(settled);
    void settled.then(() => this.#running.delete(settled));
    return result;
  }

  alone<T>(work: () => Promise<T>): Promise<T> {
    const before = Promise.all([this.#last, ...this.#running]);
    this.#closed = true;
    const result = before.then(work);
    const settled = result.catch(() => undefined).then(() => {
      if (this.#last === settled) this.#closed = false;
    });
    this.#last = settled;
    return result;
  }
}
