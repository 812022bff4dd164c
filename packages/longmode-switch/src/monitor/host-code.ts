/** The 64-bit side: how it starts, its interrupts, its three threads, its console. */
import {
  type Assembler, CONDITION_E, CONDITION_NE, control, CR4_PGE, DS, ES, far, FS, GS, mem, type MemoryOperand, MSR_EFER, R10, R11, R12, R13, R14, R15, R8, R9, r16, r32, r64, r8, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, segment, SS,
  VECTOR_NMI, VECTORS_WITH_ERROR_CODE,
} from '@vm/x86';
import * as area from '../switch-area.ts';
import { HOST_BASE, IO_APIC, LOW_MEMORY, PROGRAMS, SWITCH_PAGE } from './memory-map.ts';
import { PROGRAM_ENTRIES } from './programs.ts';

/** Of the host's descriptor table; those below are the page's. */
export const USER_CODE_64: number = 0x40 | 3;
export const HOST_TASK = 0x48;
export const HOST_GDT_BYTES = 0x58;
export const HOST_GATES = 0x31;
const TIMER = 0x20;
const PIC_VECTORS = 16;
const THREADS = 3;
const STACK_BYTES = 0x1000;
const MULTIBOOT_MAGIC = 0x1bad_b002;
const MULTIBOOT_PLACED = 0x1_0000;
const COM1 = 0x3f8;
const PIT_HZ = 1_193_182;
// I/O APIC: its window, the first register of its inputs, and the delivery mode in one.
const IO_APIC_WINDOW = 0x10;
const IO_APIC_INPUT = 0x10;
const TIMER_INPUT = 2;
const DELIVERY_NMI = 0x400;

export interface HostControl {
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
}

/** Registers that a thread keeps on its stack; the timer's gate has pushed the others. */
const KEPT = [RAX, RCX, RDX, RBX, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15];

/** Counters and variables of 8 bytes, by name. */
export const VARIABLES = ['ticks', 'nmis', 'others', 'thread', 'excursions', 'avoided', 'reflected', 'batched', 'residence', 'prepared', 'compat-stack', 'virtual-flags', 'key', 'polls', 'exit-code', 'faulted'] as const;
export type Variable = (typeof VARIABLES)[number];
export const variable = (name: Variable, bytes = 8): MemoryOperand => mem(bytes, { label: name });

export const out = (a: Assembler, port: number, value: number): Assembler => a.mov(r32(RAX), value).mov(r32(RDX), port).out(r16(RDX), r8(RAX));

/** 32-bit code at the beginning of the image, as multiboot starts it. */
export function emitStart(a: Assembler, image: number, startEntry: number, host: HostControl): void {
  a.mode(32).jmp('start').align(4);
  const header = image + a.offset();
  for (const word of [MULTIBOOT_MAGIC, MULTIBOOT_PLACED, -(MULTIBOOT_MAGIC + MULTIBOOT_PLACED), header, image, 0, 0, image]) a.data(word & 0xff, (word >> 8) & 0xff, (word >> 16) & 0xff, (word >>> 24) & 0xff);
  a.label('start').cli().cld().lgdt(mem(0, { label: 'start-gdt-pointer' }));
  a.mov(r32(RAX), host.cr4 & ~CR4_PGE).mov(control(4), r32(RAX)).mov(r32(RAX), host.cr3).mov(control(3), r32(RAX));
  a.mov(r32(RCX), MSR_EFER).xor(r32(RDX), r32(RDX)).mov(r32(RAX), host.efer).wrmsr().mov(r32(RAX), host.cr0).mov(control(0), r32(RAX)).size(4).jmpf(far(area.CODE_64, 'long'));
  a.align(8).label('start-gdt-pointer').data(HOST_GDT_BYTES - 1, 0).dataAddress('host-gdt', 4);
  a.mode(64).label('long').mov(r64(R13), HOST_BASE).lea(r64(RAX), mem(0, { label: 'high' })).add(r64(RAX), r64(R13)).jmp(r64(RAX));
  a.label('high').lgdt(mem(0, { label: 'host-gdt-pointer' })).lidt(mem(0, { label: 'host-gates-pointer' })).lea(r64(RSP), mem(0, { label: 'stack-0-top' }));
  a.mov(r32(RAX), area.DATA);
  for (const one of [DS, ES, SS]) a.mov(segment(one), r16(RAX));
  a.xor(r32(RAX), r32(RAX)).mov(segment(FS), r16(RAX)).mov(segment(GS), r16(RAX)).mov(r32(RAX), HOST_TASK).ltr(r16(RAX));
  // From here on the image is at the host's own addresses only.
  a.mov(r64(RAX), HOST_BASE + BigInt(startEntry)).mov(mem(8, { base: RAX }), 0).mov(r64(RAX), control(3)).mov(control(3), r64(RAX)).mov(r32(RAX), host.cr4).mov(control(4), r64(RAX));
  a.mov(r64(R15), HOST_BASE + BigInt(SWITCH_PAGE + 0x1000)).mov(r64(R14), HOST_BASE + BigInt(LOW_MEMORY));
}

