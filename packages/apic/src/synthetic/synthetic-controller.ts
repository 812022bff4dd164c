import { FIRST_LEGAL_VECTOR } from '../spec.ts';
import type { GuestWords } from './guest-words.ts';
import { placeMessage, type SyntheticMessage } from './message-slot.ts';
import * as spec from './spec.ts';

const PAGE_BYTES = 4096;
/** Messages that may wait for one source of one processor, by whatever guests post. */
export const MOST_WAITING = 16;
/** The same for the host's own, whose answers do not come again: a burst behind one that the guest has not read yet. */
export const MOST_OF_HOST: number = 2 * MOST_WAITING;

export interface SyntheticControllerPorts {
  words(): GuestWords;
  /** An edge-triggered interrupt of this processor; lost where its local APIC is off. */
  raise(vector: number): void;
  /** Slots may have become empty: messages of timers that found none. */
  retryTimers(source: number): void;
}

export interface SyntheticControllerState {
  readonly control: number;
  readonly events: readonly number[];
  readonly messages: readonly number[];
  readonly sources: readonly number[];
  readonly queues: readonly (readonly { readonly type: number; readonly payload: Uint8Array; readonly sender: number }[])[];
}

/** Counts of one processor. */
export class MessageCounts {
  posted = 0;
  deferred = 0; // found the slot full
  placed = 0;
  ends = 0; // stores to EOM
  events = 0;
}

/** The synthetic interrupt controller of one processor (TLFS, 11): 16 sources with messages and event flags. */
export class SyntheticController {
  readonly counts: MessageCounts = new MessageCounts();
  #control = 0;
  readonly #events: [low: number, high: number] = [0, 0];
  readonly #messages: [low: number, high: number] = [0, 0];
  readonly #sources: Uint32Array = new Uint32Array(spec.SOURCES);
  readonly #queues: SyntheticMessage[][] = Array.from({ length: spec.SOURCES }, () => []);
  // Vectors that a source uses, and those that end themselves: made from all sources whenever one changes.
  readonly #used: Uint32Array = new Uint32Array(8);
  readonly #automatic: Uint32Array = new Uint32Array(8);
  readonly #ports: SyntheticControllerPorts;

  constructor(ports: SyntheticControllerPorts) {
    this.#ports = ports;
    this.reset();
  }

