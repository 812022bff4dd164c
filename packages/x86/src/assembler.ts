/** A small assembler over the decoder's tables, for tests and for code that a machine is started with. */
import type { Operand } from './assembler-operand.ts';
import type { CodeMode } from './decoder.ts';
import type { Encoding, Patch, Prefixes } from './encoder.ts';
import { encode, isString } from './encoder.ts';
import type { Row } from './opcode-row.ts';
import { METHOD_RELATIVE } from './operand.ts';
import { ROWS } from './rows.ts';

/** Instructions that have a method of their own; every other is written `op('name', ...)`. */
const METHODS = [
  'adc', 'add', 'and', 'bound', 'bsf', 'bsr', 'bswap', 'bt', 'btc', 'btr', 'bts', 'call', 'callf', 'cbw', 'clc', 'cld', 'cli', 'clts', 'cmc',
  'cmp', 'cmps', 'cmpxchg', 'cmpxchg8b', 'cpuid', 'cwd', 'dec', 'div', 'enter', 'hlt', 'idiv', 'imul', 'in', 'inc', 'ins', 'int', 'int1',
  'int3', 'into', 'invlpg', 'iret', 'jcxz', 'jmp', 'jmpf', 'lahf', 'lar', 'lea', 'leave', 'lgdt', 'lidt', 'lldt', 'lmsw', 'lods', 'loop', 'loope',
  'loopne', 'lsl', 'ltr', 'mfence', 'mov', 'movs', 'movsx', 'movsxd', 'movzx', 'mul', 'neg', 'nop', 'not', 'or', 'out', 'outs', 'pause', 'pop', 'popa',
  'popf', 'push', 'pusha', 'pushf', 'rcl', 'rcr', 'rdmsr', 'rdtsc', 'ret', 'retf', 'rol', 'ror', 'sahf', 'sar', 'sbb', 'scas', 'sgdt', 'shl',
  'shld', 'shr', 'shrd', 'sidt', 'sldt', 'smsw', 'stc', 'std', 'sti', 'stos', 'str', 'sub', 'swapgs', 'syscall', 'sysret', 'test', 'ud2',
  'verr', 'verw', 'wbinvd', 'wrmsr', 'xadd', 'xchg', 'xlat', 'xor',
] as const;

type Instructions = { readonly [name in (typeof METHODS)[number]]: (...operands: readonly Operand[]) => Assembler };

/** Writes instructions one after the other; every method but `bytes` and `offset` returns the assembler. */
export interface Assembler extends Instructions {
  /** Any instruction of the tables by name. */
  op(name: string, ...operands: readonly Operand[]): Assembler;
  jcc(condition: number, target: string | number): Assembler;
  setcc(condition: number, operand: Operand): Assembler;
  cmovcc(condition: number, destination: Operand, source: Operand): Assembler;
  /** Prefixes of the next instruction. */
  lock(): Assembler;
  rep(): Assembler;
  repne(): Assembler;
  /** Operand size of the next instruction, where its operands do not say it (string instructions, IRET, RETF, CBW, ...). */
  size(bytes: 1 | 2 | 4 | 8): Assembler;
  /** The mode of the code from here on; labels are known on both sides. */
  mode(bits: CodeMode): Assembler;
  /** Names this place. */
  label(name: string): Assembler;
  /** Bytes as they are. */
  data(...bytes: readonly number[]): Assembler;
  /** The address of a label as data. */
  dataAddress(label: string, bytes: 2 | 4 | 8): Assembler;
  /** Fills up with `fill` (default NOP) to a multiple of `bytes` from the start. */
  align(bytes: number, fill?: number): Assembler;
  /** Offset of the next byte from the start. */
  offset(): number;
  /** Offset of a label that has been named, or undefined. */
  offsetOf(label: string): number | undefined;
  /** What was written, with the labels filled in. Unknown labels and distances that do not fit throw a RangeError. */
  bytes(): Uint8Array;
}

export interface AssemblerOptions {
  /** Address of the first byte; default 0. */
  readonly origin?: number;
}

const NO_PREFIXES: Prefixes = { lock: false, rep: 0, size: 0, condition: -1, addressBytes: 0 };

interface Fixup extends Patch {
  /** Where the instruction ends. */
  readonly end: number;
}

