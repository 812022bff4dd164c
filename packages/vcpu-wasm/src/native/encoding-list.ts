/** One encoding of every instruction form that a program without privileges can be compared by, found by decoding. */
import { createInstruction, decode, DECODE_OK, OPERAND_MMX, OPERAND_ST, OPERAND_XMM, ROW_FEATURES, ROWS, WIDE_ROW_FEATURES } from '@vm/x86';
import type { Instruction, Row } from '@vm/x86';
import { AVAILABLE } from '../cpu-model.ts';
import { EMITTERS } from '../emitters.ts';
import { formOf } from '../form.ts';
import type { Form } from '../form.ts';

export interface Vex { readonly map: number; readonly prefix: number; readonly wide: boolean; readonly length: number }
export type EncodingKind = 'integer' | 'x87' | 'vector';

export interface Encoding {
  readonly bits: 32 | 64;
  /** 67, 66, F2 or F3, in this order. */
  readonly prefixes: readonly number[];
  readonly rexW: boolean;
  /** Escape bytes and opcode; behind a VEX prefix the opcode alone. */
  readonly opcode: readonly number[];
  /** Map, prefix, W and L of a VEX prefix. */
  readonly vex: Vex | null;
  /** A ModRM byte of the form, or -1. */
  readonly modrm: number;
  readonly row: Row;
  readonly form: Form;
  readonly kind: EncodingKind;
  /** What counts as covered: the form, and which encoding of it. */
  readonly key: string;
}

/**
 * What is left out: what shows the host (CPUID, time, tables, segments that the harness itself needs), asks the kernel, or leaves
 * the code segment. These are tested elsewhere.
 */
const LEFT_OUT: ReadonlySet<string> = new Set([
  'cpuid', 'rdtsc', 'rdtscp', 'rdpmc', 'rdrand', 'rdseed', 'rdpid', 'xgetbv', 'xsetbv', 'xsave', 'xrstor', 'xsaveopt', 'monitor', 'mwait',
  'sgdt', 'sidt', 'sldt', 'str', 'smsw', 'lar', 'lsl', 'verr', 'verw', 'xsaves', 'xrstors', 'xsavec',
  'syscall', 'sysret', 'sysenter', 'sysexit', 'int', 'int1', 'vmcall', 'vmmcall', 'rsm',
  'fxsave', 'fxrstor',
]);

const STRINGS: ReadonlySet<string> = new Set(['movs', 'cmps', 'stos', 'lods', 'scas', 'ins', 'outs']);

const regs = (from: number): number[] => Array.from({ length: 8 }, (_, reg) => from | (reg << 3));
const VEX_MODRMS: readonly number[] = [...regs(0x06), ...regs(0xc0)];
const MODRMS: readonly number[] = [...regs(0x06), ...Array.from({ length: 64 }, (_, low) => 0xc0 | low)];

/** All encodings for one width of code. */
export function listEncodings(bits: 32 | 64): Encoding[] {
  const found = new Map<string, Encoding>();
  const instruction = createInstruction();
  const bytes = new Uint8Array(16);
  for (const prefixes of prefixCombinations()) {
    for (const rexW of bits === 64 ? [false, true] : [false]) {
      for (const map of [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]) {
        for (let opcode = 0; opcode < 256; opcode++) {
          for (const modrm of MODRMS) {
            const head = [...prefixes, ...(rexW ? [0x48] : []), ...map, opcode];
            bytes.fill(0);
            bytes.set([...head, modrm]);
            if (decode(bits, bytes, 0, 15, instruction) !== DECODE_OK || instruction.length < head.length) break;
            const row = ROWS[instruction.row] as Row;
            if (row.map !== map.length || opcode < row.opcode || opcode >= row.opcode + row.opcodeCount) break; // a prefix or an escape
            if (isImplementationSpecific(instruction, row.name, bits === 64)) continue;
            // A REP prefix that means nothing is enough once.
            if (instruction.rep !== 0 && prefixes.length > 1 && !STRINGS.has(row.name)) continue;
            const feature = ROW_FEATURES[row.id] ?? null;
            if (EMITTERS[row.name] !== undefined && !LEFT_OUT.has(row.name) && !APPROXIMATE.has(row.name) && (feature === null || AVAILABLE.has(feature))) {
              const form = formOf(instruction, bits === 64);
              const key = `${bits} ${row.encoding}: ${form.key}${form.rep === 0 && instruction.rep !== 0 ? ' rep' : ''}`;
              if (!found.has(key)) found.set(key, { bits, prefixes, rexW, opcode: [...map, opcode], vex: null, modrm: instruction.modrm, row, form, kind: kindOf(instruction, row), key });
            }
            if (instruction.modrm < 0) break;
          }
        }
      }
    }
  }
  listVexEncodings(bits, found);
  return [...found.values()];
}

