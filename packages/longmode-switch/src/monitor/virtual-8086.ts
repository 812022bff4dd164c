/**
 * A guest in real mode as a task of virtual-8086 mode: what it may not do itself is done here, on the 64-bit side. IOPL is 0, so
 * interrupts stay the host's, and every port asks.
 */
import {
  type Assembler, CONDITION_A, CONDITION_AE, CONDITION_B, CONDITION_E, CONDITION_NE, FLAG_IF, FLAG_IOPL, FLAG_NT, FLAG_TF, FLAG_VM, mem, R12, R14, r16, r32, r64, r8, RAX, RBX, RCX, RDI, RDX, RSI,
} from '@vm/x86';
import * as area from '../switch-area.ts';
import { BIOS_SEGMENT, BIOS_STUBS, emitBios, POLLS, TICKS } from './bios.ts';
import { frame } from './excursions.ts';
import { variable } from './host-code.ts';
import { DISK, HOST_BASE } from './memory-map.ts';

const { eax, edx, eip, cs, eflags, esp, ss, es, ds, fs, gs } = area.FRAME_INDEX;
const SECTOR = 512;
const BOOT_AT = 0x7c00;
/** Bits of the flags that the guest sees in its own way. */
const OWN_FLAGS = FLAG_IF | FLAG_IOPL | FLAG_NT;
/** Ticks of the timer at noon. */
const NOON = 786_552;
const VECTOR_TIMER = 8;
const PREFIX_WIDE = 1;
const SEGMENT_PREFIXES = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];

export function emitVirtual8086(a: Assembler, diskBytes: number): void {
  emitStart(a);
  emitDecoder(a);
  emitFlagInstructions(a);
  emitPorts(a);
  emitStackAccess(a);
  emitBios(a, diskBytes);
}

/** Interrupt vectors and data area as a BIOS leaves them, and the first sector of the disk. */
function emitStart(a: Assembler): void {
  a.label('virtual-start').xor(r32(RCX), r32(RCX));
  a.label('vector').lea(r32(RAX), mem(0, { index: RCX, scale: 4, displacement: BIOS_STUBS })).or(r32(RAX), BIOS_SEGMENT << 16).mov(mem(4, { base: R14, index: RCX, scale: 4 }), r32(RAX)).movzx(r32(RAX), r16(RAX));
  a.mov(mem(1, { base: R14, index: RAX, scale: 1, displacement: BIOS_SEGMENT * 16 }), 0xf4).inc(r32(RCX)).cmp(r32(RCX), 256).jcc(CONDITION_NE, 'vector');
  // BIOS data area: equipment, memory in KiB, keyboard buffer, video mode and columns, rows.
  for (const [at, word] of [[0x410, 0x21], [0x413, 576], [0x41a, 0x1e], [0x41c, 0x1e], [0x449, 0x5003], [0x44b, 0], [0x463, 0x3d4], [0x480, 0x1e], [0x482, 0x3e], [0x484, 24], [TICKS, NOON & 0xffff], [TICKS + 2, NOON >> 16]] as const) a.mov(mem(2, { base: R14, displacement: at }), word);
  a.mov(mem(1, { base: R14, displacement: BIOS_SEGMENT * 16 + 0xfffe }), 0xfc);
  a.mov(r64(RSI), HOST_BASE + BigInt(DISK)).lea(r64(RDI), mem(0, { base: R14, displacement: BOOT_AT })).mov(r32(RCX), SECTOR / 8).cld().rep().size(8).movs();
  for (const index of [cs, ss, ds, es, fs, gs, edx]) a.mov(frame(index), 0);
  a.mov(frame(eip), BOOT_AT).mov(frame(esp), BOOT_AT).mov(frame(eflags), FLAG_VM | FLAG_IF | 2).mov(variable('virtual-flags'), FLAG_IF).ret();
}

/** #GP of the guest: RSI goes over the instruction, ECX has its prefixes, EDI its length. */
function emitDecoder(a: Assembler): void {
  a.label('virtual').movzx(r32(RAX), frame(cs, 2)).shl(r32(RAX), 4).movzx(r32(RDX), frame(eip, 2)).add(r32(RAX), r32(RDX)).lea(r64(RSI), mem(0, { base: R14, index: RAX, scale: 1 })).xor(r32(RCX), r32(RCX)).xor(r32(RDI), r32(RDI));
  a.label('virtual-next').cmp(r32(RDI), 14).jcc(CONDITION_A, 'fault').movzx(r32(RAX), mem(1, { base: RSI })).inc(r64(RSI)).inc(r32(RDI));
  for (const prefix of SEGMENT_PREFIXES) a.cmp(r8(RAX), prefix).jcc(CONDITION_E, 'virtual-next');
  for (const [prefix, bit] of [[0x66, PREFIX_WIDE], [0x67, 2], [0xf2, 4], [0xf3, 4]] as const) {
    const label = `not-${prefix.toString(16)}`;
    a.cmp(r8(RAX), prefix).jcc(CONDITION_NE, label).or(r32(RCX), bit).jmp('virtual-next').label(label);
  }
  const opcodes: readonly (readonly [number, string])[] = [
    [0xcd, 'v-int'], [0xcc, 'v-int3'], [0xfa, 'v-cli'], [0xfb, 'v-sti'], [0x9c, 'v-pushf'], [0x9d, 'v-popf'], [0xcf, 'v-iret'], [0xf4, 'v-hlt'],
    [0xe4, 'v-in-byte'], [0xe5, 'v-in-word'], [0xe6, 'v-out-immediate'], [0xe7, 'v-out-immediate'], [0xec, 'v-in-byte-dx'], [0xed, 'v-in-word-dx'], [0xee, 'v-done'], [0xef, 'v-done'],
  ];
  for (const [opcode, label] of opcodes) a.cmp(r8(RAX), opcode).jcc(CONDITION_E, label);
  a.jmp('fault');
  // The next instruction.
  a.label('v-done').add(frame(eip, 2), r16(RDI)).jmp('guest-loop');
}

