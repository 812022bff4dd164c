/** The BIOS of a guest in real mode: characters, one disk, keys that were typed before, and a clock that goes on when it is asked. */
import { type Assembler, CONDITION_A, CONDITION_AE, CONDITION_B, CONDITION_E, CONDITION_NE, mem, R12, R14, r16, r32, r64, r8, RAX, RBX, RCX, RDI, RDX, RSI } from '@vm/x86';
import * as area from '../switch-area.ts';
import { frame } from './excursions.ts';
import { variable } from './host-code.ts';
import { DISK, HOST_BASE, SWITCH_PAGE } from './memory-map.ts';

export const BIOS_SEGMENT = 0xf000;
/** Offset of four bytes for each vector: a HLT, which leads to the monitor. */
export const BIOS_STUBS = 0xe000;

const { eax, ebx, ecx, edx, es } = area.FRAME_INDEX;
/** Of the BIOS data area: ticks since midnight. */
export const TICKS = 0x46c;
const CARRY = 1;
const ZERO = 0x40;
const MEMORY_KIB = SWITCH_PAGE / 1024;
const SECTOR = 512;
/** In the first sector of the disk: sectors a track, heads. */
const BPB_SECTORS = 0x18;
const BPB_HEADS = 0x1a;
/** How often a guest may look for a key that nobody has typed, or wait. */
export const POLLS = 3000;
/** And how often it has to before the next is there. */
const TYPING_POLLS = 100;

/** EAX is the vector; flags that are returned lie at [R12], on the guest's stack. */
export function emitBios(a: Assembler, diskBytes: number): void {
  a.label('bios').mov(r32(RBX), r32(RAX)).xor(r32(RCX), r32(RCX)).call('v-stack').add(r64(R12), 4).movzx(r32(RDX), frame(eax, 2)).shr(r32(RDX), 8);
  const services: readonly (readonly [number, string])[] = [[0x10, 'video'], [0x11, 'equipment'], [0x12, 'memory'], [0x13, 'disk'], [0x15, 'system'], [0x16, 'keyboard'], [0x1a, 'clock'], [0x18, 'v-halted'], [0x19, 'v-halted']];
  for (const [vector, label] of services) a.cmp(r32(RBX), vector).jcc(CONDITION_E, label);
  a.jmp('bios-done');
  a.label('bios-good').and(mem(2, { base: R12 }), 0xffff & ~CARRY).jmp('bios-done');
  // AH in DL.
  a.label('bios-bad').mov(frame(eax, 2), r16(RDX)).or(mem(2, { base: R12 }), CARRY).jmp('bios-done');
  emitVideo(a);
  a.label('equipment').movzx(r32(RAX), mem(2, { base: R14, displacement: 0x410 })).mov(frame(eax, 2), r16(RAX)).jmp('bios-done');
  a.label('memory').mov(frame(eax, 2), MEMORY_KIB).jmp('bios-done');
  emitSystem(a);
  emitKeyboard(a);
  emitClock(a);
  emitDisk(a, diskBytes);
}

const on = (a: Assembler, service: number, label: string): Assembler => a.cmp(r32(RDX), service).jcc(CONDITION_E, label);

function emitVideo(a: Assembler): void {
  on(a.label('video'), 0x0e, 'video-put');
  on(a, 0x0f, 'video-mode');
  on(a, 0x03, 'video-cursor').jmp('bios-done');
  a.label('video-put').movzx(r32(RBX), frame(eax, 1)).call('put').jmp('bios-done');
  a.label('video-mode').mov(frame(eax, 2), 0x5003).and(frame(ebx, 2), 0xff).jmp('bios-done');
  a.label('video-cursor').mov(frame(ecx, 2), 0x0607).mov(frame(edx, 2), 0).jmp('bios-done');
}

function emitSystem(a: Assembler): void {
  on(a.label('system'), 0x88, 'system-memory').mov(r32(RDX), 0x8600).jmp('bios-bad');
  a.label('system-memory').mov(frame(eax, 2), 0).jmp('bios-good');
}

/** Keys are bytes in the image, with a zero at their end. */
function emitKeyboard(a: Assembler): void {
  a.label('keyboard').lea(r64(RSI), mem(0, { label: 'keys' })).add(r64(RSI), variable('key')).movzx(r32(RAX), mem(1, { base: RSI }));
  for (const service of [0x00, 0x10]) on(a, service, 'key-read');
  for (const service of [0x01, 0x11]) on(a, service, 'key-look');
  a.mov(frame(eax, 1), 0).jmp('bios-done');
  a.label('key-read').test(r32(RAX), r32(RAX)).jcc(CONDITION_E, 'v-halted').mov(variable('polls'), 0).inc(variable('key')).call('key-code').mov(frame(eax, 2), r16(RAX)).jmp('bios-done');
  // A typist is slow: who empties the buffer of keys does not find the next.
  a.label('key-look').inc(variable('polls')).cmp(variable('polls'), TYPING_POLLS).jcc(CONDITION_B, 'key-none').test(r32(RAX), r32(RAX)).jcc(CONDITION_E, 'key-over').call('key-code').mov(frame(eax, 2), r16(RAX)).and(mem(2, { base: R12 }), 0xffff & ~ZERO).jmp('bios-done');
  a.label('key-over').cmp(variable('polls'), POLLS).jcc(CONDITION_AE, 'v-halted').label('key-none').or(mem(2, { base: R12 }), ZERO).jmp('bios-done');
  // Nobody asks for the scan code but of Enter.
  a.label('key-code').cmp(r8(RAX), 13).jcc(CONDITION_NE, 'key-plain').or(r32(RAX), 0x1c00).ret().label('key-plain').or(r32(RAX), 0x3900).ret();
}

