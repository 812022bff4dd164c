import type { MakeAes } from './aes-xts.ts';
import { CryptError } from './crypt-error.ts';
import { NH_KEY_WORDS, NhPoly1305, Poly1305 } from './nh-poly1305.ts';
import { makeAes as makeNobleAes } from './noble-aes.ts';
import type { CipherModule } from './sector-cipher.ts';
import { XChaCha12 } from './xchacha12.ts';
import type { BlockCipher } from './xts.ts';

const AES_WORDS = 8;
const POLY_WORDS = 4;
const CHUNK = 65_536;
const WORD = 0x1_0000_0000;

/**
 * Adiantum with XChaCha12 and AES-256 (Crowley and Biggers 2018, as in Linux): each bit of a unit depends on all others, with one
 * block of AES a unit, so it is quick where the processor has no AES. A unit is hashed into its last 16 bytes, those are encrypted
 * with AES, what comes out is the nonce of a stream over the rest, and the hash of the new rest is taken off again.
 */
export class Adiantum {
  readonly #unitWords: number;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #unitsAtOnce: number;
  readonly #blocks: Int32Array;
  readonly #blockBytes: Uint8Array;
  readonly #tweakHashes: Int32Array;
  readonly #hash = new Int32Array(4);
  readonly #stream: XChaCha12;
  readonly #aes: BlockCipher;
  readonly #tweakHash: Poly1305;
  readonly #messageHash: NhPoly1305;

  constructor(unitBytes: number, key: Uint8Array, makeAes: MakeAes) {
    if (unitBytes % 16 !== 0 || unitBytes <= 0 || unitBytes > CHUNK) throw new RangeError(`units of ${unitBytes} bytes`);
    this.#unitWords = unitBytes / 4;
    this.#unitsAtOnce = Math.floor(CHUNK / unitBytes);
    this.#words = new Int32Array(this.#unitsAtOnce * this.#unitWords);
    this.#bytes = new Uint8Array(this.#words.buffer);
    this.#blocks = new Int32Array(this.#unitsAtOnce * 4);
    this.#blockBytes = new Uint8Array(this.#blocks.buffer);
    this.#tweakHashes = new Int32Array(this.#unitsAtOnce * 4);
    this.#stream = new XChaCha12(key);
    // All other keys come out of the stream of the nonce 1.
    const keys = new Int32Array(AES_WORDS + 2 * POLY_WORDS + NH_KEY_WORDS);
    this.#stream.xor(keys, 0, keys.length, Int32Array.of(1, 0, 0, 0), 0, 0, 0);
    this.#aes = makeAes(new Uint8Array(keys.buffer, 0, 4 * AES_WORDS), this.#blockBytes);
    this.#tweakHash = new Poly1305(keys, AES_WORDS);
    this.#messageHash = new NhPoly1305(keys, AES_WORDS + POLY_WORDS);
    keys.fill(0);
  }

