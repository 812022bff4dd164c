// LUKS1 on-disk format specification 1.2.3, figures 1 and 2. All numbers have the highest byte first.
import { getAscii, getU32, putAscii, putU32 } from './big-endian.ts';
import { STRIPES } from './anti-forensic.ts';

export interface KeySlot {
  readonly active: boolean;
  readonly iterations: number;
  readonly salt: Uint8Array;
  /** In sectors, as `dataSector`. */
  readonly materialSector: number;
  readonly stripes: number;
}

export interface Luks1Header {
  /** As dm-crypt has it, such as `aes-xts-plain64`. */
  readonly cipher: string;
  readonly hash: string;
  readonly dataSector: number;
  readonly keyBytes: number;
  readonly digest: Uint8Array;
  readonly digestSalt: Uint8Array;
  readonly digestIterations: number;
  readonly uuid: string;
  readonly slots: readonly KeySlot[];
}

export const LUKS1_HEADER_BYTES = 592;
export const SLOTS = 8;
const MAGIC = [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe]; // "LUKS" and two bytes that are no text
const ACTIVE = 0x00ac_71f3;
const DEAD = 0x0000_dead;
const FIRST_SLOT = 208;
const SLOT_BYTES = 48;
const MOST_KEY_BYTES = 128;

export function isLuks(first: Uint8Array): boolean {
  return MAGIC.every((byte, i) => first[i] === byte);
}

/** Sectors of the material of one key slot, rounded up to 4 KiB as everybody does. */
export function materialSectors(keyBytes: number): number {
  return Math.ceil((keyBytes * STRIPES) / 4096) * 8;
}

export function encodeLuks1(header: Luks1Header): Uint8Array {
  const bytes = new Uint8Array(LUKS1_HEADER_BYTES);
  bytes.set(MAGIC);
  bytes[7] = 1;
  const dash = header.cipher.indexOf('-');
  putAscii(bytes, 8, header.cipher.slice(0, dash));
  putAscii(bytes, 40, header.cipher.slice(dash + 1));
  putAscii(bytes, 72, header.hash);
  putU32(bytes, 104, header.dataSector);
  putU32(bytes, 108, header.keyBytes);
  bytes.set(header.digest, 112);
  bytes.set(header.digestSalt, 132);
  putU32(bytes, 164, header.digestIterations);
  putAscii(bytes, 168, header.uuid);
  header.slots.forEach((slot, i) => {
    const at = FIRST_SLOT + i * SLOT_BYTES;
    putU32(bytes, at, slot.active ? ACTIVE : DEAD);
    putU32(bytes, at + 4, slot.iterations);
    bytes.set(slot.salt, at + 8);
    putU32(bytes, at + 40, slot.materialSector);
    putU32(bytes, at + 44, slot.stripes);
  });
  return bytes;
}

/** The header, or what is wrong with it. `totalBytes` is what there is, header and all. */
export function decodeLuks1(bytes: Uint8Array, totalBytes: number, mostIterations: number): Luks1Header | string {
  if (!isLuks(bytes)) return 'it does not begin with "LUKS"';
  const version = (bytes[6]! << 8) | bytes[7]!;
  if (version !== 1) return `version ${version} of LUKS; only version 1 can be read`;
  const [name, mode, hash, uuid] = [text(bytes, 8, 32), text(bytes, 40, 32), text(bytes, 72, 32), text(bytes, 168, 40)];
  if (name === null || mode === null || hash === null || uuid === null) return 'a name that is no text';
  const header: Luks1Header = {
    cipher: `${name}-${mode}`,
    hash,
    dataSector: getU32(bytes, 104),
    keyBytes: getU32(bytes, 108),
    digest: bytes.slice(112, 132),
    digestSalt: bytes.slice(132, 164),
    digestIterations: getU32(bytes, 164),
    uuid,
    slots: Array.from({ length: SLOTS }, (_, i) => {
      const at = FIRST_SLOT + i * SLOT_BYTES;
      return { active: getU32(bytes, at) === ACTIVE, iterations: getU32(bytes, at + 4), salt: bytes.slice(at + 8, at + 40), materialSector: getU32(bytes, at + 40), stripes: getU32(bytes, at + 44) };
    }),
  };
  for (let i = 0; i < SLOTS; i++) {
    const state = getU32(bytes, FIRST_SLOT + i * SLOT_BYTES);
    if (state !== ACTIVE && state !== DEAD) return `key slot ${i} is neither in use nor free`;
  }
  return findProblem(header, totalBytes, mostIterations) ?? header;
}

function findProblem(header: Luks1Header, totalBytes: number, mostIterations: number): string | null {
  const { keyBytes, dataSector, digestIterations, slots } = header;
  if (keyBytes < 1 || keyBytes > MOST_KEY_BYTES) return `a key of ${keyBytes} bytes`;
  if (dataSector === 0) return 'the data is somewhere else (a detached header)';
  if (dataSector * 512 >= totalBytes) return `the data at ${dataSector * 512} is past the end at ${totalBytes}`;
  // Whoever writes the header decides how long opening takes.
  if (digestIterations < 1 || digestIterations > mostIterations) return `${digestIterations} iterations for the digest of the key, the most is ${mostIterations}`;
  const sectors = Math.ceil((keyBytes * STRIPES) / 512);
  const areas: { readonly slot: number; readonly begin: number }[] = [];
  for (const [slot, { active, iterations, materialSector, stripes }] of slots.entries()) {
    if (stripes !== STRIPES) return `key slot ${slot} has ${stripes} stripes and not ${STRIPES}`;
    if (active && (iterations < 1 || iterations > mostIterations)) return `key slot ${slot} wants ${iterations} iterations, the most is ${mostIterations}`;
    if (materialSector * 512 < LUKS1_HEADER_BYTES) return `key slot ${slot} lies over the header`;
    if (materialSector + sectors > dataSector) return `key slot ${slot} lies over the data`;
    areas.push({ slot, begin: materialSector });
  }
  areas.sort((a, b) => a.begin - b.begin);
  for (let i = 1; i < areas.length; i++) if (areas[i]!.begin - areas[i - 1]!.begin < sectors) return `key slots ${areas[i - 1]!.slot} and ${areas[i]!.slot} overlap`;
  return null;
}

/** Printable ASCII up to the first zero; null for anything else. */
function text(bytes: Uint8Array, at: number, most: number): string | null {
  const end = bytes.subarray(at, at + most).indexOf(0);
  const found = getAscii(bytes, at, end < 0 ? most : end);
  return /^[\x20-\x7e]*$/.test(found) ? found : null;
}
