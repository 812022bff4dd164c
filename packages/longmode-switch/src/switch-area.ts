/**
 * Two pages that have the same physical and linear address in both worlds: code, and behind it the tables, pointers and save areas
 * that are used while nothing else can be relied on.
 */
import { DESCRIPTOR_DB, DESCRIPTOR_G, DESCRIPTOR_L, DESCRIPTOR_PRESENT, DESCRIPTOR_S } from '@vm/x86';

// Selectors of the page's descriptor table. The 64-bit side's own table has the first four too.
export const CODE_64 = 0x08;
export const CODE_32 = 0x10;
export const DATA = 0x18;
export const CODE_16 = 0x20; // base: the page
export const DATA_16 = 0x28; // likewise, with the limits of real mode
export const USER_CODE_32: number = 0x30 | 3;
export const USER_DATA: number = 0x38 | 3;
export const LEGACY_TASK = 0x40;
export const GDT_BYTES = 0x48;

// Offsets in the second page.
export const GDT = 0x000;
export const SWITCH_GATES = 0x080;
/** Vector 2 as real mode, protected mode and long mode find it: bytes 8, 16 and 32 of one table. */
export const SWITCH_GATES_BYTES = 0x30;
export const PAGE_GDT_POINTER = 0x0c0;
export const PAGE_GATES_POINTER = 0x0d0;
export const LEGACY_GATES_POINTER = 0x0e0;
export const HOST_GDT_POINTER = 0x0f0;
export const HOST_GATES_POINTER = 0x100;
export const REAL_GATES_POINTER = 0x110;
/** How many NMIs came on the way and have not been raised yet. */
export const NMIS_HELD = 0x120;
export const SAVED_RSP = 0x128;
export const SAVED_RIP = 0x130;
export const SAVED_ESP = 0x138;
/** Where the way back begins, with the registers to be saved and with them saved: the legacy side may be of several formats. */
export const WAY_OUT = 0x13c;
export const WAY_BACK = 0x140;
export const TASK_STATE = 0x200;
export const TASK_STATE_BYTES = 0x68;
/** Registers of the legacy side as gate, stub and PUSHAD leave them on a stack. */
export const FRAME = 0x300;
export const FRAME_WORDS = 19;
/** Characters that wait for the 64-bit side: how many, whether they may wait at all, and they themselves. */
export const BATCH_COUNT = 0x144;
export const BATCH_ALLOWED = 0x148;
export const BATCH = 0x380;
export const BATCH_MOST = 0x80;
export const LEGACY_GATES = 0x400;
export const LEGACY_GATES_BYTES = 0x800;
/** Of vectors of real mode, in their place. */
export const REAL_GATES_BYTES = 0x400;
/** The stack goes down from here to the gates. */
export const STACK_TOP = 0x1000;

/** Words of the frame. */
export const FRAME_INDEX = {
  edi: 0, esi: 1, ebp: 2, stack: 3, ebx: 4, edx: 5, ecx: 6, eax: 7, vector: 8, errorCode: 9, eip: 10, cs: 11, eflags: 12, esp: 13, ss: 14, es: 15, ds: 16, fs: 17, gs: 18,
} as const;

export interface SwitchArea {
  /** Physical and linear address of the first page. */
  readonly page: number;
  /** Linear address of physical address 0 on the 64-bit side. */
  readonly hostBase: bigint;
  /** Physical address of the entries that map the pages, where the planner is to establish them. */
  readonly entries?: { readonly host: number; readonly legacy: number | null; readonly legacyBytes: 4 | 8 };
  /** Physical address of the code before it is copied, and its length. */
  readonly source: { readonly at: number; readonly bytes: number };
  /** Linear address of the descriptor of the host's task state segment, and its selector. */
  readonly hostTask: { readonly descriptor: bigint; readonly selector: number };
}

export interface SwitchPointers {
  readonly hostGdt: { readonly base: bigint; readonly limit: number };
  readonly hostGates: { readonly base: bigint; readonly limit: number };
}

/** Addresses in the page of code. */
export interface PageEntries {
  /** What notes an NMI on the way, in each mode. */
  readonly nmi: { readonly long: number; readonly legacy: number; readonly real: number };
  /** The legacy side's handlers, by vector. */
  readonly stubs: readonly number[];
  /** In real mode: offsets in the page. There are no other stubs then. */
  readonly realStubs?: readonly number[];
}

/** Vectors that the legacy side's ring 3 may call. */
export const SERVICE_VECTOR = 0x30;
/** Services, by EAX: to put the character in BL. */
export const SERVICE_PUT = 1;

