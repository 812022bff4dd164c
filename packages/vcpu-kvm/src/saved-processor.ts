/** A processor as a saved machine keeps it, in the layout `x86`: what one engine has saved another one goes on with. */
import { CR0_PE, CR0_PG, CR4_PAE, CR4_PCIDE, EFER_LMA, EFER_LME, FLAG_VM, isExtendedControl, SEGMENT_CODE, SEGMENT_EXPAND_DOWN, SEGMENT_READABLE, SEGMENT_WRITABLE, stateComponents } from '@vm/x86';
import type { CpuModel } from '@vm/x86';
import type { Plain } from '@vm/core';
import { PHYSICAL_BITS } from './cpuid-table.ts';
import { emptyFields, type ProcessorFields, ROW_BYTES, type RowName, SEGMENT_NAMES, type SegmentFields, WIDE_NAMES } from './processor-fields.ts';

/** Name and version of the layout. */
export const PROCESSOR_STATE = { id: 'x86', version: 1 } as const;

/** What KVM does not know of a processor. */
export interface Latches {
  halted: boolean;
  init: boolean;
  waitsForStartup: boolean;
  /** Page of a start-up message, or -1. */
  startPage: number;
  shutdown: boolean;
  deliberate: boolean;
}
export interface SavedProcessor {
  readonly fields: ProcessorFields;
  readonly latches: Latches;
  readonly retired: number;
}

const ATTRIBUTES = 0x00f0_ff00;
const EXISTING_FLAGS = 0x003f_7fd7;
const LATCH_NAMES = ['halted', 'init', 'waitsForStartup', 'shutdown', 'deliberate'] as const;

export function newLatches(): Latches { return { halted: false, init: false, waitsForStartup: false, startPage: -1, shutdown: false, deliberate: false }; }

export function saveProcessor({ fields, latches, retired }: SavedProcessor): Plain {
  const { wide, rows, segments, rflags, cpl, shadow, trapShadow, nmi, nmiBlocked } = fields;
  const signed = Object.fromEntries(WIDE_NAMES.map((name) => [name, BigInt.asIntN(64, wide[name])]));
  return {
    ...signed, ...Object.fromEntries(Object.keys(ROW_BYTES).map((name) => [name, rows[name as RowName].slice()])), ...Object.fromEntries(SEGMENT_NAMES.map((name) => [name, { ...segments[name], base: BigInt.asIntN(64, segments[name].base) }])),
    ...latches, shadow, trapShadow, taken: false, nmi, nmiAgain: false, nmiBlocked,
    rflags, cpl, plainLimits: plainLimits(fields), retired, repeating: false, debugHits: 0, ignoresNumericError: false, translations: null,
  };
}

/** Which segments may be read and written up to their limit and no further: two bits each, so that nobody has to look at the rest. */
function plainLimits({ segments }: ProcessorFields): number {
  return SEGMENT_NAMES.slice(0, 6).reduce((bits, name, i) => {
    const { attributes } = segments[name];
    const isCode = (attributes & SEGMENT_CODE) !== 0;
    if (attributes === 0 || (!isCode && (attributes & SEGMENT_EXPAND_DOWN) !== 0)) return bits;
    const reads = !isCode || (attributes & SEGMENT_READABLE) !== 0;
    const writes = !isCode && (attributes & SEGMENT_WRITABLE) !== 0;
    return bits | (reads ? 1 << (i * 2) : 0) | (writes ? 2 << (i * 2) : 0);
  }, 0);
}

type Members = Readonly<Record<string, Plain>>;

