/**
 * What of a processor matters while it goes from one mode to the other, and which instructions of the transition fault when
 * (SDM vol. 3, sections 2.5, 4.1.2, 4.10.1 and 9.8.5). It knows nothing of plans: plans are tried on it.
 */
import { CR0_PE, CR0_PG, CR4_LA57, CR4_PAE, CR4_PCIDE, CR4_PGE, EFER_LMA, EFER_LME, VECTOR_GP, VECTOR_PF, VECTOR_UD } from '@vm/x86';
import type { Operation } from './operation.ts';

/** Whose: of the 64-bit side, of the page that both sides map, of the legacy side. */
export type Owner = 'host' | 'page' | 'legacy';
export type World = 'host' | 'legacy';

export interface ProcessorState {
  /** Where instructions come from. */
  readonly at: 'host' | 'page';
  /** Of the code segment. */
  readonly bits: 64 | 32;
  readonly cr0: number;
  readonly cr4: number;
  /** LMA too. */
  readonly efer: number;
  readonly root: World;
  /** Bits 0 to 11 of CR3. */
  readonly rootLow: number;
  readonly gdt: Owner;
  readonly idt: Owner;
  readonly stack: Owner;
  readonly data: Owner;
  readonly task: World;
  /** Busy bits of the descriptors of both task state segments. */
  readonly busy: Readonly<Record<World, boolean>>;
  /** The page is at its own physical address in these tables. */
  readonly mapped: Readonly<Record<World, boolean>>;
  /** The code is in the page. */
  readonly copied: boolean;
  readonly interrupts: boolean;
  /** Whose registers are in memory and may be lost. */
  readonly saved: Readonly<Record<World, boolean>>;
  /** Whose registers the processor holds. */
  readonly live: World | 'neither';
  /** Whose global translations the TLB may hold. */
  readonly globals: Readonly<Record<World, boolean>>;
}

export interface Fault {
  readonly vector: number;
  readonly why: string;
}

/** What the tables of the legacy side are. */
export type LegacyFormat = 'unpaged' | '32-bit' | 'pae';

const fault = (vector: number, why: string): Fault => ({ vector, why });
export const isFault = (result: ProcessorState | Fault): result is Fault => 'vector' in result;

const is = (value: number, bit: number): boolean => (value & bit) !== 0;

/** One operation. A fault leaves the state as it was; nothing would handle it, for the tables of gates are gone or going. */
export function execute(state: ProcessorState, operation: Operation, format: LegacyFormat): ProcessorState | Fault {
  const after = perform(state, operation);
  if (isFault(after)) return after;
  return fetchFault(after, format) ?? after;
}

function perform(state: ProcessorState, operation: Operation): ProcessorState | Fault {
  switch (operation.kind) {
    case 'interrupts-off': return { ...state, interrupts: false };
    case 'map-page': return physicalFault(state) ?? { ...state, mapped: { ...state.mapped, [operation.world]: true } };
    case 'copy-code': return physicalFault(state) ?? { ...state, copied: true };
    case 'save': return { ...state, saved: { ...state.saved, [operation.world]: true } };
    case 'restore': return { ...state, live: operation.world };
    case 'stack': return { ...state, stack: operation.owner };
    case 'gdt': return tableFault(state, operation.owner) ?? { ...state, gdt: operation.owner };
    case 'idt': return tableFault(state, operation.owner) ?? { ...state, idt: operation.owner };
    case 'data-segments': return tableFault(state, state.gdt) ?? { ...state, data: operation.owner };
    case 'jump': return { ...state, at: operation.to };
    case 'next': return state;
    case 'code-segment': return loadCodeSegment(state, operation.bits);
    case 'cr0': return writeCr0(state, operation.value);
    case 'cr4': return writeCr4(state, operation.value);
    case 'cr3': return writeCr3(state, operation.world, operation.low);
    case 'efer': return writeEfer(state, operation.value);
    case 'free-task': return { ...state, busy: { ...state.busy, [operation.world]: false } };
    case 'load-task': return loadTask(state, operation.world);
  }
}

/** A table is read at its linear address, when a selector is loaded or an event comes. */
function tableFault(state: ProcessorState, owner: Owner): Fault | null {
  return reaches(state, owner) ? null : fault(VECTOR_PF, `the table of the ${owner} side is not mapped here`);
}

/** 64-bit code has all memory mapped, and the legacy side its own; compatibility mode has nothing but the page. */
function physicalFault(state: ProcessorState): Fault | null {
  return state.bits === 32 && is(state.efer, EFER_LMA) ? fault(VECTOR_PF, 'page tables and the code to be copied are not mapped here') : null;
}

/** Everything of the page is mapped where the page is; the host's own things only in long mode. */
function reaches(state: ProcessorState, owner: Owner): boolean {
  if (!is(state.cr0, CR0_PG)) return owner !== 'host';
  if (owner === 'host') return state.root === 'host' && is(state.efer, EFER_LMA);
  return state.mapped[state.root];
}