/** Ticks are counted by those who ask, or wait; it is always noon of the same day. */
function emitClock(a: Assembler): void {
  on(a.label('clock'), 0x00, 'clock-ticks');
  on(a, 0x02, 'clock-time');
  on(a, 0x04, 'clock-date').jmp('bios-good');
  a.label('clock-ticks').inc(mem(4, { base: R14, displacement: TICKS })).mov(r32(RAX), mem(4, { base: R14, displacement: TICKS })).mov(frame(edx, 2), r16(RAX)).shr(r32(RAX), 16).mov(frame(ecx, 2), r16(RAX)).mov(frame(eax, 1), 0).jmp('bios-good');
  a.label('clock-time').mov(frame(ecx, 2), 0x1200).mov(frame(edx, 2), 0).jmp('bios-good');
  a.label('clock-date').mov(frame(ecx, 2), 0x2020).mov(frame(edx, 2), 0x0101).jmp('bios-good');
}

function emitDisk(a: Assembler, diskBytes: number): void {
  a.label('disk').cmp(frame(edx, 1), 0).jcc(CONDITION_NE, 'disk-none');
  for (const service of [0x00, 0x04]) on(a, service, 'disk-fine');
  for (const service of [0x02, 0x03]) on(a, service, 'disk-transfer');
  on(a, 0x08, 'disk-shape');
  on(a, 0x15, 'disk-kind');
  a.label('disk-none').mov(r32(RDX), 0x0100).jmp('bios-bad');
  a.label('disk-fine').mov(frame(eax, 2), 0).jmp('bios-good');
  a.label('disk-kind').mov(frame(eax, 2), 0x0100).jmp('bios-good');
  a.label('disk-shape').mov(r64(RSI), HOST_BASE + BigInt(DISK)).movzx(r32(RCX), mem(2, { base: RSI, displacement: BPB_SECTORS })).movzx(r32(RBX), mem(2, { base: RSI, displacement: BPB_HEADS })).mov(r32(RDI), r32(RCX)).imul(r32(RDI), r32(RBX));
  a.test(r32(RDI), r32(RDI)).jcc(CONDITION_E, 'disk-none').xor(r32(RDX), r32(RDX)).mov(r32(RAX), Math.floor(diskBytes / SECTOR)).div(r32(RDI)).dec(r32(RAX)).shl(r32(RAX), 8).or(r32(RAX), r32(RCX)).mov(frame(ecx, 2), r16(RAX));
  a.dec(r32(RBX)).shl(r32(RBX), 8).or(r32(RBX), 1).mov(frame(edx, 2), r16(RBX)).mov(frame(ebx, 2), 4).mov(frame(eax, 2), 0).xor(r32(RCX), r32(RCX)).jmp('bios-good');
  // Sector number from cylinder, head and sector.
  a.label('disk-transfer').mov(r64(RSI), HOST_BASE + BigInt(DISK)).movzx(r32(RAX), frame(ecx, 2)).mov(r32(RCX), r32(RAX)).shr(r32(RAX), 8).and(r32(RCX), 0xc0).shl(r32(RCX), 2).or(r32(RAX), r32(RCX));
  a.movzx(r32(RCX), mem(2, { base: RSI, displacement: BPB_HEADS })).imul(r32(RAX), r32(RCX)).movzx(r32(RCX), frame(edx, 2)).shr(r32(RCX), 8).add(r32(RAX), r32(RCX)).movzx(r32(RCX), mem(2, { base: RSI, displacement: BPB_SECTORS })).imul(r32(RAX), r32(RCX));
  a.movzx(r32(RCX), frame(ecx, 1)).and(r32(RCX), 0x3f).add(r32(RAX), r32(RCX)).dec(r32(RAX)).movzx(r32(RCX), frame(eax, 1)).mov(r32(RBX), r32(RAX)).add(r32(RBX), r32(RCX));
  a.cmp(r32(RBX), Math.floor(diskBytes / SECTOR)).jcc(CONDITION_A, 'disk-beyond').shl(r32(RAX), 9).add(r64(RSI), r64(RAX)).shl(r32(RCX), 9);
  // Where it goes: not over the pages of the switch.
  a.movzx(r32(RDI), frame(es, 2)).shl(r32(RDI), 4).movzx(r32(RAX), frame(ebx, 2)).add(r32(RDI), r32(RAX)).mov(r32(RAX), r32(RDI)).add(r32(RAX), r32(RCX)).cmp(r32(RAX), SWITCH_PAGE).jcc(CONDITION_A, 'disk-beyond').add(r64(RDI), r64(R14));
  a.cmp(r32(RDX), 0x03).jcc(CONDITION_NE, 'disk-copy').xchg(r64(RSI), r64(RDI)).label('disk-copy').cld().rep().size(1).movs().xor(r32(RCX), r32(RCX)).movzx(r32(RAX), frame(eax, 1)).mov(frame(eax, 2), r16(RAX)).jmp('bios-good');
  a.label('disk-beyond').xor(r32(RCX), r32(RCX)).mov(r32(RDX), 0x0400).jmp('bios-bad');
}
