/** A guest in real mode: it looks whether it is there, has vectors of its own, computes, and waits for interrupts. */
import { addressOf, type Assembler, CONDITION_NE, control, createAssembler, DS, ES, FS, GS, mem, r16, r32, RAX, RBP, RBX, RCX, RDI, RSI, RSP, segment, SS } from '@vm/x86';
import { computed, LOOPS } from './sample-guest.ts';

const BASE = 0x7c00;
const WAITS = 20;
const OWN_VECTOR = 0x60;
const DIVIDE_ERROR = 0;
const FAR_SEGMENT = 0x8000;
const SEGMENTS = [[ES, 0x1234], [FS, 0x2345], [GS, 0x3456]] as const;

export function realGuest(): Uint8Array {
  const a = createAssembler(16, { origin: BASE });
  put(a, 'real mode\r\n');
  // Neither protection nor paging, and no error for asking.
  a.mov(r32(RAX), control(0)).test(r32(RAX), 0x8000_0001).jcc(CONDITION_NE, 'wrong');
  a.xor(r16(RAX), r16(RAX)).mov(segment(DS), r16(RAX));
  for (const [vector, label] of [[OWN_VECTOR, 'own'], [DIVIDE_ERROR, 'divide']] as const) a.mov(mem(2, { displacement: vector * 4 }), addressOf(label)).mov(mem(2, { displacement: vector * 4 + 2 }), 0);
  a.mov(r32(RBP), 0x5566_7788).mov(r16(RCX), 3).op('stc').int(OWN_VECTOR).jcc(CONDITION_NE, 'wrong').cmp(r16(RCX), 4).jcc(CONDITION_NE, 'wrong').cmp(r32(RBP), 0x5566_7788).jcc(CONDITION_NE, 'wrong');
  a.xor(r16(RCX), r16(RCX)).div(r16(RCX)).cmp(r16(RCX), 0x77).jcc(CONDITION_NE, 'wrong');
  put(a, 'own vectors\r\n');
  // Memory beyond the first segment, and segments that have to be the same when it comes back.
  a.mov(r16(RAX), FAR_SEGMENT).mov(segment(DS), r16(RAX)).mov(mem(4, { displacement: 0xfffc }), 0x1122_3344);
  for (const [one, value] of SEGMENTS) a.mov(r16(RAX), value).mov(segment(one), r16(RAX));
  a.mov(r32(RCX), LOOPS).mov(r32(RDI), 1).label('loop').imul(r32(RDI), r32(RDI), 1664525).add(r32(RDI), 1013904223).dec(r32(RCX)).jcc(CONDITION_NE, 'loop');
  a.mov(r16(RCX), WAITS).sti().label('wait').hlt().dec(r16(RCX)).jcc(CONDITION_NE, 'wait');
  a.cmp(mem(4, { displacement: 0xfffc }), 0x1122_3344).jcc(CONDITION_NE, 'wrong').mov(r16(RAX), segment(SS)).test(r16(RAX), r16(RAX)).jcc(CONDITION_NE, 'wrong').cmp(r32(RSP), BASE).jcc(CONDITION_NE, 'wrong');
  for (const [one, value] of SEGMENTS) a.mov(r16(RAX), segment(one)).cmp(r16(RAX), value).jcc(CONDITION_NE, 'wrong');
  a.mov(r16(RCX), 8).label('digit').op('rol', r32(RDI), 4).mov(r32(RBX), r32(RDI)).and(r32(RBX), 15).add(r32(RBX), 0x41).mov(r32(RAX), 1).int(0x30).dec(r16(RCX)).jcc(CONDITION_NE, 'digit');
  put(a, '\r\n');
  end(a, 0);
  end(a.label('wrong'), 1);
  // Comes with the flags of the caller, and changes them: ZF.
  a.label('own').jcc(3, 'wrong').inc(r16(RCX)).mov(r16(RSI), r16(RSP)).or(mem(2, { base: RSI, displacement: 4, segment: SS }), 0x40).iret();
  // Over the instruction, of two bytes.
  a.label('divide').mov(r16(RSI), r16(RSP)).add(mem(2, { base: RSI, segment: SS }), 2).mov(r16(RCX), 0x77).iret();
  return a.bytes();
}

export const REAL_TRANSCRIPT: string = [
  'monitor: in long mode', 'real mode', 'own vectors', computed(), 'monitor: the guest has ended', 'monitor: first program: right', 'monitor: second program: right', 'monitor: end', '',
].join('\r\n');

function put(a: Assembler, text: string): void {
  for (const letter of text) a.mov(r32(RAX), 1).mov(r32(RBX), letter.charCodeAt(0)).int(0x30);
}

function end(a: Assembler, code: number): void {
  a.xor(r32(RAX), r32(RAX)).mov(r32(RBX), code).int(0x30);
}

/** Asks again and again, and looks whether its registers are what they were; counts both from this address. */
export const REAL_ROUNDS_AT = 0x6000;
export function checkingRealGuest(): Uint8Array {
  const a = createAssembler(16, { origin: BASE });
  const patterns = [[RBX, 0x20], [RCX, 0x1234_5678], [RSI, 0x0f1e_2d3c], [RDI, 0x4b5a_6978], [RBP, 0x8796_a5b4]] as const;
  for (const [one, value] of SEGMENTS) a.mov(r16(RAX), value).mov(segment(one), r16(RAX));
  a.label('loop');
  for (const [register, pattern] of patterns) a.mov(r32(register), pattern);
  a.mov(r32(RAX), 1).op('stc').int(0x30).jcc(3, 'wrong');
  for (const [register, pattern] of patterns) a.cmp(r32(register), pattern).jcc(CONDITION_NE, 'wrong');
  for (const [one, value] of SEGMENTS) a.mov(r16(RAX), segment(one)).cmp(r16(RAX), value).jcc(CONDITION_NE, 'wrong');
  a.cmp(r32(RSP), BASE).jcc(CONDITION_NE, 'wrong').inc(mem(4, { displacement: REAL_ROUNDS_AT })).jmp('loop').label('wrong').inc(mem(4, { displacement: REAL_ROUNDS_AT + 4 })).jmp('loop');
  return a.bytes();
}
