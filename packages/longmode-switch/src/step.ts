/** The transition as data: what each step needs, what it does, and what holds afterwards. */
import { CR0_PG, CR4_PAE, CR4_PGE, EFER_LMA } from '@vm/x86';
import type { Operation } from './operation.ts';
import type { ProcessorState, World } from './processor-model.ts';
import { CR4_HOST_ONLY, type SwitchSetup } from './switch-setup.ts';

export type Direction = 'to-legacy' | 'to-long';

export type StepName =
  | 'interrupts-off' | 'establish-page' | 'copy-code' | 'save' | 'stack' | 'hold-nmi' | 'descriptors' | 'trim' | 'jump' | 'compatibility' | 'segments'
  | 'paging-off' | 'mode-bit' | 'extensions' | 'page-table' | 'paging-on' | 'branch' | 'gates' | 'task' | 'long-code' | 'leave-page' | 'host-descriptors' | 'host-stack' | 'host-control' | 'restore';

/** Something that has to hold, as a question to the state with the words for its absence. */
export interface Condition {
  readonly text: string;
  readonly holds: (state: ProcessorState) => boolean;
}

export interface Step {
  readonly name: StepName;
  /** Its number among the seven of the method: page, copy, jump, translation off, mode bit, page table, translation on. */
  readonly claimed: number;
  readonly title: string;
  readonly requires: readonly Condition[];
  readonly does: readonly Operation[];
  readonly ensures: readonly Condition[];
}

const has = (value: number, bit: number): boolean => (value & bit) !== 0;
const condition = (text: string, holds: (state: ProcessorState) => boolean): Condition => ({ text, holds });

// The conditions, each written once.
const quiet = condition('interrupts are off', (s) => !s.interrupts);
const held = condition('NMIs find the gates of the page', (s) => s.idt === 'page');
const ownStack = condition('the stack is in the page', (s) => s.stack === 'page');
const inPage = condition('the code runs in the page', (s) => s.at === 'page');
const copied = condition('the code is in the page', (s) => s.copied);
const paged = condition('translation is on', (s) => has(s.cr0, CR0_PG));
const unpaged = condition('translation is off', (s) => !has(s.cr0, CR0_PG));
const notLong = condition('the code segment is not a 64-bit one', (s) => s.bits === 32);
const trimmed = condition('CR4 has no PCIDE, PGE, CET, SMEP, SMAP', (s) => !has(s.cr4, CR4_HOST_ONLY));
const pageGdt = condition('the descriptor table is that of the page', (s) => s.gdt === 'page');
const flat = condition('the data segments are flat', (s) => s.data === 'page');
const bothMapped = condition('the page is at its own address in both tables', (s) => s.mapped.host && s.mapped.legacy);
const registersSaved = (world: World): Condition => condition('the registers are saved', (s) => s.saved[world]);
const isAt = (at: 'host' | 'page'): Condition => condition(`the code runs at the ${at === 'page' ? 'page' : "64-bit side's own addresses"}`, (s) => s.at === at);
const longActive = condition('long mode is active', (s) => has(s.efer, EFER_LMA));
/** What must hold while nothing but the page can be relied on. */
const window = [quiet, held, ownStack, inPage, notLong, flat];

const step = (name: StepName, title: string, requires: readonly Condition[], does: readonly Operation[], ensures: readonly Condition[], claimed = 0): Step => ({ name, title, requires, does, ensures, claimed });

/** Every step there is, in the claimed order; what a set-up does not need is dropped by the planner. */
export function allSteps(setup: SwitchSetup, direction: Direction): readonly Step[] {
  return direction === 'to-legacy' ? toLegacy(setup) : toLong(setup);
}

