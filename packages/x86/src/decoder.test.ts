import { describe, expect, it } from 'vitest';
import type { CodeMode } from './decoder.ts';
import { decode, DECODE_INVALID, DECODE_MORE, DECODE_OK, DECODE_TOO_LONG } from './decoder.ts';
import { formatInstruction } from './disassembly.ts';
import type { Instruction } from './instruction.ts';
import { createInstruction } from './instruction.ts';
import { OPERAND_CONSTANT, OPERAND_FAR, OPERAND_MEMORY, OPERAND_REGISTER, OPERAND_REGISTER_HIGH_BYTE } from './operand.ts';
import { ROWS } from './rows.ts';

const fromHex = (hex: string): Uint8Array => Uint8Array.from(hex.split(' ').map((byte) => Number.parseInt(byte, 16)));

function decoded(mode: CodeMode, hex: string): Instruction {
  const bytes = fromHex(hex);
  const instruction = createInstruction();
  expect(decode(mode, bytes, 0, bytes.length, instruction)).toBe(DECODE_OK);
  expect(instruction.length).toBe(bytes.length);
  return instruction;
}

function resultOf(mode: CodeMode, hex: string): number {
  const bytes = fromHex(hex);
  return decode(mode, bytes, 0, bytes.length, createInstruction());
}

