import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import {
  ANSWERED, ARGUMENTS, ARM_TIMER, ASKED, CALL_KIND, CALLING, COPY_IN, DONE, EFFECT_LIST, EFFECT_NUMBERS, EFFECTS, FAILED, FLUSH, INVOKE, MACHINE_BELL, type Mailbox, MOST_EFFECTS, NOW, ring, TAKE_MESSAGE, TIME, waitFor,
  WORKER_BELL,
} from './mailbox.ts';
import { receiveError, sendError, type SentError } from './sent-error.ts';

export interface LinkPorts {
  readonly requests: MessagePort;
  readonly calls: MessagePort;
}

/** The worker's end of the mailbox. */
export class WorkerLink {
  readonly box: Mailbox;
  readonly spins: number;
  readonly #ports: LinkPorts;
  readonly #attention: () => void;
  #effects: number[] = [];
  #answered = 0;
  #open = false;
  #attentive = false;
  #ends = false;
  #until = -Infinity;

  /** `attention` asks the machine to come by when it has nothing else to do. */
  constructor(box: Mailbox, ports: LinkPorts, spins: number, attention: () => void) {
    this.box = box;
    this.#ports = ports;
    this.spins = spins;
    this.#attention = attention;
  }

  get isAsked(): boolean { return Atomics.load(this.box.words, ASKED) !== this.#answered; }

  open(): void { this.#open = true; }

  /** What the machine does for the device when it gets to it, in this order. */
  effect(what: number, first: number, second: number): void {
    this.#effects.push(what, first, second);
    if (what !== ARM_TIMER || second <= this.#until) this.#ends = true;
    if (!this.#open) this.#call();
  }

  /** The same with more than numbers. */
  tell(message: object): void {
    this.#ports.requests.postMessage(message);
    this.effect(TAKE_MESSAGE, 0, 0);
  }

  request(): unknown { return receiveMessageOnPort(this.#ports.requests)?.message; }

  /** `done`: of the accesses; `reply`: what a request by message is answered with. */
  answer(done: number, reply: object | null, error: unknown = null): void {
    const { words } = this.box;
    this.#hand();
    words[DONE] = done;
    words[FAILED] = error === null ? 0 : 1;
    if (error !== null) this.#ports.requests.postMessage({ error: sendError(error) });
    else if (reply !== null) this.#ports.requests.postMessage(reply);
    this.#open = false;
    this.#attentive = false;
    this.#answered = Atomics.load(words, ASKED);
    Atomics.store(words, ANSWERED, this.#answered);
    ring(words, MACHINE_BELL);
  }

  /** Waits until the machine has done it. Outside of a request the machine has to come by first. */
  call(kind: number, first = 0, second = 0, third = 0, fourth = 0): number {
    const { words, numbers } = this.box;
    if (!this.#open) this.#waitUntilAsked();
    if (kind !== FLUSH) this.#hand();
    if (kind === COPY_IN || kind === INVOKE) this.#ends = true;
    numbers[ARGUMENTS] = first;
    numbers[ARGUMENTS + 1] = second;
    numbers[ARGUMENTS + 2] = third;
    numbers[ARGUMENTS + 3] = fourth;
    words[CALL_KIND] = kind;
    Atomics.store(words, CALLING, 1);
    ring(words, MACHINE_BELL);
    for (;;) {
      const seen = Atomics.load(words, WORKER_BELL);
      if (Atomics.load(words, CALLING) === 2) break;
      waitFor(words, WORKER_BELL, seen, this.spins, Infinity);
    }
    Atomics.store(words, CALLING, 0);
    return numbers[ARGUMENTS]!;
  }

  /** Calls by name, for what is rare. Throws what the machine threw. */
  invoke(op: string, ...args: readonly unknown[]): unknown {
    this.#ports.calls.postMessage({ op, args });
    this.call(INVOKE);
    const reply = receiveMessageOnPort(this.#ports.calls)?.message as { readonly value?: unknown; readonly error?: SentError };
    if (reply.error !== undefined) throw receiveError(reply.error);
    return reply.value;
  }

  /** Bytes for the next call; they lie in the mailbox, which is the machine's until it has come by. */
  stage(bytes: Uint8Array): void {
    if (!this.#open) this.#waitUntilAsked();
    this.box.bytes.set(bytes);
  }

  now(): number { return this.#open ? this.box.numbers[NOW]! : this.call(TIME); }

  #call(): void {
    if (this.#attentive) return;
    this.#attentive = true;
    this.#attention();
  }

  #waitUntilAsked(): void {
    this.#call();
    const { words } = this.box;
    for (;;) {
      const seen = Atomics.load(words, WORKER_BELL);
      if (this.isAsked) return;
      waitFor(words, WORKER_BELL, seen, this.spins, Infinity);
    }
  }

  /** Moves the effects to where the machine finds them; more than there is room for go piece by piece. */
  #hand(): void {
    const { words, numbers } = this.box;
    const all = this.#effects;
    words[EFFECTS] = 0;
    for (let at = 0; at < all.length; ) {
      const count = Math.min(MOST_EFFECTS, (all.length - at) / EFFECT_NUMBERS);
      for (let i = 0; i < count * EFFECT_NUMBERS; i++) numbers[EFFECT_LIST + i] = all[at + i]!;
      words[EFFECTS] = count;
      at += count * EFFECT_NUMBERS;
      if (at < all.length) this.call(FLUSH);
    }
    if (all.length > 0) all.length = 0;
  }

  /** A list of accesses begins, of a processor that has reached this time. */
  beginList(until: number): void {
    this.#until = until;
    this.#ends = this.#effects.length > 0;
  }

  /** The device did something that the processor may have to hear of before the next access: more than a timer for later. */
  get endsList(): boolean { return this.#ends; }
}
