import type { MakeAes } from './aes-xts.ts';
import { CryptError } from './crypt-error.ts';
import { randomBytes } from './key-math.ts';
import { createOcbArena, MESSAGE_BYTES, type MixMessage } from './ocb-module.ts';
import type { SealedSectors } from './sector-cipher.ts';
import type { BlockCipher } from './xts.ts';

/** What is kept beside a sector: the tag, a random nonce of 120 bits, and a byte that is 1. All zero where nothing was ever stored. */
export const RECORD_BYTES = 32;
const TAG_BYTES = 16;
const NONCE_BYTES = 15;
const CHUNK = 65_536;
const WORD = 0x1_0000_0000;

/**
 * OCB3 (RFC 7253) with AES and tags of 128 bits, a sector a message, its number as associated data. All that goes through AES goes
 * in three calls for a chunk of sectors: nonces and numbers, the data, the tags.
 */
export class OcbSectors implements SealedSectors {
  readonly recordBytes: number = RECORD_BYTES;
  readonly #name: string;
  readonly #sectorBytes: number;
  readonly #most: number;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #aes: BlockCipher;
  /** Where nonces and numbers are encrypted, two blocks a sector. */
  readonly #preAt: number;
  /** For each sector of a chunk what `mix` wants. */
  readonly #messagesAt: number;
  /** By how much the offset of a block differs from the first of its message (RFC 7253, 4.2). */
  readonly #tableAt: number;
  readonly #mix: MixMessage;
  readonly #dollar: Int32Array;
  readonly #first: Int32Array;
  readonly #stretch = new Uint8Array(24);
  #open = true;

