/** Cases of packed instructions for the host's processor and the engine: how they are made, run and compared. */
import { createInstruction, decode, DECODE_OK, formatInstruction, METHOD_VECTOR_INDEX, OPERAND_MMX, OPERAND_XMM, ROW_FEATURES, ROWS, VECTOR_XM, WIDE_ROW_FEATURES } from '@vm/x86';
import type { Instruction, Row } from '@vm/x86';
import * as state from '../cpu-state.ts';
import { EMITTERS } from '../emitters.ts';
import type { FlatMachine } from '../flat-machine.ts';
import { formOf } from '../form.ts';
import { hostHas } from './host-encodings.ts';
import {
  CASE_CODE, CASE_CODE_BYTES, CASE_FLAGS, CASE_FX, CASE_GPR, CASE_MEMORY, CASE_MEMORY_BYTES, CASE_VECTOR, CASE_YMM_HIGH, NO_VECTOR, WINDOW,
} from '../native-oracle.ts';

/** The host's processor has what the encoding needs. */
export function hostHasEncoding({ row, bytes }: Encoding): boolean {
  const feature = (bytes[0] === 0xc4 && ((bytes[2] as number) & 4) !== 0 ? WIDE_ROW_FEATURES : ROW_FEATURES)[row.id] ?? null;
  return hostHas(feature);
}
const hasYmm = process.platform === 'linux' && process.arch === 'x64' && hostHas('avx');
const CODE_AT = 0x8000;
const ARITHMETIC_FLAGS = 0x8d5;
/** Approximations on which processors differ. */
const APPROXIMATE: ReadonlySet<string> = new Set(['rcpps', 'rcpss', 'rsqrtps', 'rsqrtss']);
const GENERAL_ONLY: ReadonlySet<string> = new Set(['ldmxcsr', 'stmxcsr', 'emms', 'crc32', 'movbe', 'adcx', 'adox', 'popcnt', 'lzcnt', 'tzcnt']);
/** Flags that the manual leaves undefined: AF and PF, of BEXTR also SF, of LZCNT and TZCNT also SF and OF (SDM vol. 2, under each name). */
const UNDEFINED_FLAGS: readonly (readonly [RegExp, number])[] = [[/^(andn|bls.*|bzhi)$/, 0x14], [/^bextr$/, 0x94], [/^[lt]zcnt$/, 0x894]];
export const definedFlags = (name: string): number => ARITHMETIC_FLAGS & ~(UNDEFINED_FLAGS.find(([pattern]) => pattern.test(name))?.[1] ?? 0);
/** Instructions to which every bit of the immediate means something. */
const WHOLE_IMMEDIATE = /^v?(pcmp.str|dpp|mpsad|perm|pshuf|shuf|aeskey|pclmul)/;