function loadCodeSegment(state: ProcessorState, bits: 64 | 32): ProcessorState | Fault {
  if (state.gdt !== 'page') return fault(VECTOR_GP, 'the descriptor table has no such code segment');
  const wrong = tableFault(state, 'page');
  if (wrong !== null) return wrong;
  if (bits === 64 && !is(state.efer, EFER_LMA)) return fault(VECTOR_UD, 'the bit for 64-bit code means nothing outside long mode: what follows is run as 16-bit code');
  // 64-bit registers keep their upper halves only as long as 64-bit code runs.
  return { ...state, bits, live: 'neither' };
}

/** SDM vol. 3, sections 2.5 and 9.8.5. */
function writeCr0(state: ProcessorState, value: number): ProcessorState | Fault {
  const paging = is(value, CR0_PG);
  const was = is(state.cr0, CR0_PG);
  if (paging && !is(value, CR0_PE)) return fault(VECTOR_GP, 'paging without protection');
  if (was && !paging) {
    if (state.bits === 64) return fault(VECTOR_GP, 'paging cannot end in 64-bit code');
    if (is(state.cr4, CR4_PCIDE)) return fault(VECTOR_GP, 'paging cannot end while CR4.PCIDE is set');
    // All translations go, the global ones too (section 4.10.4.1).
    return { ...state, cr0: value, efer: state.efer & ~EFER_LMA, globals: { host: false, legacy: false } };
  }
  if (!was && paging) {
    if (!is(state.efer, EFER_LME)) return withGlobals({ ...state, cr0: value });
    if (!is(state.cr4, CR4_PAE)) return fault(VECTOR_GP, 'long mode needs CR4.PAE');
    if (state.bits === 64) return fault(VECTOR_GP, 'long mode cannot begin in a 64-bit code segment');
    return withGlobals({ ...state, cr0: value, efer: state.efer | EFER_LMA });
  }
  return { ...state, cr0: value };
}

function writeCr4(state: ProcessorState, value: number): ProcessorState | Fault {
  const long = is(state.efer, EFER_LMA);
  if (long && !is(value, CR4_PAE)) return fault(VECTOR_GP, 'CR4.PAE cannot go while long mode is active');
  if (long && is(value ^ state.cr4, CR4_LA57)) return fault(VECTOR_GP, 'CR4.LA57 cannot change while long mode is active');
  if (is(value, CR4_PCIDE) && !is(state.cr4, CR4_PCIDE)) {
    if (!long) return fault(VECTOR_GP, 'CR4.PCIDE outside long mode');
    if (state.rootLow !== 0) return fault(VECTOR_GP, 'CR4.PCIDE while CR3 has low bits');
  }
  const flushes = is(value ^ state.cr4, CR4_PGE | CR4_PAE) || (is(state.cr4, CR4_PCIDE) && !is(value, CR4_PCIDE));
  const next = { ...state, cr4: value };
  return flushes ? withGlobals({ ...next, globals: { host: false, legacy: false } }) : withGlobals(next);
}

function writeCr3(state: ProcessorState, root: World, rootLow: number): ProcessorState | Fault {
  return withGlobals({ ...state, root, rootLow });
}

function writeEfer(state: ProcessorState, value: number): ProcessorState | Fault {
  if (is(state.cr0, CR0_PG) && is(value ^ state.efer, EFER_LME)) return fault(VECTOR_GP, 'EFER.LME cannot change while there is paging');
  return { ...state, efer: (value & ~EFER_LMA) | (state.efer & EFER_LMA) };
}

function loadTask(state: ProcessorState, task: World): ProcessorState | Fault {
  if (state.busy[task]) return fault(VECTOR_GP, 'the task state segment is busy');
  return tableFault(state, state.gdt) ?? { ...state, task, busy: { ...state.busy, [task]: true } };
}

/** Whoever runs with paging and CR4.PGE leaves global translations. */
function withGlobals(state: ProcessorState): ProcessorState {
  if (!is(state.cr0, CR0_PG) || !is(state.cr4, CR4_PGE)) return state;
  return { ...state, globals: { ...state.globals, [state.root]: true } };
}

/** Whether the next instruction can be fetched and is what was written. */
function fetchFault(state: ProcessorState, format: LegacyFormat): Fault | null {
  const paging = is(state.cr0, CR0_PG);
  const long = is(state.efer, EFER_LMA);
  if (state.at === 'host') {
    if (state.bits !== 64 || !paging || !long || state.root !== 'host') return fault(VECTOR_PF, 'the next instruction is at an address of the 64-bit side, which is not mapped any more');
    return null;
  }
  if (!state.copied) return fault(VECTOR_UD, 'there is no code in the page');
  if (!paging) return null;
  const formatFits = state.root === 'host' ? long : !long && format === (is(state.cr4, CR4_PAE) ? 'pae' : '32-bit');
  if (!formatFits) return fault(VECTOR_PF, 'the tables are not of the format that the processor reads');
  return state.mapped[state.root] ? null : fault(VECTOR_PF, 'the page is not mapped at its own address');
}
