import { CR0_ET, CR0_PE, CR0_PG, CR4_PAE, DESCRIPTOR_DB, DESCRIPTOR_G, DESCRIPTOR_L, DESCRIPTOR_PRESENT, DESCRIPTOR_S, EFER_LMA, EFER_LME, FLAG_ALWAYS_ONE, PTE_LARGE, PTE_PRESENT, PTE_WRITABLE, SEGMENT_ACCESSED, SEGMENT_CODE, SEGMENT_READABLE, SEGMENT_WRITABLE } from '@vm/x86';
import type { EntryState, SegmentState } from '@vm/x86';
import type { GuestMemory } from '@vm/core';
import { BOOT_STACK, GDT, PAGE_BYTES, PAGE_TABLES } from './memory-map.ts';

/** The hidden part of a segment register. */
export type BootSegment = SegmentState;

/**
 * The state of a processor at the entry of what it is to run. Registers that are not named are 0; segment registers and
 * tables are loaded as written, without looking at memory.
 */
export type BootState = EntryState;

/** A processor that can be put into such a state. */
export interface BootableVcpu {
  loadBootState(state: BootState): void;
  /** Its x87 exceptions as a signal to the board, and what the board says to them; absent: they are exceptions and nothing else. */
  readonly numericError?: { output: (asserted: boolean) => void; ignore(): void };
  /** It has shut down because the program wanted it to, as systems do to reset the machine; absent: it cannot tell. */
  readonly shutDownOnPurpose?: boolean;
}

export interface BootEntry {
  readonly bits: 32 | 64;
  readonly rip: number;
  readonly rsi?: number;
  readonly rax?: number;
  readonly rbx?: number;
  readonly gdtAt?: number; // default 0x500
}

// Selectors of the Linux boot protocol: __BOOT_CS and __BOOT_DS; the task comes after them.
const CODE_SELECTOR = 0x10;
const DATA_SELECTOR = 0x18;
const TASK_SELECTOR = 0x20;
const TSS_TYPE = 0xb << 8; // a busy 32-bit or 64-bit TSS
const NO_GATES = 1; // less than one, and not the 0 that programs load to reset the machine by a triple fault
const LARGE_PAGE_BYTES = 0x20_0000;

const CODE: number = DESCRIPTOR_PRESENT | DESCRIPTOR_S | SEGMENT_CODE | SEGMENT_READABLE | SEGMENT_ACCESSED | DESCRIPTOR_G;
const DATA: number = DESCRIPTOR_PRESENT | DESCRIPTOR_S | SEGMENT_WRITABLE | SEGMENT_ACCESSED | DESCRIPTOR_G | DESCRIPTOR_DB;

/**
 * Writes a GDT, and for a 64-bit entry page tables that map the first 4 GiB to themselves, and describes a processor
 * with flat segments, interrupts off and a small stack.
 */
export function prepareEntry(memory: GuestMemory, entry: BootEntry): BootState {
  const long = entry.bits === 64;
  const code = CODE | (long ? DESCRIPTOR_L : DESCRIPTOR_DB);
  const gdt = entry.gdtAt ?? GDT;
  writeDescriptor(memory, gdt, 0, 0);
  writeDescriptor(memory, gdt + 0x08, 0, 0);
  writeDescriptor(memory, gdt + CODE_SELECTOR, code, 0xf_ffff);
  writeDescriptor(memory, gdt + DATA_SELECTOR, DATA, 0xf_ffff);
  writeDescriptor(memory, gdt + TASK_SELECTOR, DESCRIPTOR_PRESENT | TSS_TYPE, 0x67);
  writeDescriptor(memory, gdt + TASK_SELECTOR + 8, 0, 0); // high half of the 64-bit task descriptor
  if (long) writePageTables(memory);
  return {
    rip: entry.rip,
    rflags: FLAG_ALWAYS_ONE,
    rax: entry.rax ?? 0,
    rbx: entry.rbx ?? 0,
    rsi: entry.rsi ?? 0,
    rsp: BOOT_STACK,
    cs: { selector: CODE_SELECTOR, base: 0, limit: 0xffff_ffff, attributes: code },
    data: { selector: DATA_SELECTOR, base: 0, limit: 0xffff_ffff, attributes: DATA },
    tr: { selector: TASK_SELECTOR, base: 0, limit: 0x67, attributes: DESCRIPTOR_PRESENT | TSS_TYPE },
    ldtr: { selector: 0, base: 0, limit: 0, attributes: 0 },
    gdt: { base: gdt, limit: TASK_SELECTOR + 15 },
    idt: { base: 0, limit: NO_GATES },
    cr0: ((long ? CR0_PG : 0) | CR0_PE | CR0_ET) >>> 0,
    cr3: long ? PAGE_TABLES : 0,
    cr4: long ? CR4_PAE : 0,
    efer: long ? EFER_LME | EFER_LMA : 0,
  };
}

/** A descriptor with base 0. */
function writeDescriptor(memory: GuestMemory, at: number, attributes: number, limit: number): void {
  memory.write(at, 4, limit & 0xffff);
  memory.write(at + 4, 4, (attributes | (limit & 0xf_0000)) >>> 0);
}

function writePageTables(memory: GuestMemory): void {
  const flags = PTE_PRESENT | PTE_WRITABLE;
  const pdpt = PAGE_TABLES + PAGE_BYTES;
  const directories = pdpt + PAGE_BYTES;
  for (let at = PAGE_TABLES; at < directories; at += 4) memory.write(at, 4, 0);
  memory.write(PAGE_TABLES, 4, pdpt | flags);
  for (let i = 0; i < 4; i++) memory.write(pdpt + i * 8, 4, (directories + i * PAGE_BYTES) | flags);
  for (let i = 0; i < 4 * 512; i++) {
    memory.write(directories + i * 8, 4, (i * LARGE_PAGE_BYTES + (PTE_LARGE | flags)) >>> 0);
    memory.write(directories + i * 8 + 4, 4, 0);
  }
}
