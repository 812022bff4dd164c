import { VmError } from '@vm/core';
import { TextWatch } from './text-watch.ts';

export interface WaitOptions {
  readonly timeoutMs?: number; // of real time; default: for ever
}

/** A text to act at. */
export interface TextWatcher {
  readonly text: string;
  /** The guest has sent the last byte of the text. Called in the middle of the instruction that sends it. */
  seen(): void;
}

export interface ConsoleOutputServices {
  /** Somebody's wait is over: it should act before the guest does anything more. */
  found(): void;
  /** Calls `quiet()` when the guest has sent nothing for a while. Called again for every byte. */
  expectQuiet(): void;
}

interface Waiter {
  readonly pattern: string | RegExp;
  readonly watch: TextWatch | null; // null: an expression
  readonly resolve: (text: string) => void;
  readonly reject: (error: Error) => void;
  readonly timer: ReturnType<typeof setTimeout> | null;
}

const CHUNK_BYTES = 4096;
const MOST_KEPT = 1 << 20; // characters of text kept for waiting and looking back
const SHOWN = 400; // characters in an error
const NEWLINE = 0x0a;

/**
 * What a guest sends: in chunks for a terminal, as text for those who wait for a certain answer. A text is found at its last
 * byte; an expression is looked for at the end of each line and when the guest has paused, which are moments of the guest's own.
 */
export class ConsoleOutput {
  #used = 0;
  #decoded = 0; // bytes of the chunk that are in the text
  #flushing = false;
  #text = '';
  #mark = 0; // where the next wait begins to look
  #ended: string | null = null;
  readonly #chunk: Uint8Array = new Uint8Array(CHUNK_BYTES);
  readonly #decoder = new TextDecoder();
  readonly #waiters: Waiter[] = [];
  readonly #watchers: readonly { readonly watch: TextWatch; readonly seen: () => void }[];
  readonly #listeners = new Set<(bytes: Uint8Array) => void>();
  readonly #services: ConsoleOutputServices;

  constructor(services: ConsoleOutputServices, watchers: readonly TextWatcher[]) {
    this.#services = services;
    this.#watchers = watchers.map(({ text, seen }) => ({ watch: new TextWatch(text), seen }));
  }

  /** The last million characters. */
  get text(): string {
    this.flush();
    return this.#text;
  }

  /** `heard` gets every byte from now on once, in order; it must not change what it gets. Returns what ends that. */
  listen(heard: (bytes: Uint8Array) => void): () => void {
    this.flush();
    this.#listeners.add(heard);
    return () => void this.#listeners.delete(heard);
  }

  /** HOT. Bytes are handed on when the processor leaves its run, or when many have come. */
  put(byte: number): void {
    this.#chunk[this.#used++] = byte;
    if (this.#used === CHUNK_BYTES) this.flush();
    else if (!this.#flushing) {
      this.#flushing = true;
      queueMicrotask(() => this.flush());
    }
    if (this.#waiters.length > 0 && this.#isOver(byte)) this.#serve(byte === NEWLINE);
    for (const { watch, seen } of this.#watchers) if (watch.feed(byte)) seen();
  }

  /** The guest has sent nothing for a while. */
  quiet(): void {
    this.#serve(true);
  }

  flush(): void {
    this.#flushing = false;
    if (this.#used === 0) return;
    this.#decode();
    const bytes = this.#chunk.slice(0, this.#used);
    this.#used = 0;
    this.#decoded = 0;
    for (const heard of this.#listeners) heard(bytes);
  }

  /** The text from the end of the last match to the end of this one. Rejects at the time-out and when the guest has ended. */
  waitFor(pattern: string | RegExp, options: WaitOptions = {}): Promise<string> {
    return new Promise((resolve, reject) => {
      const { timeoutMs } = options;
      const timer = timeoutMs === undefined ? null : setTimeout(() => this.#giveUp(waiter, `not seen within ${timeoutMs} ms`), timeoutMs);
      const watch = typeof pattern === 'string' ? new TextWatch(pattern) : null;
      const waiter: Waiter = { pattern, watch, resolve, reject, timer };
      this.#waiters.push(waiter);
      this.#serve(true);
      if (this.#ended !== null) this.#giveUp(waiter, this.#ended);
      // What is there already may be the beginning of the text.
      if (watch !== null) for (const byte of new TextEncoder().encode(this.#text.slice(this.#mark).slice(-String(pattern).length))) watch.feed(byte);
    });
  }

  /** Nothing comes any more: whoever still waits is told why. */
  end(why: string): void {
    this.flush();
    this.#serve(true);
    this.#ended = why;
    for (const waiter of this.#waiters.slice()) this.#giveUp(waiter, why);
  }

  /** This byte may end somebody's wait. */
  #isOver(byte: number): boolean {
    let over = false;
    for (const { watch } of this.#waiters) {
      if (watch !== null) over = watch.feed(byte) || over;
      else if (byte === NEWLINE) over = true;
      else this.#services.expectQuiet();
    }
    return over;
  }

  #decode(): void {
    this.#text += this.#decoder.decode(this.#chunk.subarray(this.#decoded, this.#used), { stream: true });
    this.#decoded = this.#used;
    if (this.#text.length <= 2 * MOST_KEPT) return;
    const dropped = this.#text.length - MOST_KEPT;
    this.#text = this.#text.slice(dropped);
    this.#mark = Math.max(0, this.#mark - dropped);
  }

  #serve(expressions: boolean): void {
    this.#decode();
    let found = false;
    for (const waiter of this.#waiters.slice()) {
      const end = waiter.watch !== null || expressions ? this.#find(waiter.pattern) : -1;
      if (end < 0) continue;
      const text = this.#text.slice(this.#mark, end);
      this.#mark = end;
      this.#forget(waiter);
      waiter.resolve(text);
      found = true;
    }
    if (found) this.#services.found();
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
    this.#decode();
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