const RING_3 = 3 << 13;
const CODE = 0xb00;
const WRITABLE = 0x300;
const TASK_AVAILABLE = 0x900;
const INTERRUPT_GATE = 0x8e00;

/** The second page as it is before the first switch. */
export function buildDataPage(page: number, pointers: SwitchPointers, { nmi, stubs, realStubs }: PageEntries): Uint8Array {
  const at = page + 0x1000;
  const bytes = new Uint8Array(0x1000);
  const view = new DataView(bytes.buffer);
  const descriptor = (selector: number, base: number, limit: number, attributes: number): void => {
    const offset = GDT + (selector & ~7);
    view.setUint32(offset, (((base & 0xffff) << 16) | (limit & 0xffff)) >>> 0, true);
    view.setUint32(offset + 4, ((base & 0xff00_0000) | (limit & 0xf_0000) | attributes | ((base >>> 16) & 0xff)) >>> 0, true);
  };
  const plain = DESCRIPTOR_PRESENT | DESCRIPTOR_S;
  const flat = plain | DESCRIPTOR_G | DESCRIPTOR_DB;
  descriptor(CODE_64, 0, 0xf_ffff, plain | DESCRIPTOR_G | DESCRIPTOR_L | CODE);
  descriptor(CODE_32, 0, 0xf_ffff, flat | CODE);
  descriptor(DATA, 0, 0xf_ffff, flat | WRITABLE);
  descriptor(CODE_16, page, 0xffff, plain | CODE);
  descriptor(DATA_16, page, 0xffff, plain | WRITABLE);
  descriptor(USER_CODE_32, 0, 0xf_ffff, flat | RING_3 | CODE);
  descriptor(USER_DATA, 0, 0xf_ffff, flat | RING_3 | WRITABLE);
  descriptor(LEGACY_TASK, at + TASK_STATE, TASK_STATE_BYTES - 1, DESCRIPTOR_PRESENT | TASK_AVAILABLE);
  const gate = (offset: number, selector: number, handler: number, ring = 0): void => {
    view.setUint32(offset, ((selector << 16) | (handler & 0xffff)) >>> 0, true);
    view.setUint32(offset + 4, ((handler & 0xffff_0000) | INTERRUPT_GATE | (ring << 13)) >>> 0, true);
  };
  view.setUint16(SWITCH_GATES + 8, nmi.real - page, true);
  view.setUint16(SWITCH_GATES + 10, page >>> 4, true);
  gate(SWITCH_GATES + 16, CODE_32, nmi.legacy);
  gate(SWITCH_GATES + 32, CODE_64, nmi.long);
  stubs.forEach((stub, vector) => gate(LEGACY_GATES + vector * 8, CODE_32, stub, vector === SERVICE_VECTOR ? 3 : 0));
  realStubs?.forEach((stub, vector) => view.setUint32(LEGACY_GATES + vector * 4, ((page >>> 4 << 16) | stub) >>> 0, true));
  const pointer = (offset: number, base: bigint, limit: number): void => {
    view.setUint16(offset, limit, true);
    view.setBigUint64(offset + 2, base, true);
  };
  pointer(PAGE_GDT_POINTER, BigInt(at + GDT), GDT_BYTES - 1);
  pointer(PAGE_GATES_POINTER, BigInt(at + SWITCH_GATES), SWITCH_GATES_BYTES - 1);
  // Protected mode is only passed on the way to real mode.
  if (realStubs === undefined) pointer(LEGACY_GATES_POINTER, BigInt(at + LEGACY_GATES), LEGACY_GATES_BYTES - 1);
  else pointer(LEGACY_GATES_POINTER, BigInt(at + SWITCH_GATES), SWITCH_GATES_BYTES - 1);
  pointer(HOST_GDT_POINTER, pointers.hostGdt.base, pointers.hostGdt.limit);
  pointer(HOST_GATES_POINTER, pointers.hostGates.base, pointers.hostGates.limit);
  pointer(REAL_GATES_POINTER, BigInt(at + LEGACY_GATES), REAL_GATES_BYTES - 1);
  // Ring 0 of the legacy side: SS0 and ESP0, and no map of ports, so that every port of ring 3 asks.
  view.setUint32(TASK_STATE + 4, at + STACK_TOP, true);
  view.setUint16(TASK_STATE + 8, DATA, true);
  view.setUint16(TASK_STATE + 0x66, TASK_STATE_BYTES, true);
  return bytes;
}
