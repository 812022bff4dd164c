/** Memory operands and how they are encoded (SDM vol. 2, section 2.1.5). */

export const NO_REGISTER = -1;
export const RIP = 16;

export interface AddressForm {
  /** Bytes of an address: 2, 4 or 8. */
  readonly bytes: number;
  /** NO_REGISTER, 0 to 15, or RIP. */
  readonly base: number;
  readonly index: number;
  /** log2 of the factor. */
  readonly scale: number;
  /** Signed, 32 bits. */
  readonly displacement: number;
}

export interface EncodedAddress {
  /** mod and rm in place. */
  readonly modrm: number;
  /** SIB and displacement. */
  readonly tail: readonly number[];
  readonly rexX: boolean;
  readonly rexB: boolean;
}

/** Pairs of base and index of 16-bit addressing, by rm. */
export const PAIRS_16: readonly (readonly [base: number, index: number])[] = [[3, 6], [3, 7], [5, 6], [5, 7], [6, -1], [7, -1], [5, -1], [3, -1]];

/** `wide`: a displacement longer than needed. `sib`: a SIB byte that is not needed (32- and 64-bit addresses). */
export function encodeAddress(form: AddressForm, bits: 32 | 64, wide: boolean, sib: boolean): EncodedAddress {
  const { base, index, scale, displacement } = form;
  if (form.bytes === 2) return encode16(form, wide);
  if (base === RIP) return { modrm: 5, tail: littleEndian(displacement, 4), rexX: false, rexB: false };
  const rexX = index >= 8;
  const rexB = base >= 8;
  if (base === NO_REGISTER) {
    // Without SIB, mod 0 and rm 5 are RIP-relative in 64-bit code.
    if (index === NO_REGISTER && bits === 32 && !sib) return { modrm: 5, tail: littleEndian(displacement, 4), rexX, rexB };
    return { modrm: 4, tail: [(scale << 6) | ((index === NO_REGISTER ? 4 : index & 7) << 3) | 5, ...littleEndian(displacement, 4)], rexX, rexB };
  }
  const mod = displacement === 0 && (base & 7) !== 5 && !wide ? 0 : displacement >= -128 && displacement <= 127 && !wide ? 1 : 2;
  const tail = mod === 0 ? [] : littleEndian(displacement, mod === 1 ? 1 : 4);
  if (index === NO_REGISTER && (base & 7) !== 4 && !sib) return { modrm: (mod << 6) | (base & 7), tail, rexX, rexB };
  return { modrm: (mod << 6) | 4, tail: [(scale << 6) | ((index === NO_REGISTER ? 4 : index & 7) << 3) | (base & 7), ...tail], rexX, rexB };
}

function encode16({ base, index, displacement }: AddressForm, wide: boolean): EncodedAddress {
  if (base === NO_REGISTER) return { modrm: 6, tail: littleEndian(displacement, 2), rexX: false, rexB: false };
  const rm = PAIRS_16.findIndex(([b, i]) => b === base && i === index);
  if (rm < 0) throw new RangeError(`16-bit addresses have no base ${base} with index ${index}`);
  const mod = displacement === 0 && rm !== 6 && !wide ? 0 : displacement >= -128 && displacement <= 127 && !wide ? 1 : 2;
  return { modrm: (mod << 6) | rm, tail: mod === 0 ? [] : littleEndian(displacement, mod), rexX: false, rexB: false };
}

export function littleEndian(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => (i < 4 ? (value >> (8 * i)) & 0xff : value < 0 ? 0xff : 0));
}
