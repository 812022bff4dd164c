import { describe, expect, it } from 'vitest';
import type { Operand } from './assembler-operand.ts';
import { addressOf, control, debug, far, highByte, mem, mmx, r16, r32, r64, r8, segment, st, xmm, ymm } from './assembler-operand.ts';
import { createAssembler } from './assembler.ts';
import type { CodeMode } from './decoder.ts';
import { decode, DECODE_OK } from './decoder.ts';
import { formatInstruction, formatName } from './disassembly.ts';
import type { Prefixes } from './encoder.ts';
import { encode, isString } from './encoder.ts';
import { createInstruction } from './instruction.ts';
import { VEX_MAPS } from './opcode-row.ts';
import type { Row } from './opcode-row.ts';
import type { OperandSpec } from './operand.ts';
import { SIZE_BYTES } from './operand.ts';
import {
  CONDITION_B, CONDITION_E, CONDITION_NE, FS, GS, R12, R13, R8, R9, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP,
} from './registers.ts';
import { ROWS } from './rows.ts';

const PLAIN: Prefixes = { lock: false, rep: 0, size: 0, condition: -1, addressBytes: 0 };

const toHex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');

/** An operand that fits the row's place, at operand size `size`. */
function operandFor(spec: OperandSpec, mode: CodeMode, size: number, vexLength: number, preferMemory: boolean): Operand {
  const sizeIndex = vexLength * 8 + (mode === 64 ? 4 : 0) + Math.log2(size);
  const bytes = SIZE_BYTES[spec.size * 16 + sizeIndex]!;
  const memoryBytes = SIZE_BYTES[spec.memorySize * 16 + sizeIndex]!;
  const memory = mem(memoryBytes, { base: RBX, ...(mode === 16 ? { index: RSI } : { index: RBP, scale: 4 }), displacement: 0x123 });
  const register = (number: number): Operand => ({ 1: r8, 2: r16, 4: r32, 8: r64 })[bytes as 1 | 2 | 4 | 8](number);
  const vector = (number: number): Operand => (bytes === 32 ? ymm(number) : xmm(number));
  const fixed: Readonly<Record<string, Operand>> = {
    AL: r8(0), CL: r8(1), AX: r16(0), DX: r16(RDX), ES: segment(0), CS: segment(1), SS: segment(2), DS: segment(3), FS: segment(4), GS: segment(5),
    ST0: st(0), STi: st(3), XMM0: xmm(0),
  };
  const only = fixed[spec.text];
  if (only !== undefined) return only;
  switch (spec.text[0]) {
    case 'A': return far(0x1234, 0x5678);
    case 'C': return control(3);
    case 'D': return debug(6);
    case 'E': case 'M': case 'R': case 'Q': case 'W': case 'N': case 'U': {
      if (preferMemory && !spec.registerOnly) return memory;
      if (spec.memoryOnly) return memory;
      return 'QN'.includes(spec.text[0]!) ? mmx(5) : 'WU'.includes(spec.text[0]!) ? vector(5) : register(1);
    }
    case 'G': return register(3);
    case 'I': return 0x12;
    case 'J': return 0x12;
    case 'O': return mem(memoryBytes, { displacement: 0x1234 });
    case 'P': return mmx(6);
    case 'V': return vector(6);
    case 'H': return vector(2);
    case 'L': return vector(1);
    case 'T': return mem(memoryBytes, { base: RBX, index: 4, scale: 4, displacement: 0x123, addressBytes: mode === 64 ? 8 : 4 });
    case 'B': return register(2);
    case 'Z': return register(2);
    case '1': return 1;
    case 'S': return segment(4);
    default: return register(0); // eAX, rAX
  }
}

/** The vector lengths that a row has forms of. */
const lengthsOf = (row: Row): readonly number[] => (row.map < VEX_MAPS ? [0] : row.vexLength < 0 ? [0, 1] : [row.vexLength]);

