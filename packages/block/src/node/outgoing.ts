import type { Socket } from 'node:net';

const ROOM = 65_536;
const MOST_COPIED = 8192;
const MOST_KEPT = 131_072; // then the other side can begin with it
const MOST_FREE = 8;

/** What goes out on a connection: all that is written in one turn of the event loop goes in one piece, small parts copied together. */
export class Outgoing {
  readonly #socket: Socket;
  readonly #free: Uint8Array[] = [];
  readonly #send = (): void => this.#flush();
  #parts: Uint8Array[] = [];
  /** Copies, used again when they are sent; the last one is being filled. */
  #copies: Uint8Array[] = [];
  #filled = 0;
  #first = 0; // of what was filled since the last part
  #bytes = 0;
  #sent: Promise<void> | null = null;
  #settle: ((error?: Error | null) => void) | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Resolves when nobody looks at the parts any more and the connection has room again. */
  write(parts: readonly Uint8Array[]): Promise<void> {
    let bytes = 0;
    for (const part of parts) bytes += part.length;
    if (bytes > MOST_COPIED) this.#closeCopy();
    for (const part of parts) {
      if (bytes > MOST_COPIED) this.#parts.push(part);
      else this.#copy(part);
    }
    this.#bytes += bytes;
    if (this.#sent === null) {
      this.#sent = new Promise((resolve, reject) => {
        this.#settle = (error) => (error === undefined || error === null ? resolve() : reject(error));
      });
      process.nextTick(this.#send);
    }
    const sent = this.#sent;
    if (this.#bytes >= MOST_KEPT) this.#flush();
    return sent;
  }

  #copy(part: Uint8Array): void {
    let room = this.#copies.at(-1);
    if (room === undefined || this.#filled + part.length > ROOM) {
      this.#closeCopy();
      room = this.#free.pop() ?? new Uint8Array(ROOM);
      this.#copies.push(room);
      this.#filled = this.#first = 0;
    }
    room.set(part, this.#filled);
    this.#filled += part.length;
  }

  #closeCopy(): void {
    if (this.#filled > this.#first) this.#parts.push(this.#copies.at(-1)!.subarray(this.#first, this.#filled));
    this.#first = this.#filled;
  }

  #flush(): void {
    if (this.#sent === null) return; // before its turn
    this.#closeCopy();
    this.#bytes = 0;
    const [parts, copies, settle] = [this.#parts, this.#copies, this.#settle];
    [this.#parts, this.#copies, this.#settle, this.#sent, this.#filled, this.#first] = [[], [], null, null, 0, 0];
    const done = (error?: Error | null): void => {
      for (const copy of copies) if (this.#free.length < MOST_FREE) this.#free.push(copy);
      settle?.(error);
    };
    if (parts.length === 0) return done();
    this.#socket.cork();
    parts.forEach((part, i) => this.#socket.write(part, i === parts.length - 1 ? done : undefined));
    this.#socket.uncork();
  }
}
