/**
 * All of a processor that guests can tell apart, by the names that saved machines have it under: engines that name their state `x86`
 * load each other's. This is the one way in and out of KVM's structures: for a reset, the entry of a program, and a saved machine.
 */
import { AVX_BYTES, AVX_OFFSET, CR0_PE, FLAG_VM, XSAVE_LEGACY_BYTES, XSTATE_AVX, XSTATE_SSE, XSTATE_X87 } from '@vm/x86';
import type { KvmVcpuFd } from './kvm-calls.ts';
import { DEBUGREGS, DTABLE, REGS, SEGMENT, SREGS, VCPU_EVENTS, XCR, XCRS, XSAVE } from './kvm-layout-table.ts';
import { NUMBERS } from './kvm-number-table.ts';
import { MEMORY_TYPE_REGISTERS, REGISTER_MSRS } from './model-register-table.ts';

/** Registers of 64 bits. */
export const WIDE_NAMES = [
  'rip', 'cr0', 'cr2', 'cr3', 'cr4', 'efer', 'xcr0', 'dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7', 'gdtBase', 'gdtLimit', 'idtBase', 'idtLimit',
  'star', 'lstar', 'cstar', 'fmask', 'kernelGsBase', 'sysenterCs', 'sysenterEsp', 'sysenterEip', 'tscAux', 'pat', 'tscOffset', 'miscEnable', 'random',
] as const;
export type WideName = (typeof WIDE_NAMES)[number];
/** Rows of bytes, little endian, and their lengths. */
export const ROW_BYTES = { general: 128, vectors: 256, vectorsHigh: 256, x87: 188, directoryPointers: 32, memoryTypes: 224 } as const;
export type RowName = keyof typeof ROW_BYTES;
export const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'] as const; // by register number
export type SegmentName = (typeof SEGMENT_NAMES)[number];

export interface SegmentFields {
  selector: number;
  /** Bits 8 to 23 of the descriptor's high half, in place, without the limit; 0: cannot be used. */
  attributes: number;
  limit: number;
  base: bigint;
}
export interface ProcessorFields {
  readonly wide: Record<WideName, bigint>;
  readonly rows: Readonly<Record<RowName, Uint8Array>>;
  readonly segments: Readonly<Record<SegmentName, SegmentFields>>;
  rflags: number;
  cpl: number;
  /** No interrupt before the next instruction; held back by MOV SS or POP SS, debug traps are too. */
  shadow: boolean;
  trapShadow: boolean;
  /** A non-maskable interrupt is handled; another one waits. */
  nmiBlocked: boolean;
  nmi: boolean;
}

/** Where the row `x87` has what, and where an XSAVE area does (SDM vol. 1, section 10.5.1). The row has registers in physical order. */
const ROW = { control: 0x80, status: 0x84, top: 0x88, empty: 0x90, opcode: 0x98, ip: 0xa0, dp: 0xa8, mxcsr: 0xb8 } as const;
const IMAGE = { control: 0, status: 2, tags: 4, opcode: 6, ip: 8, dp: 16, mxcsr: 24, st: 32, xmm: 160, present: XSAVE_LEGACY_BYTES } as const;
const MXCSR_RESET = 0x1f80;
const X87_INITIAL_CONTROL = 0x37f;
const GENERAL = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const;
const KVM_SEGMENTS = { es: 'es', cs: 'cs', ss: 'ss', ds: 'ds', fs: 'fs', gs: 'gs', ldtr: 'ldt', tr: 'tr' } as const;

export function emptyFields(): ProcessorFields {
  return {
    wide: Object.fromEntries(WIDE_NAMES.map((name) => [name, 0n])) as Record<WideName, bigint>,
    rows: Object.fromEntries(Object.entries(ROW_BYTES).map(([name, bytes]) => [name, new Uint8Array(bytes)])) as Record<RowName, Uint8Array>,
    segments: Object.fromEntries(SEGMENT_NAMES.map((name) => [name, { selector: 0, attributes: 0, limit: 0, base: 0n }])) as Record<SegmentName, SegmentFields>,
    rflags: 2, cpl: 0, shadow: false, trapShadow: false, nmiBlocked: false, nmi: false,
  };
}

/** What KVM does not know of: the local APIC's part in the registers, and what the host's processor has no place for. */
export interface Surrounding {
  readonly apicBase: bigint;
  readonly priority: number;
  /** XSAVE areas have 256 bits of vectors. */
  readonly hasXcr: boolean;
}