describe('decode', () => {
  it('reports the fields of a memory operand', () => {
    const instruction = decoded(64, '64 4a 8b 84 e5 10 00 00 80'); // mov rax, fs:[rbp + r12*8 - 0x7ffffff0]
    expect(instruction).toMatchObject({
      operandSize: 8, addressSize: 8, rex: 0x4a, segment: 4, segmentOverride: 4, isMemory: 1, base: 5, index: 12, scale: 3,
      displacementLow: -0x7ffffff0, displacementHigh: -1, operandCount: 2,
    });
    expect([...instruction.operandKind.subarray(0, 2)]).toEqual([OPERAND_REGISTER, OPERAND_MEMORY]);
    expect([...instruction.operandBytes.subarray(0, 2)]).toEqual([8, 8]);
  });

  it('takes SS for bases rSP and rBP and DS for r12 and r13, and drops null overrides in long mode', () => {
    expect(decoded(64, '8b 45 00').segment).toBe(2);
    expect(decoded(64, '8b 04 24').segment).toBe(2);
    expect(decoded(64, '41 8b 45 00').segment).toBe(3);
    expect(decoded(64, '41 8b 04 24').segment).toBe(3);
    expect(decoded(64, '26 8b 45 00')).toMatchObject({ segment: 2, segmentOverride: -1 });
    expect(decoded(32, '26 8b 45 00')).toMatchObject({ segment: 0, segmentOverride: 0 });
    expect(decoded(16, '8b 02')).toMatchObject({ segment: 2, base: 5, index: 6 });
    expect(decoded(16, '8b 07')).toMatchObject({ segment: 3, base: 3, index: -1 });
  });

  it('uses the next instruction as base of a RIP-relative operand, in long mode only', () => {
    expect(decoded(64, '8b 05 04 03 02 01')).toMatchObject({ base: 16, displacementLow: 0x01020304 });
    expect(decoded(32, '8b 05 04 03 02 01')).toMatchObject({ base: -1, displacementLow: 0x01020304 });
  });

  it('extends immediates as each instruction says', () => {
    expect(decoded(64, '48 83 c0 ff')).toMatchObject({ immediateLow: -1, immediateHigh: -1, operandSize: 8 });
    expect(decoded(64, 'c1 e0 ff')).toMatchObject({ immediateLow: 0xff, immediateHigh: 0 });
    expect(decoded(64, '48 c7 c0 00 00 00 80')).toMatchObject({ immediateLow: -0x8000_0000, immediateHigh: -1 });
    expect(decoded(64, '48 b8 08 07 06 05 04 03 02 01')).toMatchObject({ immediateLow: 0x05060708, immediateHigh: 0x01020304 });
    expect(decoded(64, '6a 80')).toMatchObject({ immediateLow: -128, operandSize: 8 });
    expect(decoded(32, 'c8 34 12 05')).toMatchObject({ immediateLow: 0x1234, immediate2: 5 });
    const far = decoded(16, 'ea 00 7c 00 f0');
    expect(far).toMatchObject({ immediateLow: 0x7c00, immediate2: 0xf000 });
    expect(far.operandKind[0]).toBe(OPERAND_FAR);
    const shift = decoded(64, 'd1 e0');
    expect(shift.operandKind[1]).toBe(OPERAND_CONSTANT);
    expect(shift.immediateLow).toBe(1);
  });

  it('keeps both halves of a 64-bit memory offset and does not sign-extend shorter ones', () => {
    expect(decoded(64, 'a1 08 07 06 05 04 03 02 f1')).toMatchObject({ isMemory: 1, base: -1, displacementLow: 0x05060708, displacementHigh: -0xefdfcfc });
    expect(decoded(32, 'a1 00 00 00 f0')).toMatchObject({ displacementLow: -0x1000_0000, displacementHigh: 0 });
    expect(decoded(16, 'a1 00 f0')).toMatchObject({ displacementLow: 0xf000, displacementHigh: 0 });
  });

  it('knows ah to bh from spl to dil by the presence of REX', () => {
    const high = decoded(64, '88 e0'); // mov al, ah
    expect([high.operandKind[1], high.operandNumber[1]]).toEqual([OPERAND_REGISTER_HIGH_BYTE, 0]);
    const low = decoded(64, '40 88 e0'); // mov al, spl
    expect([low.operandKind[1], low.operandNumber[1]]).toEqual([OPERAND_REGISTER, 4]);
  });

  it('sizes stack and branch instructions by the mode', () => {
    expect(decoded(64, '50').operandSize).toBe(8);
    expect(decoded(64, '66 50').operandSize).toBe(2);
    expect(decoded(64, '66 e8 00 00 00 00').operandSize).toBe(8);
    expect(decoded(32, '66 e8 00 00').operandSize).toBe(2);
    expect(decoded(64, 'cf').operandSize).toBe(4);
    expect(decoded(64, '48 cf').operandSize).toBe(8);
    expect(decoded(64, '0f 20 c0').operandSize).toBe(8);
    expect(decoded(16, '0f 20 c0').operandSize).toBe(4);
    expect(decoded(64, '48 6d').operandSize).toBe(4);
    expect(decoded(64, 'ee').operandSize).toBe(1);
    expect(decoded(64, '66 ef').operandSize).toBe(2);
  });

  it('gives conditions, repetition and mandatory prefixes apart', () => {
    expect(decoded(64, '0f 8f 00 00 00 00').condition).toBe(15);
    expect(decoded(64, 'db c1').condition).toBe(3);
    expect(decoded(64, 'f3 a4').rep).toBe(0xf3);
    expect(decoded(64, 'f3 0f b8 c1')).toMatchObject({ rep: 0, operandSize: 4 });
    expect(decoded(64, '66 f3 0f b8 c1')).toMatchObject({ rep: 0, operandSize: 2 });
    expect(decoded(64, '66 0f 6e c0')).toMatchObject({ operandSize: 4 });
  });

  it('drops a REX that is not right before the opcode', () => {
    expect(decoded(64, '48 66 89 c0')).toMatchObject({ rex: 0, operandSize: 2 });
  });

  it('tells NOP, PAUSE and the exchange with r8 apart', () => {
    const nameOf = (hex: string): string => ROWS[decoded(64, hex).row]!.name;
    expect([nameOf('90'), nameOf('f3 90'), nameOf('41 90'), nameOf('48 90')]).toEqual(['nop', 'pause', 'xchg', 'nop']);
    expect(formatInstruction(decoded(64, '41 90'))).toBe('xchg r8d,eax');
  });

  it('refuses LOCK where it is not allowed', () => {
    expect(resultOf(64, 'f0 01 08')).toBe(DECODE_OK);
    expect(resultOf(64, 'f0 01 c8')).toBe(DECODE_INVALID);
    expect(resultOf(64, 'f0 03 08')).toBe(DECODE_INVALID);
    expect(resultOf(64, 'f0 39 08')).toBe(DECODE_INVALID);
    expect(resultOf(64, 'f0 90')).toBe(DECODE_INVALID);
  });

  it('refuses registers that do not exist, loads of CS, and what the mode does not have', () => {
    for (const hex of ['0f 20 c8', '44 0f 21 c0', '8e c8', '8e f0', '06', '60', '9a 00 00 00 00 00 00', 'c4 00', 'c5 f8 0b', 'd6', '8d c0']) {
      expect(resultOf(64, hex), hex).toBe(DECODE_INVALID);
    }
    expect(resultOf(32, '0f 05')).toBe(DECODE_OK); // as AMD's processors have it
    expect(resultOf(32, '82 c0 01')).toBe(DECODE_OK);
    expect(resultOf(64, '44 0f 20 c0')).toBe(DECODE_OK); // CR8
  });

  it('takes a VEX prefix with nothing before it that it stands for, and only with fields that the instruction has', () => {
    expect(resultOf(64, 'c4 e2 60 f2 c1')).toBe(DECODE_OK); // andn eax, ebx, ecx
    expect(resultOf(64, '65 67 c4 e2 60 f2 01')).toBe(DECODE_OK);
    for (const prefix of ['66', 'f2', 'f3', 'f0', '48']) expect(resultOf(64, `${prefix} c4 e2 60 f2 c1`), prefix).toBe(DECODE_INVALID);
    expect(resultOf(64, 'c4 e2 64 f2 c1')).toBe(DECODE_INVALID); // L
    expect(resultOf(64, 'c4 e3 7b f0 c1 05')).toBe(DECODE_OK); // rorx
    expect(resultOf(64, 'c4 e3 73 f0 c1 05')).toBe(DECODE_INVALID); // which has no register in vvvv
    expect(resultOf(32, 'c4 62 60 f2 01')).toBe(DECODE_OK); // les
  });

  it('asks for more bytes at every place where an instruction can be cut, and reads none beyond', () => {
    for (const [mode, hex] of [
      [64, '64 4a 8b 84 e5 10 00 00 80'], [64, '48 b8 08 07 06 05 04 03 02 01'], [64, '66 0f 3a 0f c1 05'], [16, '9a 00 7c 00 f0'],
      [64, 'f2 48 0f 38 f1 c0'], [32, 'c8 34 12 05'], [64, '0f c7 0c 25 00 00 00 00'],
    ] as const) {
      const whole = fromHex(hex);
      const clean = createInstruction();
      expect(decode(mode, whole, 0, whole.length, clean)).toBe(DECODE_OK);
      for (let available = 0; available < whole.length; available++) {
        const cut = new Uint8Array(64).fill(0xff);
        cut.set(whole.subarray(0, available));
        expect(decode(mode, cut, 0, available, createInstruction()), `${hex} cut at ${available}`).toBe(DECODE_MORE);
      }
      // The bytes that follow change nothing.
      const followed = new Uint8Array(64).fill(0xff);
      followed.set(whole);
      const again = createInstruction();
      expect(decode(mode, followed, 0, 64, again)).toBe(DECODE_OK);
      expect(again).toEqual(clean);
    }
  });

  it('allows 15 bytes and not 16', () => {
    const prefixed = (count: number): string => `${'66 '.repeat(count)}90`;
    expect(resultOf(64, prefixed(14))).toBe(DECODE_OK);
    expect(resultOf(64, prefixed(15))).toBe(DECODE_TOO_LONG);
    expect(resultOf(64, '66 '.repeat(15).trim())).toBe(DECODE_TOO_LONG);
    expect(resultOf(64, '66 '.repeat(14).trim())).toBe(DECODE_MORE);
    expect(resultOf(64, `${'2e '.repeat(10)}81 05 00 00 00 00 00 00 00 00`)).toBe(DECODE_TOO_LONG);
  });

  it('leaves nothing of the instruction before', () => {
    const used = createInstruction();
    const first = fromHex('64 4a 8b 84 e5 10 00 00 80');
    decode(64, first, 0, first.length, used);
    const second = fromHex('f8');
    decode(64, second, 0, 1, used);
    const fresh = createInstruction();
    decode(64, second, 0, 1, fresh);
    used.operandKind.fill(0); used.operandNumber.fill(0); used.operandBytes.fill(0); // not counted by operandCount
    fresh.operandKind.fill(0); fresh.operandNumber.fill(0); fresh.operandBytes.fill(0);
    expect(used).toEqual(fresh);
  });
});