  reset(): void {
    this.#control = 0;
    this.#events.fill(0);
    this.#messages.fill(0);
    this.#sources.fill(spec.SINT_RESET);
    for (const queue of this.#queues) queue.length = 0;
    this.#sourcesChanged();
  }

  get control(): number {
    return this.#control;
  }

  /** Whether messages can be placed. */
  get ready(): boolean {
    return (this.#control & spec.PAGE_ENABLE) !== 0 && (this.#messages[0] & spec.PAGE_ENABLE) !== 0;
  }

  /** Low and high half of a register, null for one that is not here. */
  read(index: number): readonly [low: number, high: number] | null {
    switch (index) {
      case spec.MSR_SCONTROL: return [this.#control, 0];
      case spec.MSR_SVERSION: return [1, 0];
      case spec.MSR_SIEFP: return this.#events;
      case spec.MSR_SIMP: return this.#messages;
      case spec.MSR_EOM: return [0, 0];
      default: return index >= spec.MSR_SINT0 && index < spec.MSR_SINT0 + spec.SOURCES ? [this.#sources[index - spec.MSR_SINT0]!, 0] : null;
    }
  }

  /** False: read-only, reserved bits, or not here. */
  write(index: number, low: number, high: number): boolean {
    switch (index) {
      case spec.MSR_SCONTROL: this.#control = low; return true;
      case spec.MSR_SIEFP: return this.#setPage(this.#events, low, high);
      case spec.MSR_SIMP: return this.#setPage(this.#messages, low, high);
      case spec.MSR_EOM:
        this.counts.ends++;
        for (let source = 0; source < spec.SOURCES; source++) this.#flush(source);
        return true;
      default: return index >= spec.MSR_SINT0 && index < spec.MSR_SINT0 + spec.SOURCES && this.#setSource(index - spec.MSR_SINT0, low, high);
    }
  }

  /** A message for a source: a status of the hypercall that posts. */
  post(source: number, message: SyntheticMessage, most: number = MOST_WAITING): number {
    if (!this.ready) return spec.STATUS_INVALID_SYNIC_STATE;
    const queue = this.#queues[source]!;
    if (queue.length >= most) return spec.STATUS_INSUFFICIENT_BUFFERS;
    queue.push({ ...message, payload: message.payload.slice() });
    this.counts.posted++;
    this.#flush(source);
    if (queue.length > 0) this.counts.deferred++;
    return spec.STATUS_SUCCESS;
  }

  /** A message that nobody queues. False: the slot is full, and its message marked. */
  place(source: number, message: SyntheticMessage): boolean {
    const page = this.#page(this.#messages);
    if ((this.#control & spec.PAGE_ENABLE) === 0 || page < 0) return false;
    const queue = this.#queues[source]!;
    if (queue.length > 0) this.#flush(source); // what waits comes first, and marks the slot if it finds it full
    if (queue.length > 0 || !placeMessage(this.#ports.words(), page + source * spec.SLOT_BYTES, message, false)) {
      return false;
    }
    this.counts.placed++;
    this.raise(source);
    this.#ports.retryTimers(source); // its header has taken the place of a mark for others: they set it again
    return true;
  }

  /** Sets an event flag: a status of the hypercall that signals. The first one interrupts, those that find it set do not. */
  signal(source: number, flag: number): number {
    const page = this.#page(this.#events);
    if ((this.#control & spec.PAGE_ENABLE) === 0 || page < 0) return spec.STATUS_INVALID_SYNIC_STATE;
    if ((this.#sources[source]! & spec.SINT_MASKED) !== 0) return spec.STATUS_INVALID_SYNIC_STATE;
    const bit = (1 << (flag & 31)) >>> 0;
    const before = this.#ports.words().or(page + source * spec.SLOT_BYTES + (flag >>> 5) * 4, bit);
    this.counts.events++;
    if ((before & bit) === 0) this.raise(source);
    return spec.STATUS_SUCCESS;
  }

  raise(source: number): void {
    const register = this.#sources[source]!;
    if ((register & (spec.SINT_MASKED | spec.SINT_POLLING)) === 0) this.#ports.raise(register & spec.SINT_VECTOR);
  }

  /** HOT: asked at every acknowledgement, so that whoever sent the interrupt makes no difference. */
  endsItself(vector: number): boolean {
    return (this.#automatic[vector >>> 5]! & (1 << (vector & 31))) !== 0;
  }

  /** The service of a vector has ended: slots of its sources may be empty. */
  ended(vector: number): void {
    if ((this.#used[vector >>> 5]! & (1 << (vector & 31))) === 0) return;
    for (let source = 0; source < spec.SOURCES; source++) {
      const register = this.#sources[source]!;
      if ((register & spec.SINT_MASKED) === 0 && (register & spec.SINT_VECTOR) === vector) this.#flush(source);
    }
  }

  save(): SyntheticControllerState {
    return {
      control: this.#control, events: [...this.#events], messages: [...this.#messages], sources: [...this.#sources],
      queues: this.#queues.map((queue) => queue.map(({ type, payload, sender = 0 }) => ({ type, payload: payload.slice(), sender }))),
    };
  }

  load(state: SyntheticControllerState): void {
    this.#control = state.control;
    this.#events.splice(0, 2, state.events[0]!, state.events[1]!);
    this.#messages.splice(0, 2, state.messages[0]!, state.messages[1]!);
    this.#sources.set(state.sources);
    state.queues.forEach((queue, source) => this.#queues[source]!.splice(0, Infinity, ...queue.slice(0, MOST_OF_HOST)));
    this.#sourcesChanged();
  }

  #page([low, high]: readonly [number, number]): number {
    if ((low & spec.PAGE_ENABLE) === 0) return -1;
    return this.#ports.words().locate(high * 0x1_0000_0000 + ((low & ~(PAGE_BYTES - 1)) >>> 0), PAGE_BYTES);
  }

  #setPage(page: [number, number], low: number, high: number): boolean {
    if (high >>> 20 !== 0) return false;
    const moved = page[0] !== low || page[1] !== high;
    page[0] = low;
    page[1] = high;
    const at = this.#page(page);
    if (moved && at >= 0) this.#ports.words().fill(at, PAGE_BYTES, 0);
    return true;
  }

  #setSource(source: number, low: number, high: number): boolean {
    if (high !== 0 || ((low & spec.SINT_MASKED) === 0 && (low & spec.SINT_VECTOR) < FIRST_LEGAL_VECTOR)) return false;
    this.#sources[source] = low;
    this.#sourcesChanged();
    return true;
  }

  #sourcesChanged(): void {
    this.#used.fill(0);
    this.#automatic.fill(0);
    for (const register of this.#sources) {
      if ((register & spec.SINT_MASKED) !== 0) continue;
      const vector = register & spec.SINT_VECTOR;
      this.#used[vector >>> 5]! |= 1 << (vector & 31);
      if ((register & spec.SINT_AUTO_EOI) !== 0) this.#automatic[vector >>> 5]! |= 1 << (vector & 31);
    }
  }

  /** Places what waits for a source, as far as its slot is empty. */
  #flush(source: number): void {
    const queue = this.#queues[source]!;
    const page = this.#page(this.#messages);
    if ((this.#control & spec.PAGE_ENABLE) === 0 || page < 0) return;
    while (queue.length > 0) {
      if (!placeMessage(this.#ports.words(), page + source * spec.SLOT_BYTES, queue[0]!, queue.length > 1)) return;
      queue.shift();
      this.counts.placed++;
      this.raise(source);
    }
    this.#ports.retryTimers(source);
  }
}