/** Only between instructions: what is under way has to be finished first. Without `tscOffset`, `miscEnable`, `random` and `directoryPointers`. */
export function readFields(vcpu: KvmVcpuFd, hasXcr: boolean): ProcessorFields {
  const fields = emptyFields();
  const { wide, rows, segments } = fields;
  const regs = vcpu.read('KVM_GET_REGS', REGS.bytes);
  const general = new DataView(rows.general.buffer);
  GENERAL.forEach((name, i) => general.setBigUint64(i * 8, regs.getBigUint64(REGS.fields[name][0], true), true));
  wide.rip = regs.getBigUint64(REGS.fields.rip[0], true);
  fields.rflags = regs.getUint32(REGS.fields.rflags[0], true);
  const sregs = vcpu.read('KVM_GET_SREGS', SREGS.bytes);
  for (const name of SEGMENT_NAMES) Object.assign(segments[name], readSegment(sregs, SREGS.fields[KVM_SEGMENTS[name]][0]));
  for (const name of ['cr0', 'cr2', 'cr3', 'cr4', 'efer'] as const) wide[name] = sregs.getBigUint64(SREGS.fields[name][0], true);
  for (const name of ['gdt', 'idt'] as const) {
    wide[`${name}Base`] = sregs.getBigUint64(SREGS.fields[name][0] + DTABLE.fields.base[0], true);
    wide[`${name}Limit`] = BigInt(sregs.getUint16(SREGS.fields[name][0] + DTABLE.fields.limit[0], true));
  }
  fields.cpl = (wide.cr0 & BigInt(CR0_PE)) === 0n ? 0 : (fields.rflags & FLAG_VM) !== 0 ? 3 : sregs.getUint8(SREGS.fields.ss[0] + SEGMENT.fields.dpl[0]);
  const debug = vcpu.read('KVM_GET_DEBUGREGS', DEBUGREGS.bytes);
  for (const i of [0, 1, 2, 3] as const) wide[`dr${i}`] = debug.getBigUint64(i * 8, true);
  wide.dr6 = debug.getBigUint64(DEBUGREGS.fields.dr6[0], true);
  wide.dr7 = debug.getBigUint64(DEBUGREGS.fields.dr7[0], true);
  readEvents(vcpu, fields);
  const models = vcpu.readMsrs([...Object.values(REGISTER_MSRS), ...MEMORY_TYPE_REGISTERS]);
  for (const [name, index] of Object.entries(REGISTER_MSRS)) wide[name as WideName] = models.get(index) ?? 0n;
  const types = new DataView(rows.memoryTypes.buffer);
  MEMORY_TYPE_REGISTERS.forEach((index, i) => types.setBigUint64(i * 8, models.get(index) ?? 0n, true));
  wide.xcr0 = hasXcr ? vcpu.read('KVM_GET_XCRS', XCRS.bytes).getBigUint64(XCRS.fields.xcrs[0] + XCR.fields.value[0], true) : 1n;
  readFloat(vcpu.read('KVM_GET_XSAVE', XSAVE.bytes), rows);
  return fields;
}