/** Interrupt controllers at vectors 0x20 to 0x2f with the timer alone, and the timer. */
export function emitTimerStart(a: Assembler, hz: number): void {
  for (const [port, value] of [[0x20, 0x11], [0xa0, 0x11], [0x21, TIMER], [0xa1, TIMER + 8], [0x21, 4], [0xa1, 2], [0x21, 1], [0xa1, 1], [0x21, 0xfe], [0xa1, 0xff]] as const) out(a, port, value);
  const divisor = Math.round(PIT_HZ / hz);
  out(a, 0x43, 0x34);
  out(a, 0x40, divisor & 0xff);
  out(a, 0x40, divisor >> 8);
}

/** The timer is an NMI too: it comes to a guest that has turned interrupts off. Input 2 of the I/O APIC is the timer's on PCs. */
export function emitNmiTicks(a: Assembler): void {
  a.mov(r64(RBX), HOST_BASE + BigInt(IO_APIC));
  for (const [register, value] of [[IO_APIC_INPUT + 2 * TIMER_INPUT + 1, 0], [IO_APIC_INPUT + 2 * TIMER_INPUT, DELIVERY_NMI]] as const) a.mov(mem(4, { base: RBX }), register).mov(mem(4, { base: RBX, displacement: IO_APIC_WINDOW }), value);
}

/** Stacks of the programs' threads, as if the timer had interrupted them at their first instruction. */
export function emitThreads(a: Assembler): void {
  PROGRAM_ENTRIES.forEach((entry, i) => {
    a.lea(r64(RAX), mem(0, { label: `stack-${i + 1}-top` }));
    [area.USER_DATA, PROGRAMS + 0x2000 - i * 0x100, 0x202, USER_CODE_64, entry].forEach((value, word) => a.mov(mem(8, { base: RAX, displacement: -8 * (word + 1) }), value));
    a.sub(r64(RAX), 8 * (5 + KEPT.length)).mov(mem(8, { label: `thread-${i + 1}-stack` }), r64(RAX));
  });
}

/** Gates' code. Answers the offsets of the handlers by vector. */
export function emitInterrupts(a: Assembler): readonly number[] {
  const offsets: number[] = [];
  a.align(16);
  for (let vector = 0; vector < 32; vector++) {
    offsets[vector] = a.offset();
    if (vector === VECTOR_NMI) a.inc(variable('nmis')).size(8).iret();
    else {
      if (((VECTORS_WITH_ERROR_CODE >> vector) & 1) === 0) a.push(0);
      a.push(vector).jmp('exception');
    }
  }
  for (let vector = TIMER; vector < TIMER + PIC_VECTORS; vector++) {
    offsets[vector] = a.offset();
    if (vector === TIMER) a.jmp('timer');
    else a.inc(variable('others')).push(r64(RAX)).mov(r32(RAX), 0x20).out(0x20, r8(RAX)).pop(r64(RAX)).size(8).iret();
  }
  offsets[area.SERVICE_VECTOR] = a.offset();
  a.push(0).push(area.SERVICE_VECTOR).jmp('exception');
  a.label('timer');
  for (const one of KEPT) a.push(r64(one));
  a.inc(variable('ticks')).mov(r32(RAX), 0x20).out(0x20, r8(RAX));
  // The next thread.
  a.mov(r64(RAX), variable('thread')).lea(r64(RBX), mem(0, { label: 'thread-0-stack' })).mov(mem(8, { base: RBX, index: RAX, scale: 8 }), r64(RSP)).inc(r32(RAX)).cmp(r32(RAX), THREADS).jcc(CONDITION_NE, 'switched').xor(r32(RAX), r32(RAX));
  a.label('switched').mov(variable('thread'), r64(RAX)).mov(r64(RSP), mem(8, { base: RBX, index: RAX, scale: 8 }));
  a.lea(r64(RBX), mem(0, { label: 'ring-0-stacks' })).mov(r64(RAX), mem(8, { base: RBX, index: RAX, scale: 8 })).mov(mem(8, { label: 'task-rsp0' }), r64(RAX));
  for (const one of KEPT.toReversed()) a.pop(r64(one));
  a.size(8).iret();
  // `int` and `ret` for each vector of the interrupt controllers: how an interrupt of an excursion reaches its handler.
  a.align(4).label('reflections');
  for (let vector = TIMER; vector < TIMER + PIC_VECTORS; vector++) a.int(vector).ret().nop();
  // An exception of the guest's in compatibility mode is the end of that run; any other is the monitor's own fault.
  a.label('exception').cmp(mem(4, { base: RSP, displacement: 24 }), area.USER_CODE_32).jcc(CONDITION_E, 'compat-exit');
  a.lea(r64(RSI), mem(0, { label: 'text-host-fault' })).call('puts').pop(r64(RBX)).call('put-hex').pop(r64(RBX)).call('put-hex').pop(r64(RBX)).call('put-hex').mov(r64(RBX), control(2)).call('put-hex').jmp('end');
  return offsets;
}

