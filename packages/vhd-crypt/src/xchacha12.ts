const SIGMA = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]; // "expand 32-byte k"
const DOUBLE_ROUNDS = 6;

/**
 * The stream cipher XChaCha with 12 rounds (draft-irtf-cfrg-xchacha-03, 2, with fewer rounds): a key of its own for each nonce. Words
 * are those of a host that stores the low byte first.
 */
export class XChaCha12 {
  readonly #key: Int32Array;
  readonly #state = new Int32Array(16);
  readonly #block = new Int32Array(16);

  constructor(key: Uint8Array) {
    const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
    this.#key = Int32Array.from({ length: 8 }, (_, i) => view.getInt32(4 * i, true));
  }

  /** XORs `count` words at `at` with the stream of a nonce: four words of `nonce` from `nonceAt`, and two more. */
  xor(words: Int32Array, at: number, count: number, nonce: Int32Array, nonceAt: number, nonce4: number, nonce5: number): void {
    const [state, block] = [this.#state, this.#block];
    for (let i = 0; i < 4; i++) state[i] = SIGMA[i]!;
    for (let i = 0; i < 8; i++) state[4 + i] = this.#key[i]!;
    for (let i = 0; i < 4; i++) state[12 + i] = nonce[nonceAt + i]!;
    permute(state, block);
    // HChaCha: the first and the last row are the key of this nonce.
    for (let i = 0; i < 4; i++) state[4 + i] = block[i]!;
    for (let i = 0; i < 4; i++) state[8 + i] = block[12 + i]!;
    state[13] = 0;
    state[14] = nonce4;
    state[15] = nonce5;
    for (let done = 0, counter = 0; done < count; done += 16, counter++) {
      state[12] = counter;
      permute(state, block);
      const most = Math.min(16, count - done);
      for (let i = 0; i < most; i++) words[at + done + i]! ^= block[i]! + state[i]!;
    }
  }

  close(): void {
    for (const secret of [this.#key, this.#state, this.#block]) secret.fill(0);
  }
}

// HOT: once for 64 bytes.
function permute(from: Int32Array, into: Int32Array): void {
  let x0 = from[0]!, x1 = from[1]!, x2 = from[2]!, x3 = from[3]!;
  let x4 = from[4]!, x5 = from[5]!, x6 = from[6]!, x7 = from[7]!;
  let x8 = from[8]!, x9 = from[9]!, x10 = from[10]!, x11 = from[11]!;
  let x12 = from[12]!, x13 = from[13]!, x14 = from[14]!, x15 = from[15]!;
  for (let round = 0; round < DOUBLE_ROUNDS; round++) {
    // Columns.
    x0 = (x0 + x4) | 0; x12 ^= x0; x12 = (x12 << 16) | (x12 >>> 16); x8 = (x8 + x12) | 0; x4 ^= x8; x4 = (x4 << 12) | (x4 >>> 20); x0 = (x0 + x4) | 0; x12 ^= x0; x12 = (x12 << 8) | (x12 >>> 24); x8 = (x8 + x12) | 0; x4 ^= x8; x4 = (x4 << 7) | (x4 >>> 25);
    x1 = (x1 + x5) | 0; x13 ^= x1; x13 = (x13 << 16) | (x13 >>> 16); x9 = (x9 + x13) | 0; x5 ^= x9; x5 = (x5 << 12) | (x5 >>> 20); x1 = (x1 + x5) | 0; x13 ^= x1; x13 = (x13 << 8) | (x13 >>> 24); x9 = (x9 + x13) | 0; x5 ^= x9; x5 = (x5 << 7) | (x5 >>> 25);
    x2 = (x2 + x6) | 0; x14 ^= x2; x14 = (x14 << 16) | (x14 >>> 16); x10 = (x10 + x14) | 0; x6 ^= x10; x6 = (x6 << 12) | (x6 >>> 20); x2 = (x2 + x6) | 0; x14 ^= x2; x14 = (x14 << 8) | (x14 >>> 24); x10 = (x10 + x14) | 0; x6 ^= x10; x6 = (x6 << 7) | (x6 >>> 25);
    x3 = (x3 + x7) | 0; x15 ^= x3; x15 = (x15 << 16) | (x15 >>> 16); x11 = (x11 + x15) | 0; x7 ^= x11; x7 = (x7 << 12) | (x7 >>> 20); x3 = (x3 + x7) | 0; x15 ^= x3; x15 = (x15 << 8) | (x15 >>> 24); x11 = (x11 + x15) | 0; x7 ^= x11; x7 = (x7 << 7) | (x7 >>> 25);
    // Diagonals.
    x0 = (x0 + x5) | 0; x15 ^= x0; x15 = (x15 << 16) | (x15 >>> 16); x10 = (x10 + x15) | 0; x5 ^= x10; x5 = (x5 << 12) | (x5 >>> 20); x0 = (x0 + x5) | 0; x15 ^= x0; x15 = (x15 << 8) | (x15 >>> 24); x10 = (x10 + x15) | 0; x5 ^= x10; x5 = (x5 << 7) | (x5 >>> 25);
    x1 = (x1 + x6) | 0; x12 ^= x1; x12 = (x12 << 16) | (x12 >>> 16); x11 = (x11 + x12) | 0; x6 ^= x11; x6 = (x6 << 12) | (x6 >>> 20); x1 = (x1 + x6) | 0; x12 ^= x1; x12 = (x12 << 8) | (x12 >>> 24); x11 = (x11 + x12) | 0; x6 ^= x11; x6 = (x6 << 7) | (x6 >>> 25);
    x2 = (x2 + x7) | 0; x13 ^= x2; x13 = (x13 << 16) | (x13 >>> 16); x8 = (x8 + x13) | 0; x7 ^= x8; x7 = (x7 << 12) | (x7 >>> 20); x2 = (x2 + x7) | 0; x13 ^= x2; x13 = (x13 << 8) | (x13 >>> 24); x8 = (x8 + x13) | 0; x7 ^= x8; x7 = (x7 << 7) | (x7 >>> 25);
    x3 = (x3 + x4) | 0; x14 ^= x3; x14 = (x14 << 16) | (x14 >>> 16); x9 = (x9 + x14) | 0; x4 ^= x9; x4 = (x4 << 12) | (x4 >>> 20); x3 = (x3 + x4) | 0; x14 ^= x3; x14 = (x14 << 8) | (x14 >>> 24); x9 = (x9 + x14) | 0; x4 ^= x9; x4 = (x4 << 7) | (x4 >>> 25);
  }
  into[0] = x0; into[1] = x1; into[2] = x2; into[3] = x3;
  into[4] = x4; into[5] = x5; into[6] = x6; into[7] = x7;
  into[8] = x8; into[9] = x9; into[10] = x10; into[11] = x11;
  into[12] = x12; into[13] = x13; into[14] = x14; into[15] = x15;
}
