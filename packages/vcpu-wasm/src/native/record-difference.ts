/** What differs between two states after the same program. */
import { createInstruction, decode, DECODE_OK, formatInstruction, ROWS, VECTOR_PF } from '@vm/x86';
import {
  CODE_AT, FX_CONTROL, FX_MXCSR, FX_ST, FX_STATUS, FX_TAGS, FX_XMM, hexOf, RECORD_BITS, RECORD_CODE, RECORD_CR2, RECORD_FLAGS, RECORD_GPR, RECORD_HASH, RECORD_LENGTH, RECORD_MEMORY,
  RECORD_MEMORY_BYTES, RECORD_RIP, RECORD_SELECTORS, RECORD_VECTOR, RECORD_YMM, SELECTORS,
} from './program-record.ts';
import { hasUndefinedResult, isLong, mayHaveEnteredMmx, mayHaveStored, undefinedFlags, undefinedStatus } from './undefined-results.ts';

const RCX = 1;
const NAMES = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];
/** Arithmetic, DF, TF, NT, AC, ID. RF is set in what a handler of the host finds, and the rest is the host's own. */
const COMPARED_FLAGS = 0x8d5 | 0x400 | 0x100 | 0x4000 | 0x4_0000 | 0x20_0000;
/** MXCSR.MM of AMD's processors (APM vol. 1, section 4.2.2), which the model does not have: a value with it is one that it refuses. */
const MISALIGNED_MASK = 1 << 17;

export interface Tolerance {
  /** Flags that may differ. */
  readonly flags: number;
  /** Bits of the x87 status word that may differ. */
  readonly status: number;
  /** Of the address of a page fault only the page counts. */
  readonly anyByte: boolean;
  /** Memory may differ. */
  readonly memory: boolean;
  /** The x87 registers may differ. */
  readonly x87: boolean;
}
export const EXACT: Tolerance = { flags: 0, status: 0, anyByte: false, memory: false, x87: false };

const decoded = createInstruction();

/** What the manuals leave open about the state after one instruction; null when its result is undefined. */
export function toleranceOf(before: DataView, native: DataView, at: number): Tolerance | null {
  const bits = before.getUint32(at + RECORD_BITS, true) as 32 | 64;
  decode(bits, new Uint8Array(before.buffer, before.byteOffset + at + RECORD_CODE, 16), 0, 15, decoded);
  const name = ROWS[decoded.row]?.name ?? '';
  const vector = native.getUint32(at + RECORD_VECTOR, true);
  const cl = before.getUint8(at + RECORD_GPR + RCX * 8);
  if (hasUndefinedResult(name, decoded, cl) || (native.getUint32(at + FX_MXCSR, true) & MISALIGNED_MASK) !== 0) return null;
  return { flags: undefinedFlags(name, decoded, cl), status: undefinedStatus(name), anyByte: isLong(name), memory: mayHaveStored(name, vector), x87: mayHaveEnteredMmx(name, vector) };
}