function emitFlagInstructions(a: Assembler): void {
  a.label('v-cli').and(variable('virtual-flags', 4), ~FLAG_IF >>> 0).jmp('v-done');
  a.label('v-sti').or(variable('virtual-flags', 4), FLAG_IF).jmp('v-done');
  a.label('v-pushf').call('v-flags').test(r32(RCX), PREFIX_WIDE).jcc(CONDITION_E, 'pushf-low').mov(r32(RBX), r32(RAX)).shr(r32(RAX), 16).call('v-push').mov(r32(RAX), r32(RBX));
  a.label('pushf-low').call('v-push').jmp('v-done');
  a.label('v-popf').add(frame(eip, 2), r16(RDI)).call('v-pop').mov(r32(RBX), r32(RAX)).test(r32(RCX), PREFIX_WIDE).jcc(CONDITION_E, 'popf-low').call('v-pop');
  a.label('popf-low').mov(r32(RAX), r32(RBX)).call('v-set-flags').jmp('guest-loop');
  a.label('v-iret').xor(r32(RDI), r32(RDI)).call('v-return').jmp('guest-loop');
  a.label('v-int3').mov(r32(RBX), 3).jmp('v-enter');
  a.label('v-int').movzx(r32(RBX), mem(1, { base: RSI })).inc(r32(RDI));
  a.label('v-enter').add(frame(eip, 2), r16(RDI)).call('v-flags').call('v-push').and(variable('virtual-flags', 4), ~FLAG_IF >>> 0).and(frame(eflags), ~FLAG_TF >>> 0);
  a.movzx(r32(RAX), frame(cs, 2)).call('v-push').movzx(r32(RAX), frame(eip, 2)).call('v-push').mov(r32(RAX), mem(4, { base: R14, index: RBX, scale: 4 })).movzx(r32(RDX), r16(RAX)).mov(frame(eip), r32(RDX)).shr(r32(RAX), 16).mov(frame(cs), r32(RAX)).jmp('guest-loop');
  // A HLT in the BIOS is one of its services; anywhere else it waits for an interrupt, and the timer's is as good as any.
  a.label('v-hlt').cmp(frame(cs, 2), BIOS_SEGMENT).jcc(CONDITION_NE, 'v-wait').movzx(r32(RAX), frame(eip, 2)).sub(r32(RAX), BIOS_STUBS).cmp(r32(RAX), 256 * 4).jcc(CONDITION_AE, 'v-wait').shr(r32(RAX), 2).jmp('bios');
  a.label('v-wait').test(variable('virtual-flags', 4), FLAG_IF).jcc(CONDITION_E, 'v-halted').inc(mem(4, { base: R14, displacement: TICKS })).mov(r32(RBX), VECTOR_TIMER).inc(variable('polls')).cmp(variable('polls'), POLLS).jcc(CONDITION_B, 'v-enter');
  a.label('v-halted').lea(r64(RSI), mem(0, { label: 'text-halted' })).jmp('stopped');
  a.label('bios-done').call('v-return').jmp('guest-loop');
  // IP, CS and flags from the stack, of 16 bits, or of 32 with the prefix.
  a.label('v-return').call('v-pop-sized').movzx(r32(RAX), r16(RAX)).mov(frame(eip), r32(RAX)).call('v-pop-sized').movzx(r32(RAX), r16(RAX)).mov(frame(cs), r32(RAX)).call('v-pop-sized');
  a.label('v-set-flags').mov(r32(RDX), r32(RAX)).and(r32(RDX), OWN_FLAGS).mov(variable('virtual-flags'), r64(RDX)).and(r32(RAX), 0xffff & ~OWN_FLAGS).or(r32(RAX), FLAG_VM | FLAG_IF | 2).mov(frame(eflags), r32(RAX)).ret();
  a.label('v-flags').mov(r32(RAX), frame(eflags)).and(r32(RAX), 0xffff & ~OWN_FLAGS).or(r32(RAX), variable('virtual-flags', 4)).ret();
}

/** There are no devices but those of the BIOS: ports read as all-ones. */
function emitPorts(a: Assembler): void {
  a.label('v-in-byte').inc(r32(RDI)).label('v-in-byte-dx').mov(frame(eax, 1), 0xff).jmp('v-done');
  a.label('v-in-word').inc(r32(RDI)).label('v-in-word-dx').mov(frame(eax, 2), 0xffff).test(r32(RCX), PREFIX_WIDE).jcc(CONDITION_E, 'v-done').mov(frame(eax), 0xffff_ffff).jmp('v-done');
  a.label('v-out-immediate').inc(r32(RDI)).jmp('v-done');
}

/** AX to and from the guest's stack; EAX, EDX and R12 are used. */
function emitStackAccess(a: Assembler): void {
  a.label('v-push').sub(frame(esp, 2), 2).call('v-stack').mov(mem(2, { base: R12 }), r16(RAX)).ret();
  a.label('v-pop').call('v-stack').movzx(r32(RAX), mem(2, { base: R12 })).add(frame(esp, 2), 2).ret();
  a.label('v-pop-sized').call('v-pop').test(r32(RCX), PREFIX_WIDE).jcc(CONDITION_E, 'v-popped').add(frame(esp, 2), 2).label('v-popped').ret();
  a.label('v-stack').movzx(r32(RDX), frame(ss, 2)).shl(r32(RDX), 4).movzx(r32(R12), frame(esp, 2)).add(r32(R12), r32(RDX)).add(r64(R12), r64(R14)).ret();
}
