/** A moment of a boot. */
export interface BootMoment {
  readonly atMs: number; // of real time
  readonly instructions: number;
  readonly nanos: number; // of machine time
}
/** What lies between two moments of a boot. */
export interface BootPhase {
  readonly name: string;
  readonly ms: number;
  readonly instructions: number;
  readonly machineMs: number;
}

/**
 * The parts of a boot, told apart by what can be seen from outside: a kernel is silent while it unpacks itself (and longer, if
 * it is told to be quiet), opens the console before it starts init, and a shell shows its prompt.
 */
export class BootPhases {
  readonly #phases: BootPhase[] = [];
  #last: BootMoment;

  constructor(begin: BootMoment) {
    this.#last = begin;
  }

  /** The phase that ends now. */
  end(name: string, now: BootMoment): void {
    const last = this.#last;
    this.#last = now;
    this.#phases.push({ name, ms: now.atMs - last.atMs, instructions: now.instructions - last.instructions, machineMs: (now.nanos - last.nanos) / 1e6 });
  }

  /** All phases, the present one with them. */
  list(now: BootMoment): readonly BootPhase[] {
    const copy = new BootPhases(this.#last);
    copy.end('since then', now);
    return [...this.#phases, ...copy.#phases];
  }
}
