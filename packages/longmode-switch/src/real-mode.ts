/**
 * The page's code for a legacy side in real mode (SDM vol. 3, sections 9.8 and 21.1): behind the way there protection ends, and before the
 * way back it begins again. The segment of the page is its code and stack meanwhile. An NMI comes between any two instructions of
 * this, and finds a handler that goes back to where it came from, also where a selector means the page in the other mode only.
 */
import {
  type Assembler, CONDITION_E, CONDITION_NE, control, CR0_PE, CS, DS, ES, far, FS, GS, mem, type MemoryOperand, r16, r32, r8, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, segment, SS, VECTOR_NMI,
} from '@vm/x86';
import { SwitchRefusal } from './refusal.ts';
import * as area from './switch-area.ts';

/** Vectors that are the 64-bit side's, whatever the guest's own table says: its interrupts, and requests. */
const HOST_FIRST = 0x20;
const VECTORS = 256;
const PAGE_BYTES = 0x1000;
const REAL_MODE_BYTES = 0x10_0000;
/** In the segment of the page. */
const STACK = PAGE_BYTES + area.STACK_TOP;
/** What an interrupt leaves of EFLAGS beyond 16 bits, and is the guest's: AC and ID. */
const UPPER_FLAGS = 0x24_0000;
const { eip, cs, eflags, esp, ss, es, ds, fs, gs, vector, errorCode } = area.FRAME_INDEX;
const GENERAL = [[RAX, area.FRAME_INDEX.eax], [RCX, area.FRAME_INDEX.ecx], [RDX, area.FRAME_INDEX.edx], [RBX, area.FRAME_INDEX.ebx], [RBP, area.FRAME_INDEX.ebp], [RSI, area.FRAME_INDEX.esi], [RDI, area.FRAME_INDEX.edi]] as const;
const DATA_SEGMENTS = [[DS, ds], [ES, es], [FS, fs], [GS, gs]] as const;

const inPage = (bytes: number, offset: number): MemoryOperand => mem(bytes, { displacement: PAGE_BYTES + offset, segment: CS });
const frame = (index: number, bytes = 4): MemoryOperand => inPage(bytes, area.FRAME + index * 4);

/** NMIs on the way, in protected mode: the code that comes back may have the selector of real mode. */
export function emitProtectedNmi(a: Assembler, page: number): void {
  const selector = mem(2, { base: RSP, displacement: 4, segment: SS });
  a.cmp(selector, page >>> 4).jcc(CONDITION_NE, 'nmi-protected').mov(selector, area.CODE_16).label('nmi-protected');
  // No segment register is certain to be flat here.
  a.push(segment(DS)).push(r32(RAX)).mov(r32(RAX), area.DATA).mov(segment(DS), r16(RAX)).inc(mem(4, { displacement: page + PAGE_BYTES + area.NMIS_HELD })).pop(r32(RAX)).pop(segment(DS)).iret();
}

/** And in real mode, where it may have that of protected mode. */
export function emitRealNmi(a: Assembler, page: number): void {
  const selector = mem(2, { base: RBP, displacement: 4, segment: SS });
  a.push(r16(RBP)).mov(r16(RBP), r16(RSP)).cmp(selector, area.CODE_16).jcc(CONDITION_NE, 'nmi-real').mov(selector, page >>> 4).label('nmi-real').inc(inPage(4, area.NMIS_HELD)).pop(r16(RBP)).iret();
}

/** From protected mode without paging to the guest; the label is `go`, in 32-bit code. */
export function emitRealEntry(a: Assembler, page: number, cr0: number): void {
  if (page + 2 * PAGE_BYTES > REAL_MODE_BYTES) throw new SwitchRefusal('E_ADDRESS', `the page of the transition at 0x${page.toString(16)}: it has to be below 1 MiB, where real mode reaches`);
  a.mode(16);
  const real = a.offset();
  a.size(4).lidt(inPage(0, area.REAL_GATES_POINTER)).mov(r16(RAX), frame(ss, 2)).mov(segment(SS), r16(RAX)).mov(r32(RSP), frame(esp));
  for (const index of [eflags, cs, eip]) a.push(frame(index));
  for (const [one, index] of DATA_SEGMENTS) a.mov(r16(RAX), frame(index, 2)).mov(segment(one), r16(RAX));
  for (const [one, index] of GENERAL) a.mov(r32(one), frame(index));
  a.size(4).iret();
  // Segments with the limits of real mode, which stay when protection ends (SDM vol. 3, section 9.9.2).
  const leaving = a.offset();
  a.mov(r16(RAX), area.DATA_16);
  for (const one of [DS, ES, FS, GS, SS]) a.mov(segment(one), r16(RAX));
  a.mov(r32(RSP), STACK).mov(r32(RAX), (cr0 & ~CR0_PE) >>> 0).mov(control(0), r32(RAX)).jmpf(far(page >>> 4, real));
  a.mode(32).label('go').jmpf(far(area.CODE_16, leaving));
}