export function writeFields(vcpu: KvmVcpuFd, fields: ProcessorFields, { apicBase, priority, hasXcr }: Surrounding): void {
  const { wide, rows, segments } = fields;
  const sregs = new DataView(new ArrayBuffer(SREGS.bytes));
  for (const name of SEGMENT_NAMES) writeSegment(sregs, SREGS.fields[KVM_SEGMENTS[name]][0], segments[name]);
  for (const name of ['cr0', 'cr2', 'cr3', 'cr4', 'efer'] as const) sregs.setBigUint64(SREGS.fields[name][0], BigInt.asUintN(64, wide[name]), true);
  for (const name of ['gdt', 'idt'] as const) {
    sregs.setBigUint64(SREGS.fields[name][0] + DTABLE.fields.base[0], BigInt.asUintN(64, wide[`${name}Base`]), true);
    sregs.setUint16(SREGS.fields[name][0] + DTABLE.fields.limit[0], Number(wide[`${name}Limit`]), true);
  }
  sregs.setBigUint64(SREGS.fields.cr8[0], BigInt(priority), true);
  sregs.setBigUint64(SREGS.fields.apic_base[0], apicBase, true);
  vcpu.write('KVM_SET_SREGS', sregs);
  const regs = new DataView(new ArrayBuffer(REGS.bytes));
  const general = new DataView(rows.general.buffer, rows.general.byteOffset);
  GENERAL.forEach((name, i) => regs.setBigUint64(REGS.fields[name][0], general.getBigUint64(i * 8, true), true));
  regs.setBigUint64(REGS.fields.rip[0], BigInt.asUintN(64, wide.rip), true);
  regs.setBigUint64(REGS.fields.rflags[0], BigInt(fields.rflags | 2), true);
  vcpu.write('KVM_SET_REGS', regs);
  if (hasXcr) {
    const xcrs = new DataView(new ArrayBuffer(XCRS.bytes));
    xcrs.setUint32(XCRS.fields.nr_xcrs[0], 1, true);
    xcrs.setBigUint64(XCRS.fields.xcrs[0] + XCR.fields.value[0], wide.xcr0 | 1n, true);
    vcpu.write('KVM_SET_XCRS', xcrs);
  }
  vcpu.write('KVM_SET_XSAVE', floatImage(rows, hasXcr));
  const debug = new DataView(new ArrayBuffer(DEBUGREGS.bytes));
  for (const i of [0, 1, 2, 3] as const) debug.setBigUint64(i * 8, BigInt.asUintN(64, wide[`dr${i}`]), true);
  debug.setBigUint64(DEBUGREGS.fields.dr6[0], BigInt.asUintN(32, wide.dr6), true);
  debug.setBigUint64(DEBUGREGS.fields.dr7[0], BigInt.asUintN(32, wide.dr7), true);
  vcpu.write('KVM_SET_DEBUGREGS', debug);
  // Registers that the model of the processor lacks are refused, and nobody misses them.
  const types = new DataView(rows.memoryTypes.buffer, rows.memoryTypes.byteOffset);
  vcpu.writeMsrs(Object.entries(REGISTER_MSRS).map(([name, index]) => [index, wide[name as WideName]] as const));
  vcpu.writeMsrs(MEMORY_TYPE_REGISTERS.map((index, i) => [index, types.getBigUint64(i * 8, true)] as const));
  writeEvents(vcpu, fields);
}

function readEvents(vcpu: KvmVcpuFd, fields: ProcessorFields): void {
  const events = vcpu.read('KVM_GET_VCPU_EVENTS', VCPU_EVENTS.bytes);
  const shadow = events.getUint8(VCPU_EVENTS.fields['interrupt.shadow'][0]);
  fields.shadow = shadow !== 0;
  fields.trapShadow = (shadow & NUMBERS.KVM_X86_SHADOW_INT_MOV_SS) !== 0;
  fields.nmiBlocked = events.getUint8(VCPU_EVENTS.fields['nmi.masked'][0]) !== 0;
  fields.nmi = events.getUint8(VCPU_EVENTS.fields['nmi.pending'][0]) !== 0;
}

/** Also takes back whatever was pending before. */
function writeEvents(vcpu: KvmVcpuFd, fields: ProcessorFields): void {
  const events = new DataView(new ArrayBuffer(VCPU_EVENTS.bytes));
  events.setUint8(VCPU_EVENTS.fields['interrupt.shadow'][0], fields.trapShadow ? NUMBERS.KVM_X86_SHADOW_INT_MOV_SS : fields.shadow ? NUMBERS.KVM_X86_SHADOW_INT_STI : 0);
  events.setUint8(VCPU_EVENTS.fields['nmi.masked'][0], fields.nmiBlocked ? 1 : 0);
  events.setUint8(VCPU_EVENTS.fields['nmi.pending'][0], fields.nmi ? 1 : 0);
  events.setUint32(VCPU_EVENTS.fields.flags[0], NUMBERS.KVM_VCPUEVENT_VALID_NMI_PENDING | NUMBERS.KVM_VCPUEVENT_VALID_SHADOW, true);
  vcpu.write('KVM_SET_VCPU_EVENTS', events);
}

function readSegment(view: DataView, at: number): SegmentFields {
  const byte = (name: keyof typeof SEGMENT.fields): number => view.getUint8(at + SEGMENT.fields[name][0]);
  const usable = byte('unusable') === 0 && byte('present') !== 0;
  return {
    selector: view.getUint16(at + SEGMENT.fields.selector[0], true),
    attributes: usable ? (byte('type') << 8) | (byte('s') << 12) | (byte('dpl') << 13) | (1 << 15) | (byte('avl') << 20) | (byte('l') << 21) | (byte('db') << 22) | (byte('g') << 23) : 0,
    limit: usable ? view.getUint32(at + SEGMENT.fields.limit[0], true) : 0,
    base: view.getBigInt64(at + SEGMENT.fields.base[0], true),
  };
}

