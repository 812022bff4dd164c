import type { Plain } from '../abi.ts';

/**
 * Plain data as bytes, the same bytes for the same data: a tag, then the value, little endian. Members are sorted by name.
 *
 *     0 null  1 false  2 true  3 i32  4 f64  5 bigint (i64)  6 text  7 bytes  8 list  9 members (name and value by turns)
 *
 * Texts, bytes, lists and members begin with a count of 4 bytes.
 */
const DEEPEST = 64;
const MOST_ITEMS = 1 << 20; // of one list: an item takes a byte at least, and a place in memory of many more

export function encodePlain(value: Plain): Uint8Array {
  const writer = new PlainWriter();
  writer.put(value, 0);
  return writer.finish();
}

/** Throws RangeError for whatever `encodePlain` did not write. */
export function decodePlain(bytes: Uint8Array): Plain {
  const reader = new PlainReader(bytes);
  const value = reader.take(0);
  reader.end();
  return value;
}

class PlainWriter {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #used = 0;
  readonly #encoder = new TextEncoder();

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#used);
  }

  put(value: Plain, depth: number): void {
    if (depth > DEEPEST) throw new RangeError(`plain data is at most ${DEEPEST} deep`);
    if (value === null) this.#tag(0);
    else if (typeof value === 'boolean') this.#tag(value ? 2 : 1);
    else if (typeof value === 'number') this.#number(value);
    else if (typeof value === 'bigint') {
      if (BigInt.asIntN(64, value) !== value) throw new RangeError(`plain data has integers of 64 bits, got ${value}`);
      this.#tag(5);
      const at = this.#room(8); // which may move the view
      this.#view.setBigInt64(at, value, true);
    } else if (typeof value === 'string') this.#bulk(6, this.#encoder.encode(value));
    else if (value instanceof Uint8Array) this.#bulk(7, value);
    else if (Array.isArray(value)) {
      this.#count(8, value.length);
      for (const item of value as readonly Plain[]) this.put(item, depth + 1);
    } else if (typeof value === 'object') {
      const members = Object.entries(value as Readonly<Record<string, Plain>>).sort(([a], [b]) => (a < b ? -1 : 1));
      this.#count(9, members.length);
      for (const [name, member] of members) {
        this.put(name, depth + 1);
        this.put(member, depth + 1);
      }
    } else throw new TypeError(`plain data has no ${typeof value}`);
  }

  #number(value: number): void {
    if ((value | 0) === value && !Object.is(value, -0)) {
      this.#tag(3);
      const at = this.#room(4);
      this.#view.setInt32(at, value, true);
    } else {
      this.#tag(4);
      const at = this.#room(8);
      this.#view.setFloat64(at, value, true);
    }
  }

  #tag(tag: number): void {
    const at = this.#room(1);
    this.#bytes[at] = tag;
  }

  #count(tag: number, count: number): void {
    this.#tag(tag);
    const at = this.#room(4);
    this.#view.setUint32(at, count, true);
  }

  #bulk(tag: number, bytes: Uint8Array): void {
    this.#count(tag, bytes.length);
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** Where so many bytes go. */
  #room(bytes: number): number {
    const at = this.#used;
    this.#used += bytes;
    if (this.#used > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#used, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}

class PlainReader {
  #at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new RangeError('plain data goes on after its end');
  }

  take(depth: number): Plain {
    if (depth > DEEPEST) throw new RangeError(`plain data is at most ${DEEPEST} deep`);
    const tag = this.#bytes[this.#skip(1)]!;
    switch (tag) {
      case 0: return null;
      case 1: return false;
      case 2: return true;
      case 3: return this.#view.getInt32(this.#skip(4), true);
      case 4: return this.#float();
      case 5: return this.#view.getBigInt64(this.#skip(8), true);
      case 6: return this.#text();
      case 7: return new Uint8Array(this.#bulk()); // slice() of a Buffer of Node.js is no copy
      case 8: return Array.from({ length: this.#count() }, () => this.take(depth + 1));
      case 9: return this.#members(depth);
      default: throw new RangeError(`plain data has no tag ${tag}`);
    }
  }

  #members(depth: number): Plain {
    const members: [string, Plain][] = [];
    let before = '';
    for (let left = this.#count(); left > 0; left--) {
      const name = this.take(depth + 1);
      if (typeof name !== 'string' || (members.length > 0 && name <= before)) throw new RangeError('plain data: members are sorted by name, and each is there once');
      members.push([name, this.take(depth + 1)]);
      before = name;
    }
    return Object.fromEntries(members);
  }

  /** There is one way to write each number. */
  #float(): number {
    const at = this.#skip(8);
    const value = this.#view.getFloat64(at, true);
    const isSmall = (value | 0) === value && !Object.is(value, -0);
    if (isSmall || (Number.isNaN(value) && this.#view.getBigUint64(at, true) !== 0x7ff8_0000_0000_0000n)) throw new RangeError('plain data: a number is written in another way');
    return value;
  }

  #text(): string {
    try {
      return this.#decoder.decode(this.#bulk());
    } catch (cause) {
      throw new RangeError('plain data: a text is no UTF-8', { cause });
    }
  }

  #bulk(): Uint8Array {
    const bytes = this.#view.getUint32(this.#skip(4), true);
    const at = this.#skip(bytes);
    return this.#bytes.subarray(at, at + bytes);
  }

  #count(): number {
    const count = this.#view.getUint32(this.#skip(4), true);
    if (count > MOST_ITEMS || count > this.#bytes.length - this.#at) throw new RangeError(`plain data has no room for ${count} items`);
    return count;
  }

  #skip(bytes: number): number {
    const at = this.#at;
    if (bytes > this.#bytes.length - at) throw new RangeError('plain data ends too early');
    this.#at += bytes;
    return at;
  }
}
