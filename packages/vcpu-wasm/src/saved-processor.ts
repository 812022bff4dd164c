/**
 * A processor as a saved machine keeps it: registers by their architectural names, hidden parts of segments, what is pending
 * between two instructions. Decoded and translated code is made again. Translations are kept, because a guest can tell: what it
 * changed in its tables without saying so is seen only where the TLB has no older answer.
 */
import { CR0_CD, CR0_NW, CR0_PE, CR0_PG, CR4_PAE, CR4_PCIDE, EFER_LMA, EFER_LME, FLAG_VM } from '@vm/x86';
import type { Plain } from '@vm/core';
import type { CodeFetch } from './code-fetch.ts';
import { CR0_EXISTING, type ControlRegisters } from './control-registers.ts';
import type { CpuModel } from './cpu-model.ts';
import * as state from './cpu-state.ts';
import type { DebugRegisters } from './debug-registers.ts';
import { EventLatches } from './event-latches.ts';
import { EXISTING_FLAGS, type FlagsRegister } from './flags-register.ts';
import type { LinearMemory } from './linear-memory.ts';
import type { NumericError } from './numeric-error.ts';
import { PHYSICAL_BITS } from './page-walk.ts';
import { ATTRIBUTES, type Segmentation } from './segmentation.ts';
import type { StateView } from './state-view.ts';
import { isExtendedControl, stateComponents } from './xsave.ts';

/** Version of what `saveProcessor` gives. */
export const PROCESSOR_STATE = 1;

export interface ProcessorParts {
  readonly state: StateView;
  readonly flags: FlagsRegister;
  readonly segments: Segmentation;
  readonly memory: LinearMemory;
  readonly control: ControlRegisters;
  readonly debug: DebugRegisters;
  readonly numericError: NumericError;
  readonly latches: EventLatches;
  readonly code: CodeFetch;
}

/** Registers of 64 bits, and where they lie. */
const WIDE: Readonly<Record<string, number>> = {
  rip: state.RIP, cr0: state.CR0, cr2: state.CR2, cr3: state.CR3, cr4: state.CR4, efer: state.EFER, xcr0: state.XCR0,
  dr0: state.DR, dr1: state.DR + 8, dr2: state.DR + 16, dr3: state.DR + 24, dr6: state.DR + 48, dr7: state.DR + 56,
  gdtBase: state.GDTR_BASE, gdtLimit: state.GDTR_LIMIT, idtBase: state.IDTR_BASE, idtLimit: state.IDTR_LIMIT,
  star: state.MSR_STAR, lstar: state.MSR_LSTAR, cstar: state.MSR_CSTAR, fmask: state.MSR_FMASK, kernelGsBase: state.MSR_KERNEL_GS_BASE,
  sysenterCs: state.MSR_SYSENTER_CS, sysenterEsp: state.MSR_SYSENTER_ESP, sysenterEip: state.MSR_SYSENTER_EIP, tscAux: state.MSR_TSC_AUX,
  pat: state.MSR_PAT, tscOffset: state.TSC_OFFSET, miscEnable: state.MSR_MISC_ENABLE, random: state.RANDOM,
};

/** Registers in rows, little endian: 16 general ones in encoding order; XMM, and the upper halves of YMM; the x87 unit with MXCSR. */
const ROWS: Readonly<Record<string, readonly [offset: number, bytes: number]>> = {
  general: [state.GPR, 128], vectors: [state.XMM, 256], vectorsHigh: [state.YMM_HIGH, 256], x87: [state.X87, state.MXCSR + 4 - state.X87],
  directoryPointers: [state.PDPTE, 32], memoryTypes: [state.MTRR_VARIABLE, state.MTRR_END - state.MTRR_VARIABLE],
};
const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'] as const; // by register number
const LATCH_NAMES = ['halted', 'shadow', 'trapShadow', 'taken', 'nmi', 'nmiAgain', 'nmiBlocked', 'init', 'waitsForStartup', 'shutdown', 'deliberate'] as const;

interface SavedSegment { readonly selector: number; readonly attributes: number; readonly limit: number; readonly base: bigint }
/** A state that has been looked through. */
export interface CheckedProcessor {
  /** By name, as the tables above have them. */
  readonly wide: Readonly<Record<string, bigint>>;
  readonly rows: Readonly<Record<string, Uint8Array>>;
  readonly segments: readonly SavedSegment[];
  readonly rflags: number;
  readonly cpl: number;
  readonly plainLimits: number;
  readonly latches: EventLatches;
  readonly retired: number;
  readonly repeating: boolean;
  readonly debugHits: number;
  readonly ignoresNumericError: boolean;
  readonly translations: Uint8Array | null;
}

