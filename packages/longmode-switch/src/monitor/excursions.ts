/** What hosts the legacy machine: excursions, compatibility mode in place of them, and what the guest asks for. */
import {
  type Assembler, CONDITION_A, CONDITION_AE, CONDITION_B, CONDITION_E, CONDITION_NE, DS, ES, FLAG_IF, FLAG_VM, FS, GS, mem, type MemoryOperand, R15, r16, r32, r64, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, segment, SELECTOR_RPL_MASK, VECTOR_GP, VECTOR_NMI,
} from '@vm/x86';
import * as area from '../switch-area.ts';
import { VECTOR_HELD_BACK } from '../switch-page.ts';
import { variable } from './host-code.ts';
import type { ExcursionPolicy } from './monitor-options.ts';

const { edi, esi, ebp, ebx, edx, ecx, eax, vector, errorCode, eip, cs, eflags, esp, ss, es, ds, fs, gs } = area.FRAME_INDEX;
/** A word of the guest's frame. */
export const frame = (index: number, bytes = 4): MemoryOperand => mem(bytes, { base: R15, displacement: area.FRAME + index * 4 });

/** What a guest in protected mode asks for by INT 0x30, the number in EAX. */
export const SERVICE_EXIT = 0;
export const SERVICE_USER = 2;
export const SERVICE_KERNEL = 3;

/** In real mode there are no other rings to be asked for. */
export function emitExcursions(a: Assembler, policy: ExcursionPolicy, watchdogTicks: number, hasRings: boolean): void {
  a.label('guest-loop');
  if (policy !== 'always') {
    a.test(frame(eflags), FLAG_VM).jcc(CONDITION_NE, 'excursion').mov(r32(RAX), frame(cs)).and(r32(RAX), SELECTOR_RPL_MASK).cmp(r32(RAX), 3).jcc(CONDITION_NE, 'excursion');
    a.inc(variable('avoided')).call('compat-run').jmp('returned');
  }
  a.label('excursion').inc(variable('excursions')).cmp(variable('prepared'), 0).jcc(CONDITION_NE, 'again').inc(variable('prepared')).call('switch-first').jmp('returned');
  a.label('again').call('switch');
  a.label('returned');
  if (policy === 'batch') a.call('deliver');
  a.mov(r32(RAX), frame(vector)).cmp(r32(RAX), VECTOR_HELD_BACK).jcc(CONDITION_E, 'guest-loop').and(r32(RAX), 0xff).cmp(r32(RAX), VECTOR_NMI).jcc(CONDITION_NE, 'no-nmi').int(VECTOR_NMI).test(frame(eflags), FLAG_IF).jcc(CONDITION_NE, 'guest-loop').jmp('watch');
  // With interrupts on, those are counted.
  a.label('no-nmi').cmp(r32(RAX), 0x20).jcc(CONDITION_B, 'no-interrupt').cmp(r32(RAX), 0x2f).jcc(CONDITION_A, 'no-interrupt');
  // As if it had come on this side, and once.
  a.inc(variable('reflected')).lea(r64(RBX), mem(0, { label: 'reflections' })).lea(r64(RBX), mem(0, { base: RBX, index: RAX, scale: 4, displacement: -0x80 })).call(r64(RBX));
  a.label('watch').inc(variable('residence')).cmp(variable('residence'), watchdogTicks).jcc(CONDITION_B, 'guest-loop').lea(r64(RSI), mem(0, { label: 'text-watchdog' })).jmp('stopped');
  a.label('no-interrupt').mov(variable('residence'), 0).cmp(r32(RAX), area.SERVICE_VECTOR).jcc(CONDITION_E, 'service').test(frame(eflags), FLAG_VM).jcc(CONDITION_E, 'fault').cmp(r32(RAX), VECTOR_GP).jcc(CONDITION_E, 'virtual');
  a.label('fault').lea(r64(RSI), mem(0, { label: 'text-fault' })).call('puts').inc(variable('faulted'));
  for (const index of [vector, errorCode, cs, eip]) a.mov(r32(RBX), frame(index)).call('put-hex');
  a.lea(r64(RSI), mem(0, { label: 'text-line' })).jmp('stopped');
  emitServices(a, hasRings);
  emitCompatibility(a);
  if (policy === 'batch') emitDelivery(a);
}

