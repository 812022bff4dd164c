/** Puts the steps in order, leaves out what is not needed, and refuses what cannot be: before anything runs. */
import { CR4_PAE, EFER_LMA } from '@vm/x86';
import { execute, isFault, type ProcessorState } from './processor-model.ts';
import { SwitchRefusal } from './refusal.ts';
import { allSteps, type Direction, type Step, type StepName } from './step.ts';
import { checkSetup, CR4_HOST_ONLY, stateOf, type SwitchSetup } from './switch-setup.ts';

/** `claimed`: mode bit, then page table. `manual`: page table, then mode bit (SDM vol. 3, section 9.8.5). */
export type Order = 'claimed' | 'manual';

export interface PlanOptions {
  readonly order?: Order;
  /** Steps by name in an order of one's own; it is refused when it is not legal. */
  readonly steps?: readonly StepName[];
  /** Every step there is, needed or not. Default false. */
  readonly all?: boolean;
}

export interface Dropped {
  readonly name: StepName;
  readonly why: string;
}

export interface Plan {
  readonly direction: Direction;
  readonly setup: SwitchSetup;
  readonly steps: readonly Step[];
  readonly dropped: readonly Dropped[];
  /** Before the first step and after the last. */
  readonly from: ProcessorState;
  readonly to: ProcessorState;
}

/** Throws SwitchRefusal. */
export function planSwitch(setup: SwitchSetup, direction: Direction, options: PlanOptions = {}): Plan {
  checkSetup(setup);
  const from = stateOf(setup, direction === 'to-legacy' ? 'host' : 'legacy');
  const all = allSteps(setup, direction);
  const dropped = options.all === true || options.steps !== undefined ? [] : unneeded(setup, direction, all);
  const needed = all.filter(({ name }) => !dropped.some((one) => one.name === name));
  const steps = options.steps === undefined ? inOrder(needed, options.order ?? 'claimed') : options.steps.map((name) => findStep(all, name));
  const to = checkOrder(setup, from, steps);
  checkGoal(setup, direction, to);
  return { direction, setup, steps, dropped, from, to };
}

function findStep(all: readonly Step[], name: StepName): Step {
  const found = all.find((step) => step.name === name);
  if (found === undefined) throw new SwitchRefusal('E_ORDER', `there is no step ${name} in this transition`);
  return found;
}

function inOrder(steps: readonly Step[], order: Order): readonly Step[] {
  if (order === 'claimed') return steps;
  const table = steps.find(({ name }) => name === 'page-table');
  if (table === undefined) return steps;
  return steps.filter((step) => step !== table).flatMap((step) => (step.name === 'mode-bit' ? [table, step] : [step]));
}

/** What the other side does not need, each with its reason. */
function unneeded(setup: SwitchSetup, direction: Direction, all: readonly Step[]): readonly Dropped[] {
  const dropped: Dropped[] = [];
  const drop = (name: StepName, why: string): void => {
    if (all.some((step) => step.name === name)) dropped.push({ name, why });
  };
  const { host, legacy } = setup;
  const isMapped = setup.mappedAt.host === setup.page && (legacy.format === 'unpaged' || setup.mappedAt.legacy === setup.page);
  if (direction === 'to-long') {
    drop('interrupts-off', 'an interrupt gate has done so');
    drop('establish-page', 'it is the page of the way here');
    drop('copy-code', 'it came with the code of the way here');
    if ((legacy.cr4 & CR4_HOST_ONLY) === 0) drop('trim', 'CR4 has none of these bits');
    if ((legacy.cr4 & ~CR4_HOST_ONLY) === (host.cr4 & ~CR4_HOST_ONLY)) drop('extensions', 'CR4 is the same on both sides');
    if ((host.cr4 & CR4_HOST_ONLY) === 0 && host.cr3 % 4096 === 0) drop('host-control', 'CR4 is complete already');
    return dropped;
  }
  if (setup.prepared === true || isMapped) drop('establish-page', setup.prepared === true ? 'it stays mapped' : 'both tables have it there');
  if (setup.prepared === true) drop('copy-code', 'it stays there');
  if ((host.cr4 & CR4_HOST_ONLY) === 0) drop('trim', 'CR4 has none of these bits');
  if ((host.cr4 & ~CR4_HOST_ONLY) === legacy.cr4) drop('extensions', 'CR4 is the same on both sides');
  if (!setup.legacyTask) drop('task', 'the legacy side never changes its privilege level');
  return dropped;
}

