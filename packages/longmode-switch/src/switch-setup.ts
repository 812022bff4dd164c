/** Two worlds and the page between them, as a planner needs to know them. */
import { CR0_PE, CR0_PG, CR4_CET, CR4_LA57, CR4_PAE, CR4_PCIDE, CR4_PGE, CR4_SMAP, CR4_SMEP, EFER_LMA, EFER_LME } from '@vm/x86';
import type { LegacyFormat, ProcessorState, World } from './processor-model.ts';
import { SwitchRefusal } from './refusal.ts';

export interface MemoryRange {
  readonly name: string;
  readonly start: number;
  /** The byte behind it. */
  readonly end: number;
}

/** x87 and vector registers; breakpoints; where SYSENTER leads. */
export type Exchanged = 'floating-point' | 'breakpoints' | 'sysenter';

export interface SwitchSetup {
  /** Physical, and linear in both worlds: a page of code and one of tables and save areas behind it. */
  readonly page: number;
  /** Where both tables of pages have it; null: nowhere. What a walk of them says. */
  readonly mappedAt: Readonly<Record<World, number | null>>;
  /** The planner's first two steps may put it there: it has the addresses of the entries. Default false. */
  readonly establish?: boolean;
  readonly host: {
    readonly cr0: number;
    readonly cr3: number;
    readonly cr4: number;
    readonly efer: number;
  };
  readonly legacy: {
    readonly format: LegacyFormat;
    readonly cr0: number;
    readonly cr3: number;
    readonly cr4: number;
    readonly efer: number;
  };
  /** The legacy side has interrupt gates, and a task state segment; it may do without the second. */
  readonly legacyTask: boolean;
  /** What else is saved and brought back, because the legacy side uses it. Default: nothing. */
  readonly exchange?: readonly Exchanged[];
  /** Physical addresses that have to be apart. */
  readonly memory?: readonly MemoryRange[];
  /** What has been done before and stays: the page is mapped and the code copied. Default false. */
  readonly prepared?: boolean;
}

const LIMIT = 2 ** 32;
const PAGE_BYTES = 4096;
export const SWITCH_PAGES = 2;
/** Bits of CR4 that mean something to long mode alone, or would make the first instruction of the legacy side fault. */
export const CR4_HOST_ONLY: number = CR4_PCIDE | CR4_PGE | CR4_CET | CR4_SMEP | CR4_SMAP;

/** Throws SwitchRefusal where no order of steps could be right. */
export function checkSetup(setup: SwitchSetup): void {
  const { page, host, legacy, mappedAt } = setup;
  if (page % PAGE_BYTES !== 0) throw new SwitchRefusal('E_ALIGNMENT', `the page of the transition begins at ${hex(page)}, which is not the beginning of a page`);
  below('the page of the transition', page, SWITCH_PAGES * PAGE_BYTES);
  below('the page tables of the 64-bit side', host.cr3, PAGE_BYTES);
  below('the page tables of the legacy side', legacy.cr3, legacy.format === 'pae' ? 32 : PAGE_BYTES);
  if ((host.cr0 & CR0_PG) === 0 || (host.cr0 & CR0_PE) === 0 || (host.cr4 & CR4_PAE) === 0 || (host.efer & EFER_LME) === 0) {
    throw new SwitchRefusal('E_FEATURE', 'the 64-bit side is not in long mode: CR0.PE, CR0.PG, CR4.PAE and EFER.LME belong together');
  }
  if ((legacy.efer & EFER_LME) !== 0) throw new SwitchRefusal('E_FEATURE', 'the legacy side cannot have EFER.LME');
  if ((legacy.cr4 & (CR4_PCIDE | CR4_LA57 | CR4_CET)) !== 0) throw new SwitchRefusal('E_FEATURE', 'the legacy side cannot have CR4.PCIDE, CR4.LA57 or CR4.CET');
  const format = (legacy.cr0 & CR0_PG) === 0 ? 'unpaged' : (legacy.cr4 & CR4_PAE) === 0 ? '32-bit' : 'pae';
  if (format !== legacy.format) throw new SwitchRefusal('E_FEATURE', `the legacy side is ${legacy.format}, and its CR0 and CR4 are those of one that is ${format}`);
  if ((legacy.cr0 & CR0_PE) === 0) throw new SwitchRefusal('E_FEATURE', 'the transition ends in protected mode; real mode begins behind it');
  if (legacy.format === 'pae' && legacy.cr3 % 32 !== 0) throw new SwitchRefusal('E_ALIGNMENT', `the page directory pointers of the legacy side begin at ${hex(legacy.cr3)}, which is not a multiple of 32`);
  if (setup.establish !== true) {
    for (const world of ['host', 'legacy'] as const) {
      if (world === 'legacy' && legacy.format === 'unpaged') continue;
      const at = mappedAt[world];
      if (at !== page) throw new SwitchRefusal('E_IDENTITY', `the page at ${hex(page)} is ${at === null ? 'not mapped' : `at ${hex(at)}`} in the tables of the ${world === 'host' ? '64-bit' : 'legacy'} side, and has to be at its own address in both`);
    }
  }
  checkApart([{ name: 'the page of the transition', start: page, end: page + SWITCH_PAGES * PAGE_BYTES }, ...(setup.memory ?? [])]);
}