/** 115,200 baud, eight bits. */
export function emitConsoleStart(a: Assembler): void {
  for (const [register, value] of [[3, 0x80], [0, 1], [1, 0], [3, 3], [4, 3]] as const) out(a, COM1 + register, value);
}

export function emitConsole(a: Assembler): void {
  // BL: a character. Everything else is kept.
  a.label('put').push(r64(RAX)).push(r64(RDX)).mov(r32(RDX), COM1 + 5);
  a.label('put-wait').in(r8(RAX), r16(RDX)).test(r8(RAX), 0x20).jcc(CONDITION_E, 'put-wait').mov(r32(RDX), COM1).mov(r32(RAX), r32(RBX)).out(r16(RDX), r8(RAX)).pop(r64(RDX)).pop(r64(RAX)).ret();
  // Until the last character has left.
  a.label('put-all').mov(r32(RDX), COM1 + 5).label('put-rest').in(r8(RAX), r16(RDX)).test(r8(RAX), 0x40).jcc(CONDITION_E, 'put-rest').ret();
  // RSI: text with a zero behind it.
  a.label('puts').push(r64(RBX));
  a.label('puts-next').movzx(r32(RBX), mem(1, { base: RSI })).test(r32(RBX), r32(RBX)).jcc(CONDITION_E, 'puts-end').call('put').inc(r64(RSI)).jmp('puts-next');
  a.label('puts-end').pop(r64(RBX)).ret();
  // RBX: in hexadecimal, 16 digits and a space.
  a.label('put-hex').push(r64(RCX)).push(r64(RDX)).mov(r64(RDX), r64(RBX)).mov(r32(RCX), 16);
  a.label('put-digit').rol(r64(RDX), 4).mov(r32(RBX), r32(RDX)).and(r32(RBX), 15).cmp(r32(RBX), 10).jcc(2, 'put-decimal').add(r32(RBX), 0x27);
  a.label('put-decimal').add(r32(RBX), 0x30).call('put').dec(r32(RCX)).jcc(CONDITION_NE, 'put-digit').mov(r32(RBX), 0x20).call('put').pop(r64(RDX)).pop(r64(RCX)).ret();
}

/** Where variables, stacks and tables lie; what is not zero is filled in afterwards. */
export function emitData(a: Assembler): void {
  a.align(16);
  for (const name of VARIABLES) a.label(name).data(...new Uint8Array(8));
  for (let i = 0; i < THREADS; i++) a.label(`thread-${i}-stack`).data(...new Uint8Array(8));
  a.label('ring-0-stacks').data(...new Uint8Array(8 * THREADS));
  a.align(16).label('host-gdt').data(...new Uint8Array(HOST_GDT_BYTES)).align(16).label('host-gdt-pointer').data(...new Uint8Array(10)).align(16).label('host-gates-pointer').data(...new Uint8Array(10));
  a.align(16).label('host-gates').data(...new Uint8Array(HOST_GATES * 16)).align(16).label('host-task').data(0, 0, 0, 0).label('task-rsp0').data(...new Uint8Array(0x68 - 4));
  a.align(16);
  for (const name of ['0', '1', '2', 'compat']) a.label(`stack-${name}`).data(...new Uint8Array(STACK_BYTES)).label(`stack-${name}-top`);
}