/** xorshift32. */
export function generator(seed: number): () => number {
  let x = (seed * 0x9e37_79b9) >>> 0 || 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

export interface Encoding { readonly bytes: readonly number[]; readonly modrmAt: number; readonly rex: boolean; readonly row: Row; readonly name: string; readonly key: string }

/** One encoding of each MMX and SSE form; registers, displacement and immediate are made random later. */
export function listPackedEncodings(): Encoding[] {
  const found = new Map<string, Encoding>();
  const instruction = createInstruction();
  const code = new Uint8Array(16);
  for (const mandatory of [[], [0x66], [0xf3], [0xf2]]) {
    for (const rex of [[], [0x48]]) {
      for (const map of [[0x0f], [0x0f, 0x38], [0x0f, 0x3a]]) {
        for (let opcode = 0; opcode < 256; opcode++) {
          if (map.length === 1 && (opcode === 0x38 || opcode === 0x3a)) continue; // the maps that follow
          for (let modrm = 0x46; modrm < 0x100; modrm += modrm < 0x7e ? 8 : modrm === 0x7e ? 0xc1 - 0x7e : 8) {
            code.fill(0);
            const start = [...mandatory, ...rex, ...map, opcode];
            code.set([...start, modrm, 0x40]);
            if (decode(64, code, 0, 15, instruction) !== DECODE_OK || instruction.length < start.length) continue;
            const row = ROWS[instruction.row] as Row;
            const { name } = row;
            if (EMITTERS[name] === undefined || !isPacked(instruction, name)) continue;
            // The length registers of PCMPESTRx are 64 bits wide with REX.W, which is not in the form.
            const key = formOf(instruction, true).key + (rex.length > 0 && name.startsWith('pcmpestr') ? ';w' : '');
            if (!found.has(key)) found.set(key, { bytes: [...code.subarray(0, instruction.length)], modrmAt: start.length, rex: rex.length > 0, row, name, key });
          }
        }
      }
    }
  }
  return [...found.values()];
}
/** The same for instructions with a VEX prefix. */
export function listVexEncodings(): Encoding[] {
  const found = new Map<string, Encoding>();
  const instruction = createInstruction();
  const code = new Uint8Array(16);
  for (const wide of [0, 0x80]) {
    for (let map = 1; map <= 3; map++) {
      for (let pp = 0; pp < 8; pp++) {
        for (let opcode = 0; opcode < 256; opcode++) {
          for (const modrm of VEX_MODRMS) {
            code.fill(0);
            const gathers = (modrm & 7) === 4;
            const start = [0xc4, 0xe0 | map, wide | (gathers ? 0x70 : 0x78) | pp, opcode];
            code.set(gathers ? [...start, modrm, 0x06, 0x40] : [...start, modrm, 0x40]); // [rsi + xmm0 * 1 + disp8]
            if (decode(64, code, 0, 15, instruction) !== DECODE_OK) continue;
            const row = ROWS[instruction.row] as Row;
            if (gathers !== hasVectorIndex(row)) continue;
            const { name } = row;
            const { key } = formOf(instruction, true);
            if (EMITTERS[name] === undefined || found.has(key)) continue;
            const bytes = [...code.subarray(0, instruction.length)];
            const sizes = [...instruction.operandBytes];
            // Outside 64-bit code VEX.W does not count for general registers.
            const same = decode(32, code, 0, 15, instruction) === DECODE_OK && sizes.every((size, k) => size === instruction.operandBytes[k]);
            found.set(key, { bytes, modrmAt: start.length, rex: !same || name.startsWith('vzero') || (wide !== 0 && name.startsWith('vpcmpestr')), row, name, key });
          }
        }
      }
    }
  }
  return [...found.values()];
}
/** [rsi + disp8] with each reg field, [rsi + index + disp8], registers. */
const VEX_MODRMS: readonly number[] = [...Array.from({ length: 8 }, (_, reg) => 0x46 | (reg << 3)), 0x54, ...Array.from({ length: 8 }, (_, reg) => 0xc1 | (reg << 3))];
const hasVectorIndex = (row: Row): boolean => row.operands.some((operand) => operand.method === METHOD_VECTOR_INDEX);
const hasVexRegister = (row: Row): boolean => row.operands.some((operand) => /^[BH]/.test(operand.text));

function isPacked(instruction: Instruction, name: string): boolean {
  if (GENERAL_ONLY.has(name)) return true;
  for (let k = 0; k < instruction.operandCount; k++) {
    const kind = instruction.operandKind[k];
    if (kind === OPERAND_XMM || kind === OPERAND_MMX) return true;
  }
  return false;
}

/** Interesting patterns of the float formats, beside random bits. */
const SINGLES = [0, 1, 0x7f_ffff, 0x80_0000, 0x80_0001, 0x3f80_0000, 0x3f80_0001, 0x3fc0_0000, 0x4000_0000, 0x4040_0000, 0x7f7f_ffff, 0x7f80_0000, 0x7fc0_1234, 0x7f80_0001,
  0x4f00_0000, 0x4eff_ffff, 0x5f00_0000, 0x3f00_0000, 0x4020_0000, 0x0040_0000, 0x2000_0000, 0x5f7f_ffff, 0x3400_0000];
const DOUBLE_HIGHS = [0, 0x8_0000, 0x10_0000, 0x3ff0_0000, 0x3ff8_0000, 0x4000_0000, 0x7fef_ffff, 0x7ff0_0000, 0x7ff8_0000, 0x41e0_0000, 0x41df_ffff, 0x43e0_0000, 0x3fe0_0000,
  0x4004_0000, 0x380f_ffff, 0x3810_0000, 0x36a0_0000, 0x3690_0000, 0x47ef_ffff, 0x47f0_0000, 0x1ff0_0000, 0x5fef_ffff, 0x3ca0_0000];
function fillPacked(view: DataView, at: number, bytes: number, next: () => number): void {
  const kind = next() % 8;
  for (let i = at; i < at + bytes; i += 8) {
    for (const half of [0, 4]) {
      let value = next();
      if (kind <= 1) value = ((SINGLES[value % SINGLES.length] as number) | (next() & 0x8000_0000)) >>> 0;
      else if (kind === 2) value = (0x3f00_0000 + (value % 0x100_0000)) >>> 0; // near one
      else if (kind === 3) value = (value % 64) - 32;
      view.setInt32(i + half, value, true);
    }
    if (kind === 4 || kind === 5) {
      const low = [0, 1, 0xffff_ffff, 0xffc0_0000, 0x1000_0000, 0xf000_0000, next()][next() % 7] as number;
      view.setUint32(i, low, true);
      view.setUint32(i + 4, ((DOUBLE_HIGHS[next() % DOUBLE_HIGHS.length] as number) | (next() & 0x8000_0000)) >>> 0, true);
    } else if (kind === 6) view.setUint32(i + 4, (0x3fe0_0000 + (next() % 0x40_0000) + (next() & 0x8000_0000)) >>> 0, true);
  }
}
function mxcsr(next: () => number): number {
  const how = next() % 8;
  if (how < 2) return 0x1f80;
  if (how < 4) return 0x1fa0;
  const rest = next() & 0xe040; // rounding, FTZ, DAZ
  if (how < 7) return 0x1f80 | rest | (next() & 0x3f);
  return (next() & 0x1f80) | rest;
}

/** Text of few letters, and lengths around those that fit. */
function makeStrings(view: DataView, at: number, next: () => number): void {
  const letters = 2 + (next() % 6);
  const wide = next() % 2 === 0;
  const letter = (i: number): number => (wide && i % 2 === 1 ? (next() % 16 === 0 ? 0x80 : 0) : next() % 12 === 0 ? 0 : next() % 8 === 0 ? 0xf0 + (next() % letters) : 0x61 + (next() % letters));
  for (let i = 0; i < 256; i++) view.setUint8(at + CASE_FX + 160 + i, letter(i));
  for (let i = 0; i < CASE_MEMORY_BYTES; i++) view.setUint8(at + CASE_MEMORY + i, letter(i));
  for (const r of [0, 2]) {
    const length = (next() % 40) - 20;
    if (next() % 8 !== 0) view.setBigInt64(at + CASE_GPR + r * 8, BigInt(length), true);
    else view.setInt32(at + CASE_GPR + r * 8, length, true);
  }
}

/** Three different registers, a scale and a displacement for [rsi + index * scale + disp8]. */
function gatherOperands(bytes: number[], start: number, next: () => number): void {
  const first = next() % 4;
  bytes[start] = 0x44 | (((first + 1) % 4) << 3);
  bytes[start + 1] = (next() & 0xc0) | (((first + 2) % 4) << 3) | 6;
  bytes[start + 2] = next() & 0x30;
  bytes[2] = ((bytes[2] as number) & 0x87) | ((~first & 15) << 3);
}
/** Indices small enough for every scale, a few of them negative; elsewhere as many masks as not. */
function makeIndices(view: DataView, at: number, encoding: Encoding, next: () => number): void {
  const index = (view.getUint8(at + CASE_CODE + encoding.modrmAt + 1) >> 3) & 7;
  for (const field of [at + CASE_FX + 160, at + CASE_YMM_HIGH]) {
    for (let i = 0; i < 64; i += 4) view.setUint32(field + i, next(), true);
    for (let i = index * 16; i < index * 16 + 16; i += 8) {
      if (/gatherq/.test(encoding.name)) view.setBigInt64(field + i, BigInt((next() % 20) - 4), true);
      else for (const half of [0, 4]) view.setInt32(field + i + half, (next() % 20) - 4, true);
    }
  }
}
/** Fills in one case. */
export function makePackedCase(view: DataView, at: number, encoding: Encoding, next: () => number): void {
  const bytes = [...encoding.bytes];
  const start = encoding.modrmAt;
  const modrm = bytes[start];
  if (modrm !== undefined && encoding.name !== 'emms') {
    const { row } = encoding;
    // The reg field of shifts by an immediate belongs to the opcode.
    const reg = row.extension >= 0 ? modrm & 0x38 : (next() % 4) << 3;
    if (hasVectorIndex(row)) gatherOperands(bytes, start, next);
    else if (modrm >= 0xc0) bytes[start] = 0xc0 | reg | (next() % 4);
    else {
      bytes[start] = 0x46 | reg; // [rsi + disp8]
      bytes[start + 1] = next() & 0x70;
    }
    // A register in VEX.vvvv, where the form has one.
    if (hasVexRegister(row) && !hasVectorIndex(row)) bytes[2] = (bytes[2] as number) ^ ((next() % 4) << 3);
    if (row.operands[3]?.text.startsWith('L') === true) bytes[bytes.length - 1] = next() & 0x3f;
    if (/,I1(;|$)/.test(encoding.key)) bytes[bytes.length - 1] = next() % 3 === 0 || WHOLE_IMMEDIATE.test(encoding.name) ? next() & 0xff : next() & 0x1f;
  }
  for (let i = 0; i < CASE_CODE_BYTES; i++) view.setUint8(at + CASE_CODE + i, bytes[i] ?? 0);
  view.setUint32(at + CASE_CODE + 16, bytes.length, true);
  for (let r = 0; r < 15; r++) fillPacked(view, at + CASE_GPR + r * 8, 8, next);
  const pointer = WINDOW + 32 + (next() % 8 === 0 ? next() % 16 : 0);
  for (const r of [6, 7]) view.setBigUint64(at + CASE_GPR + r * 8, BigInt(pointer), true);
  view.setBigUint64(at + CASE_GPR + 15 * 8, 0n, true);
  view.setBigUint64(at + CASE_GPR + 4 * 8, 0n, true);
  view.setBigUint64(at + CASE_FLAGS, BigInt(0x202 | (next() & ARITHMETIC_FLAGS)), true);
  const fx = at + CASE_FX;
  view.setUint16(fx, 0x37f, true);
  view.setUint16(fx + 2, (next() & 7) << 11, true);
  view.setUint8(fx + 4, next() & 0xff);
  view.setUint32(fx + 24, mxcsr(next), true);
  for (let i = 0; i < 8; i++) {
    fillPacked(view, fx + 32 + i * 16, 8, next);
    view.setUint16(fx + 40 + i * 16, next() & 0xffff, true);
  }
  for (let i = 0; i < 16; i++) {
    fillPacked(view, fx + 160 + i * 16, 16, next);
    if (hasYmm) fillPacked(view, at + CASE_YMM_HIGH + i * 16, 16, next);
  }
  for (let i = 0; i < CASE_MEMORY_BYTES; i += 16) fillPacked(view, at + CASE_MEMORY + i, 16, next);
  if (/^v?pcmp.str/.test(encoding.name)) makeStrings(view, at, next);
  if (hasVectorIndex(encoding.row)) makeIndices(view, at, encoding, next);
  if (encoding.name.endsWith('ldmxcsr')) {
    for (let i = 0; i < CASE_MEMORY_BYTES; i += 4) view.setUint32(at + CASE_MEMORY + i, next() & (next() % 4 === 0 ? -1 : 0xffff), true);
  }
}

/** Runs a case in the engine and stores the outcome in the same layout. */
export function runPackedCase(machine: FlatMachine, before: DataView, at: number, after: DataView): void {
  const cpu = machine.vcpu.state;
  const length = before.getUint32(at + CASE_CODE + 16, true);
  machine.put(CODE_AT, [...new Uint8Array(before.buffer, at + CASE_CODE, length), 0xf4]);
  machine.enter(CODE_AT);
  machine.vcpu.exceptions.fill(0);
  for (let r = 0; r < 15; r++) if (r !== 4) machine.setGpr(r, before.getBigUint64(at + CASE_GPR + r * 8, true));
  machine.flags = before.getUint32(at + CASE_FLAGS, true) & ~0x200;
  const fx = at + CASE_FX;
  const top = (before.getUint16(fx + 2, true) >> 11) & 7;
  cpu.set(state.X87_TOP, top);
  for (let i = 0; i < 8; i++) {
    cpu.u8[cpu.at + state.X87_EMPTY + i] = ((before.getUint8(fx + 4) >> i) & 1) ^ 1;
    for (let b = 0; b < 10; b++) cpu.u8[cpu.at + state.X87 + ((top + i) & 7) * 16 + b] = before.getUint8(fx + 32 + i * 16 + b);
  }
  for (let b = 0; b < 256; b++) {
    cpu.u8[cpu.at + state.XMM + b] = before.getUint8(fx + 160 + b);
    cpu.u8[cpu.at + state.YMM_HIGH + b] = before.getUint8(at + CASE_YMM_HIGH + b);
  }
  cpu.set(state.MXCSR, before.getUint32(fx + 24, true));
  machine.bytes.set(new Uint8Array(before.buffer, at + CASE_MEMORY, CASE_MEMORY_BYTES), WINDOW);

  machine.run(10);

  const raised = machine.vcpu.exceptions;
  const vector = [19, 6, 7, 14, 16, 13].find((number) => (raised[number] as number) > 0) ?? NO_VECTOR;
  after.setUint32(at + CASE_VECTOR, vector, true);
  for (let r = 0; r < 15; r++) if (r !== 4) after.setBigUint64(at + CASE_GPR + r * 8, machine.gpr(r), true);
  after.setUint32(at + CASE_FLAGS, machine.flags, true);
  const newTop = cpu.get(state.X87_TOP);
  after.setUint16(fx + 2, newTop << 11, true);
  let tags = 0;
  for (let i = 0; i < 8; i++) {
    if (cpu.u8[cpu.at + state.X87_EMPTY + i] === 0) tags |= 1 << i;
    for (let b = 0; b < 10; b++) after.setUint8(fx + 32 + i * 16 + b, cpu.u8[cpu.at + state.X87 + ((newTop + i) & 7) * 16 + b] as number);
  }
  after.setUint8(fx + 4, tags);
  for (let b = 0; b < 256; b++) {
    after.setUint8(fx + 160 + b, cpu.u8[cpu.at + state.XMM + b] as number);
    after.setUint8(at + CASE_YMM_HIGH + b, cpu.u8[cpu.at + state.YMM_HIGH + b] as number);
  }
  after.setUint32(fx + 24, cpu.get(state.MXCSR), true);
  new Uint8Array(after.buffer, at + CASE_MEMORY, CASE_MEMORY_BYTES).set(machine.bytes.subarray(WINDOW, WINDOW + CASE_MEMORY_BYTES));
}

const hex = (view: DataView, at: number, bytes: number): string => {
  let text = '';
  for (let i = bytes - 1; i >= 0; i--) text += view.getUint8(at + i).toString(16).padStart(2, '0');
  return text;
};
/** Names of the parts that differ, with both values; empty when all is equal. */
export function packedDifferences(ours: DataView, native: DataView, at: number, flags: number, skip: (part: string) => boolean): string[] {
  const out: string[] = [];
  const compare = (part: string, offset: number, bytes: number): void => {
    const a = hex(ours, at + offset, bytes);
    const b = hex(native, at + offset, bytes);
    if (a !== b && !skip(part)) out.push(`${part}: ours ${a}, native ${b}`);
  };
  compare('vector', CASE_VECTOR, 4);
  for (let r = 0; r < 15; r++) if (r !== 4) compare(`gpr${r}`, CASE_GPR + r * 8, 8);
  if (((ours.getUint32(at + CASE_FLAGS, true) ^ native.getUint32(at + CASE_FLAGS, true)) & flags) !== 0) compare('flags', CASE_FLAGS, 2);
  compare('fsw', CASE_FX + 2, 2);
  compare('tags', CASE_FX + 4, 1);
  compare('mxcsr', CASE_FX + 24, 4);
  for (let i = 0; i < 8; i++) compare(`mm${i}`, CASE_FX + 32 + i * 16, 10);
  for (let i = 0; i < 16; i++) compare(`xmm${i}`, CASE_FX + 160 + i * 16, 16);
  for (let i = 0; i < 16; i++) compare(`ymm${i} high`, CASE_YMM_HIGH + i * 16, 16);
  compare('memory', CASE_MEMORY, CASE_MEMORY_BYTES);
  return out;
}
export function describePackedCase(before: DataView, at: number): string {
  const length = before.getUint32(at + CASE_CODE + 16, true);
  const code = new Uint8Array(before.buffer, at + CASE_CODE, length);
  const instruction = createInstruction();
  decode(64, code, 0, length, instruction);
  const registers = [0, 1, 2, 3].map((i) => `xmm${i}=${hex(before, at + CASE_FX + 160 + i * 16, 16)} mm${i}=${hex(before, at + CASE_FX + 32 + i * 16, 8)}${hasYmm ? ` high${i}=${hex(before, at + CASE_YMM_HIGH + i * 16, 16)}` : ''}`).join(' ');
  return `[${[...code].map((b) => b.toString(16)).join(" ")}] ${formatInstruction(instruction)} mxcsr=${hex(before, at + CASE_FX + 24, 4)} ${registers}`;
}

export function isExcused(part: string, encoding: Encoding, vector: number): boolean {
  if (APPROXIMATE.has(encoding.name.replace(/^v/, ''))) return /^[xy]mm/.test(part);
  // Whether the x87 has turned to MMX when a conversion raises #XM is left to the processor; ours changes nothing.
  return vector === VECTOR_XM && /Q8/.test(encoding.key) && /^(fsw|tags|mm)/.test(part);
}

