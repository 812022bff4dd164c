/**
 * The decoder against `objdump`: random byte sequences in all three modes, compared by length, name and operands.
 *
 * Every sequence has a slot of 32 bytes and is followed by NOPs, so that objdump is in step again at the next slot whatever
 * it made of the one before.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { itWithOracle, noteCases } from '@vm/testkit/oracle';
import { describe, expect, it } from 'vitest';
import type { CodeMode } from './decoder.ts';
import { decode, DECODE_INVALID, DECODE_OK } from './decoder.ts';
import { formatName, formatOperand } from './disassembly.ts';
import type { Instruction } from './instruction.ts';
import { createInstruction } from './instruction.ts';
import { VEX_MAPS } from './opcode-row.ts';
import { ROWS } from './rows.ts';

const SLOT = 32;
const CASES = 24_000;
const SEED = Number(process.env['VM_SEED'] ?? 0x5eed);

const MACHINES: Readonly<Record<CodeMode, string>> = { 16: 'i8086', 32: 'i386', 64: 'i386:x86-64' };
const VEX_TABLE_ROWS = ROWS.filter((row) => row.map > VEX_MAPS);
const PREFIXES = [0x66, 0x67, 0xf2, 0xf3, 0x2e, 0x26, 0x36, 0x3e, 0x64, 0x65, 0xf0, 0x66, 0xf3, 0xf2];

describe('the decoder against objdump', () => {
  for (const mode of [64, 32, 16] as const) {
    itWithOracle(it, 'objdump', `agrees on ${CASES} random sequences in ${mode}-bit code (seed ${SEED})`, (objdump) => {
      const bytes = sequences(mode);
      const differences: string[] = [];
      const named = new Set<number>();
      const instruction = createInstruction();
      let compared = 0;
      for (const theirs of disassemble(objdump, mode, bytes)) {
        compared++;
        const result = decode(mode, bytes, theirs.at, SLOT, instruction);
        if (result === DECODE_OK) named.add(instruction.row);
        const found = difference(mode, bytes, theirs, result, instruction);
        if (found !== null) differences.push(`${theirs.bytes}: ${theirs.text}: ${found}`);
      }
      noteCases({ suite: 'objdump', run: compared, passed: compared - differences.length });
      expect(compared).toBe(CASES);
      expect(differences).toEqual([]);
      // What was compared is most of the tables: a generator gone wrong is not to pass for agreement.
      expect(named.size).toBeGreaterThan(ROWS.length * 0.75);
    });
  }
});

function sequences(mode: CodeMode): Uint8Array {
  let state = SEED >>> 0;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * below);
  };
  const isPrefix = (byte: number): boolean => PREFIXES.includes(byte) || (mode === 64 && (byte & 0xf0) === 0x40);
  const bytes = new Uint8Array(CASES * SLOT).fill(0x90);
  for (let slot = 0; slot < CASES; slot++) {
    let at = slot * SLOT;
    const end = at + 15;
    for (let count = random(4) - 1; count > 0; count--) bytes[at++] = PREFIXES[random(PREFIXES.length)]!;
    if (random(2) === 0) {
      // A VEX prefix: the short one, or the long one with an opcode of any kind or of the bit instructions. In 16- and 32-bit code it may turn out to be LES or LDS.
      const escape = mode === 64 || random(16) === 0 ? 0 : 0xc0;
      if (random(4) === 0) {
        bytes[at++] = 0xc5;
        bytes[at++] = escape | random(256);
      } else {
        bytes[at++] = 0xc4;
        bytes[at++] = (random(8) << 5) | escape | (random(8) === 0 ? random(32) : 1 + random(3));
        bytes[at++] = random(256);
        if (random(4) !== 0) {
          // What a row of the tables asks for, but for VEX.L and VEX.vvvv.
          const row = VEX_TABLE_ROWS[random(VEX_TABLE_ROWS.length)]!;
          bytes[at - 2] = (bytes[at - 2]! & 0xe0) | (row.map - VEX_MAPS);
          const wide = row.vexWide < 0 ? random(2) : row.vexWide;
          bytes[at - 1] = (wide << 7) | (random(2) === 0 ? 0x78 : bytes[at - 1]! & 0x78) | (random(2) << 2) | ['np', '66', 'f3', 'f2'].indexOf(row.prefix);
          bytes[at++] = row.opcode;
        } else bytes[at++] = random(256);
      }
      // objdump ignores a REX prefix before it, which is undefined (SDM vol. 2, section 2.3.2): there is none.
    } else if (mode === 64 && random(4) === 0) bytes[at++] = 0x40 + random(16);
    const map = random(10);
    if (map < 4) {
      let opcode = random(256);
      while (isPrefix(opcode) || opcode === 0x0f) opcode = random(256);
      bytes[at++] = opcode;
    } else {
      bytes[at++] = 0x0f;
      if (map > 7) bytes[at++] = random(2) === 0 ? 0x38 : 0x3a;
    }
    while (at < end) bytes[at++] = random(256);
  }
  return bytes;
}

interface Line { readonly at: number; readonly length: number; readonly bytes: string; readonly text: string }

function disassemble(objdump: string, mode: CodeMode, bytes: Uint8Array): readonly Line[] {
  const folder = mkdtempSync(join(tmpdir(), 'vm-x86-'));
  try {
    const file = join(folder, 'code.bin');
    writeFileSync(file, bytes);
    const output = execFileSync(
      objdump,
      ['-D', '-z', '-b', 'binary', '-m', MACHINES[mode], '-M', 'intel,intel64', '--insn-width=16', file],
      { encoding: 'latin1', maxBuffer: 1 << 28 },
    );
    const lines: Line[] = [];
    for (const line of output.split('\n')) {
      const match = /^\s*([0-9a-f]+):\t([0-9a-f ]+?)\s*\t(.*)$/.exec(line);
      if (match === null) continue;
      const at = Number.parseInt(match[1]!, 16);
      if (at % SLOT === 0) lines.push({ at, length: match[2]!.split(' ').length, bytes: match[2]!, text: match[3]! });
    }
    return lines;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const PREFIX_WORD = /^(lock|rep|repz|repnz|data16|data32|addr16|addr32|cs|ds|es|ss|fs|gs|rex(\.[WRXB]+)?|xacquire|xrelease|bnd|notrack)\s+/;

/** Their name to ours, where objdump puts the operand size or an immediate into the name. */
const NAMES: Readonly<Record<string, string>> = {
  cwde: 'cbw', cdqe: 'cbw', cdq: 'cwd', cqo: 'cwd', movabs: 'mov', jrcxz: 'jcxz', jecxz: 'jcxz', sysretd: 'sysret', sysretq: 'sysret',
  sysexitd: 'sysexit', sysexitq: 'sysexit', pextrq: 'pextrd', pinsrq: 'pinsrd', cmpxchg16b: 'cmpxchg8b',
  prefetch: 'prefetchw', prefetchwt1: 'prefetchw', wbnoinvd: 'wbinvd', vmgexit: 'vmmcall', pcmpestrmq: 'pcmpestrm', pcmpestriq: 'pcmpestri',
  vpextrq: 'vpextrd', vpinsrq: 'vpinsrd', vpcmpestrmq: 'vpcmpestrm', vpcmpestriq: 'vpcmpestri',
  'fneni(8087': 'fneni', 'fndisi(8087': 'fndisi', 'fnsetpm(287': 'fnsetpm', cldemote: 'nop', prefetchit0: 'nop', prefetchit1: 'nop', rdsspd: 'nop', rdsspq: 'nop',
};