/** An assembler for code that begins in a mode. */
export function createAssembler(firstMode: CodeMode, options: AssemblerOptions = {}): Assembler {
  const origin = options.origin ?? 0;
  const output: number[] = [];
  const labels = new Map<string, number>();
  const fixups: Fixup[] = [];
  let prefixes = NO_PREFIXES;
  let mode = firstMode;

  const emit = (name: string, operands: readonly Operand[], condition = -1): Assembler => {
    const encoding = shortest(mode, name, operands, { ...prefixes, condition }, (label) => {
      const target = labels.get(label);
      return target === undefined ? null : target - output.length;
    });
    prefixes = NO_PREFIXES;
    const start = output.length;
    output.push(...encoding.bytes);
    for (const patch of encoding.patches) fixups.push({ ...patch, at: start + patch.at, end: output.length });
    return self;
  };

  const base = {
    op: (name: string, ...operands: readonly Operand[]): Assembler => emit(name, operands),
    jcc: (condition: number, target: string | number): Assembler => emit('jcc', [target], condition),
    setcc: (condition: number, operand: Operand): Assembler => emit('setcc', [operand], condition),
    cmovcc: (condition: number, destination: Operand, source: Operand): Assembler => emit('cmovcc', [destination, source], condition),
    lock: (): Assembler => { prefixes = { ...prefixes, lock: true }; return self; },
    rep: (): Assembler => { prefixes = { ...prefixes, rep: 0xf3 }; return self; },
    repne: (): Assembler => { prefixes = { ...prefixes, rep: 0xf2 }; return self; },
    size: (bytes: 1 | 2 | 4 | 8): Assembler => { prefixes = { ...prefixes, size: bytes }; return self; },
    mode: (bits: CodeMode): Assembler => { mode = bits; return self; },
    label: (name: string): Assembler => {
      if (labels.has(name)) throw new RangeError(`label ${name} is there twice`);
      labels.set(name, output.length);
      return self;
    },
    data: (...bytes: readonly number[]): Assembler => { output.push(...bytes.map((byte) => byte & 0xff)); return self; },
    dataAddress: (label: string, bytes: 2 | 4 | 8): Assembler => {
      fixups.push({ at: output.length, bytes, label, relative: false, addend: 0, end: output.length + bytes });
      for (let at = 0; at < bytes; at++) output.push(0);
      return self;
    },
    align: (bytes: number, fill = 0x90): Assembler => {
      while (output.length % bytes !== 0) output.push(fill);
      return self;
    },
    offset: (): number => output.length,
    offsetOf: (label: string): number | undefined => labels.get(label),
    bytes: (): Uint8Array => {
      const bytes = Uint8Array.from(output);
      for (const fixup of fixups) applyFixup(bytes, fixup, labels, origin);
      return bytes;
    },
  };
  const named = Object.fromEntries(METHODS.map((name) => [name, (...operands: readonly Operand[]) => emit(name, operands)]));
  const self = { ...named, ...base } as Assembler;
  return self;
}

function applyFixup(bytes: Uint8Array, fixup: Fixup, labels: ReadonlyMap<string, number>, origin: number): void {
  const target = labels.get(fixup.label);
  if (target === undefined) throw new RangeError(`label ${fixup.label} is not there`);
  const value = BigInt(target + fixup.addend + (fixup.relative ? -fixup.end : origin));
  const bits = fixup.bytes * 8;
  if (fixup.relative ? BigInt.asIntN(bits, value) !== value : BigInt.asUintN(bits, value) !== value) {
    throw new RangeError(`label ${fixup.label} does not fit ${fixup.bytes} bytes: ${value}`);
  }
  for (let at = 0; at < fixup.bytes; at++) bytes[fixup.at + at] = Number((value >> BigInt(at * 8)) & 0xffn);
}

const rowsByName: ReadonlyMap<string, readonly Row[]> = (() => {
  const map = new Map<string, Row[]>();
  for (const row of ROWS) {
    // `mov` stands for mov_seg, mov_cr and mov_dr too.
    for (const name of new Set([row.name, row.name.replace(/_(seg|cr|dr)$/, '')])) {
      const rows = map.get(name);
      if (rows === undefined) map.set(name, [row]);
      else rows.push(row);
    }
  }
  return map;
})();

/** The shortest encoding that any row of the name offers; a branch is short only to a label that is known and near. */
function shortest(
  mode: CodeMode, name: string, operands: readonly Operand[], prefixes: Prefixes, distance: (label: string) => number | null,
): Encoding {
  const rows = rowsByName.get(name);
  if (rows === undefined) throw new RangeError(`there is no instruction ${name}`);
  if (prefixes.size === 0 && rows.some(isString)) throw new RangeError(`${name} needs size(): its operands do not say it`);
  let best: Encoding | null = null;
  for (const row of rows) {
    const encoding = encode(row, mode, operands, prefixes);
    if (encoding === null || (best !== null && best.bytes.length <= encoding.bytes.length)) continue;
    if (isShortBranch(row) && rows.some((other) => other.operands[0]?.text === 'Jz')) {
      const label = encoding.patches[0]?.label;
      if (label !== undefined) {
        const away = distance(label);
        if (away === null || away - encoding.bytes.length < -128) continue;
      }
    }
    best = encoding;
  }
  if (best === null) throw new RangeError(`${name} does not take these operands in ${mode}-bit code: ${describe(operands)}`);
  return best;
}

const isShortBranch = (row: Row): boolean => row.operands[0]?.method === METHOD_RELATIVE && row.operands[0].text === 'Jb';

const describe = (operands: readonly Operand[]): string =>
  operands.map((operand) => (typeof operand === 'object' ? JSON.stringify(operand, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value)) : String(operand))).join(', ');
