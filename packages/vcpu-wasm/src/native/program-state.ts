/** Random states for programs to begin with. */
import type { Random } from './random.ts';
import {
  CODE_AT, FX_CONTROL, FX_MXCSR, FX_ST, FX_STATUS, FX_TAGS, FX_XMM, MEMORY_AT, RECORD_BITS, RECORD_BYTES, RECORD_CODE, RECORD_FLAGS, RECORD_GPR, RECORD_LENGTH, RECORD_MEMORY,
  RECORD_MEMORY_BYTES, RECORD_RIP, RECORD_YMM,
} from './program-record.ts';

const RSP = 4;
const DF = 0x400;
const ARITHMETIC = 0x8d5;

const EDGES: readonly bigint[] = [0n, 1n, 2n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0x8000n, 0xffffn, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 0x1_0000_0000n, 0x7fff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n, 0xffff_ffff_ffff_ffffn];

export function random64(random: Random): bigint {
  const low = BigInt(random.next());
  switch (random.below(6)) {
    case 0: return random.pick(EDGES);
    case 1: return BigInt.asUintN(64, BigInt(random.below(512) - 256));
    case 2: return 1n << (low & 63n);
    case 3: return low;
    default: return (BigInt(random.next()) << 32n) | low;
  }
}

/** An address at which memory is known, or now and then one that is not. */
export function randomTarget(random: Random): number {
  switch (random.below(24)) {
    case 0: return 0x20_2000 - random.below(20); // the end of the data pages
    case 1: return 0x20_0000 - random.below(20);
    case 2: return 0x20_3000 + random.below(4096);
    case 3: return 0x20_1000 - random.below(20); // from page to page
    default: {
      const at = MEMORY_AT + 64 + random.below(RECORD_MEMORY_BYTES - 160);
      return random.once(2) ? at & ~15 : at;
    }
  }
}
export const randomCodeAddress = (random: Random): number => CODE_AT + 256 + random.below(0x600);

const SINGLES = [0, 1, 0x7f_ffff, 0x80_0000, 0x80_0001, 0x3f80_0000, 0x3f80_0001, 0x3fc0_0000, 0x4000_0000, 0x7f7f_ffff, 0x7f80_0000, 0x7fc0_1234, 0x7f80_0001, 0x4f00_0000, 0x4eff_ffff, 0x5f00_0000, 0x3f00_0000];
const DOUBLE_HIGHS = [0, 0x8_0000, 0x10_0000, 0x3ff0_0000, 0x3ff8_0000, 0x4000_0000, 0x7fef_ffff, 0x7ff0_0000, 0x7ff8_0000, 0x41e0_0000, 0x41df_ffff, 0x43e0_0000, 0x3fe0_0000, 0x380f_ffff, 0x3810_0000, 0x47ef_ffff];

/** 16 bytes of one of several kinds: integers, numbers of both formats, addresses. */
function fill16(view: DataView, at: number, random: Random): void {
  const kind = random.below(10);
  for (let i = 0; i < 16; i += 8) {
    let low = random.next();
    let high = random.next();
    if (kind === 0) { low = random.pick(SINGLES); high = (random.pick(SINGLES) | (high & 0x8000_0000)) >>> 0; }
    else if (kind === 1) high = (random.pick(DOUBLE_HIGHS) | (high & 0x8000_0000)) >>> 0;
    else if (kind === 2) { low = 0; high = (random.pick(DOUBLE_HIGHS) | (high & 0x8000_0000)) >>> 0; }
    else if (kind === 3) { low = (0x3f00_0000 + (low % 0x100_0000)) >>> 0; high = (0x3f00_0000 + (high % 0x100_0000)) >>> 0; }
    else if (kind === 4) high = (0x3fe0_0000 + (high % 0x40_0000)) >>> 0;
    else if (kind === 5) { low = randomCodeAddress(random); high = 0; }
    else if (kind === 6) { low = random.below(512); high = 0; }
    view.setUint32(at + i, low, true);
    view.setUint32(at + i + 4, high, true);
  }
}

