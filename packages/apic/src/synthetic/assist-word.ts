import type { GuestWords } from './guest-words.ts';

/**
 * The word in which a processor's guest finds whether the next end of an interrupt needs no exit: bit 0 of the APIC-assist
 * page (TLFS, 10.3.5), or of the place that KVM's register names. Guests clear it with an exchange.
 */
export class AssistWord {
  #at = -1;
  readonly #words: () => GuestWords;

  constructor(words: () => GuestWords) {
    this.#words = words;
  }

  /** Where it is; -1: nowhere. The mark has to be withdrawn first. */
  set place(at: number) {
    this.#at = at;
  }

  offer(): boolean {
    if (this.#at < 0) return false;
    this.#words().or(this.#at, 1);
    return true;
  }

  /** True when the guest has taken it. */
  withdraw(): boolean {
    return this.#at >= 0 && (this.#words().and(this.#at, ~1) & 1) === 0;
  }
}
