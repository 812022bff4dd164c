import { readSync, writeSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';

const MOST_AT_ONCE = 65_536; // larger requests gain from a second thread
const TURN_MS = 1;
const SLOW_MS = 0.5;
const PATIENCE = 64; // requests for the thread pool after a slow one

/**
 * Reads and writes of a file. What the host has in its cache takes a few microseconds, and handing it to Node's thread pool several
 * times as long; so small requests are done at once, as long as they turn out to be quick and the event loop gets its turn.
 */
export class HostFileIo {
  readonly #handle: FileHandle;
  readonly #resetTurn = (): void => {
    this.#spentMs = 0;
  };
  #spentMs = 0;
  #patience = 0;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Bytes that were read; 0 past the end. */
  async read(into: Uint8Array, from: number, bytes: number, at: number): Promise<number> {
    if (!this.#mayBlock(bytes)) return (await this.#handle.read(into, from, bytes, at)).bytesRead;
    const begin = performance.now();
    const count = readSync(this.#handle.fd, into, from, bytes, at);
    this.#spend(performance.now() - begin);
    return count;
  }

  /** Bytes that were written, at least one. */
  async write(from: Uint8Array, first: number, bytes: number, at: number): Promise<number> {
    if (!this.#mayBlock(bytes)) return (await this.#handle.write(from, first, bytes, at)).bytesWritten;
    const begin = performance.now();
    const count = writeSync(this.#handle.fd, from, first, bytes, at);
    this.#spend(performance.now() - begin);
    return count;
  }

  #mayBlock(bytes: number): boolean {
    if (bytes > MOST_AT_ONCE || this.#spentMs > TURN_MS || this.#handle.fd < 0) return false; // a closed handle says so itself
    if (this.#patience === 0) return true;
    this.#patience--;
    return false;
  }

  #spend(milliseconds: number): void {
    // Runs when nothing is left that can be done without waiting, which is when the event loop goes on.
    if (this.#spentMs === 0) process.nextTick(this.#resetTurn);
    this.#spentMs += milliseconds;
    if (milliseconds > SLOW_MS) this.#patience = PATIENCE;
  }
}