function theirName(text: string): string {
  const word = text.split(/[\s{]/)[0]!;
  return (NAMES[word] ?? word)
    .replace(/^(v?cmp)(eq|lt|le|unord|neq|nlt|nle|ord|nge|ngt|false|ge|gt|true)(_[ou]?[qs])?([ps][sd])$/, '$1$4')
    .replace(/^vpclmul[lh]q[lh]qdq$/, 'vpclmulqdq')
    .replace(/^(enter|leave|fnsave|frstor|fldenv|fnstenv|push|pop|call|jmp|ret|retf|iret|pushf|popf|pusha|popa|[ls][gi]dt)[wdq]$/, '$1')
    .replace(/^(xsave|xrstor|xsaveopt|fxsave|fxrstor)64$/, '$1')
    .replace(/^bnd(cl|cu|ldx|mov|cn|mk|stx)$/, 'nop'); // MPX: a NOP where it is off (SDM vol. 1, section 17.4)
}

function ourName(instruction: Instruction): string {
  return formatName(instruction).replace('callf', 'call').replace('jmpf', 'jmp');
}

/** Null when both agree, or when their difference is one of those explained here. */
function difference(mode: CodeMode, bytes: Uint8Array, theirs: Line, result: number, instruction: Instruction): string | null {
  let text = theirs.text;
  for (let shorter = text.replace(PREFIX_WORD, ''); shorter !== text; shorter = text.replace(PREFIX_WORD, '')) text = shorter;
  const name = theirName(text);
  if (result === DECODE_INVALID) return invalidForReason(mode, bytes, theirs, name, text, instruction) ? null : 'ours is invalid';
  if (result !== DECODE_OK) return `ours gave result ${result}`;
  const ours = ourName(instruction);
  const row = ROWS[instruction.row]!;
  // Undocumented x87 aliases and SALC run on processors; objdump does not list them.
  if (name === '(bad)' && (/^d[9cdef] \/\d mod3$/.test(row.encoding) || row.name === 'salc')) return null;
  // objdump takes F2 for a mandatory prefix where it is ignored (BSF, BSR), and 66 and F2 (WBINVD).
  if (name === '(bad)' && ['0f bc', '0f bd', '0f 09'].includes(row.encoding)) return null;
  // It wants rm = 0 of the fences; SDM vol. 2 ignores it. It wants memory of the prefetch group, where processors run a NOP.
  if (name === '(bad)' && /^np 0f ae \/[567] mod3$/.test(row.encoding)) return null;
  if (row.encoding === '0f 0d mod3') return null;
  // MPX with an operand that its 16-bit form forbids: with MPX off a NOP all the same.
  if (name === 'nop' && text.includes('(bad)')) return null;
  // FWAIT is an instruction of its own; objdump joins it to the one after.
  if (row.name === 'fwait') return null;
  // With REX.B this is an exchange with r8, with F3 or without (AMD APM vol. 3, PAUSE).
  if (row.encoding === '90+r' && name === 'pause') return null;
  if (row.encoding === '90' && name === 'xchg') return null;
  if (row.encoding.includes('0f 6e') || row.encoding.includes('0f 7e')) {
    if (name.replace('movq', 'movd') !== ours.replace('movq', 'movd')) return `ours is ${ours}`;
  } else if (name !== ours) {
    return `ours is ${ours}`;
  }
  if (theirs.length !== instruction.length) return `our length is ${instruction.length}`;
  return operandDifference(mode, theirs, text, instruction);
}

function invalidForReason(mode: CodeMode, bytes: Uint8Array, theirs: Line, name: string, text: string, instruction: Instruction): boolean {
  if (name === '(bad)' || text.includes('(bad)')) return true;
  if (!KNOWN_NAMES.has(name)) return true; // an extension that the tables do not have
  if (/^v(aes|pclmul)/.test(name) && text.includes('ymm')) return true; // VAES, VPCLMULQDQ
  if (/\brex/.test(theirs.text) && name.startsWith('v')) return true; // REX before VEX (SDM vol. 2, section 2.3.3)
  if (isEvex(theirs.bytes)) return true; // AVX-512
  if (name === 'vzeroupper' || name === 'vzeroall') return true; // with a prefix in VEX.pp, which objdump does not look at
  if (/\block\b/.test(theirs.text)) {
    // objdump does not check where LOCK is allowed. Without it the sequence must be theirs.
    const copy = bytes.slice(theirs.at, theirs.at + SLOT);
    for (let at = 0; PREFIXES.includes(copy[at]!); at++) if (copy[at] === 0xf0) copy[at] = 0x3e;
    const again = decode(mode, copy, 0, SLOT, instruction);
    return again === DECODE_INVALID || ourName(instruction) === name.replace('movq', 'movd') || ourName(instruction) === name ||
      ourName(instruction) === 'fwait' || (name === 'xchg' && ourName(instruction) === 'nop') || (name === 'pause' && ourName(instruction) === 'xchg');
  }
  if (name === 'mov') return /\b(cr|dr|db|tr)\d|[?]|\bcs,|mov\s+cs/.test(text); // registers that do not exist, a load of CS
  if (name === 'swapgs') return mode !== 64; // objdump knows it everywhere
  // objdump ignores prefixes that the manual forbids (`NP`).
  return /\b(66|f2|f3)\b/.test(theirs.bytes) && ROWS.some((row) => row.name === name && row.prefix !== '');
}

const isEvex = (bytes: string): boolean => /^((66|67|2e|26|36|3e|6[45]|f0|f2|f3|4.) )*62 /.test(bytes);

const CONDITION_SUFFIXES = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
const KNOWN_NAMES = new Set(ROWS.flatMap((row) => {
  const name = row.name.replace(/_(seg|cr|dr)$/, '').replace('callf', 'call').replace('jmpf', 'jmp');
  if (['jcc', 'setcc', 'cmovcc'].includes(name)) return CONDITION_SUFFIXES.map((suffix) => name.slice(0, -2) + suffix);
  return name === 'fcmov' ? ['b', 'e', 'be', 'u', 'nb', 'ne', 'nbe', 'nu'].map((suffix) => name + suffix) : [name];
}));

/** Rows whose operands objdump does not write, or writes with another size on purpose. */
const OTHER_OPERANDS = /^(xlat|fcmov|v?cmp[ps][sd]|nop|ud[01]|lss|lfs|lgs|les|lds|callf|jmpf|bound|fnop|v?pmovmskb|mov_seg|monitor|mwait|xchg|v?movmskp[sd]|vpclmulqdq|movdq2q|movq2dq|movsxd|fneni|fndisi|fnsetpm)$/;

function operandDifference(mode: CodeMode, theirs: Line, text: string, instruction: Instruction): string | null {
  const row = ROWS[instruction.row]!;
  if (OTHER_OPERANDS.test(row.name) || theirs.text.includes('notrack')) return null; // 3E as a branch hint takes its segment away
  let written = text.replace(/^\S+/, '').replace(/[#<].*/, '').trim().toLowerCase().replace(/\boword/, 'xmmword');
  if (/^vmovs[sd]$/.test(row.name)) written = written.replace(/^ymm/, 'xmm'); // objdump looks at VEX.L here, which is ignored
  const ours: string[] = [];
  for (let at = 0; at < instruction.operandCount; at++) ours.push(formatOperand(instruction, at));
  if (ours.length === 1 && ours[0]!.startsWith('$')) {
    // A branch: objdump gives the target, which wraps at the size of the instruction pointer.
    const bits = instruction.operandSize * 8;
    const target = BigInt.asUintN(bits, BigInt(theirs.at + theirs.length) + BigInt(instruction.immediateLow));
    // In 16-bit code objdump wraps at 64 KiB of the place where it is, not of the segment.
    const mask = mode === 16 ? 0xffffn : (1n << BigInt(bits)) - 1n;
    return (BigInt(written) & mask) === (target & mask) ? null : `our target is 0x${target.toString(16)}`;
  }
  if (ours[0] === 'st' && ours.length === 2 && !written.startsWith('st,')) ours.shift();
  const hasWidth = / ptr /.test(written);
  const plain = (operand: string): string => (hasWidth ? operand : operand.replace(/\w+ ptr /, ''));
  written = written
    .replace(/[+](riz|eiz)\*\d/, '').replace(/[[](riz|eiz)\*\d([+-]0x[0-9a-f]+)?/, (_all, _name, offset: string | undefined) => `[0x0${offset ?? ''}`)
    .replace(/([re]ip)\+0xffffffff([0-9a-f]{8})/, (_all, register: string, low: string) => `${register}-0x${(0x1_0000_0000 - Number.parseInt(low, 16)).toString(16)}`)
    .replace(/\+0x0\b/, '');
  const shown = ours.map(plain).join(',');
  if (written === shown) return null;
  // An address without registers: objdump writes the segment and no brackets, or an index register that is none.
  const bare = (line: string): string => line.replace(/([c-gs]s:)?\[?0x(0-0x)?([0-9a-f]+)\]?/g, (_all, _segment, negative: string | undefined, digits: string) =>
    String(negative === undefined ? BigInt(`0x${digits}`) & 0xffff_ffffn : BigInt.asUintN(32, -BigInt(`0x${digits}`))));
  const withoutPlus = written.replace('[0x0+', '[');
  return bare(withoutPlus) === bare(shown) && instruction.base < 0 ? null : `our operands are ${shown}`;
}