/** The state after the last step. Throws SwitchRefusal at the first step whose conditions do not hold. */
function checkOrder(setup: SwitchSetup, from: ProcessorState, steps: readonly Step[]): ProcessorState {
  let state = from;
  steps.forEach((step, i) => {
    const at = `step ${i + 1}, ${step.name}`;
    const missing = step.requires.find(({ holds }) => !holds(state));
    if (missing !== undefined) throw new SwitchRefusal('E_ORDER', `${at}: ${missing.text}: this does not hold here`);
    for (const operation of step.does) {
      const after = execute(state, operation, setup.legacy.format);
      if (isFault(after)) throw new SwitchRefusal('E_ORDER', `${at}: exception ${after.vector}: ${after.why}`);
      state = after;
    }
    const broken = step.ensures.find(({ holds }) => !holds(state));
    if (broken !== undefined) throw new SwitchRefusal('E_FEATURE', `${at}: afterwards ${broken.text}: this does not hold`);
  });
  return state;
}

function checkGoal(setup: SwitchSetup, direction: Direction, state: ProcessorState): void {
  const missing = (direction === 'to-legacy' ? legacyGoal(setup) : hostGoal(setup)).find(({ holds }) => !holds(state));
  if (missing !== undefined) throw new SwitchRefusal('E_ORDER', `after the last step: ${missing.text}: this does not hold`);
}

interface Goal {
  readonly text: string;
  readonly holds: (state: ProcessorState) => boolean;
}

function legacyGoal({ legacy, legacyTask }: SwitchSetup): readonly Goal[] {
  return [
    { text: 'CR0 is that of the legacy side', holds: (s) => s.cr0 === legacy.cr0 },
    { text: 'CR4 is that of the legacy side', holds: (s) => s.cr4 === legacy.cr4 },
    { text: 'EFER is that of the legacy side', holds: (s) => s.efer === legacy.efer },
    { text: 'CR3 is that of the legacy side', holds: (s) => legacy.format === 'unpaged' || s.root === 'legacy' },
    { text: 'its code, gates and segments', holds: (s) => s.at === 'page' && s.bits === 32 && s.idt === 'legacy' && s.gdt === 'page' && s.data === 'page' && (!legacyTask || s.task === 'legacy') },
    { text: 'interrupts are off', holds: (s) => !s.interrupts },
    { text: 'the registers of the 64-bit side are saved', holds: (s) => s.saved.host },
    { text: 'no translation of the 64-bit side is left', holds: (s) => !s.globals.host },
  ];
}

function hostGoal({ host }: SwitchSetup): readonly Goal[] {
  return [
    { text: 'CR0 is that of the 64-bit side', holds: (s) => s.cr0 === host.cr0 },
    { text: 'CR4 is that of the 64-bit side', holds: (s) => s.cr4 === host.cr4 },
    { text: 'EFER is that of the 64-bit side', holds: (s) => s.efer === ((host.efer | EFER_LMA) >>> 0) },
    { text: 'CR3 is that of the 64-bit side', holds: (s) => s.root === 'host' && s.rootLow === host.cr3 % 4096 && (s.cr4 & CR4_PAE) !== 0 },
    { text: 'its code, gates, descriptors and stack', holds: (s) => s.at === 'host' && s.bits === 64 && s.idt === 'host' && s.gdt === 'host' && s.task === 'host' && s.stack === 'host' && s.data === 'host' },
    { text: 'the registers of the legacy side are saved, and its own are back', holds: (s) => s.saved.legacy && s.live === 'host' },
    { text: 'no translation of the legacy side is left', holds: (s) => !s.globals.legacy },
  ];
}