function writeSegment(view: DataView, at: number, { selector, attributes, limit, base }: SegmentFields): void {
  const byte = (name: keyof typeof SEGMENT.fields, value: number): void => view.setUint8(at + SEGMENT.fields[name][0], value);
  const bit = (number: number): number => (attributes >>> number) & 1;
  view.setBigUint64(at, BigInt.asUintN(64, base), true);
  view.setUint32(at + SEGMENT.fields.limit[0], limit, true);
  view.setUint16(at + SEGMENT.fields.selector[0], selector, true);
  byte('type', (attributes >>> 8) & 15);
  byte('s', bit(12));
  byte('dpl', (attributes >>> 13) & 3);
  byte('present', bit(15));
  byte('avl', bit(20));
  byte('l', bit(21));
  byte('db', bit(22));
  byte('g', bit(23));
  byte('unusable', bit(15) ^ 1);
}

/** A component that the header does not name is as after a reset (SDM vol. 1, section 13.6). */
function readFloat(image: DataView, { x87, vectors, vectorsHigh }: ProcessorFields['rows']): void {
  const present = image.getUint32(IMAGE.present, true);
  const bytes = new Uint8Array(image.buffer);
  const row = new DataView(x87.buffer);
  const known = (present & XSTATE_X87) !== 0;
  const status = known ? image.getUint16(IMAGE.status, true) : 0;
  const top = (status >>> 11) & 7;
  const tags = known ? image.getUint8(IMAGE.tags) : 0;
  row.setUint32(ROW.control, known ? image.getUint16(IMAGE.control, true) : X87_INITIAL_CONTROL, true);
  row.setUint32(ROW.status, status & ~0x3800, true);
  row.setUint32(ROW.top, top, true);
  for (let i = 0; i < 8; i++) {
    x87[ROW.empty + i] = ((tags >>> i) & 1) ^ 1;
    if (known) x87.set(bytes.subarray(IMAGE.st + i * 16, IMAGE.st + i * 16 + 10), ((top + i) & 7) * 16);
  }
  if (known) {
    row.setUint32(ROW.opcode, image.getUint16(IMAGE.opcode, true), true);
    row.setBigUint64(ROW.ip, image.getBigUint64(IMAGE.ip, true), true);
    row.setBigUint64(ROW.dp, image.getBigUint64(IMAGE.dp, true), true);
  }
  row.setUint32(ROW.mxcsr, image.getUint32(IMAGE.mxcsr, true), true);
  if ((present & XSTATE_SSE) !== 0) vectors.set(bytes.subarray(IMAGE.xmm, IMAGE.xmm + 256));
  if ((present & XSTATE_AVX) !== 0) vectorsHigh.set(bytes.subarray(AVX_OFFSET, AVX_OFFSET + AVX_BYTES));
}

function floatImage({ x87, vectors, vectorsHigh }: ProcessorFields['rows'], hasXcr: boolean): DataView {
  const image = new DataView(new ArrayBuffer(XSAVE.bytes));
  const bytes = new Uint8Array(image.buffer);
  const row = new DataView(x87.buffer, x87.byteOffset);
  const top = row.getUint32(ROW.top, true) & 7;
  image.setUint16(IMAGE.control, row.getUint32(ROW.control, true), true);
  image.setUint16(IMAGE.status, (row.getUint32(ROW.status, true) & ~0x3800) | (top << 11), true);
  let tags = 0;
  for (let i = 0; i < 8; i++) {
    if (x87[ROW.empty + i] === 0) tags |= 1 << i;
    bytes.set(x87.subarray(((top + i) & 7) * 16, ((top + i) & 7) * 16 + 10), IMAGE.st + i * 16);
  }
  image.setUint8(IMAGE.tags, tags);
  image.setUint16(IMAGE.opcode, row.getUint32(ROW.opcode, true), true);
  image.setBigUint64(IMAGE.ip, row.getBigUint64(ROW.ip, true), true);
  image.setBigUint64(IMAGE.dp, row.getBigUint64(ROW.dp, true), true);
  image.setUint32(IMAGE.mxcsr, row.getUint32(ROW.mxcsr, true), true);
  bytes.set(vectors, IMAGE.xmm);
  const high = hasXcr && vectorsHigh.some((byte) => byte !== 0);
  if (high) bytes.set(vectorsHigh, AVX_OFFSET);
  image.setUint32(IMAGE.present, XSTATE_X87 | XSTATE_SSE | (high ? XSTATE_AVX : 0), true);
  return image;
}

/** MXCSR and the control word of the x87 as a reset leaves them. */
export function resetFloat({ x87 }: ProcessorFields['rows']): void {
  const row = new DataView(x87.buffer);
  row.setUint32(ROW.control, 0x40, true);
  row.setUint32(ROW.mxcsr, MXCSR_RESET, true);
}