/** Those behind a VEX prefix of three bytes. */
function listVexEncodings(bits: 32 | 64, found: Map<string, Encoding>): void {
  const instruction = createInstruction();
  const bytes = new Uint8Array(16);
  for (const address of [[], [0x67]]) {
    for (let fields = 0; fields < 48; fields++) {
      const vex: Vex = { map: 1 + (fields >> 4), prefix: fields & 3, wide: (fields & 4) !== 0, length: (fields >> 3) & 1 };
      for (let opcode = 0; opcode < 256; opcode++) {
        for (const modrm of VEX_MODRMS) {
          const head = [...address, ...vexBytes(vex, 0, 0), opcode];
          bytes.fill(0);
          bytes.set([...head, modrm]);
          if (decode(bits, bytes, 0, 15, instruction) !== DECODE_OK) continue;
          const row = ROWS[instruction.row] as Row;
          const feature = (vex.length === 1 ? WIDE_ROW_FEATURES : ROW_FEATURES)[row.id] ?? null;
          if (EMITTERS[row.name] === undefined || LEFT_OUT.has(row.name) || APPROXIMATE.has(row.name.slice(1)) || (feature !== null && !AVAILABLE.has(feature))) continue;
          const form = formOf(instruction, bits === 64);
          const key = `${bits} ${row.encoding}: ${form.key}`;
          if (!found.has(key)) found.set(key, { bits, prefixes: address, rexW: false, opcode: [opcode], vex, modrm: instruction.modrm, row, form, kind: kindOf(instruction, row), key });
          if (instruction.modrm < 0) break;
        }
      }
    }
  }
}
/** A VEX prefix with the extension bits of `rex` and register `vvvv` (SDM vol. 2, section 2.3.5). */
export function vexBytes({ map, prefix, wide, length }: Vex, rex: number, vvvv: number): number[] {
  return [0xc4, ((~rex & 7) << 5) | map, (wide ? 0x80 : 0) | ((~vvvv & 15) << 3) | (length << 2) | prefix];
}

/** Results of which the last bits are the processor's own (SDM vol. 1, sections 8.3.10 and 10.4.1; vol. 2, RCPPS, RSQRTPS); they are compared elsewhere. */
const APPROXIMATE: ReadonlySet<string> = new Set(['rcpps', 'rcpss', 'rsqrtps', 'rsqrtss', 'f2xm1', 'fyl2x', 'fyl2xp1', 'fptan', 'fpatan', 'fsin', 'fcos', 'fsincos']);

/** Encodings that Intel's and AMD's processors take differently. */
function isImplementationSpecific(instruction: Instruction, name: string, long: boolean): boolean {
  switch (name) {
    // A REP prefix is reserved here (SDM vol. 2, REP); LOOPNE with REPE is LOOPE to AMD's processors.
    case 'loopne': return instruction.rep !== 0;
    // 0F 0D with a register: a NOP to Intel's, #UD to AMD's (SDM vol. 2, appendix A, note to table A-3; APM vol. 3, PREFETCHW).
    case 'nop': return instruction.modrm >= 0xc0 && (ROWS[instruction.row] as Row).opcode === 0x0d;
    // Of RBP all bits are written (SDM vol. 2, ENTER) or 16 (what AMD's processors do).
    case 'enter': return long && instruction.operandSize === 2;
    // Far pointers with 64-bit offsets are Intel's; to AMD's processors REX.W means nothing here (APM vol. 3, JMP far, LFS).
    case 'lss': case 'lfs': case 'lgs': case 'jmpf': case 'callf': return instruction.operandSize === 8;
    // The memory operand has 16 bits (SDM vol. 2, MOVSXD) or 32 (what AMD's processors read).
    case 'movsxd': return instruction.operandSize === 2 && instruction.isMemory !== 0;
    default: return false;
  }
}

function prefixCombinations(): number[][] {
  const all: number[][] = [];
  for (const rep of [[], [0xf3], [0xf2]]) for (const size of [[], [0x66]]) for (const address of [[], [0x67]]) all.push([...address, ...size, ...rep]);
  return all;
}

function kindOf(instruction: Instruction, row: Row): EncodingKind {
  if (row.map === 0 && (row.opcode & 0xf8) === 0xd8) return 'x87';
  if (row.name === 'emms' || row.name === 'ldmxcsr' || row.name === 'stmxcsr') return 'vector';
  for (let k = 0; k < instruction.operandCount; k++) {
    const kind = instruction.operandKind[k];
    if (kind === OPERAND_XMM || kind === OPERAND_MMX) return 'vector';
    if (kind === OPERAND_ST) return 'x87';
  }
  return 'integer';
}
