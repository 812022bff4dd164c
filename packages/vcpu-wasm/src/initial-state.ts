/** The registers of a processor after a reset, and at the entry of a program. */
import { CR0_ET, DR6_RESET, DR7_RESET } from '@vm/x86';
import * as state from './cpu-state.ts';
import type { EntryState, SegmentState } from './entry-state.ts';
import type { FlagsRegister } from './flags-register.ts';
import { HANDLER_EXIT } from './handler-number.ts';
import { writeFirmwareMemoryTypes } from './memory-types.ts';
import type { Segmentation } from './segmentation.ts';
import type { StateView } from './state-view.ts';
import * as uop from './uop.ts';

interface Registers { readonly state: StateView; readonly flags: FlagsRegister; readonly segments: Segmentation }

/** SDM vol. 3, section 9.1.1. `signature` is what EDX holds. What is no register of the processor stays. */
export function writeResetState({ state: s, flags, segments }: Registers, signature: number): void {
  const keep = [s.get(state.BUDGET), s.get(state.BUDGET_HELD)] as const;
  const random = [s.get(state.RANDOM), s.high(state.RANDOM)] as const;
  s.u32.fill(0, s.at >>> 2, (s.at + state.STATIC_UOPS) >>> 2);
  s.set(state.BUDGET, keep[0]);
  s.set(state.BUDGET_HELD, keep[1]);
  s.set64(state.RANDOM, random[0], random[1]);
  s.view.setUint16(s.at + state.STATIC_UOPS + uop.UOP_HANDLER, HANDLER_EXIT, true);
  s.set(state.CURRENT_UOP, s.at + state.STATIC_UOPS);
  flags.write(2);
  s.set(state.CR0, 0x6000_0010);
  s.set64(state.MSR_PAT, 0x0007_0406, 0x0007_0406);
  s.set(state.MXCSR, 0x1f80);
  s.set(state.XCR0, 1);
  s.set(state.X87_CONTROL, 0x40);
  s.set(state.DR + 48, DR6_RESET);
  s.set(state.DR + 56, DR7_RESET);
  s.set(state.GDTR_LIMIT, 0xffff);
  s.set(state.IDTR_LIMIT, 0xffff);
  s.setGpr(2, signature, 0);
  for (const segment of [state.ES, state.SS, state.DS, state.FS, state.GS]) segments.setSegment(segment, 0, 0x9300, 0, 0, 0xffff);
  segments.setSegment(state.LDTR, 0, 0x8200, 0, 0, 0xffff);
  segments.setSegment(state.TR, 0, 0x8b00, 0, 0, 0xffff);
  segments.setSegment(state.CS, 0xf000, 0x9b00, 0xffff_0000, 0, 0xffff);
  s.set64(state.RIP, 0xfff0, 0);
}

/** Over the reset state. */
export function writeEntryState({ state: s, flags, segments }: Registers, entry: EntryState): void {
  const number = (offset: number, value: number): void => s.set64(offset, value >>> 0, Math.floor(value / 0x1_0000_0000));
  const segment = (which: number, value: SegmentState): void => segments.setSegment(which, value.selector, value.attributes, value.base, 0, value.limit);
  s.set(state.CR0, (entry.cr0 | CR0_ET) >>> 0);
  number(state.CR3, entry.cr3);
  s.set(state.CR4, entry.cr4);
  s.set(state.EFER, entry.efer);
  s.set(state.XCR0, entry.xcr0 ?? 1);
  number(state.GPR + 0, entry.rax);
  number(state.GPR + 3 * 8, entry.rbx);
  number(state.GPR + 6 * 8, entry.rsi);
  number(state.GPR + 4 * 8, entry.rsp);
  number(state.RIP, entry.rip);
  s.setGpr(2, 0, 0);
  flags.write(entry.rflags);
  writeFirmwareMemoryTypes(s);
  number(state.GDTR_BASE, entry.gdt.base);
  s.set(state.GDTR_LIMIT, entry.gdt.limit);
  number(state.IDTR_BASE, entry.idt.base);
  s.set(state.IDTR_LIMIT, entry.idt.limit);
  for (const which of [state.ES, state.SS, state.DS, state.FS, state.GS]) segment(which, entry.data);
  segment(state.TR, entry.tr);
  segment(state.LDTR, entry.ldtr);
  segment(state.CS, entry.cs);
}