export function saveProcessor({ state: s, flags, segments, memory, debug, numericError, latches }: ProcessorParts, { retired, repeating }: { readonly retired: number; readonly repeating: boolean }): Plain {
  const wide = (offset: number): bigint => s.view.getBigInt64(s.at + offset, true);
  return {
    ...Object.fromEntries(Object.entries(WIDE).map(([name, offset]) => [name, wide(offset)])),
    ...Object.fromEntries(Object.entries(ROWS).map(([name, [offset, bytes]]) => [name, s.u8.slice(s.at + offset, s.at + offset + bytes)])),
    ...Object.fromEntries(SEGMENT_NAMES.map((name, i) => [name, { selector: s.selector(i), attributes: s.attributes(i), limit: s.limit(i), base: wide(state.SEGMENT_BASE + i * 8) }])),
    ...Object.fromEntries(LATCH_NAMES.map((name) => [name, latches[name]])),
    startPage: latches.startPage, rflags: flags.read(), cpl: s.get(state.CPL), plainLimits: segments.plainLimits, retired, repeating,
    debugHits: debug.hits, ignoresNumericError: numericError.ignored, translations: memory.tlb.save(memory.ram),
  };
}

/** Throws TypeError or RangeError for what no processor of this model can be in. */
export function readProcessor(saved: Plain, model: CpuModel): CheckedProcessor {
  const fields = membersOf(saved, 'processor');
  const number = (name: string, most: number, least = 0): number => count(fields, name, most, least);
  const truth = (name: string): boolean => {
    const value = fields[name] ?? (name === 'nmiAgain' ? false : undefined); // older states have no second one
    if (typeof value !== 'boolean') throw new TypeError(`${name} expected a boolean`);
    return value;
  };
  const wide = Object.fromEntries(Object.keys(WIDE).map((name) => [name, wideOf(fields, name)]));
  const rows = Object.fromEntries(Object.entries(ROWS).map(([name, [, length]]) => {
    const bytes = fields[name];
    if (!(bytes instanceof Uint8Array) || bytes.length !== length) throw new TypeError(`${name} expected ${length} bytes`);
    return [name, bytes.slice()];
  }));
  const segments = SEGMENT_NAMES.map((name): SavedSegment => {
    const segment = membersOf(fields[name], name);
    const attributes = count(segment, 'attributes', 0xff_ffff);
    if ((attributes & ~ATTRIBUTES) !== 0) throw new RangeError(`${name}: attributes that no segment has`);
    return { selector: count(segment, 'selector', 0xffff), attributes, limit: count(segment, 'limit', 0xffff_ffff), base: wideOf(segment, 'base') };
  });
  const latches = Object.assign(new EventLatches(), Object.fromEntries(LATCH_NAMES.map((name) => [name, truth(name)])), { startPage: number('startPage', 0xff, -1) });
  const { translations = null } = fields;
  if (translations !== null && !(translations instanceof Uint8Array)) throw new TypeError('translations expected bytes');
  const found = {
    wide, rows, segments, latches, translations, rflags: number('rflags', 0xffff_ffff), cpl: number('cpl', 3), plainLimits: number('plainLimits', 0xfff),
    retired: number('retired', Number.MAX_SAFE_INTEGER), repeating: truth('repeating'), debugHits: number('debugHits', 15), ignoresNumericError: truth('ignoresNumericError'),
  };
  checkModes(found, model);
  checkFloat(rows['x87']!);
  return found;
}

