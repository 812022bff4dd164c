import { VmError } from '@vm/core';

export interface WaitOptions {
  readonly timeoutMs?: number; // of real time; default: for ever
}

interface Waiter {
  readonly pattern: string | RegExp;
  readonly resolve: (text: string) => void;
  readonly reject: (error: Error) => void;
  readonly timer: ReturnType<typeof setTimeout> | null;
}

const CHUNK_BYTES = 4096;
const MOST_KEPT = 1 << 20; // characters of text kept for waiting and looking back
const SHOWN = 400; // characters in an error

/** What a guest sends: in chunks for a terminal, as text for those who wait for a certain answer. */
export class ConsoleOutput {
  #used = 0;
  #flushing = false;
  #text = '';
  #mark = 0; // where the next wait begins to look
  #ended: string | null = null;
  readonly #chunk: Uint8Array = new Uint8Array(CHUNK_BYTES);
  readonly #decoder = new TextDecoder();
  readonly #waiters: Waiter[] = [];
  readonly #onBytes: (bytes: Uint8Array) => void;

  /** `onBytes` gets every byte once, in order; it owns what it gets. */
  constructor(onBytes: (bytes: Uint8Array) => void) {
    this.#onBytes = onBytes;
  }

  /** The last million characters. */
  get text(): string {
    this.flush();
    return this.#text;
  }

  /** HOT. Bytes are handed on when the processor leaves its run, or when many have come. */
  put(byte: number): void {
    this.#chunk[this.#used++] = byte;
    if (this.#used === CHUNK_BYTES) this.flush();
    else if (!this.#flushing) {
      this.#flushing = true;
      queueMicrotask(() => this.flush());
    }
  }

  flush(): void {
    this.#flushing = false;
    if (this.#used === 0) return;
    const bytes = this.#chunk.slice(0, this.#used);
    this.#used = 0;
    this.#text += this.#decoder.decode(bytes, { stream: true });
    if (this.#text.length > 2 * MOST_KEPT) {
      const dropped = this.#text.length - MOST_KEPT;
      this.#text = this.#text.slice(dropped);
      this.#mark = Math.max(0, this.#mark - dropped);
    }
    this.#onBytes(bytes);
    this.#serve();
  }

  /** The text from the end of the last match to the end of this one. Rejects at the time-out and when the guest has ended. */
  waitFor(pattern: string | RegExp, options: WaitOptions = {}): Promise<string> {
    return new Promise((resolve, reject) => {
      const { timeoutMs } = options;
      const timer = timeoutMs === undefined ? null : setTimeout(() => this.#giveUp(waiter, `not seen within ${timeoutMs} ms`), timeoutMs);
      const waiter: Waiter = { pattern, resolve, reject, timer };
      this.#waiters.push(waiter);
      this.flush();
      this.#serve();
      if (this.#ended !== null) this.#giveUp(waiter, this.#ended);
    });
  }

  /** Nothing comes any more: whoever still waits is told why. */
  end(why: string): void {
    this.flush();
    this.#ended = why;
    for (const waiter of this.#waiters.slice()) this.#giveUp(waiter, why);
  }

  #serve(): void {
    for (const waiter of this.#waiters.slice()) {
      const end = this.#find(waiter.pattern);
      if (end < 0) continue;
      const found = this.#text.slice(this.#mark, end);
      this.#mark = end;
      this.#forget(waiter);
      waiter.resolve(found);
    }
  }

  /** End of the first match behind the mark, or -1. */
  #find(pattern: string | RegExp): number {
    if (typeof pattern === 'string') {
      const at = this.#text.indexOf(pattern, this.#mark);
      return at < 0 ? -1 : at + pattern.length;
    }
    const match = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, '')).exec(this.#text.slice(this.#mark));
    return match === null ? -1 : this.#mark + match.index + match[0].length;
  }

  #giveUp(waiter: Waiter, why: string): void {
    if (!this.#forget(waiter)) return;
    const last = this.#text.slice(this.#mark).slice(-SHOWN);
    waiter.reject(new VmError('E_GUEST', `${String(waiter.pattern)}: ${why}; the guest's last words: ${JSON.stringify(last)}`));
  }

  #forget(waiter: Waiter): boolean {
    const at = this.#waiters.indexOf(waiter);
    if (at < 0) return false;
    this.#waiters.splice(at, 1);
    if (waiter.timer !== null) clearTimeout(waiter.timer);
    return true;
  }
}
