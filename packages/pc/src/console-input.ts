/** The guest's end of the wire. */
export interface ConsoleReceiver {
  /** How many of the bytes it took; after a refusal somebody calls `pump`. */
  receive(bytes: Uint8Array): number;
  isListening(): boolean;
}

/**
 * When typed bytes are sent. `when-listening`: once the guest has opened its port, so that nothing typed ahead of the boot is
 * lost. `at-once`: as soon as the port has room, as a wire without flow control does.
 */
export type TypingMode = 'when-listening' | 'at-once';

/** What is typed to a guest, in order, as fast as it reads and no faster. */
export class ConsoleInput {
  #waiting = 0;
  #sending = false;
  readonly #queue: Uint8Array[] = [];
  readonly #drained: (() => void)[] = [];
  readonly #receiver: ConsoleReceiver;
  readonly #mode: TypingMode;

  constructor(receiver: ConsoleReceiver, mode: TypingMode) {
    this.#receiver = receiver;
    this.#mode = mode;
  }

  /** Bytes announced that the guest has not taken yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** So many bytes are on their way and will be sent. */
  announce(bytes: number): void {
    this.#waiting += bytes;
  }

  send(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#queue.push(bytes);
    this.pump();
  }

  /** The guest may take more now. */
  pump(): void {
    if (this.#sending) return; // taking a byte can make room, which calls back
    this.#sending = true;
    while (this.#queue.length > 0 && (this.#mode === 'at-once' || this.#receiver.isListening())) {
      const head = this.#queue[0]!;
      const taken = this.#receiver.receive(head);
      this.#waiting -= taken;
      if (taken === head.length) this.#queue.shift();
      else {
        this.#queue[0] = head.subarray(taken);
        break;
      }
    }
    this.#sending = false;
    if (this.#waiting === 0) for (const resolve of this.#drained.splice(0)) resolve();
  }

  /** What is typed and not taken. */
  save(): Uint8Array {
    const bytes = new Uint8Array(this.#queue.reduce((sum, one) => sum + one.length, 0));
    let at = 0;
    for (const one of this.#queue) {
      bytes.set(one, at);
      at += one.length;
    }
    return bytes;
  }

  /** `pump` sends it when the guest's end is there. */
  load(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.announce(bytes.length);
    this.#queue.push(bytes);
  }

  /** Resolves when the guest has taken everything. */
  drained(): Promise<void> {
    if (this.#waiting === 0) return Promise.resolve();
    return new Promise((resolve) => this.#drained.push(resolve));
  }
}
