const MOST_MILLISECONDS = 0.25;

/**
 * Keeps the event loop turning for a moment while the next request is expected, because waking a process that sleeps takes longer than
 * serving a small request. Only where the request before came that soon: a client that takes its time costs nothing.
 */
export class ShortWait {
  #since = 0;
  #waits = false;
  #turns = false;
  #isSoon = true;
  readonly #turn = (): void => {
    this.#turns = this.#waits && performance.now() - this.#since < MOST_MILLISECONDS;
    if (this.#turns) setImmediate(this.#turn);
  };

  begin(): void {
    this.#waits = true;
    this.#since = performance.now();
    if (!this.#isSoon || this.#turns) return;
    this.#turns = true;
    setImmediate(this.#turn);
  }

  end(): void {
    if (!this.#waits) return;
    this.#waits = false;
    this.#isSoon = performance.now() - this.#since < MOST_MILLISECONDS;
  }
}