function fillSt(view: DataView, at: number, random: Random): void {
  const kind = random.below(10);
  let exponent = 16383 + random.below(140) - 70;
  let low = random.next();
  let high = (random.next() | 0x8000_0000) >>> 0;
  if (kind === 0) { low = 0; high = random.pick([0, 0x8000_0000, 0xc000_0000]); exponent = random.pick([0, 1, 16383, 0x7ffe, 0x7fff]); }
  else if (kind === 1) { low = 0; high = (0x8000_0000 | (random.next() & (0xffff_ffff << random.below(32)))) >>> 0; exponent = 16383 + random.below(20); }
  else if (kind === 2) exponent = random.next() & 0x7fff;
  else if (kind === 3) { high = random.next(); exponent = random.pick([0, 0, 1, 0x7fff]); }
  else if (kind === 4) exponent = 0x7fff; // an MMX register
  view.setUint32(at, low, true);
  view.setUint32(at + 4, high, true);
  view.setUint16(at + 8, exponent | (random.next() & 0x8000), true);
}

function randomMxcsr(random: Random): number {
  if (random.once(3)) return 0x1f80;
  const rest = random.once(3) ? random.next() & 0xe040 : 0;
  return random.once(10) ? (random.next() & 0x1f80) | rest : 0x1f80 | rest | (random.next() & 0x3f);
}

/** Fills the record at `at` but for the code. Flags are arithmetic ones and DF. */
export function writeRandomState(view: DataView, at: number, bits: 32 | 64, random: Random, hasYmm = false): void {
  new Uint8Array(view.buffer, view.byteOffset + at, RECORD_BYTES).fill(0);
  view.setUint32(at + RECORD_BITS, bits, true);
  for (let r = 0; r < 16; r++) setGpr(view, at, r, bits === 64 ? random64(random) : r < 8 ? random64(random) & 0xffff_ffffn : 0n);
  setGpr(view, at, RSP, BigInt(MEMORY_AT + 128 + random.below(24) * 8 + (random.once(8) ? random.below(8) : 0)));
  view.setUint32(at + RECORD_RIP, CODE_AT, true);
  view.setUint32(at + RECORD_FLAGS, 0x202 | (random.next() & ARITHMETIC) | (random.once(3) ? DF : 0), true);
  view.setUint16(at + FX_CONTROL, 0x40 | (random.once(6) ? random.next() & 0x3f : 0x3f) | (random.pick([0, 2, 3, 3, 3]) << 8) | (random.below(4) << 10), true);
  // Exceptions that the control word does not mask would wait for the first instruction.
  const masks = view.getUint8(at + FX_CONTROL) & 0x3f;
  view.setUint16(at + FX_STATUS, (random.next() & 0x7f00) | (random.next() & masks), true);
  view.setUint8(at + FX_TAGS, random.once(2) ? 0 : random.once(2) ? random.next() & 0xff : 0xff);
  view.setUint32(at + FX_MXCSR, randomMxcsr(random), true);
  for (let i = 0; i < 8; i++) fillSt(view, at + FX_ST + i * 16, random);
  for (let i = 0; i < 16; i++) fill16(view, at + FX_XMM + i * 16, random);
  for (let i = 0; i < RECORD_MEMORY_BYTES; i += 16) fill16(view, at + RECORD_MEMORY + i, random);
  if (hasYmm) for (let i = 0; i < 16; i++) fill16(view, at + RECORD_YMM + i * 16, random);
}

export function setGpr(view: DataView, at: number, register: number, value: bigint): void { view.setBigUint64(at + RECORD_GPR + register * 8, value, true); }
export function getGpr(view: DataView, at: number, register: number): bigint { return view.getBigUint64(at + RECORD_GPR + register * 8, true); }

/** Puts the code into the record. */
export function setCode(view: DataView, at: number, code: ArrayLike<number>): void {
  for (let i = 0; i < code.length; i++) view.setUint8(at + RECORD_CODE + i, code[i] as number);
  view.setUint32(at + RECORD_LENGTH, code.length, true);
}