/** Names of the parts that differ, with both values; empty when all is equal. */
export function differences(ours: DataView, native: DataView, at: number, tolerance: Tolerance): string[] {
  const out: string[] = [];
  const compare = (part: string, offset: number, bytes: number): void => {
    for (let i = 0; i < bytes; i += bytes % 4 === 0 ? 4 : 1) {
      const same = bytes % 4 === 0 ? ours.getUint32(at + offset + i, true) === native.getUint32(at + offset + i, true) : ours.getUint8(at + offset + i) === native.getUint8(at + offset + i);
      if (same) continue;
      out.push(`${part}: ours ${hexOf(ours, at + offset, bytes)}, native ${hexOf(native, at + offset, bytes)}`);
      return;
    }
  };
  const long = native.getUint32(at + RECORD_BITS, true) === 64;
  compare('vector', RECORD_VECTOR, 4);
  for (let r = 0; r < (long ? 16 : 8); r++) compare(NAMES[r] as string, RECORD_GPR + r * 8, long ? 8 : 4);
  compare('rip', RECORD_RIP, 8);
  const flags = (ours.getUint32(at + RECORD_FLAGS, true) ^ native.getUint32(at + RECORD_FLAGS, true)) & COMPARED_FLAGS & ~tolerance.flags;
  if (flags !== 0) out.push(`flags: ours ${hexOf(ours, at + RECORD_FLAGS, 4)}, native ${hexOf(native, at + RECORD_FLAGS, 4)}, differing in ${flags.toString(16)}`);
  if (native.getUint32(at + RECORD_VECTOR, true) === VECTOR_PF && !(tolerance.anyByte && pageOf(ours, at) === pageOf(native, at))) compare('cr2', RECORD_CR2, 8);
  compare('control', FX_CONTROL, 2);
  if (!tolerance.x87 && ((ours.getUint16(at + FX_STATUS, true) ^ native.getUint16(at + FX_STATUS, true)) & ~tolerance.status) !== 0) compare('status', FX_STATUS, 2);
  if (!tolerance.x87) compare('tags', FX_TAGS, 1);
  compare('mxcsr', FX_MXCSR, 4);
  if (!tolerance.x87) for (let i = 0; i < 8; i++) compare(`st${i}`, FX_ST + i * 16, 10);
  for (let i = 0; i < (long ? 16 : 8); i++) compare(`xmm${i}`, FX_XMM + i * 16, 16);
  for (let i = 0; i < (long ? 16 : 8); i++) compare(`ymm${i}`, RECORD_YMM + i * 16, 16);
  // A record from before there were selectors in them has none.
  // What is null is all null: a return to the program's level, from a signal for one, clears the rest of it (SDM vol. 2, IRET).
  const selector = (view: DataView, i: number): number => { const value = view.getUint16(at + RECORD_SELECTORS + i * 2, true); return value < 4 ? 0 : value; };
  const differs = Array.from({ length: SELECTORS }, (_, i) => i).some((i) => selector(ours, i) !== selector(native, i));
  if (native.getUint16(at + RECORD_SELECTORS, true) !== 0 && differs) compare('selectors', RECORD_SELECTORS, SELECTORS * 2);
  if (tolerance.memory) return out;
  for (let i = 0; i < RECORD_MEMORY_BYTES; i += 16) compare(`memory + ${i.toString(16)}`, RECORD_MEMORY + i, 16);
  if (out.length === 0) compare('memory elsewhere', RECORD_HASH, 8);
  return out;
}

const pageOf = (view: DataView, at: number): bigint => view.getBigUint64(at + RECORD_CR2, true) >> 12n;

/** The instructions of a program, one a line. */
export function formatProgram(view: DataView, at: number): string[] {
  const length = view.getUint32(at + RECORD_LENGTH, true);
  const code = new Uint8Array(view.buffer, view.byteOffset + at + RECORD_CODE, length);
  const instruction = createInstruction();
  const lines: string[] = [];
  for (let from = 0; from < length; from += instruction.length) {
    const result = decode(view.getUint32(at + RECORD_BITS, true) as 32 | 64, code, from, length - from, instruction);
    if (result !== DECODE_OK) {
      lines.push(`${(CODE_AT + from).toString(16)}: ${Buffer.from(code.subarray(from)).toString('hex')}`);
      break;
    }
    lines.push(`${(CODE_AT + from).toString(16)}: ${Buffer.from(code.subarray(from, from + instruction.length)).toString('hex').padEnd(22)} ${formatInstruction(instruction)}`);
  }
  return lines;
}

/** The registers before a program that have something to do with integers, in short. */
export function formatRegisters(view: DataView, at: number): string {
  const long = view.getUint32(at + RECORD_BITS, true) === 64;
  const registers = NAMES.slice(0, long ? 16 : 8).map((name, r) => `${name}=${view.getBigUint64(at + RECORD_GPR + r * 8, true).toString(16)}`);
  return `${registers.join(' ')} flags=${hexOf(view, at + RECORD_FLAGS, 4)} fcw=${hexOf(view, at + FX_CONTROL, 2)} fsw=${hexOf(view, at + FX_STATUS, 2)} mxcsr=${hexOf(view, at + FX_MXCSR, 4)}`;
}