function checkApart(ranges: readonly MemoryRange[]): void {
  const sorted = ranges.toSorted((a, b) => a.start - b.start);
  for (let i = 1; i < sorted.length; i++) {
    const [before, after] = [sorted[i - 1]!, sorted[i]!];
    if (before.end > after.start) throw new SwitchRefusal('E_OVERLAP', `${before.name} (${hex(before.start)} to ${hex(before.end)}) and ${after.name} (from ${hex(after.start)}) overlap`);
  }
}

function below(what: string, start: number, bytes: number): void {
  if (!Number.isInteger(start) || start < 0 || start + bytes > LIMIT) throw new SwitchRefusal('E_ADDRESS', `${what} at ${hex(start)}: it has to be below 4 GiB, where a move of 32 bits reaches`);
}

/** What the processor is before the first step; the 64-bit side runs, or the legacy side in the page. */
export function stateOf(setup: SwitchSetup, world: World): ProcessorState {
  const { host, legacy } = setup;
  const prepared = setup.prepared === true || world === 'legacy';
  const unpaged = legacy.format === 'unpaged';
  const isMapped = (at: number | null): boolean => prepared || at === setup.page;
  const mapped = { host: isMapped(setup.mappedAt.host), legacy: unpaged || isMapped(setup.mappedAt.legacy) };
  if (world === 'host') {
    return {
      at: 'host', bits: 64, cr0: host.cr0, cr4: host.cr4, efer: (host.efer | EFER_LMA) >>> 0, root: 'host', rootLow: host.cr3 % PAGE_BYTES, gdt: 'host', idt: 'host', stack: 'host', data: 'host', task: 'host',
      busy: { host: true, legacy: true }, mapped, copied: prepared, interrupts: true, saved: { host: false, legacy: false }, live: 'host', globals: { host: (host.cr4 & CR4_PGE) !== 0, legacy: false },
    };
  }
  return {
    at: 'page', bits: 32, cr0: legacy.cr0, cr4: legacy.cr4, efer: legacy.efer, root: 'legacy', rootLow: 0, gdt: 'page', idt: 'legacy', stack: 'legacy', data: 'page', task: setup.legacyTask ? 'legacy' : 'host',
    busy: { host: true, legacy: setup.legacyTask }, mapped, copied: true, interrupts: false, saved: { host: true, legacy: false }, live: 'legacy', globals: { host: false, legacy: !unpaged && (legacy.cr4 & CR4_PGE) !== 0 },
  };
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
