/** A processor after a reset, after INIT, and at the entry of a program. */
import { CR0_CD, CR0_ET, CR0_NW, DR6_RESET, DR7_RESET } from '@vm/x86';
import type { CpuModel, EntryState, SegmentState } from '@vm/x86';
import { PHYSICAL_BITS } from './cpuid-table.ts';
import { writeFirmwareMemoryTypes } from './model-register-table.ts';
import { emptyFields, type ProcessorFields, resetFloat, type SegmentFields, type WideName } from './processor-fields.ts';

const PAT_RESET = 0x0007_0406_0007_0406n;
const DATA = 0x9300, CODE = 0x9b00, TABLE = 0x8200, TASK = 0x8b00; // present, accessed or busy

/** SDM vol. 3, section 9.1.1. */
export function resetFields({ signature }: CpuModel): ProcessorFields {
  const fields = emptyFields();
  const { wide, rows, segments } = fields;
  Object.assign(wide, { cr0: 0x6000_0010n, pat: PAT_RESET, xcr0: 1n, dr6: BigInt.asUintN(32, BigInt(DR6_RESET)), dr7: BigInt(DR7_RESET), gdtLimit: 0xffffn, idtLimit: 0xffffn, rip: 0xfff0n });
  resetFloat(rows);
  new DataView(rows.general.buffer).setUint32(2 * 8, signature, true);
  for (const name of ['es', 'ss', 'ds', 'fs', 'gs'] as const) Object.assign(segments[name], segment(0, DATA, 0n, 0xffff));
  Object.assign(segments.ldtr, segment(0, TABLE, 0n, 0xffff));
  Object.assign(segments.tr, segment(0, TASK, 0n, 0xffff));
  Object.assign(segments.cs, segment(0xf000, CODE, 0xffff_0000n, 0xffff));
  return fields;
}

/** INIT keeps floating point, XCR0, model-specific registers, the counter, and whether there are caches (SDM vol. 3, table 9-1). */
export function initFields(before: ProcessorFields, model: CpuModel): ProcessorFields {
  const fields = resetFields(model);
  for (const row of ['vectors', 'vectorsHigh', 'x87', 'memoryTypes'] as const) fields.rows[row].set(before.rows[row]);
  for (const name of KEPT) fields.wide[name] = before.wide[name];
  fields.wide.cr0 = BigInt(CR0_ET) | (before.wide.cr0 & BigInt((CR0_CD | CR0_NW) >>> 0));
  return fields;
}
const KEPT: readonly WideName[] = ['xcr0', 'star', 'lstar', 'cstar', 'fmask', 'kernelGsBase', 'sysenterCs', 'sysenterEsp', 'sysenterEip', 'tscAux', 'pat', 'tscOffset', 'miscEnable'];

/** Registers that the program's state does not name are 0. */
export function entryFields(entry: EntryState, model: CpuModel): ProcessorFields {
  const fields = resetFields(model);
  const { wide, rows, segments } = fields;
  Object.assign(wide, {
    cr0: BigInt((entry.cr0 | CR0_ET) >>> 0), cr3: BigInt(entry.cr3), cr4: BigInt(entry.cr4), efer: BigInt(entry.efer), xcr0: BigInt(entry.xcr0 ?? 1), rip: BigInt(entry.rip),
    gdtBase: BigInt(entry.gdt.base), gdtLimit: BigInt(entry.gdt.limit), idtBase: BigInt(entry.idt.base), idtLimit: BigInt(entry.idt.limit),
  });
  const general = new DataView(rows.general.buffer);
  rows.general.fill(0);
  for (const [register, value] of [[0, entry.rax], [3, entry.rbx], [6, entry.rsi], [4, entry.rsp]] as const) general.setBigUint64(register * 8, BigInt(value), true);
  fields.rflags = entry.rflags;
  writeFirmwareMemoryTypes(rows.memoryTypes, PHYSICAL_BITS);
  for (const name of ['es', 'ss', 'ds', 'fs', 'gs'] as const) Object.assign(segments[name], segmentOf(entry.data));
  for (const name of ['tr', 'ldtr', 'cs'] as const) Object.assign(segments[name], segmentOf(entry[name]));
  return fields;
}

/** Where a start-up message lets a processor begin. */
export function beginAt(fields: ProcessorFields, page: number): void {
  Object.assign(fields.segments.cs, segment(page << 8, CODE, BigInt(page << 12), 0xffff));
  fields.wide.rip = 0n;
}

function segment(selector: number, attributes: number, base: bigint, limit: number): SegmentFields { return { selector, attributes, base, limit }; }
function segmentOf({ selector, attributes, base, limit }: SegmentState): SegmentFields { return segment(selector, attributes, BigInt(base), limit); }
