/** A connection, whoever carries it. */
export interface NbdChannel {
  /** As many bytes as asked for, in `into` if it is given, which is as long; null when the other side has ended before. */
  read(bytes: number, into?: Uint8Array): Promise<Uint8Array | null>;
  /** Sends the parts one after the other, with nothing of another call between them; resolves when nobody looks at them any more. */
  write(parts: readonly Uint8Array[]): Promise<void>;
  close(): void;
}

/** Writes numbers one after the other. */
export class Message {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: number) {
    this.bytes = new Uint8Array(bytes);
    this.#view = new DataView(this.bytes.buffer);
  }

  u16(value: number): this {
    this.#view.setUint16(this.#at, value);
    this.#at += 2;
    return this;
  }

  u32(value: number): this {
    this.#view.setUint32(this.#at, value);
    this.#at += 4;
    return this;
  }

  u64(value: number | bigint): this {
    this.#view.setBigUint64(this.#at, BigInt(value));
    this.#at += 8;
    return this;
  }

  put(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** ASCII only, which all names of the protocol's own are. */
export function asciiBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0) & 0x7f);
}