  /** `putTweaks` hashes what stands for a unit, counted from 0, into the Poly1305 that is given, in blocks of 16 bytes. */
  run(direction: 'encrypt' | 'decrypt', from: Uint8Array, into: Uint8Array, putTweak: (hash: Poly1305, unit: number) => void): void {
    const unitBytes = 4 * this.#unitWords;
    if (from.length % unitBytes !== 0 || into.length !== from.length) throw new RangeError(`${from.length} bytes are no whole units of ${unitBytes}`);
    const step = this.#unitsAtOnce * unitBytes;
    for (let done = 0; done < from.length; done += step) {
      const count = Math.min(step, from.length - done);
      this.#bytes.set(from.subarray(done, done + count));
      this.#chunk(direction, count / unitBytes, done / unitBytes, putTweak);
      into.set(this.#bytes.subarray(0, count), done);
    }
  }

  // HOT
  #chunk(direction: 'encrypt' | 'decrypt', units: number, first: number, putTweak: (hash: Poly1305, unit: number) => void): void {
    const [words, blocks, unitWords, bulk] = [this.#words, this.#blocks, this.#unitWords, this.#unitWords - 4];
    for (let unit = 0; unit < units; unit++) {
      const at = unit * unitWords;
      this.#tweakHash.begin();
      this.#tweakHash.block(32 * bulk, 0, 0, 0); // how many bits
      putTweak(this.#tweakHash, first + unit);
      this.#tweakHash.end(this.#tweakHashes, 4 * unit);
      this.#hashUnit(unit);
      addTo(blocks, 4 * unit, words, at + bulk, this.#hash);
      // When decrypting, what AES gave stands there now, and it is the nonce.
      if (direction === 'decrypt') this.#stream.xor(words, at, bulk, blocks, 4 * unit, 1, 0);
    }
    this.#aes[direction](this.#blockBytes.subarray(0, 16 * units));
    for (let unit = 0; unit < units; unit++) {
      const at = unit * unitWords;
      if (direction === 'encrypt') this.#stream.xor(words, at, bulk, blocks, 4 * unit, 1, 0);
      this.#hashUnit(unit);
      negate(this.#hash);
      addTo(words, at + bulk, blocks, 4 * unit, this.#hash);
    }
  }

  /** Of the tweak and all but the last 16 bytes. */
  #hashUnit(unit: number): void {
    this.#messageHash.hash(this.#words, unit * this.#unitWords, this.#unitWords - 4, this.#hash, 0);
    addTo(this.#hash, 0, this.#tweakHashes, 4 * unit, this.#hash);
  }

  /** Forgets the keys, and the data that last went through. */
  close(): void {
    for (const part of [this.#stream, this.#aes, this.#tweakHash, this.#messageHash]) part.close();
    for (const secret of [this.#words, this.#blocks, this.#tweakHashes, this.#hash]) secret.fill(0);
  }
}

/** Numbers of 128 bits. */
function addTo(into: Int32Array, intoAt: number, a: Int32Array, at: number, b: Int32Array): void {
  let carry = 0;
  for (let i = 0; i < 4; i++) {
    const sum = (a[at + i]! >>> 0) + (b[i]! >>> 0) + carry;
    into[intoAt + i] = sum | 0;
    carry = sum >= WORD ? 1 : 0;
  }
}

function negate(number: Int32Array): void {
  let carry = 1;
  for (let i = 0; i < 4; i++) {
    const sum = (~number[i]! >>> 0) + carry;
    number[i] = sum | 0;
    carry = sum >= WORD ? 1 : 0;
  }
}

/** The module for it, as dm-crypt has it. Its one block of AES a sector is computed by `makeAes`. */
export function adiantumCiphers(engine: string = 'adiantum', makeAes: MakeAes = makeNobleAes): CipherModule {
  const can = { ciphers: ['xchacha12,aes-adiantum-plain64'], keyBytes: [32], sectorBytes: [512, 1024, 2048, 4096] };
  return {
    engine,
    ...can,
    isAvailable: () => Promise.resolve(true),
    async create(cipher, key, sectorBytes) {
      if (!can.ciphers.includes(cipher) || !can.keyBytes.includes(key.length) || !can.sectorBytes.includes(sectorBytes)) {
        throw new CryptError(cipher, 'cipher', `with a key of ${key.length * 8} bits and sectors of ${sectorBytes} bytes`);
      }
      const adiantum = new Adiantum(sectorBytes, key, makeAes);
      const step = sectorBytes / 512;
      let [open, first] = [true, 0];
      // The tweak has 32 bytes: the number of the sector, and zeros.
      const putTweak = (hash: Poly1305, unit: number): void => {
        const sector = first + unit * step;
        hash.block(sector % WORD, Math.floor(sector / WORD), 0, 0);
        hash.block(0, 0, 0, 0);
      };
      const run = (direction: 'encrypt' | 'decrypt', from: Uint8Array, into: Uint8Array, firstSector: number): void => {
        if (!open) throw new CryptError(cipher, 'request', 'the cipher is closed');
        if (!Number.isSafeInteger(firstSector) || firstSector < 0) throw new CryptError(cipher, 'request', `sector ${firstSector}`);
        first = firstSector;
        adiantum.run(direction, from, into, putTweak);
      };
      return {
        encrypt: async (from, into, firstSector) => run('encrypt', from, into, firstSector),
        decrypt: async (from, into, firstSector) => run('decrypt', from, into, firstSector),
        close: async () => {
          if (open) adiantum.close();
          open = false;
        },
      };
    },
  };
}
