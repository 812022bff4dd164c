/** A guest in protected mode that uses both of its rings, faults nowhere, and waits for the interrupts of the other side. */
import { addressOf, type Assembler, CONDITION_NE, createAssembler, r32, RAX, RBX, RCX, RDI } from '@vm/x86';

const BASE = 0x40_0000;
/** Interrupts that have to come while it halts. */
const WAITS = 20;
export const LOOPS = 300_000;

export function sampleGuest(): Uint8Array {
  const a = createAssembler(32, { origin: BASE });
  put(a, 'ring 0\r\n');
  compute(a, 'kernel-loop');
  a.mov(r32(RCX), WAITS).sti().label('wait').hlt().dec(r32(RCX)).jcc(CONDITION_NE, 'wait');
  a.mov(r32(RAX), 2).mov(r32(RBX), addressOf('user')).mov(r32(RCX), 0x60_0000).int(0x30).label('user');
  put(a, 'ring 3\r\n');
  compute(a, 'user-loop');
  a.mov(r32(RAX), 3).mov(r32(RBX), addressOf('kernel')).mov(r32(RCX), 0x50_0000).int(0x30).label('kernel');
  // What it computed, in hexadecimal, is the same everywhere.
  a.mov(r32(RCX), 8).label('digit').op('rol', r32(RDI), 4).mov(r32(RBX), r32(RDI)).and(r32(RBX), 15).add(r32(RBX), 0x41).mov(r32(RAX), 1).int(0x30).dec(r32(RCX)).jcc(CONDITION_NE, 'digit');
  put(a, '\r\n');
  a.xor(r32(RAX), r32(RAX)).xor(r32(RBX), r32(RBX)).int(0x30);
  return a.bytes();
}

function put(a: Assembler, text: string): void {
  for (const letter of text) a.mov(r32(RAX), 1).mov(r32(RBX), letter.charCodeAt(0)).int(0x30);
}

function compute(a: Assembler, label: string): void {
  a.mov(r32(RCX), LOOPS).mov(r32(RDI), 1).label(label).imul(r32(RDI), r32(RDI), 1664525).add(r32(RDI), 1013904223).dec(r32(RCX)).jcc(CONDITION_NE, label);
}

export const SAMPLE_TRANSCRIPT = [
  'monitor: in long mode', 'ring 0', 'ring 3', computed(), 'monitor: the guest has ended', 'monitor: first program: right', 'monitor: second program: right', 'monitor: end', '',
].join('\r\n');

/** What the loops come to, in letters. */
export function computed(): string {
  let value = 1;
  for (let i = 0; i < LOOPS; i++) value = (Math.imul(value, 1664525) + 1013904223) | 0;
  return Array.from({ length: 8 }, (_, i) => String.fromCharCode(0x41 + ((value >>> (28 - i * 4)) & 15))).join('');
}
