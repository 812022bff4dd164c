import type { Machine } from '@vm/core';

export type HeldMachine = Pick<Machine, 'phase' | 'pause' | 'resume' | 'reset'>;

/** Keeps a machine standing for as long as anybody wants it to. Pauses, resumptions and resets follow one another. */
export class MachineHold {
  #holders = 0;
  #ended = false;
  #moves: Promise<void> = Promise.resolve();
  readonly #machine: HeldMachine;

  constructor(machine: HeldMachine) {
    this.#machine = machine;
  }

  /** From the present instruction on, until the function that it returns is called. */
  take(): () => void {
    this.#holders++;
    const parked = this.#machine.pause().catch(() => {}); // parks right here; the errors of devices are met below
    this.#moves = this.#moves.then(() => parked);
    this.#settle();
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#holders--;
      this.#settle();
    };
  }

  /** Resets the machine, which comes up standing if it is held. */
  reset(): Promise<void> {
    const done = this.#moves.then(() => this.#machine.reset());
    this.#moves = done.catch(() => {});
    this.#settle();
    return done;
  }

  /** Resolves when nothing moves any more: a machine that is held stands still then. */
  async settled(): Promise<void> {
    for (let before: Promise<void> | null = null; before !== this.#moves; ) {
      before = this.#moves;
      await before;
    }
  }

  /** Resolves when nothing moves any more. From now on nothing will. */
  end(): Promise<void> {
    this.#ended = true;
    return this.#moves;
  }

  #settle(): void {
    this.#moves = this.#moves.then(async () => {
      if (this.#ended || this.#machine.phase !== 'running') return;
      if (this.#holders > 0) await this.#machine.pause();
      else await this.#machine.resume();
    }).catch(() => {});
  }
}