function toLegacy({ host, legacy }: SwitchSetup): readonly Step[] {
  const isPaged = legacy.format !== 'unpaged';
  const bit = (mode: number, text: string): Condition => condition(text, (s) => (s.efer & ~EFER_LMA) === mode);
  const modeIs = bit(legacy.efer, 'EFER is that of the legacy side');
  const rootIs = condition('CR3 is that of the legacy side', (s) => s.root === 'legacy');
  const extensionsAre = condition('CR4 is that of the legacy side', (s) => (s.cr4 & ~CR4_PGE) === (legacy.cr4 & ~CR4_PGE));
  return [
    step('interrupts-off', 'no interrupt from here on', [], [{ kind: 'interrupts-off' }], [quiet]),
    step('establish-page', 'the page is mapped at its own physical address in both tables', [quiet], [{ kind: 'map-page', world: 'host' }, { kind: 'map-page', world: 'legacy' }], [bothMapped], 1),
    step('copy-code', 'the code of the transition is copied there', [quiet, bothMapped, isAt('host')], [{ kind: 'copy-code' }], [copied], 2),
    step('save', 'registers whose upper halves legacy mode loses, and all that the way back restores', [quiet, isAt('host')], [{ kind: 'save', world: 'host' }], [registersSaved('host')]),
    step('stack', 'a stack that has the same address on both sides', [quiet, bothMapped, registersSaved('host')], [{ kind: 'stack', owner: 'page' }], [ownStack]),
    step('hold-nmi', 'gates that note an NMI, whatever the mode', [quiet, bothMapped, copied, ownStack], [{ kind: 'idt', owner: 'page' }], [held]),
    step('descriptors', 'a descriptor table with code segments of both kinds', [quiet, held, bothMapped], [{ kind: 'gdt', owner: 'page' }], [pageGdt]),
    step('trim', 'CR4 without what only long mode knows, and without global translations', [quiet, paged], [{ kind: 'cr4', value: (host.cr4 & ~CR4_HOST_ONLY) >>> 0 }], [trimmed]),
    step('jump', 'on in the page', [quiet, held, ownStack, copied, bothMapped, isAt('host')], [{ kind: 'jump', to: 'page' }], [inPage], 3),
    step('compatibility', '32-bit code, still in long mode', [quiet, held, ownStack, inPage, pageGdt, longActive], [{ kind: 'code-segment', bits: 32 }], [notLong]),
    step('segments', 'flat data segments', [held, inPage, pageGdt, notLong], [{ kind: 'data-segments', owner: 'page' }], [flat]),
    step('paging-off', 'translation off, and with it long mode', [...window, trimmed, paged], [{ kind: 'cr0', value: isPaged ? (host.cr0 & ~CR0_PG) >>> 0 : legacy.cr0 }], [unpaged], 4),
    step('mode-bit', 'the mode bit', [...window, unpaged], [{ kind: 'efer', value: legacy.efer }], [modeIs], 5),
    step('extensions', 'CR4 for the legacy side', [...window, unpaged], [{ kind: 'cr4', value: legacy.cr4 }], [extensionsAre]),
    ...(isPaged ? [
      step('page-table', 'the page table of the legacy side', [...window, unpaged], [{ kind: 'cr3', world: 'legacy' as const, low: 0 }], [rootIs], 6),
      step('paging-on', 'translation on', [...window, unpaged, modeIs, rootIs, extensionsAre, bothMapped], [{ kind: 'cr0', value: legacy.cr0 }], [paged], 7),
      step('branch', 'and a branch', [...window, paged, modeIs], [{ kind: 'next' }], [inPage]),
    ] : []),
    step('task', 'the task state segment of the legacy side', [...window, pageGdt, modeIs, rootOrUnpaged(isPaged)], [{ kind: 'free-task', world: 'legacy' }, { kind: 'load-task', world: 'legacy' }], [condition('its task register', (s) => s.task === 'legacy')]),
    step('gates', 'the gates of the legacy side', [...window, modeIs, rootOrUnpaged(isPaged)], [{ kind: 'idt', owner: 'legacy' }], [condition('its gates', (s) => s.idt === 'legacy')]),
  ];
}

/** The legacy side's tables are where they belong, and translation as it wants it. */
function rootOrUnpaged(isPaged: boolean): Condition {
  return condition(isPaged ? 'translation by the legacy tables' : 'no translation', (s) => has(s.cr0, CR0_PG) === isPaged && (!isPaged || s.root === 'legacy') && !has(s.efer, EFER_LMA));
}

