import type { Clock, Nanos, Timer } from '@vm/core';

/** What somebody outside does to a guest. */
export type GuestInput =
  | { readonly kind: 'type'; readonly bytes: Uint8Array }
  | { readonly kind: 'power-button' }
  | { readonly kind: 'reset-button' };
/** An input, and when it reached the guest. Under the virtual clock the same inputs at the same times give the same run. */
export interface StampedInput {
  readonly nanos: Nanos; // of machine time
  readonly instructions: number; // retired before it
  readonly input: GuestInput;
}

export interface InputGateServices {
  readonly clock: Clock;
  /** Instructions retired so far. */
  retired(): number;
  deliver(input: GuestInput): void;
  /** Every input, as it is delivered. */
  delivered?(stamped: StampedInput): void;
  /** A replayed input found the guest at another instruction than the one it was recorded at. */
  strayed(stamped: StampedInput, retired: number): void;
}

/**
 * The one way of all inputs into a guest. They pass between two instructions, among the timers of the devices, so that a moment
 * of machine time is all that is needed to tell when one came, and to let it come again.
 */
export class InputGate {
  #next = 0; // of a replay
  readonly #replay: readonly StampedInput[] | null;
  readonly #live: GuestInput[] = [];
  readonly #timer: Timer;
  readonly #services: InputGateServices;

  /** With `replay` nothing else passes. */
  constructor(services: InputGateServices, replay: readonly StampedInput[] | null) {
    this.#services = services;
    this.#replay = replay;
    this.#timer = services.clock.timer(() => (this.#replay === null ? this.#passLive() : this.#passReplay(this.#replay)));
    this.#armForReplay();
  }

  get replaying(): boolean {
    return this.#replay !== null;
  }

  send(input: GuestInput): void {
    if (this.replaying) return;
    this.#live.push(input);
    this.#timer.arm(this.#services.clock.now());
  }

  /** Inputs on their way. */
  get live(): readonly GuestInput[] {
    return this.#live;
  }

  #passLive(): void {
    for (const input of this.#live.splice(0)) this.#pass(input);
  }

  #passReplay(replay: readonly StampedInput[]): void {
    const { clock } = this.#services;
    for (; this.#next < replay.length && replay[this.#next]!.nanos <= clock.now(); this.#next++) {
      const stamped = replay[this.#next]!;
      const retired = this.#services.retired();
      if (retired !== stamped.instructions) return this.#services.strayed(stamped, retired);
      this.#pass(stamped.input);
    }
    this.#armForReplay();
  }

  #armForReplay(): void {
    const stamped = this.#replay?.[this.#next];
    if (stamped !== undefined) this.#timer.arm(stamped.nanos);
  }

  #pass(input: GuestInput): void {
    const { clock, delivered } = this.#services;
    delivered?.({ nanos: clock.now(), instructions: this.#services.retired(), input });
    this.#services.deliver(input);
  }
}