/** The state is hostile. Throws TypeError or RangeError for what no processor of this model can be in. */
export function readProcessor(saved: Plain, model: CpuModel): SavedProcessor {
  const members = membersOf(saved, 'processor');
  const truth = (name: string): boolean => {
    const value = members[name] ?? false; // older states have fewer
    if (typeof value !== 'boolean') throw new TypeError(`${name} expected a boolean`);
    return value;
  };
  const fields = emptyFields();
  for (const name of WIDE_NAMES) fields.wide[name] = wideOf(members, name);
  for (const [name, length] of Object.entries(ROW_BYTES)) {
    const bytes = members[name];
    if (!(bytes instanceof Uint8Array) || bytes.length !== length) throw new TypeError(`${name} expected ${length} bytes`);
    fields.rows[name as RowName].set(bytes);
  }
  for (const name of SEGMENT_NAMES) Object.assign(fields.segments[name], segmentOf(membersOf(members[name], name), name));
  fields.rflags = count(members, 'rflags', 0xffff_ffff);
  fields.cpl = count(members, 'cpl', 3);
  Object.assign(fields, { shadow: truth('shadow'), trapShadow: truth('trapShadow'), nmi: truth('nmi'), nmiBlocked: truth('nmiBlocked') });
  checkModes(fields, model);
  const latches = Object.assign(newLatches(), Object.fromEntries(LATCH_NAMES.map((name) => [name, truth(name)])), { startPage: count(members, 'startPage', 0xff, -1) });
  return { fields, latches, retired: count(members, 'retired', Number.MAX_SAFE_INTEGER) };
}

/** KVM looks too, but does not say what it does not like. */
function checkModes({ wide, rflags, cpl }: ProcessorFields, model: CpuModel): void {
  for (const name of ['cr0', 'cr4', 'efer', 'xcr0', 'gdtLimit', 'idtLimit'] as const) if (wide[name] < 0n || wide[name] > 0xffff_ffffn) throw new RangeError(`${name} has bits that do not exist`);
  const [cr0, cr4, efer, xcr0] = [Number(wide.cr0), Number(wide.cr4), Number(wide.efer), Number(wide.xcr0)];
  const [isPaging, isLong] = [(cr0 & CR0_PG) !== 0, (efer & EFER_LMA) !== 0];
  if (isPaging && (cr0 & CR0_PE) === 0) throw new RangeError('cr0 has no such value');
  if ((cr4 & ~model.cr4) !== 0 || ((cr4 & CR4_PCIDE) !== 0 && !isLong)) throw new RangeError('cr4 has no such value');
  if ((efer & ~model.efer) !== 0 || isLong !== (isPaging && (efer & EFER_LME) !== 0) || (isLong && (cr4 & CR4_PAE) === 0)) throw new RangeError('efer has no such value');
  if (xcr0 !== 1 && !isExtendedControl(xcr0, 0, stateComponents(model.features))) throw new RangeError('xcr0 has no such value');
  if (wide.cr3 < 0n || wide.cr3 >= 1n << BigInt(PHYSICAL_BITS)) throw new RangeError('cr3 has no such value');
  if (wide.gdtLimit > 0xffffn || wide.idtLimit > 0xffffn) throw new RangeError('a table has a limit of 16 bits');
  if ((rflags & ~EXISTING_FLAGS) !== 0) throw new RangeError('rflags has bits that do not exist');
  const isVirtual = (rflags & FLAG_VM) !== 0;
  if (isVirtual ? isLong || (cr0 & CR0_PE) === 0 || cpl !== 3 : (cr0 & CR0_PE) === 0 && cpl !== 0) throw new RangeError('the privilege level does not fit the mode');
}

function segmentOf(members: Members, name: string): SegmentFields {
  const attributes = count(members, 'attributes', 0xff_ffff);
  if ((attributes & ~ATTRIBUTES) !== 0) throw new RangeError(`${name}: attributes that no segment has`);
  return { selector: count(members, 'selector', 0xffff), attributes, limit: count(members, 'limit', 0xffff_ffff), base: wideOf(members, 'base') };
}
function membersOf(value: Plain | undefined, name: string): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) throw new TypeError(`${name} expected members`);
  return value as Members;
}
function wideOf(members: Members, name: string): bigint {
  const value = members[name];
  if (typeof value !== 'bigint' || BigInt.asIntN(64, value) !== value) throw new TypeError(`${name} expected an integer of 64 bits`);
  return value;
}
function count(members: Members, name: string, most: number, least = 0): number {
  const value = members[name];
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) throw new TypeError(`${name} expected a number of ${least} to ${most}`);
  return value;
}
