/** Cases in which the engine once differed from a processor; kept, and run again by the tests. */
import { differences, EXACT, formatProgram, toleranceOf } from './record-difference.ts';
import type { Tolerance } from './record-difference.ts';
import { createInstruction, decode, DECODE_OK, formatInstruction, ROWS, VECTOR_AC, VECTOR_GP, VECTOR_PF } from '@vm/x86';
import { CODE_AT, RECORD_BITS, RECORD_BYTES, RECORD_CODE, RECORD_CR2, RECORD_LENGTH, RECORD_RIP, RECORD_SELECTORS, RECORD_VECTOR, SELECTORS } from './program-record.ts';
import type { NativeRun } from './native-program.ts';
import { formatRecord } from './record-text.ts';
import type { RecordText } from './record-text.ts';
import { isLong, mayBeEitherFault, mayHaveEnteredMmx, mayHaveStored, undefinedFlags } from './undefined-results.ts';

export interface FoundCase {
  /** Its instructions. */
  readonly program: readonly string[];
  /** What differed when it was found. */
  readonly found: readonly string[];
  /** The low pages were there. */
  readonly lowPages: boolean;
  /** FS and GS had bases; absent in old cases, which had none. */
  readonly hasBases?: boolean;
  readonly before: RecordText;
  /** As the host's processor left it. */
  readonly after: RecordText;
}

const LINUX_PER_CPU = 0x78;
const LOADS_SEGMENT = /(^| )(l[defgs]s |mov [defgs]s,|pop [defgs]s)/;
const MASKED_STORES: ReadonlySet<string> = new Set(['maskmovq', 'maskmovdqu', 'vmaskmovdqu']);
const instruction = createInstruction();

/** What the manuals leave open about the state after a program. */
export function toleranceOfProgram(before: DataView, native: DataView, at: number): Tolerance | null {
  const bits = before.getUint32(at + RECORD_BITS, true) as 32 | 64;
  const length = before.getUint32(at + RECORD_LENGTH, true);
  const code = new Uint8Array(before.buffer, before.byteOffset + at + RECORD_CODE, length);
  const first = length > 0 && decode(bits, code, 0, length, instruction) === DECODE_OK ? instruction.length : 0;
  if (first === length) return toleranceOf(before, native, at);
  // The instruction that raised the exception.
  const from = native.getUint32(at + RECORD_RIP, true) - CODE_AT;
  if (from < 0 || from >= length || decode(bits, code, from, length - from, instruction) !== DECODE_OK) return EXACT;
  const name = ROWS[instruction.row]?.name ?? '';
  const vector = native.getUint32(at + RECORD_VECTOR, true);
  // A trap, or a fault of code that has changed, shows the flags of the instruction before it, which the one behind it was to define.
  return { ...EXACT, flags: flagsLeftUndefinedBefore(bits, code, from), anyByte: isLong(name), memory: mayHaveStored(name, vector), x87: mayHaveEnteredMmx(name, vector) };
}

/** Flags that the instruction which ends at `end` of the code leaves undefined. */
function flagsLeftUndefinedBefore(bits: 32 | 64, code: Uint8Array, end: number): number {
  for (let from = 0; from < end; from += instruction.length) {
    if (decode(bits, code, from, code.length - from, instruction) !== DECODE_OK) return 0;
    if (from + instruction.length === end) return undefinedFlags(ROWS[instruction.row]?.name ?? '', instruction, -1);
  }
  return 0;
}

/** Decodes the instruction at `rip` of the program; false where there is none. */
function decodeAt(before: DataView, at: number, rip: number): boolean {
  const from = rip - CODE_AT;
  const length = before.getUint32(at + RECORD_LENGTH, true);
  if (from < 0 || from >= length) return false;
  const bits = before.getUint32(at + RECORD_BITS, true) as 32 | 64;
  return decode(bits, new Uint8Array(before.buffer, before.byteOffset + at + RECORD_CODE, length), from, length - from, instruction) === DECODE_OK;
}

/** The host's processor ended the program with a fault which the manuals do not ask for in its place. */
function mayEndOtherwise(before: DataView, ours: DataView, native: DataView, at: number): boolean {
  const rip = native.getUint32(at + RECORD_RIP, true);
  // Linux has a segment of its own that programs can load.
  for (let i = 0; i < SELECTORS; i++) if ((native.getUint16(at + RECORD_SELECTORS + i * 2, true) & ~3) === LINUX_PER_CPU) return true;
  const ourRip = ours.getUint32(at + RECORD_RIP, true);
  // It may be gone again by the end.
  if (ourRip !== rip && ours.getUint32(at + RECORD_VECTOR, true) === VECTOR_GP && decodeAt(before, at, ourRip) && LOADS_SEGMENT.test(formatInstruction(instruction))) return true;
  if (!decodeAt(before, at, rip)) return false;
  const bits = before.getUint32(at + RECORD_BITS, true);
  const vector = native.getUint32(at + RECORD_VECTOR, true);
  // Whether 16 or 32 bytes at a multiple of 8 are aligned (SDM vol. 2, MOVDQU: a matter of the processor).
  if (vector === VECTOR_AC && instruction.isMemory !== 0 && (instruction.operandBytes.includes(16) || instruction.operandBytes.includes(32))) return true;
  const name = ROWS[instruction.row]?.name ?? '';
  // Whether bytes that the mask leaves out have to be there (SDM vol. 2, MASKMOVDQU); AMD's processors touch all.
  if ((vector === VECTOR_PF || vector === VECTOR_GP) && MASKED_STORES.has(name)) return true;
  // Whether an operand may reach beyond the last byte of a segment of 4 GiB (SDM vol. 3, section 5.3).
  if (bits === 32 && vector === VECTOR_PF && native.getUint32(at + RECORD_CR2, true) > (isLong(name) ? 0xffff_ff00 : 0xffff_fff0)) return true;
  return ourRip === rip && mayBeEitherFault(name, ours.getUint32(at + RECORD_VECTOR, true), vector);
}

/** What differs after the record at `at`, but for what may. */
export function compareProgram(before: DataView, ours: DataView, native: DataView, at: number): string[] {
  if (mayEndOtherwise(before, ours, native, at)) return [];
  const tolerance = toleranceOfProgram(before, native, at);
  return tolerance === null ? [] : differences(ours, native, at, tolerance);
}

export function describeCase(before: DataView, native: DataView, at: number, found: readonly string[], { lowPages, hasBases }: Pick<NativeRun, 'lowPages' | 'hasBases'>): FoundCase {
  const one = (view: DataView): DataView => new DataView(new Uint8Array(view.buffer, view.byteOffset + at, RECORD_BYTES).slice().buffer);
  const after: Record<string, string> = { ...formatRecord(one(native), 0) };
  delete after['code'];
  return { program: formatProgram(before, at), found, lowPages, hasBases, before: formatRecord(one(before), 0), after };
}
