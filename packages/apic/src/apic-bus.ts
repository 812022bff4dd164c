import type { LocalApic } from './local-apic.ts';
import { COMMAND_ASSERT, COMMAND_LEVEL, COMMAND_LOGICAL, COMMAND_MODE, COMMAND_VECTOR, DESTINATION_ALL, MODE_FIXED, MODE_INIT, MODE_LOWEST } from './spec.ts';

/** Hears what local APICs tell everybody. An I/O APIC cares. */
export interface ApicBusListener {
  /** A level-triggered interrupt was served. */
  endOfInterrupt(vector: number): void;
  /** A local APIC may accept from now on what it refused before. */
  accepting(): void;
}

/**
 * Carries interrupt messages between I/O APICs, MSIs and local APICs. Every target decides with its own mode and logical
 * id whether a destination means it (SDM vol. 3, 12.6.2), so two processors with equal logical ids both receive.
 */
export class ApicBus {
  readonly #apics: LocalApic[] = [];
  readonly #listeners: ApicBusListener[] = [];
  #turn = 0;
  #lent: ((destination: number, command: number) => number) | null = null;

  /** Whose turn it is among equal ones. */
  get turn(): number {
    return this.#turn;
  }

  set turn(value: number) {
    this.#turn = value % Math.max(1, this.#apics.length);
  }

  attach(apic: LocalApic): void {
    this.#apics.push(apic);
  }

  /** The local APICs are somebody else's, who takes the messages for them; null: they are here again. */
  lend(carry: ((destination: number, command: number) => number) | null): void {
    this.#lent = carry;
  }

  get isLent(): boolean {
    return this.#lent !== null;
  }

  listen(listener: ApicBusListener): void {
    this.#listeners.push(listener);
  }

  /** Delivers a command word (the layout of the low half of the ICR) and returns how many local APICs accepted it. */
  send(destination: number, command: number): number {
    if (this.#lent !== null) return this.#lent(destination, command);
    const mode = command & COMMAND_MODE;
    if (mode === MODE_LOWEST) return this.#sendToLowest(destination, command, null);
    let accepted = 0;
    for (const apic of this.#apics) {
      if (apic.isAddressedBy(destination, (command & COMMAND_LOGICAL) !== 0) && this.deliver(apic, command)) accepted++;
    }
    return accepted;
  }

  /** To every local APIC, with or without the sender: the shorthands of the ICR. */
  sendToAll(command: number, except: LocalApic | null): void {
    if ((command & COMMAND_MODE) === MODE_LOWEST) this.#sendToLowest(DESTINATION_ALL, command, except);
    else for (const apic of this.#apics) if (apic !== except && apic.isEnabled()) this.deliver(apic, command);
  }

  deliver(apic: LocalApic, command: number): boolean {
    const level = (command & COMMAND_LEVEL) !== 0;
    const mode = command & COMMAND_MODE;
    // A level message without assert takes a level away. Only INIT still has one, and nobody obeys it (SDM vol. 3, 12.6.1).
    if (level && (command & COMMAND_ASSERT) === 0) return mode !== MODE_INIT;
    return apic.accept(mode === MODE_LOWEST ? MODE_FIXED : mode, command & COMMAND_VECTOR, level);
  }

  broadcastEoi(vector: number): void {
    for (const listener of this.#listeners) listener.endOfInterrupt(vector);
  }

  announceAccepting(): void {
    for (const listener of this.#listeners) listener.accepting();
  }

  /** Among the addressed ones, the local APIC with the lowest task priority; equal ones take turns. */
  #sendToLowest(destination: number, command: number, except: LocalApic | null): number {
    const logical = (command & COMMAND_LOGICAL) !== 0;
    const count = this.#apics.length;
    let chosen: LocalApic | null = null;
    let chosenAt = 0;
    for (let i = 1; i <= count; i++) {
      const at = (this.#turn + i) % count;
      const apic = this.#apics[at]!;
      if (apic === except || !apic.isAddressedBy(destination, logical) || !apic.isAccepting()) continue;
      if (chosen !== null && apic.arbitrationPriority() >= chosen.arbitrationPriority()) continue;
      chosen = apic;
      chosenAt = at;
    }
    if (chosen === null) return 0;
    this.#turn = chosenAt;
    return this.deliver(chosen, command) ? 1 : 0;
  }
}

/** A destination of eight bits, as I/O APICs and MSIs carry, on the bus: physical 0xff means everybody. */
export function widenDestination(destination: number, logical: boolean): number {
  return destination === 0xff && !logical ? DESTINATION_ALL : destination;
}