/** Control registers as no instruction could leave them would be a mode that the engine has never been in. */
function checkModes({ wide, rflags, cpl }: CheckedProcessor, model: CpuModel): void {
  const low = (name: string): number => Number(BigInt.asUintN(32, wide[name]!));
  const high = (name: string): number => Number(BigInt.asUintN(64, wide[name]!) >> 32n);
  for (const name of ['cr0', 'cr4', 'efer', 'xcr0', 'gdtLimit', 'idtLimit']) if (high(name) !== 0) throw new RangeError(`${name} has bits that do not exist`);
  const [cr0, cr4, efer] = [low('cr0'), low('cr4'), low('efer')];
  const [paging, long] = [(cr0 & CR0_PG) !== 0, (efer & EFER_LMA) !== 0];
  if ((cr0 & ~CR0_EXISTING) !== 0 || (paging && (cr0 & CR0_PE) === 0) || ((cr0 & CR0_NW) !== 0 && (cr0 & CR0_CD) === 0)) throw new RangeError('cr0 has no such value');
  if ((cr4 & ~model.cr4) !== 0 || ((cr4 & CR4_PCIDE) !== 0 && !long)) throw new RangeError('cr4 has no such value');
  if ((efer & ~model.efer) !== 0 || long !== (paging && (efer & EFER_LME) !== 0) || (long && (cr4 & CR4_PAE) === 0)) throw new RangeError('efer has no such value');
  if (low('xcr0') !== 1 && !isExtendedControl(low('xcr0'), 0, stateComponents(model.features))) throw new RangeError('xcr0 has no such value');
  if (high('cr3') >= 2 ** (PHYSICAL_BITS - 32)) throw new RangeError('cr3 has no such value');
  if (low('gdtLimit') > 0xffff || low('idtLimit') > 0xffff) throw new RangeError('a table has a limit of 16 bits');
  if ((rflags & ~(EXISTING_FLAGS | 2)) !== 0) throw new RangeError('rflags has bits that do not exist');
  const virtual = (rflags & FLAG_VM) !== 0;
  if (virtual ? long || (cr0 & CR0_PE) === 0 || cpl !== 3 : (cr0 & CR0_PE) === 0 && cpl !== 0) throw new RangeError('the privilege level does not fit the mode');
}

/** TOP and the tags are used as indices. */
function checkFloat(x87: Uint8Array): void {
  const view = new DataView(x87.buffer);
  const word = (field: number): number => view.getUint32(field - state.X87, true);
  if (word(state.X87_TOP) > 7 || word(state.X87_CONTROL) > 0xffff || word(state.X87_STATUS) > 0xffff || word(state.MXCSR) > 0xffff) throw new RangeError('x87 has no such value');
  for (let i = 0; i < 8; i++) if (x87[state.X87_EMPTY - state.X87 + i]! > 1) throw new RangeError('x87: a tag is 0 or 1');
}

/** Over the reset state. */
export function writeProcessor({ state: s, flags, segments, memory, control, debug, numericError, latches, code }: ProcessorParts, from: CheckedProcessor): void {
  for (const [name, offset] of Object.entries(WIDE)) s.view.setBigInt64(s.at + offset, from.wide[name]!, true);
  for (const [name, [offset]] of Object.entries(ROWS)) s.u8.set(from.rows[name]!, s.at + offset);
  flags.write(from.rflags); // virtual-8086 mode decides what segments mean
  from.segments.forEach(({ selector, attributes, limit, base }, i) => segments.setSegment(i, selector, attributes, Number(BigInt.asUintN(32, base)), Number(BigInt.asUintN(64, base) >> 32n), limit));
  segments.plainLimits = from.plainLimits;
  Object.assign(latches, from.latches);
  // Whatever comes next, it is the string instruction at RIP that goes on.
  s.set(state.REPEATED, from.repeating ? s.get(state.CURRENT_UOP) : 0);
  s.set(state.EVENT_PENDING, 1); // looked at and forgotten when there is nothing
  memory.forgetTranslations();
  segments.setCpl(from.cpl);
  control.floatingPointAvailability();
  debug.update();
  debug.hits = from.debugHits;
  numericError.ignored = from.ignoresNumericError;
  if (from.translations !== null) memory.tlb.load(from.translations, memory.ram, (offset, mode) => code.mapOf(offset, mode));
}

type Fields = Readonly<Record<string, Plain>>;

function membersOf(value: Plain | undefined, name: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) throw new TypeError(`${name} expected members`);
  return value as Fields;
}

function wideOf(fields: Fields, name: string): bigint {
  const value = fields[name];
  if (typeof value !== 'bigint' || BigInt.asIntN(64, value) !== value) throw new TypeError(`${name} expected an integer of 64 bits`);
  return value;
}

function count(fields: Fields, name: string, most: number, least = 0): number {
  const value = fields[name];
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) throw new TypeError(`${name} expected a number of ${least} to ${most}`);
  return value;
}
