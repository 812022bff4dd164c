/** Random instructions of a given encoding. */
import { createInstruction, decode, DECODE_OK } from '@vm/x86';
import { encodeAddress, littleEndian } from './address-form.ts';
import type { AddressForm } from './address-form.ts';
import { vexBytes } from './encoding-list.ts';
import type { Encoding } from './encoding-list.ts';
import { USER_CODE_32, USER_CODE_64 } from './program-record.ts';
import type { Random } from './random.ts';

/** What whoever puts an instruction into a program decides. */
export interface Placement {
  /** A register for the reg field, the rm field or the opcode; `limit` is 8 or 16. */
  register(random: Random, limit: number): number;
  /** A memory operand of an address size in bytes; for RIP the displacement is an address, not yet a distance. */
  address(random: Random, addressBytes: number): AddressForm;
  /** A memory operand that is nothing but an offset. */
  offset(random: Random, addressBytes: number): number;
  /** Distance of a relative branch from the next instruction, of at most `bytes`. */
  distance(random: Random, bytes: number): number;
  /** Where a far transfer in the instruction goes. */
  farTarget(random: Random): number;
  /** FS and GS have bases. */
  readonly hasBases: boolean;
}

const instruction = createInstruction();
const buffer = new Uint8Array(16);
const SEGMENT_PREFIXES = [0x26, 0x2e, 0x36, 0x3e];
const FS_GS_PREFIXES = [0x64, 0x65];

/** The bytes of an instruction that will stand at `at`; null when the attempt came to nothing valid. */
export function writeInstruction(encoding: Encoding, at: number, random: Random, placement: Placement): number[] | null {
  const { bits, row } = encoding;
  const prefixes = [...encoding.prefixes];
  if (row.lock && encoding.modrm >= 0 && encoding.modrm < 0xc0 && random.once(6)) prefixes.unshift(0xf0);
  if (random.once(40)) prefixes.unshift(random.pick(SEGMENT_PREFIXES));
  else if (placement.hasBases && random.once(16)) prefixes.unshift(random.pick(FS_GS_PREFIXES));
  const addressBytes = prefixes.includes(0x67) ? bits / 16 : bits / 8;
  const limit = bits === 64 ? 16 : 8;
  let rex = encoding.rexW ? 0x48 : 0;
  const opcode = [...encoding.opcode];
  let modrm: number[] = [];
  let absolute = -1;
  if (encoding.modrm >= 0) {
    // Of control and segment registers not all exist.
    const fixedReg = row.extension >= 0 || row.fixedModrm >= 0 || row.operands.some((operand) => /^[CDS]n?\w$/.test(operand.text));
    // Registers beyond the eighth exist for general and xmm operands only.
    const most = encoding.kind === 'x87' || row.operands.some((operand) => /^[PQN]/.test(operand.text)) ? 8 : limit;
    const reg = fixedReg ? (encoding.modrm >> 3) & 7 : placement.register(random, most);
    if (reg >= 8) rex |= 0x44;
    if (encoding.modrm >= 0xc0) {
      const whole = row.fixedModrm >= 0 || encoding.kind === 'x87';
      const rm = whole ? encoding.modrm & 7 : placement.register(random, most);
      if (rm >= 8) rex |= 0x41;
      modrm = [0xc0 | ((reg & 7) << 3) | (rm & 7)];
    } else {
      const form = placement.address(random, addressBytes);
      const encoded = encodeAddress(form, bits, random.once(4), random.once(4));
      if (encoded.rexX) rex |= 0x42;
      if (encoded.rexB) rex |= 0x41;
      if (form.base === 16) absolute = form.displacement;
      modrm = [encoded.modrm | ((reg & 7) << 3), ...encoded.tail];
    }
  } else if (row.opcodeCount === 8) {
    const number = encoding.row.name === 'nop' ? 0 : placement.register(random, limit);
    if (number >= 8) rex |= 0x41;
    opcode[opcode.length - 1] = (row.opcode & 0xf8) | (number & 7);
  }
  if (bits === 64 && rex === 0 && random.once(4)) rex = 0x40;
  const { vex } = encoding;
  // Of the fourth operand's register some rows want none.
  const vvvv = vex !== null && row.operands.some((operand) => /^[BH]/.test(operand.text)) ? placement.register(random, limit) : 0;
  const lead = vex === null ? (rex === 0 ? [] : [rex]) : vexBytes(vex, rex & 7, vvvv);
  const head = [...prefixes, ...lead, ...opcode, ...modrm];
  // How long the immediate is, the decoder knows.
  buffer.fill(0);
  buffer.set(head.slice(0, 15));
  if (decode(bits, buffer, 0, 15, instruction) !== DECODE_OK) return null;
  const { length } = instruction;
  const bytes = [...head, ...immediate(encoding, length - head.length, addressBytes, random, placement)];
  if (absolute >= 0) {
    const from = prefixes.length + lead.length + opcode.length + 1;
    littleEndian(absolute - (at + length), 4).forEach((byte, i) => { bytes[from + i] = byte; });
  }
  return bytes;
}

function immediate(encoding: Encoding, bytes: number, addressBytes: number, random: Random, placement: Placement): number[] {
  if (bytes === 0) return [];
  const { name, operands } = encoding.row;
  if (operands.some((operand) => operand.text.startsWith('J'))) return littleEndian(placement.distance(random, bytes), bytes);
  if (operands.some((operand) => operand.text.startsWith('O'))) {
    return littleEndian(placement.offset(random, addressBytes), bytes);
  }
  if (name === 'callf' || name === 'jmpf') return [...littleEndian(placement.farTarget(random), bytes - 2), ...littleEndian(randomCodeSelector(random, encoding.bits), 2)];
  if (name === 'enter') return [random.next() & (random.once(8) ? 0xff : 0x1f), random.once(16) ? random.next() & 0xff : 0, random.once(2) ? 0 : random.once(4) ? random.next() & 0xff : random.below(6)];
  if (name === 'ret' || name === 'retf') return [random.next() & 0x3f, random.once(8) ? random.next() & 0xff : 0];
  const value = interesting32(random);
  return littleEndian(bytes === 1 && random.once(2) ? random.below(72) : value, bytes).map((byte, i) => (i < 4 ? byte : random.next() & 0xff));
}

/** The selector of this code, mostly; of data, of nothing or of the kernel otherwise. */
export function randomCodeSelector(random: Random, bits: 32 | 64): number {
  return random.once(8) ? random.pick([0, 3, 8, 0x10, 0x2b, 0x20, 0x30, 0xfff8]) : bits === 64 ? USER_CODE_64 : USER_CODE_32;
}
/** One that loads, mostly. Null selectors are for DS and ES: what becomes of the base is the processor's own business. */
export function randomDataSelector(random: Random, mayBeNull: boolean): number {
  if (random.once(8)) return random.pick([8, 0x10, 0x13, 0xfff8, 0x2e]);
  return mayBeNull && random.once(6) ? random.below(4) : random.pick([0x2b, 0x2b, 0x28, 0x2a, USER_CODE_32, USER_CODE_64]);
}

const EDGES = [0, 1, 2, -1, -2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, -0x8000_0000, 0x5555_5555, 0x1_0000, 31, 32, 33, 63, 64];
export function interesting32(random: Random): number {
  switch (random.below(5)) {
    case 0: return random.pick(EDGES);
    case 1: return random.below(256) - 128;
    case 2: return 1 << random.below(32);
    default: return random.next() | 0;
  }
}
