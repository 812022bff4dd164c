import { ShortWait } from './short-wait.ts';

const ROOM = 524_288;
const MOST_AT_ONCE = 262_144; // what a socket holds: the more requests come together, the fewer wake-ups there are
const LEAST_DIRECT = 8192; // below, several requests in one piece are worth more than a copy
const SPARE = 4096; // for what comes first when reading goes on after a pause

interface Wanted {
  readonly into: Uint8Array;
  done: number;
  resolve(bytes: Uint8Array | null): void;
}

/**
 * What comes in on a connection: in one buffer that is used again, or at once in the bytes of who waits for it. A new buffer for
 * each piece takes longer to collect as garbage than to fill.
 */
export class Incoming {
  readonly #room = new Uint8Array(ROOM);
  #begin = 0; // of what nobody has read yet
  #end = 0;
  #wanted: Wanted | null = null;
  #toldWanted = false;
  #ended = false;
  #isFull = false;
  readonly #wait = new ShortWait();

  /** Somebody waits, and was told before that no more should come. */
  get shouldResume(): boolean {
    return this.#wanted !== null && this.#isFull;
  }

  /** Where the next bytes go. The place that was told last stays good, whatever is read. */
  place(): Uint8Array {
    const wanted = this.#wanted;
    this.#toldWanted = wanted !== null && wanted.into.length - wanted.done >= LEAST_DIRECT;
    // Who waits has taken all that came before.
    if (wanted !== null && this.#toldWanted) return wanted.into.subarray(wanted.done);
    if (this.#begin === this.#end) this.#begin = this.#end = 0;
    else if (ROOM - this.#end <= MOST_AT_ONCE) {
      this.#room.copyWithin(0, this.#begin, this.#end);
      this.#end -= this.#begin;
      this.#begin = 0;
    }
    const free = ROOM - this.#end;
    return this.#room.subarray(this.#end, this.#end + (free > MOST_AT_ONCE ? Math.min(free - SPARE, MOST_AT_ONCE) : free));
  }

  /** So many bytes came into the place that was told last. False: no more, until somebody waits. */
  arrived(bytes: number): boolean {
    if (this.#toldWanted && this.#wanted !== null) this.#wanted.done += bytes;
    else this.#end += bytes;
    this.#serve();
    this.#isFull = ROOM - (this.#end - this.#begin) <= MOST_AT_ONCE;
    return !this.#isFull;
  }

  end(): void {
    this.#ended = true;
    this.#serve();
  }

  /** Fills `into` and gives it back. Null: the other side has ended before. */
  read(into: Uint8Array): Promise<Uint8Array | null> {
    return new Promise((resolve) => {
      this.#wanted = { into, done: 0, resolve };
      this.#serve();
      if (this.#wanted !== null) this.#wait.begin();
    });
  }

  #serve(): void {
    const wanted = this.#wanted;
    if (wanted === null) return;
    const { into } = wanted;
    const count = Math.min(this.#end - this.#begin, into.length - wanted.done);
    if (count > 0) into.set(this.#room.subarray(this.#begin, this.#begin + count), wanted.done);
    this.#begin += count;
    wanted.done += count;
    if (wanted.done < into.length && !this.#ended) return;
    this.#wanted = null;
    this.#wait.end();
    wanted.resolve(wanted.done < into.length ? null : into);
  }
}
