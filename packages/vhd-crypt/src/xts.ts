import { createTweakArena, type TweakArena } from './tweak-module.ts';

/** AES on blocks of 16 bytes, many at once and in place. The bytes are always those of one arena. */
export interface BlockCipher {
  encrypt(blocks: Uint8Array): void;
  decrypt(blocks: Uint8Array): void;
  close(): void;
}

/** The two ciphers of a key, for bytes in an arena: that of the data and that of the tweaks (IEEE 1619-2018, 5.1). */
export interface XtsCiphers {
  readonly data: BlockCipher;
  readonly tweak: BlockCipher;
}

const CHUNK = 65_536; // large enough for calls not to count, small enough for the caches

/**
 * XTS over ranges of units. All tweaks of a chunk are encrypted at once, the data too, and between the two stands the module that
 * combines them; so the cipher behind it is called three times a chunk and not once a sector.
 */
export class Xts {
  readonly #unitBytes: number;
  readonly #arena: TweakArena;
  readonly #ciphers: XtsCiphers;
  readonly #ivs: DataView;
  readonly #tweaksAt: number;

  constructor(unitBytes: number, makeCiphers: (arena: Uint8Array) => XtsCiphers) {
    if (unitBytes % 16 !== 0 || unitBytes <= 0 || unitBytes > 65536) throw new RangeError(`units of ${unitBytes} bytes`);
    this.#unitBytes = unitBytes;
    this.#tweaksAt = CHUNK;
    this.#arena = createTweakArena(CHUNK + (Math.floor(CHUNK / unitBytes) * 16));
    this.#ciphers = makeCiphers(this.#arena.bytes);
    this.#ivs = new DataView(this.#arena.bytes.buffer, this.#tweaksAt);
  }

  /** `putIvs` writes the 16 bytes that stand for each of so many units, counted from `first`. */
  run(direction: 'encrypt' | 'decrypt', from: Uint8Array, into: Uint8Array, putIvs: (ivs: DataView, units: number, first: number) => void): void {
    const unitBytes = this.#unitBytes;
    if (from.length % unitBytes !== 0 || into.length !== from.length) throw new RangeError(`${from.length} bytes are no whole units of ${unitBytes}`);
    const { bytes, combine } = this.#arena;
    const step = Math.floor(CHUNK / unitBytes) * unitBytes;
    for (let done = 0; done < from.length; done += step) {
      const count = Math.min(step, from.length - done);
      const units = count / unitBytes;
      putIvs(this.#ivs, units, done / unitBytes);
      this.#ciphers.tweak.encrypt(bytes.subarray(this.#tweaksAt, this.#tweaksAt + 16 * units));
      const data = bytes.subarray(0, count);
      data.set(from.subarray(done, done + count));
      combine(0, this.#tweaksAt, units, unitBytes);
      this.#ciphers.data[direction](data);
      combine(0, this.#tweaksAt, units, unitBytes);
      into.set(data, done);
    }
  }

  /** Forgets the keys, and the data that last went through. */
  close(): void {
    this.#ciphers.data.close();
    this.#ciphers.tweak.close();
    this.#arena.bytes.fill(0);
  }
}
