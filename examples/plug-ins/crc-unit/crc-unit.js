/** @import { DeviceContext, DeviceModule, IoHandler, Plain } from '@vm/core' */

const DATA = 0x0; // write: the next 1, 2 or 4 bytes, low byte first
const RESULT = 0x4; // read: the checksum of what came so far
const COUNT = 0x8; // read: how many bytes came; write: begin anew
const IDENTITY = 0xc; // read: "CRC1"
const IDENTITY_VALUE = 0x3143_5243;

// Reflected, as both checksums are computed.
const POLYNOMIALS = { crc32: 0xedb8_8320, crc32c: 0x82f6_3b78 };

/** @param {number} polynomial */
function makeTable(polynomial) {
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) !== 0 ? (value >>> 1) ^ polynomial : value >>> 1;
    return value >>> 0;
  });
}

/** @implements {IoHandler} */
class CrcUnit {
  #remainder = 0xffff_ffff;
  #count = 0;
  #table;

  /** @param {DeviceContext<'mmio'>} ctx @param {Readonly<Record<string, boolean | number | string>>} properties */
  constructor(ctx, { base, polynomial }) {
    this.#table = makeTable(POLYNOMIALS[/** @type {'crc32' | 'crc32c'} */ (polynomial)]);
    ctx.mmio.claim('registers', 16, this).map(Number(base));
  }

  /** @param {number} offset @param {number} size */
  read(offset, size) {
    const register = offset === RESULT ? ~this.#remainder >>> 0 : offset === COUNT ? this.#count : offset === IDENTITY ? IDENTITY_VALUE : 0;
    return size === 4 ? register : register & (size === 2 ? 0xffff : 0xff);
  }

  /** @param {number} offset @param {number} size @param {number} value */
  write(offset, size, value) {
    if (offset === COUNT) return this.powerUp();
    if (offset !== DATA) return;
    for (let i = 0; i < size; i++) this.#remainder = (this.#remainder >>> 8) ^ this.#table[(this.#remainder ^ (value >>> (8 * i))) & 0xff];
    this.#count = (this.#count + size) >>> 0;
  }

  powerUp() {
    this.#remainder = 0xffff_ffff;
    this.#count = 0;
  }

  /** @returns {Plain} */
  save() {
    return { remainder: this.#remainder >>> 0, count: this.#count };
  }

  /** @param {Plain} state */
  load(state) {
    const { remainder, count } = /** @type {{ remainder?: Plain, count?: Plain }} */ (state ?? {});
    if (typeof remainder !== 'number' || typeof count !== 'number') throw new TypeError('crc-unit: remainder and count expected numbers');
    this.#remainder = remainder >>> 0;
    this.#count = count >>> 0;
  }
}

/** @type {DeviceModule<Readonly<Record<string, boolean | number | string>>, 'mmio'>} */
export const crcUnit = {
  manifest: { abi: 1, id: 'example.crc-unit', version: '1.0.0', state: 1, needs: ['mmio'] },
  create: (ctx, properties) => new CrcUnit(ctx, properties),
};
