import type { Controller, Line, Lines, LineSink } from './abi.ts';

interface Listener {
  readonly owner: string;
  readonly first: number;
  readonly end: number;
  readonly sink: LineSink;
}

/** The interrupt wiring: outputs of devices OR-ed on pins, pins to the inputs of controllers, controllers to the processors. */
export class LineHub implements Lines {
  readonly #raised: number[] = []; // how many outputs hold each pin high
  readonly #told: boolean[] = []; // what the controllers last heard
  readonly #listeners: Listener[] = [];
  readonly #outputs: { readonly owner: string; high: boolean }[] = [];
  readonly #onOutput: (high: boolean) => void;
  #live = false;

  /** `onOutput` hears the OR of the outputs of all controllers. */
  constructor(onOutput: (high: boolean) => void) {
    this.#onOutput = onOutput;
  }

  connect(pin: number): Line {
    if (!Number.isInteger(pin) || pin < 0) throw new RangeError(`expected a pin number, got ${pin}`);
    this.#raised[pin] ??= 0;
    this.#told[pin] ??= false;
    return new Output((high) => this.#change(pin, high ? 1 : -1));
  }

  controllerFor(owner: string): Controller {
    const output = { owner, high: false };
    this.#outputs.push(output);
    const intr = new Output((high) => {
      const before = this.#outputs.some((other) => other.high);
      output.high = high;
      const after = this.#outputs.some((other) => other.high);
      if (before !== after) this.#onOutput(after);
    });
    return { intr, attach: (first, pins, sink) => void this.#listeners.push({ owner, first, end: first + pins, sink }) };
  }

  /**
   * While not live, levels are recorded and the controllers hear nothing. They come up with all pins low and hear of the rest then;
   * restored ones come up with levels of their own, and hear of all.
   */
  setLive(live: boolean, restored: boolean = false): void {
    this.#live = live;
    if (!live) this.#told.fill(false);
    else for (const pin of this.#raised.keys()) {
      if (restored && this.#raised[pin] !== undefined) this.#told[pin] = (this.#raised[pin] ?? 0) === 0;
      this.#tell(pin);
    }
  }

  /** An acknowledge cycle of a processor: the vector from the first controller that asks for service, or -1. */
  acknowledge(): number {
    for (const output of this.#outputs) {
      if (!output.high) continue;
      const listener = this.#listeners.find((other) => other.owner === output.owner && other.sink.acknowledge !== undefined);
      if (listener !== undefined) return listener.sink.acknowledge!();
    }
    return -1;
  }

  endOfInterrupt(vector: number): void {
    for (const { sink } of this.#listeners) sink.endOfInterrupt?.(vector);
  }

  #change(pin: number, by: number): void {
    this.#raised[pin]! += by;
    if (this.#live) this.#tell(pin);
  }

  #tell(pin: number): void {
    const high = (this.#raised[pin] ?? 0) > 0;
    if (high === (this.#told[pin] ?? false)) return;
    this.#told[pin] = high;
    for (const { first, end, sink } of this.#listeners) if (pin >= first && pin < end) sink.setLine(pin, high);
  }
}

class Output implements Line {
  #high = false;
  readonly #changed: (high: boolean) => void;

  constructor(changed: (high: boolean) => void) {
    this.#changed = changed;
  }

  set(high: boolean): void {
    if (high === this.#high) return;
    this.#high = high;
    this.#changed(high);
  }
}