function toLong({ host, legacy }: SwitchSetup): readonly Step[] {
  const isPaged = legacy.format !== 'unpaged';
  const hostEfer = (host.efer & ~EFER_LMA) >>> 0;
  const modeIs = condition('EFER is that of the 64-bit side', (s) => (s.efer & ~EFER_LMA) === hostEfer);
  const rootIs = condition("CR3 is that of the 64-bit side", (s) => s.root === 'host');
  const extended = condition('CR4.PAE', (s) => has(s.cr4, CR4_PAE));
  const backInLong = condition('translation is on, in long mode', (s) => has(s.cr0, CR0_PG) && has(s.efer, EFER_LMA));
  const hostCode = condition('64-bit code', (s) => s.bits === 64);
  const first = (legacy.cr4 & ~CR4_HOST_ONLY) >>> 0;
  return [
    step('interrupts-off', 'no interrupt from here on', [], [{ kind: 'interrupts-off' }], [quiet]),
    step('establish-page', 'the page is mapped at its own physical address in both tables', [quiet], [{ kind: 'map-page', world: 'host' }, { kind: 'map-page', world: 'legacy' }], [bothMapped], 1),
    step('copy-code', 'the code of the transition is copied there', [quiet, bothMapped], [{ kind: 'copy-code' }], [copied], 2),
    step('save', 'the registers of the legacy side', [quiet], [{ kind: 'save', world: 'legacy' }], [registersSaved('legacy')]),
    step('stack', 'a stack that has the same address on both sides', [quiet, bothMapped, registersSaved('legacy')], [{ kind: 'stack', owner: 'page' }], [ownStack]),
    step('hold-nmi', 'gates that note an NMI, whatever the mode', [quiet, bothMapped, copied, ownStack], [{ kind: 'idt', owner: 'page' }], [held]),
    step('trim', 'CR4 without global translations', [quiet], [{ kind: 'cr4', value: first }], [trimmed]),
    step('jump', 'on in the page', [quiet, held, ownStack, copied, bothMapped], [{ kind: 'jump', to: 'page' }], [inPage], 3),
    ...(isPaged ? [step('paging-off', 'translation off', [...window, trimmed, paged], [{ kind: 'cr0', value: (legacy.cr0 & ~CR0_PG) >>> 0 }], [unpaged], 4)] : []),
    step('mode-bit', 'the mode bit', [...window, unpaged], [{ kind: 'efer', value: hostEfer }], [modeIs], 5),
    step('extensions', 'CR4.PAE, which long mode needs', [...window, unpaged], [{ kind: 'cr4', value: (host.cr4 & ~CR4_HOST_ONLY) >>> 0 }], [extended]),
    step('page-table', 'the page table of the 64-bit side', [...window, unpaged], [{ kind: 'cr3', world: 'host', low: 0 }], [rootIs], 6),
    step('paging-on', 'translation on, and with it long mode', [...window, unpaged, modeIs, extended, rootIs, bothMapped], [{ kind: 'cr0', value: host.cr0 }], [backInLong], 7),
    step('long-code', '64-bit code', [quiet, held, inPage, backInLong, pageGdt], [{ kind: 'code-segment', bits: 64 }], [hostCode]),
    step('leave-page', "on at the 64-bit side's own addresses", [quiet, backInLong, hostCode, inPage], [{ kind: 'jump', to: 'host' }], [isAt('host')]),
    step('host-descriptors', "the 64-bit side's descriptors, task register and data segments; the busy bit first", [quiet, isAt('host')],
      [{ kind: 'gdt', owner: 'host' }, { kind: 'free-task', world: 'host' }, { kind: 'load-task', world: 'host' }, { kind: 'data-segments', owner: 'host' }], [condition('its descriptors', (s) => s.gdt === 'host' && s.task === 'host')]),
    step('host-stack', "the 64-bit side's stack", [quiet, isAt('host'), condition('its descriptors', (s) => s.gdt === 'host')], [{ kind: 'stack', owner: 'host' }], [condition('its stack', (s) => s.stack === 'host')]),
    step('gates', "the 64-bit side's gates, where NMIs that were noted are raised", [quiet, isAt('host'), condition('its stack and descriptors', (s) => s.stack === 'host' && s.gdt === 'host')], [{ kind: 'idt', owner: 'host' }], [condition('its gates', (s) => s.idt === 'host')]),
    step('host-control', 'CR4 as it was; PCIDE while CR3 has no low bits, and then CR3', [quiet, isAt('host')], [{ kind: 'cr4', value: host.cr4 }, ...(host.cr3 % 4096 === 0 ? [] : [{ kind: 'cr3', world: 'host', low: host.cr3 % 4096 } as const])], [condition('CR4 of the 64-bit side', (s) => s.cr4 === host.cr4)]),
    step('restore', 'the registers of the 64-bit side', [quiet, isAt('host'), registersSaved('host'), condition('its stack', (s) => s.stack === 'host')], [{ kind: 'restore', world: 'host' }], [condition('its registers', (s) => s.live === 'host')]),
  ];
}
