// Sectors that are proved as dm-crypt does it over dm-integrity: with AES-GCM and a random nonce, or with any cipher and HMAC-SHA-256.
// Both by WebCrypto, which Node and browsers have; a call for each sector.
import { CryptError } from './crypt-error.ts';
import { randomBytes } from './key-math.ts';
import type { SealedSectors, SectorCipher } from './sector-cipher.ts';

interface Subtle {
  importKey(format: 'raw', key: Uint8Array, algorithm: object, extractable: boolean, uses: readonly string[]): Promise<object>;
  encrypt(algorithm: object, key: object, bytes: Uint8Array): Promise<ArrayBuffer>;
  decrypt(algorithm: object, key: object, bytes: Uint8Array): Promise<ArrayBuffer>;
  sign(algorithm: 'HMAC', key: object, bytes: Uint8Array): Promise<ArrayBuffer>;
  verify(algorithm: 'HMAC', key: object, tag: Uint8Array, bytes: Uint8Array): Promise<boolean>;
}
declare const crypto: { readonly subtle?: Subtle };

const [TAG_BYTES, NONCE_BYTES, MAC_BYTES, IV_BYTES] = [16, 12, 32, 16];
const WORD = 0x1_0000_0000;

function subtleOf(name: string): Subtle {
  if (crypto.subtle === undefined) throw new CryptError(name, 'keyUnavailable', 'this page has no WebCrypto; it is no secure context');
  return crypto.subtle;
}

/** Records are tag and nonce; the number of the sector and the nonce are proved too (dm-crypt.c, the format of its AEAD requests). */
export async function gcmSectors(name: string, key: Uint8Array, sectorBytes: number): Promise<SealedSectors> {
  const subtle = subtleOf(name);
  const imported = await subtle.importKey('raw', key, { name: 'AES-GCM' }, false, ['encrypt', 'decrypt']);
  const recordBytes = TAG_BYTES + NONCE_BYTES;
  const algorithm = (nonce: Uint8Array, sector: number): object => {
    const additionalData = new Uint8Array(8 + NONCE_BYTES);
    putNumber(additionalData, sector);
    additionalData.set(nonce, 8);
    return { name: 'AES-GCM', iv: nonce, additionalData, tagLength: 8 * TAG_BYTES };
  };
  return {
    recordBytes,
    async seal(from, into, records, sectors) {
      for (let i = 0; i < sectors.length; i++) {
        const nonce = randomBytes(NONCE_BYTES);
        const sealed = new Uint8Array(await subtle.encrypt(algorithm(nonce, sectors[i]!), imported, from.slice(i * sectorBytes, (i + 1) * sectorBytes)));
        into.set(sealed.subarray(0, sectorBytes), i * sectorBytes);
        records.set(sealed.subarray(sectorBytes), i * recordBytes);
        records.set(nonce, i * recordBytes + TAG_BYTES);
      }
    },
    async open(from, into, records, sectors) {
      let failed = -1;
      const both = new Uint8Array(sectorBytes + TAG_BYTES);
      for (let i = 0; i < sectors.length; i++) {
        both.set(from.subarray(i * sectorBytes, (i + 1) * sectorBytes));
        both.set(records.subarray(i * recordBytes, i * recordBytes + TAG_BYTES), sectorBytes);
        const nonce = records.slice(i * recordBytes + TAG_BYTES, (i + 1) * recordBytes);
        const opened = await subtle.decrypt(algorithm(nonce, sectors[i]!), imported, both).catch(() => null);
        if (opened !== null) into.set(new Uint8Array(opened), i * sectorBytes);
        else {
          if (failed < 0) failed = i;
          into.fill(0, i * sectorBytes, (i + 1) * sectorBytes);
        }
      }
      return failed;
    },
    close: () => Promise.resolve(),
  };
}

/** Records are HMACs over the number of the sector, its initial vector (plain64) and what is stored; the cipher is anybody's. */
export async function hmacSectors(name: string, cipher: SectorCipher, macKey: Uint8Array, sectorBytes: number): Promise<SealedSectors> {
  const subtle = subtleOf(name);
  const imported = await subtle.importKey('raw', macKey, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify']);
  const message = new Uint8Array(8 + IV_BYTES + sectorBytes);
  const proved = (stored: Uint8Array, sector: number): Uint8Array => {
    const one = message.slice();
    putNumber(one, sector);
    putNumber(one.subarray(8), sector);
    one.set(stored, 8 + IV_BYTES);
    return one;
  };
  return {
    recordBytes: MAC_BYTES,
    async seal(from, into, records, sectors) {
      for (let i = 0; i < sectors.length; i++) {
        const part = into.subarray(i * sectorBytes, (i + 1) * sectorBytes);
        await cipher.encrypt(from.subarray(i * sectorBytes, (i + 1) * sectorBytes), part, sectors[i]!);
        records.set(new Uint8Array(await subtle.sign('HMAC', imported, proved(part, sectors[i]!))), i * MAC_BYTES);
      }
    },
    async open(from, into, records, sectors) {
      let failed = -1;
      for (let i = 0; i < sectors.length; i++) {
        const [stored, part] = [from.subarray(i * sectorBytes, (i + 1) * sectorBytes), into.subarray(i * sectorBytes, (i + 1) * sectorBytes)];
        if (await subtle.verify('HMAC', imported, records.slice(i * MAC_BYTES, (i + 1) * MAC_BYTES), proved(stored, sectors[i]!))) await cipher.decrypt(stored, part, sectors[i]!);
        else {
          if (failed < 0) failed = i;
          part.fill(0);
        }
      }
      return failed;
    },
    close: () => cipher.close(),
  };
}

function putNumber(into: Uint8Array, sector: number): void {
  const view = new DataView(into.buffer, into.byteOffset);
  view.setUint32(0, sector % WORD, true);
  view.setUint32(4, Math.floor(sector / WORD), true);
}
