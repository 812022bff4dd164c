// The hash of Adiantum (Crowley and Biggers, "Adiantum: length-preserving encryption for entry-level processors", 2018, section 6 and
// appendix): NH makes 32 bytes of each 1024, Poly1305 without its final addition makes 16 of these.

/** Words of the key of NH: 256 for a chunk, and 4 more for each of three further passes. */
export const NH_KEY_WORDS = 268;
const CHUNK_WORDS = 256;
const PASSES = 4;
const WORD = 0x1_0000_0000;
/** Units of 16 bytes whose products, 48 bits each, add up to a number that is still exact. */
const UNITS_EXACT = 16;
const LIMBS = 10;
const LIMB = 8192; // 13 bits

/** Polynomials over GF(2^130 - 5) at one place (RFC 8439, 2.5, without "s"). Blocks are four words. */
export class Poly1305 {
  readonly #r = new Float64Array(LIMBS);
  readonly #h = new Float64Array(LIMBS);
  readonly #d = new Float64Array(LIMBS);

  constructor(key: Int32Array, at: number) {
    putLimbs(this.#r, key[at]! & 0x0fff_ffff, key[at + 1]! & 0x0fff_fffc, key[at + 2]! & 0x0fff_fffc, key[at + 3]! & 0x0fff_fffc, 0);
  }

  begin(): void {
    this.#h.fill(0);
  }

  // HOT: for each 16 bytes of a hash.
  block(w0: number, w1: number, w2: number, w3: number): void {
    const [r, h, d] = [this.#r, this.#h, this.#d];
    putLimbs(d, w0, w1, w2, w3, 1 << 11); // 2^128: the block is whole
    for (let i = 0; i < LIMBS; i++) h[i]! += d[i]!;
    let carry = 0;
    for (let i = 0; i < LIMBS; i++) {
      let low = carry;
      let high = 0; // comes back times 5
      for (let j = 0; j <= i; j++) low += h[j]! * r[i - j]!;
      for (let j = i + 1; j < LIMBS; j++) high += h[j]! * r[LIMBS + i - j]!;
      low += 5 * high;
      carry = Math.floor(low / LIMB);
      d[i] = low - carry * LIMB;
    }
    d[0]! += 5 * carry;
    carry = Math.floor(d[0]! / LIMB);
    d[0]! -= carry * LIMB;
    d[1]! += carry;
    h.set(d);
  }

  /** The value, reduced, its lower 128 bits. */
  end(into: Int32Array, at: number): void {
    const h = this.#h;
    let over = carryAll(h);
    h[0]! += 5 * over;
    over = carryAll(h);
    h[0]! += 5 * over;
    // One p too many, when adding 5 reaches 2^130.
    let carry = 5;
    for (let i = 0; i < LIMBS; i++) carry = Math.floor((h[i]! + carry) / LIMB);
    h[0]! += 5 * carry;
    carryAll(h);
    into[at] = h[0]! | (h[1]! << 13) | (h[2]! << 26);
    into[at + 1] = (h[2]! >>> 6) | (h[3]! << 7) | (h[4]! << 20);
    into[at + 2] = (h[4]! >>> 12) | (h[5]! << 1) | (h[6]! << 14) | (h[7]! << 27);
    into[at + 3] = (h[7]! >>> 5) | (h[8]! << 8) | (h[9]! << 21);
  }

  close(): void {
    for (const secret of [this.#r, this.#h, this.#d]) secret.fill(0);
  }
}

/** NH over chunks, and Poly1305 over what it gives. A message is whole blocks of 16 bytes. */
export class NhPoly1305 {
  readonly #poly: Poly1305;
  readonly #key: Int32Array;
  readonly #low = new Float64Array(PASSES);
  readonly #high = new Float64Array(PASSES);

  /** The key is four words for Poly1305, and those of NH. */
  constructor(key: Int32Array, at: number) {
    this.#poly = new Poly1305(key, at);
    this.#key = key.slice(at + 4, at + 4 + NH_KEY_WORDS);
  }

  hash(words: Int32Array, at: number, count: number, into: Int32Array, intoAt: number): void {
    const [poly, low, high] = [this.#poly, this.#low, this.#high];
    poly.begin();
    for (let done = 0; done < count; done += CHUNK_WORDS) {
      this.#nh(words, at + done, Math.min(CHUNK_WORDS, count - done));
      for (let pass = 0; pass < PASSES; pass += 2) poly.block(low[pass]! | 0, high[pass]! | 0, low[pass + 1]! | 0, high[pass + 1]! | 0);
    }
    poly.end(into, intoAt);
  }

  close(): void {
    this.#poly.close();
    this.#key.fill(0);
  }

  // HOT: four sums modulo 2^64 of products of 32 bits, as doubles: a product is split into two of 48 bits.
  #nh(words: Int32Array, at: number, count: number): void {
    const key = this.#key;
    this.#low.fill(0);
    this.#high.fill(0);
    for (let from = 0; from < count; from += 4 * UNITS_EXACT) {
      const to = Math.min(count, from + 4 * UNITS_EXACT);
      for (let pass = 0; pass < PASSES; pass++) {
        let [low, high] = [0, 0];
        for (let i = from; i < to; i += 4) {
          const k = i + 4 * pass;
          const a = words[at + i]! + key[k]!;
          const b = (words[at + i + 2]! + key[k + 2]!) >>> 0;
          const c = words[at + i + 1]! + key[k + 1]!;
          const d = (words[at + i + 3]! + key[k + 3]!) >>> 0;
          low += (a & 0xffff) * b + (c & 0xffff) * d;
          high += ((a >>> 16) & 0xffff) * b + ((c >>> 16) & 0xffff) * d;
        }
        this.#add(pass, low, high);
      }
    }
  }

  /** Adds low + high * 2^16. */
  #add(pass: number, low: number, high: number): void {
    const highLow = (high % WORD) * 65536;
    const sum = this.#low[pass]! + (low % WORD) + (highLow % WORD);
    this.#low[pass] = sum % WORD;
    this.#high[pass] = (this.#high[pass]! + Math.floor(low / WORD) + Math.floor(highLow / WORD) + Math.floor(high / WORD) * 65536 + Math.floor(sum / WORD)) % WORD;
  }
}

function putLimbs(into: Float64Array, w0: number, w1: number, w2: number, w3: number, top: number): void {
  into[0] = w0 & 0x1fff;
  into[1] = (w0 >>> 13) & 0x1fff;
  into[2] = ((w0 >>> 26) | (w1 << 6)) & 0x1fff;
  into[3] = (w1 >>> 7) & 0x1fff;
  into[4] = ((w1 >>> 20) | (w2 << 12)) & 0x1fff;
  into[5] = (w2 >>> 1) & 0x1fff;
  into[6] = (w2 >>> 14) & 0x1fff;
  into[7] = ((w2 >>> 27) | (w3 << 5)) & 0x1fff;
  into[8] = (w3 >>> 8) & 0x1fff;
  into[9] = (w3 >>> 21) | top;
}

/** What is above 2^130. */
function carryAll(h: Float64Array): number {
  let carry = 0;
  for (let i = 0; i < LIMBS; i++) {
    const value = h[i]! + carry;
    carry = Math.floor(value / LIMB);
    h[i] = value - carry * LIMB;
  }
  return carry;
}