  constructor(name: string, key: Uint8Array, sectorBytes: number, makeAes: MakeAes) {
    this.#name = name;
    this.#sectorBytes = sectorBytes;
    this.#most = CHUNK / sectorBytes;
    this.#preAt = CHUNK + this.#most * TAG_BYTES;
    this.#messagesAt = this.#preAt + this.#most * 2 * 16;
    this.#tableAt = this.#messagesAt + this.#most * MESSAGE_BYTES;
    const { bytes, mix } = createOcbArena(this.#tableAt + sectorBytes);
    this.#bytes = bytes;
    this.#mix = mix;
    this.#words = new Int32Array(bytes.buffer);
    this.#view = new DataView(bytes.buffer);
    this.#aes = makeAes(key, this.#bytes);
    const block = this.#bytes.subarray(0, 16);
    this.#aes.encrypt(block); // L_*
    const doubled = (): Int32Array => {
      double(block);
      return this.#words.slice(0, 4);
    };
    this.#dollar = doubled();
    this.#first = doubled();
    const blocks = sectorBytes / 16;
    const table = new Int32Array(4 * (blocks + 1));
    const levels = [this.#first];
    for (let i = 1; i <= blocks; i++) {
      const level = 31 - Math.clz32(i & -i); // trailing zeros
      while (levels.length <= level) levels.push(doubled());
      for (let w = 0; w < 4; w++) table[4 * i + w] = table[4 * (i - 1) + w]! ^ levels[level]![w]!;
    }
    this.#bytes.fill(0);
    this.#words.set(table.subarray(4), this.#tableAt / 4);
    table.fill(0);
    for (const one of levels.slice(1)) one.fill(0);
  }

  async seal(from: Uint8Array, into: Uint8Array, records: Uint8Array, sectors: ArrayLike<number>): Promise<void> {
    this.#check(from, into, records, sectors);
    for (let i = 0; i < sectors.length; i++) {
      const at = i * RECORD_BYTES;
      if (i % 2048 === 0) this.#putNonces(records, i, Math.min(2048, sectors.length - i));
      records[at + RECORD_BYTES - 1] = 1;
    }
    this.#eachChunk(from, into, records, sectors, (first, count, bytes) => {
      for (let i = 0; i < count; i++) this.#putTag(count, i, 16);
      // The tags stand right behind the data.
      this.#aes.encrypt(this.#bytes.subarray(0, bytes + count * TAG_BYTES));
      for (let i = 0; i < count; i++) {
        this.#mixSector(i);
        this.#finishTag(count, i);
        records.set(this.#bytes.subarray(bytes + i * TAG_BYTES, bytes + (i + 1) * TAG_BYTES), (first + i) * RECORD_BYTES);
      }
    });
  }

  async open(from: Uint8Array, into: Uint8Array, records: Uint8Array, sectors: ArrayLike<number>): Promise<number> {
    this.#check(from, into, records, sectors);
    let failed = -1;
    this.#eachChunk(from, into, records, sectors, (first, count, bytes) => {
      this.#aes.decrypt(this.#bytes.subarray(0, bytes));
      for (let i = 0; i < count; i++) {
        this.#mixSector(i);
        this.#putTag(count, i, 32);
      }
      this.#aes.encrypt(this.#bytes.subarray(bytes, bytes + count * TAG_BYTES));
      for (let i = 0; i < count; i++) {
        this.#finishTag(count, i);
        let differs = records[(first + i) * RECORD_BYTES + RECORD_BYTES - 1]! ^ 1;
        for (let b = 0; b < TAG_BYTES; b++) differs |= this.#bytes[bytes + i * TAG_BYTES + b]! ^ records[(first + i) * RECORD_BYTES + b]!;
        if (differs === 0) continue;
        if (failed < 0) failed = first + i;
        this.#bytes.fill(0, i * this.#sectorBytes, (i + 1) * this.#sectorBytes); // nobody is to see what was not proved
      }
    });
    return failed;
  }

  /** Forgets the key. */
  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.#aes.close();
    for (const secret of [this.#bytes, this.#dollar, this.#first, this.#stretch]) secret.fill(0);
  }

  /** As many sectors as the arena takes, their offsets in them; `work` does the rest in place. */
  #eachChunk(from: Uint8Array, into: Uint8Array, records: Uint8Array, sectors: ArrayLike<number>, work: (first: number, count: number, bytes: number) => void): void {
    for (let first = 0; first < sectors.length; first += this.#most) {
      const count = Math.min(this.#most, sectors.length - first);
      const bytes = count * this.#sectorBytes;
      const at = first * this.#sectorBytes;
      this.#bytes.set(from.subarray(at, at + bytes));
      this.#prepare(records, sectors, first, count);
      for (let i = 0; i < count; i++) {
        this.#begin(i, records, first + i);
        this.#mixSector(i);
      }
      work(first, count, bytes);
      into.set(this.#bytes.subarray(0, bytes), at);
    }
  }

  #check(from: Uint8Array, into: Uint8Array, records: Uint8Array, sectors: ArrayLike<number>): void {
    if (!this.#open) throw new CryptError(this.#name, 'request', 'the cipher is closed');
    if (from.length !== sectors.length * this.#sectorBytes || into.length !== from.length || records.length !== sectors.length * RECORD_BYTES) throw new RangeError(`${from.length} bytes and ${records.length} of records for ${sectors.length} sectors`);
  }

  #putNonces(records: Uint8Array, first: number, count: number): void {
    const random = randomBytes(count * NONCE_BYTES);
    for (let i = 0; i < count; i++) records.set(random.subarray(i * NONCE_BYTES, (i + 1) * NONCE_BYTES), (first + i) * RECORD_BYTES + TAG_BYTES);
  }

  /** Encrypts what does not depend on the data: nonces, without their last six bits, and numbers (RFC 7253, 4.1 and 4.2). */
  #prepare(records: Uint8Array, sectors: ArrayLike<number>, first: number, count: number): void {
    const [bytes, words, view] = [this.#bytes, this.#words, this.#view];
    for (let i = 0; i < count; i++) {
      const at = this.#preAt + 32 * i;
      bytes[at] = 1; // tags of 128 bits, and the bit before the nonce
      for (let b = 0; b < NONCE_BYTES; b++) bytes[at + 1 + b] = records[(first + i) * RECORD_BYTES + TAG_BYTES + b]!;
      bytes[at + 15]! &= 0xc0;
      const sector = sectors[first + i]!;
      view.setUint32(at + 16, sector % WORD, true);
      view.setUint32(at + 20, Math.floor(sector / WORD), true);
      view.setUint32(at + 24, 0);
      view.setUint32(at + 28, 0);
      for (let w = 0; w < 4; w++) words[at / 4 + 4 + w]! ^= this.#first[w]!;
    }
    this.#aes.encrypt(bytes.subarray(this.#preAt, this.#preAt + 32 * count));
  }

  /** The first offset of a message: 128 bits out of the stretched block, from where the last six bits of the nonce say. */
  #begin(i: number, records: Uint8Array, record: number): void {
    const [bytes, stretch] = [this.#bytes, this.#stretch];
    const at = this.#preAt + 32 * i;
    for (let b = 0; b < 16; b++) stretch[b] = bytes[at + b]!;
    for (let b = 0; b < 8; b++) stretch[16 + b] = bytes[at + b]! ^ bytes[at + b + 1]!;
    const bottom = records[record * RECORD_BYTES + TAG_BYTES + NONCE_BYTES - 1]! & 0x3f;
    const [skip, shift] = [bottom >> 3, bottom & 7];
    const into = this.#messagesAt + i * MESSAGE_BYTES;
    for (let b = 0; b < 16; b++) bytes[into + b] = ((stretch[skip + b]! << shift) | (shift === 0 ? 0 : stretch[skip + b + 1]! >> (8 - shift)));
  }

  #mixSector(i: number): void {
    this.#mix(i * this.#sectorBytes, (i + 1) * this.#sectorBytes, this.#tableAt, this.#messagesAt + i * MESSAGE_BYTES);
  }

  /** What is encrypted for the tag: the sum, the last offset and L_$. It stands right behind the data of the chunk. */
  #putTag(count: number, i: number, sumAt: 16 | 32): void {
    const at = (count * this.#sectorBytes + i * TAG_BYTES) / 4;
    const [words, last, message] = [this.#words, (this.#tableAt + this.#sectorBytes) / 4 - 4, (this.#messagesAt + i * MESSAGE_BYTES) / 4];
    for (let w = 0; w < 4; w++) words[at + w] = words[message + sumAt / 4 + w]! ^ words[message + w]! ^ words[last + w]! ^ this.#dollar[w]!;
  }

  #finishTag(count: number, i: number): void {
    const at = (count * this.#sectorBytes + i * TAG_BYTES) / 4;
    const hash = (this.#preAt + 32 * i + 16) / 4;
    for (let w = 0; w < 4; w++) this.#words[at + w]! ^= this.#words[hash + w]!;
  }
}

/** Times x in GF(2^128), the first byte the highest. */
function double(block: Uint8Array): void {
  const carry = block[0]! >> 7;
  for (let i = 0; i < 15; i++) block[i] = (block[i]! << 1) | (block[i + 1]! >> 7);
  block[15] = (block[15]! << 1) ^ (carry * 0x87);
}