describe('the assembler', () => {
  for (const mode of [64, 32, 16] as const) {
    it(`encodes every row of the tables so that the decoder reads it back, in ${mode}-bit code`, () => {
      const instruction = createInstruction();
      const failures: string[] = [];
      const skipped: string[] = [];
      let checked = 0;
      for (const row of ROWS) {
        if (mode === 64 ? !row.long : !row.legacy) continue;
        let encoded = false;
        for (const size of mode === 64 ? [4, 2, 8] : [4, 2]) {
          for (const [vexLength, preferMemory] of lengthsOf(row).flatMap((length) => [[length, false], [length, true]] as const)) {
            const operands = isString(row) ? [] : row.operands.map((spec) => operandFor(spec, mode, size, vexLength, preferMemory));
            const encoding = encode(row, mode, operands, { ...PLAIN, condition: 5, size: isString(row) && row.operands[0]!.text.endsWith('b') ? 1 : 0 });
            if (encoding === null) continue;
            encoded = true;
            checked++;
            const bytes = Uint8Array.from(encoding.bytes);
            const result = decode(mode, bytes, 0, bytes.length, instruction);
            const back = result === DECODE_OK ? instruction.row : -1;
            if (back !== row.id || instruction.length !== bytes.length) {
              failures.push(`${row.encoding} ${row.name} (${toHex(bytes)}): result ${result}, ${ROWS[back]?.encoding} ${ROWS[back]?.name}`);
              continue;
            }
            if (row.opcodeCount === 16 && instruction.condition !== 5) failures.push(`${row.name}: condition ${instruction.condition}`);
            const [first] = operands;
            if (typeof first === 'object' && 'number' in first && instruction.operandNumber[0] !== first.number && row.operands.length === operands.length) {
              failures.push(`${formatInstruction(instruction)}: first operand is ${JSON.stringify(first)}`);
            }
            if (instruction.isMemory !== 0 && operands.some((operand) => typeof operand === 'object' && 'kind' in operand && operand.kind === 'memory' && operand.base !== undefined)) {
              if (instruction.base !== RBX || instruction.displacementLow !== 0x123) failures.push(`${formatInstruction(instruction)}: address`);
            }
          }
        }
        if (!encoded) skipped.push(`${row.encoding} ${row.name}`);
      }
      expect(failures).toEqual([]);
      expect(skipped).toEqual([]);
      expect(checked).toBeGreaterThan(ROWS.length);
    });
  }

  it('chooses the shortest form', () => {
    const a = createAssembler(64);
    a.add(r64(RAX), 5).add(r8(RAX), 5).mov(r64(RAX), 0x1234).mov(r64(RAX), 0x1_2345_6789n).mov(r32(RCX), -1).shl(r32(RAX), 1).push(5);
    expect(toHex(a.bytes())).toBe(
      '48 83 c0 05 04 05 48 c7 c0 34 12 00 00 48 b8 89 67 45 23 01 00 00 00 b9 ff ff ff ff d1 e0 6a 05',
    );
  });

  it('writes what it is asked to write', () => {
    const lines: readonly (readonly [CodeMode, string, (a: ReturnType<typeof createAssembler>) => unknown])[] = [
      [64, 'mov rax,qword ptr fs:[r13+r12*8+0x10]', (a) => a.mov(r64(RAX), mem(8, { base: R13, index: R12, scale: 8, displacement: 16, segment: FS }))],
      [64, 'mov byte ptr [rsp],ah', (a) => a.mov(mem(1, { base: RSP }), highByte(RAX))],
      [64, 'mov byte ptr [rbp],spl', (a) => a.mov(mem(1, { base: RBP }), r8(RSP))],
      [64, 'mov qword ptr [0x1000],rdi', (a) => a.mov(mem(8, { displacement: 0x1000 }), r64(RDI))],
      [64, 'mov cr3,rax', (a) => a.mov(control(3), r64(RAX))],
      [64, 'mov r9,cr8', (a) => a.mov(r64(R9), control(8))],
      [64, 'mov dr7,rax', (a) => a.mov(debug(7), r64(RAX))],
      [64, 'mov gs,ax', (a) => a.mov(segment(GS), r16(RAX))],
      [64, 'lock xadd dword ptr [rdi],eax', (a) => a.lock().xadd(mem(4, { base: RDI }), r32(RAX))],
      [64, 'rep movs qword ptr es:[rdi],qword ptr ds:[rsi]', (a) => a.rep().size(8).movs()],
      [64, 'movzx ecx,byte ptr [rsi+r8*1]', (a) => a.movzx(r32(RCX), mem(1, { base: RSI, index: R8 }))],
      [64, 'movaps xmm1,xmmword ptr [rax]', (a) => a.op('movaps', xmm(1), mem(16, { base: RAX }))],
      [64, 'vaddps ymm9,ymm1,ymmword ptr [rax]', (a) => a.op('vaddps', ymm(9), ymm(1), mem(32, { base: RAX }))],
      [32, 'vpblendvb xmm1,xmm2,xmm3,xmm4', (a) => a.op('vpblendvb', xmm(1), xmm(2), xmm(3), xmm(4))],
      [64, 'vgatherdpd ymm1,qword ptr [rax+xmm12*8],ymm3', (a) => a.op('vgatherdpd', ymm(1), mem(8, { base: RAX, index: 12, scale: 8 }), ymm(3))],
      [64, 'cvtsi2sd xmm9,rax', (a) => a.op('cvtsi2sd', xmm(9), r64(RAX))],
      [64, 'fadd st,st(3)', (a) => a.op('fadd', st(0), st(3))],
      [64, 'fadd st(3),st', (a) => a.op('fadd', st(3), st(0))],
      [64, 'lgdt tbyte ptr [rax]', (a) => a.lgdt(mem(0, { base: RAX }))],
      [64, 'sete byte ptr [rax]', (a) => a.setcc(CONDITION_E, mem(1, { base: RAX }))],
      [64, 'cmovb rdx,rbx', (a) => a.cmovcc(CONDITION_B, r64(RDX), r64(RBX))],
      [64, 'mov eax,dword ptr [esi+0x4]', (a) => a.mov(r32(RAX), mem(4, { base: RSI, displacement: 4, addressBytes: 4 }))],
      [32, 'mov eax,dword ptr [bx+si+0x4]', (a) => a.mov(r32(RAX), mem(4, { base: RBX, index: RSI, displacement: 4, addressBytes: 2 }))],
      [16, 'mov ax,word ptr [bp+0x0]', (a) => a.mov(r16(RAX), mem(2, { base: RBP }))],
      [16, 'jmpf 0xf000:0xfff0', (a) => a.jmpf(far(0xf000, 0xfff0))],
      [16, 'in al,dx', (a) => a.in(r8(RAX), r16(RDX))],
      [32, 'push_seg fs', (a) => a.op('push_seg', segment(FS))],
    ];
    const instruction = createInstruction();
    for (const [mode, text, write] of lines) {
      const a = createAssembler(mode);
      write(a);
      const bytes = a.bytes();
      expect(decode(mode, bytes, 0, bytes.length, instruction), text).toBe(DECODE_OK);
      const wanted = text.replace('push_seg', 'push').replace('+0x0]', ']');
      expect(formatInstruction(instruction)).toBe(wanted);
      expect(instruction.length).toBe(bytes.length);
    }
  });

  it('fills in labels backward and forward, near and short', () => {
    const a = createAssembler(64);
    a.label('top').dec(r32(RCX)).jcc(CONDITION_NE, 'top').jmp('end').loop('top').label('end').ret();
    expect([a.offsetOf('top'), a.offsetOf('end')]).toEqual([0, 11]);
    expect(toHex(a.bytes())).toBe('ff c9 75 fc e9 02 00 00 00 e2 f5 c3');
  });

  it('gives addresses of labels from the origin, and relative to RIP in 64-bit code', () => {
    const real = createAssembler(16, { origin: 0x7c00 });
    real.lgdt(mem(0, { label: 'table' })).jmpf(far(8, 'next')).label('next').mov(r16(RAX), addressOf('table')).label('table').dataAddress('table', 4);
    expect(toHex(real.bytes())).toBe('0f 01 16 0d 7c ea 0a 7c 08 00 b8 0d 7c 0d 7c 00 00');
    const long = createAssembler(64, { origin: 0x10_0000 });
    long.lea(r64(RAX), mem(0, { label: 'here' })).label('here');
    expect(toHex(long.bytes())).toBe('48 8d 05 00 00 00 00');
  });

  it('says what is wrong', () => {
    const a = createAssembler(64);
    expect(() => a.op('frobnicate')).toThrow(/no instruction frobnicate/);
    expect(() => a.mov(r32(RAX), r64(RBX))).toThrow(/mov does not take these operands/);
    expect(() => a.movs()).toThrow(/needs size/);
    expect(() => a.mov(highByte(RAX), r8(R8))).toThrow(RangeError);
    expect(() => a.push(r32(RAX))).toThrow(RangeError);
    expect(() => createAssembler(32).mov(r32(R8), 1)).toThrow(RangeError);
    expect(() => a.jmp('nowhere').bytes()).toThrow(/label nowhere is not there/);
    expect(() => createAssembler(64).jcxz('far').align(512).label('far').bytes()).toThrow(/does not fit 1 bytes/);
    expect(() => a.label('twice').label('twice')).toThrow(/there twice/);
  });

  it('names conditions as the manual does', () => {
    const instruction = createInstruction();
    const bytes = createAssembler(64).jcc(CONDITION_B, 0x10).bytes();
    decode(64, bytes, 0, bytes.length, instruction);
    expect(formatName(instruction)).toBe('jb');
  });
});

it('does not cut the instruction pointer of a branch to make it shorter, unless asked to', () => {
  const code = (mode: 16 | 32 | 64) => Buffer.from(createAssembler(mode).jmp('far').call('far').jcc(4, 'far').label('far').bytes()).toString('hex');
  expect([code(16), code(32), code(64)]).toEqual(['e90700e804000f840000', 'e90b000000e8060000000f8400000000', 'e90b000000e8060000000f8400000000']);
  expect(Buffer.from(createAssembler(32).size(2).jmp('far').label('far').bytes()).toString('hex')).toBe('66e90000');
});

it('goes on in another mode, with labels across', () => {
  const a = createAssembler(64, { origin: 0x8000 });
  a.mov(r64(RAX), r64(RBX)).jmp('legacy').mode(32).label('legacy').mov(r32(RAX), r32(RBX)).size(4).jmpf(far(8, 'real')).mode(16).label('real').mov(r32(RAX), r32(RBX)).jmp('legacy');
  expect(toHex(a.bytes())).toBe('48 89 d8 e9 00 00 00 00 89 d8 ea 11 80 00 00 08 00 66 89 d8 eb f2');
});