/** A stub for each vector; what leads to the 64-bit side goes back by WAY_BACK. Answers their offsets in the page. */
export function emitRealVectors(a: Assembler, page: number, cr0: number): readonly number[] {
  a.mode(16);
  const stubs = Array.from({ length: VECTORS }, (_, number) => {
    const stub = a.offset();
    if (number === VECTOR_NMI) emitNmiStub(a, page);
    a.push((number << 24) >> 24).jmp(number === VECTOR_NMI || (number >= HOST_FIRST && number <= area.SERVICE_VECTOR) ? 'leave' : 'own');
    return stub;
  });
  emitOwnVector(a);
  emitLeave(a, page, cr0);
  return stubs;
}

/** An NMI in the page itself, where the guest's registers are neither here nor there, is noted as on the way. */
function emitNmiStub(a: Assembler, page: number): void {
  a.push(r16(RBP)).mov(r16(RBP), r16(RSP)).cmp(mem(2, { base: RBP, displacement: 4, segment: SS }), page >>> 4).jcc(CONDITION_NE, 'nmi-guest').inc(inPage(4, area.NMIS_HELD)).pop(r16(RBP)).iret().label('nmi-guest').pop(r16(RBP));
}

/** The vector's number is on the stack. An entry of the guest's table that is not 0 is gone on at, with all registers as they were. */
function emitOwnVector(a: Assembler): void {
  const slot = (displacement: number, bytes = 2): MemoryOperand => mem(bytes, { base: RBP, displacement, segment: SS });
  const entry = (displacement: number, bytes = 2): MemoryOperand => mem(bytes, { base: RBX, displacement, segment: DS });
  a.label('own').push(r16(RAX)).push(r16(RBP)).mov(r16(RBP), r16(RSP)).pushf().push(segment(DS)).push(r16(RBX)).push(r16(RAX));
  a.xor(r16(RBX), r16(RBX)).mov(segment(DS), r16(RBX)).mov(r8(RBX), slot(4, 1)).shl(r16(RBX), 2).cmp(entry(0, 4), 0).jcc(CONDITION_E, 'not-own');
  a.mov(r16(RAX), entry(0)).mov(slot(2), r16(RAX)).mov(r16(RAX), entry(2)).mov(slot(4), r16(RAX)).pop(r16(RAX)).pop(r16(RBX)).pop(segment(DS)).popf().pop(r16(RBP)).retf();
  a.label('not-own').pop(r16(RAX)).pop(r16(RBX)).pop(segment(DS)).popf().pop(r16(RBP)).pop(r16(RAX)).jmp('leave');
}

/** Number, IP, CS and flags are on the guest's stack; all else is in registers. */
function emitLeave(a: Assembler, page: number, cr0: number): void {
  a.label('leave');
  for (const [one, index] of GENERAL) a.mov(frame(index), r32(one));
  a.xor(r32(RAX), r32(RAX)).mov(frame(errorCode), r32(RAX)).pop(r16(RAX)).movzx(r32(RAX), r8(RAX));
  a.mov(frame(vector), r32(RAX)).pop(r16(RAX)).mov(frame(eip), r32(RAX)).pop(r16(RAX)).mov(frame(cs), r32(RAX));
  a.size(4).pushf().pop(r32(RAX)).and(r32(RAX), UPPER_FLAGS).pop(r16(RAX)).mov(frame(eflags), r32(RAX)).mov(frame(esp), r32(RSP)).xor(r32(RAX), r32(RAX));
  for (const [one, index] of [...DATA_SEGMENTS, [SS, ss]] as const) a.mov(r16(RAX), segment(one)).mov(frame(index), r32(RAX));
  a.cld().mov(r16(RAX), page >>> 4).mov(segment(SS), r16(RAX)).mov(r32(RSP), STACK).size(4).lidt(inPage(0, area.PAGE_GATES_POINTER));
  // The protected handler brings DS back: in both modes 0 may be loaded.
  a.xor(r16(RAX), r16(RAX)).mov(segment(DS), r16(RAX)).mov(r32(RAX), cr0).mov(control(0), r32(RAX)).size(4).jmpf(far(area.CODE_32, 'protected'));
  a.mode(32).label('protected').mov(r32(RAX), area.DATA);
  for (const one of [DS, ES, SS]) a.mov(segment(one), r16(RAX));
  a.mov(r32(RSP), page + STACK).jmp(mem(4, { displacement: page + PAGE_BYTES + area.WAY_BACK }));
}