function emitServices(a: Assembler, hasRings: boolean): void {
  a.label('service').mov(r32(RAX), frame(eax)).mov(r32(RBX), frame(ebx));
  a.cmp(r32(RAX), area.SERVICE_PUT).jcc(CONDITION_NE, 'no-put').call('put').jmp('guest-loop');
  a.label('no-put');
  if (hasRings) a.cmp(r32(RAX), SERVICE_USER).jcc(CONDITION_E, 'to-user').cmp(r32(RAX), SERVICE_KERNEL).jcc(CONDITION_E, 'to-kernel');
  a.mov(variable('exit-code', 4), r32(RBX)).lea(r64(RSI), mem(0, { label: 'text-exit' })).cmp(r32(RAX), SERVICE_EXIT).jcc(CONDITION_E, 'stopped').lea(r64(RSI), mem(0, { label: 'text-service' })).jmp('stopped');
  if (!hasRings) return;
  // EBX: where it goes on, ECX: its stack there.
  const enter = (label: string, code: number, data: number): void => {
    a.label(label).mov(frame(eip), r32(RBX)).mov(r32(RCX), frame(ecx)).mov(frame(esp), r32(RCX)).mov(frame(cs), code);
    for (const index of [ss, ds, es, fs, gs]) a.mov(frame(index), data);
    a.jmp('guest-loop');
  };
  enter('to-user', area.USER_CODE_32, area.USER_DATA);
  enter('to-kernel', area.CODE_32, area.DATA);
}

/** Ring 3 of the guest under the 64-bit side's own tables: the timer interrupts it as any of its programs. */
function emitCompatibility(a: Assembler): void {
  const pairs = [[RDI, edi], [RSI, esi], [RBP, ebp], [RBX, ebx], [RDX, edx], [RCX, ecx], [RAX, eax]] as const;
  const segments = [[GS, gs], [FS, fs], [ES, es], [DS, ds]] as const;
  a.label('compat-run').push(r64(RBP)).push(r64(R15)).mov(variable('compat-stack'), r64(RSP));
  for (const index of [ss, esp, eflags, cs, eip]) a.mov(r32(RAX), frame(index)).push(r64(RAX));
  for (const [one, index] of segments) a.mov(r32(RAX), frame(index)).mov(segment(one), r16(RAX));
  for (const [one, index] of pairs) a.mov(r32(one), frame(index));
  a.size(8).iret();
  // Vector, error code, RIP, CS, RFLAGS, RSP, SS are on the stack that ring 3 is left for.
  a.label('compat-exit').push(r64(R15)).mov(r64(R15), mem(8, { label: 'data-page' }));
  for (const [one, index] of pairs) a.mov(frame(index), r32(one));
  [vector, errorCode, eip, cs, eflags, esp, ss].forEach((index, word) => a.mov(r32(RAX), mem(4, { base: RSP, displacement: 8 + word * 8 })).mov(frame(index), r32(RAX)));
  for (const [one, index] of segments) a.mov(r32(RAX), segment(one)).mov(frame(index), r32(RAX));
  a.mov(r32(RAX), area.DATA).mov(segment(DS), r16(RAX)).mov(segment(ES), r16(RAX)).mov(r64(RSP), variable('compat-stack')).pop(r64(R15)).pop(r64(RBP)).ret();
  a.align(8).label('data-page').data(...new Uint8Array(8));
}

/** Characters that the guest has put while nobody was asked: one excursion serves many requests. */
function emitDelivery(a: Assembler): void {
  a.label('deliver').xor(r32(RCX), r32(RCX));
  a.label('deliver-next').cmp(r32(RCX), mem(4, { base: R15, displacement: area.BATCH_COUNT })).jcc(CONDITION_AE, 'delivered').movzx(r32(RBX), mem(1, { base: R15, index: RCX, scale: 1, displacement: area.BATCH })).call('put').inc(r32(RCX)).inc(variable('batched')).jmp('deliver-next');
  a.label('delivered').mov(mem(4, { base: R15, displacement: area.BATCH_COUNT }), 0).ret();
}

